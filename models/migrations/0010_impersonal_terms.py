from tortoise import migrations
from tortoise.migrations import operations as ops

def _normal(column: str) -> str:
    """Almost as `domain.search.normalize`. What differs in spite of it stays personal."""
    return f"LOWER(TRIM(CASE WHEN TRIM({column}) LIKE '#%' THEN SUBSTR(TRIM({column}), 2) ELSE {column} END))"


def _own(table: str, column: str) -> str:
    """The rows of the table that belong to a term's order and have the term in that column."""
    of_order = f"o.{'id' if table == 'orders' else 'order_id'} = search_terms.order_id"
    return f"EXISTS (SELECT 1 FROM {table} o WHERE {of_order} AND {column} = search_terms.term)"


_NOT_PERSONAL = f"""
    UPDATE search_terms SET personal = FALSE
    WHERE {_own("orders", "CAST(o.number AS VARCHAR(20))")}
        OR {_own("orders", _normal("o.external_reference"))}
        OR {_own("orders", _normal("o.external_number"))}
        OR {_own("order_lines", _normal("o.sku"))}
        OR {_own("tracking", _normal("o.number"))}
        OR {_own("delivery_notes", _normal("o.number"))}
"""  # noqa: S608 - names of ours


class Migration(migrations.Migration):
    dependencies = [("models", "0009_rights")]

    initial = False

    # In a transaction of its own: in that of 0009, tokens and search terms would be locked until all terms are read.
    operations = [ops.RunSQL(_NOT_PERSONAL)]
