from tortoise import fields, migrations
from tortoise.fields.base import OnDelete
from tortoise.migrations import operations as ops

def _normal(column: str) -> str:
    """Almost as `domain.orders.search.normalize`. What differs in spite of it stays personal."""
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
    dependencies = [("models", "0008_effect_lanes")]

    initial = False

    operations = [
        ops.AddField(
            model_name="ApiToken",
            name="creator",
            field=fields.ForeignKeyField(
                "models.ApiToken",
                source_field="creator_id",
                null=True,
                db_constraint=True,
                to_field="id",
                related_name=False,
                on_delete=OnDelete.RESTRICT,
            ),
        ),
        ops.AddField(
            model_name="SearchTerm", name="personal", field=fields.BooleanField(default=True, db_default=True)
        ),
        # Of tokens that are there, and of those that workers of the version before create meanwhile.
        ops.AddField(
            model_name="ApiToken",
            name="implies_customers_read",
            field=fields.BooleanField(default=False, db_default=True),
        ),
        ops.RunSQL(_NOT_PERSONAL),
    ]
