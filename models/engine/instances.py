"""Rows to change: instances of their model, loaded by statements that are put together once."""

from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Any

from tortoise.connection import get_connection
from tortoise.models import Model

from models.engine.fields import reading
from models.engine.statements import converted, quoted, run, selection, speaks_postgres
from models.engine.table import Row, Table


async def load(model: type[Row], *, lock: bool = False, **columns: Any) -> Row | None:
    """Return the row with these values, any one of them if there are several, or None.

    With `lock`, nobody else can change or lock the row until the transaction ends. On SQLite, a transaction has the
    whole database to itself anyway.
    """
    connection = get_connection("default")
    tail = _matching(tuple(columns), lock and speaks_postgres(connection))
    rows = await run(connection, (_select(model, tail),), converted(model, columns.items()))
    return _instance(model, rows[0], connection) if rows else None


@lru_cache
def _matching(columns: tuple[str, ...], lock: bool) -> str:
    conditions = " AND ".join(f"{quoted(name)} = ?" for name in columns)
    return f"WHERE {conditions}{' FOR NO KEY UPDATE' if lock else ''}"


async def load_where(model: type[Row], tail: str, *values: Any) -> list[Row]:
    """Return the rows that `tail` selects: `WHERE …`, with a `?` for each of the values in the database's own types."""
    connection = get_connection("default")
    rows = await run(connection, (_select(model, tail),), values)
    return [_instance(model, row, connection) for row in rows]


def _instance(model: type[Row], row: Mapping[str, Any], connection: Any) -> Row:
    """Make an instance as Tortoise does, in a third of the time: docs/decisions/0005-rows-to-read.md."""
    blank, conversions = _making(model, connection.capabilities.dialect)
    made = model.__new__(model)
    attributes = vars(made)
    attributes.update(blank, **row)
    for name, convert in conversions:
        attributes[name] = convert(attributes[name])
    return made


@cache
def _making(model: type[Table], dialect: str) -> tuple[dict[str, Any], list[tuple[str, Callable[[Any], Any]]]]:
    """Return the attributes of an instance besides its columns, and the columns whose values must be converted."""
    columns = model._meta.fields_db_projection
    blank = vars(model._init_from_db(**dict.fromkeys(columns)))
    conversions = ((name, reading(model._meta.fields_map[name], dialect)) for name in columns)
    return (
        {name: value for name, value in blank.items() if name not in columns},
        [(name, convert) for name, convert in conversions if convert is not None],
    )


@lru_cache
def _select(model: type[Table], tail: str) -> str:
    return f"{selection(model)} {tail}"


async def add(row: Table) -> None:
    """Insert a new row."""
    await Model.save(_require_loaded(row), force_create=True)


async def save(row: Table, *columns: str) -> None:
    """Write these columns of a loaded row. Without columns, write all of a row, which may be a new one."""
    await Model.save(_require_loaded(row), update_fields=columns or None)


async def remove(row: Table) -> None:
    """Delete a loaded row."""
    await Model.delete(_require_loaded(row))


async def reload(row: Table) -> None:
    """Give a loaded row the values that the database has now."""
    await Model.refresh_from_db(_require_loaded(row))


def _require_loaded(row: Table) -> Model:
    """Return the row. Raise TypeError if it was only read."""
    if not isinstance(row, Model):
        raise TypeError(f"A {type(row).__name__} was only read: load it to change it.")
    return row
