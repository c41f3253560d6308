"""What a shop has in its database after each migration.

`rows/NAME.json` holds what is new with the migration of that name, by table: new rows, and new values of rows that are
there. A row is known by its first column, its primary key. A migration that adds neither a table nor a column has no
file.

    .venv/bin/python -m tests.models.migration_rows

writes the file of the newest migration, with a value for each column that no file names yet.
"""

import json
import sys
from collections.abc import Mapping
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, Final

from tortoise import fields
from tortoise.fields.base import Field
from tortoise.fields.relational import ForeignKeyFieldInstance as ForeignKey
from tortoise.models import Model

import models
from models.engine.fields import ChoiceField

MIGRATIONS: Final = Path(__file__).parents[2] / "models" / "migrations"
NAMES: Final = sorted(path.stem for path in MIGRATIONS.glob("[0-9]*.py"))
ROWS: Final = Path(__file__).parent / "rows"

Row = dict[str, Any]
Tables = Mapping[str, list[Row]]

_TIME: Final = "2026-11-22T11:12:25.000000+00:00"
_UUID: Final = "01a202f5-3000-7000-8000-{:012d}"


def rows_until(name: str) -> Tables:
    """Return all rows that a shop has after the migration of that name. Each table follows those that it points to."""
    merged: dict[str, dict[Any, Row]] = {}
    for each in NAMES[: NAMES.index(name) + 1]:
        path = ROWS / f"{each}.json"
        for table, rows in json.loads(path.read_text(encoding="utf-8")).items() if path.exists() else ():
            known = merged.setdefault(table, {})
            for row in rows:
                known.setdefault(_key(row), {}).update(row)
    return {table: list(merged[table].values()) for table in _tables_in_order() if table in merged}


def missing_rows() -> dict[str, list[Row]]:
    """Return a row for each table that has none, and for each other column that no row has a value in a row."""
    rows = rows_until(NAMES[-1])
    found = {model._meta.db_table: _missing_row(model, rows) for model in _models()}
    return {table: [row] for table, row in found.items() if row}


def _models() -> list[type[Model]]:
    return [getattr(models, name) for name in models.__all__]


def _tables_in_order() -> list[str]:
    foreign = {
        model._meta.db_table: {_target(field) for field in _columns(model).values() if isinstance(field, ForeignKey)}
        for model in _models()
    }
    return list(TopologicalSorter({table: others - {table} for table, others in foreign.items()}).static_order())


def _columns(model: type[Model]) -> dict[str, Field[Any]]:
    """Return the fields by their columns. A foreign key stands for the column that holds it."""
    columns: dict[str, Field[Any]] = {}
    for name, field in model._meta.fields_map.items():
        if isinstance(field, ForeignKey):
            columns[f"{name}_id"] = field
        elif field.has_db_field:
            columns.setdefault(name, field)
    return columns


def _target(reference: "ForeignKey[Any]") -> str:
    """Return the table that the foreign key points to."""
    table: str = getattr(models, str(reference.model_name).removeprefix("models."))._meta.db_table
    return table


def _missing_row(model: type[Model], rows: Tables) -> Row:
    old = rows.get(model._meta.db_table, [])
    named = {column for row in old for column in row}
    missing = {column: _value(column, field, rows) for column, field in _columns(model).items() if column not in named}
    return {**dict(list(old[0].items())[:1]), **missing} if old and missing else missing


def _value(column: str, field: Field[Any], rows: Tables) -> Any:
    """Return a value that the column can have, and that is not its default."""
    match field:
        case ForeignKey():
            return _key(rows[_target(field)][0])
        case fields.UUIDField():
            return _UUID.format(sum(map(len, rows.values())))
        case fields.BooleanField():
            return not field.default
        case fields.JSONField():
            return {}
        case fields.DatetimeField():
            return _TIME
        case fields.IntField() | fields.BigIntField() | fields.SmallIntField():
            return 1
        case ChoiceField():
            return next(iter(field.enum_type)).value
        case _:
            return column[:9]


def _key(row: Row) -> Any:
    return next(iter(row.values()))


def main() -> None:
    path, rows = ROWS / f"{NAMES[-1]}.json", missing_rows()
    if not rows:
        sys.exit("Each table and each column has a value already.")
    if path.exists():
        sys.exit(f"{path} is there, and has no value for: {', '.join(rows)}. Delete it, or add them by hand.")
    tables = (f"{json.dumps(table)}: [\n{json.dumps(row, ensure_ascii=False)}\n]" for table, [row] in rows.items())
    path.write_text("{\n" + ",\n".join(tables) + "\n}\n", encoding="utf-8")
    print(f"{path}: read it, and write what a shop could have.")


if __name__ == "__main__":
    main()
