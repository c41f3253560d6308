"""Rows to read: the database's records, with the columns and properties of their model.

A column is converted when it is read. An instance of a model is given a converted value for each column when it is
made, which costs more: docs/decisions/0005-rows-to-read.md has the figures.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from operator import itemgetter
from typing import Any, Final, Generic

import asyncpg
from tortoise.connection import get_connection
from tortoise.fields.base import Field
from tortoise.queryset import QuerySet

from models.engine.fields import reading
from models.engine.statements import is_postgres, numbered, quoted, selection
from models.engine.table import Row, Table
from models.engine.turns import take_turn

PIECE: Final = 1_000  # rows that are worked on without a pause

Columns = frozenset[str] | None  # by the names of the model's attributes; `None` means all

_POSTGRES: Final = "postgres"


@dataclass(frozen=True, slots=True)
class Selection(Generic[Row]):
    """A query as SQL, put together once and run any number of times."""

    model: type[Row]
    sql: str
    values: Sequence[Any]

    @classmethod
    def of(cls, query: QuerySet[Row]) -> "Selection[Row]":
        """Take the SQL from a queryset that selects all columns of its model and nothing else."""
        query._choose_db_if_not_chosen()
        query._make_query()
        sql, values = query.query.get_parameterized_sql()
        return cls(query.model, sql, values)

    async def rows(self) -> list[Row]:
        return await _read(get_connection("default"), self.model, self.sql, self.values)


async def read(query: QuerySet[Row]) -> list[Row]:
    """Return the rows of a queryset that selects all columns of its model and nothing else."""
    return await Selection.of(query).rows()


async def read_where(model: type[Row], tail: str, *values: Any) -> list[Row]:
    """Return the rows that `tail` selects: `WHERE …`, with a `?` for each of the values in the database's own types."""
    client = get_connection("default")
    return await _read(client, model, _tailed(model, tail, client.capabilities.dialect), values)


@lru_cache
def _tailed(model: type[Table], tail: str, dialect: str) -> str:
    statement = f"{selection(model)} {tail}"
    return numbered(statement) if dialect == _POSTGRES else statement


async def read_by(
    model: type[Row], column: str, keys: Sequence[Any], *order: str, columns: Columns = None
) -> list[Row]:
    """Return the rows that have one of the keys in the column, sorted by the columns of `order`.

    They have at least these `columns`, and all if one of them is a property of the model. To ask a row for another
    column is a `KeyError`.
    """
    if not keys:
        return []
    if columns is not None:
        columns = columns | {column} if columns <= model._meta.fields_db_projection.keys() else None
    client = get_connection("default")
    if is_postgres():  # one statement for any number of keys: it is prepared once
        return await _read(client, model, _statement(model, columns, column, order, "= ANY($1)"), [list(keys)])
    field = model._meta.fields_map[column]
    values = [field.to_db_value(key, model) for key in keys]
    condition = f"IN ({', '.join('?' * len(keys))})"
    return await _read(client, model, _statement(model, columns, column, order, condition), values)


async def _read(client: Any, model: type[Row], sql: str, values: Sequence[Any]) -> list[Any]:
    kind = _kind(model, client.capabilities.dialect)
    if issubclass(kind, asyncpg.Record):
        return await client.fetch(sql, values, kind)  # type: ignore[no-any-return]
    found = await client.execute_query_dict(sql, list(values))
    made: list[Any] = []
    for start in range(0, len(found), PIECE):
        if start:
            await take_turn()
        made += map(kind, found[start : start + PIECE])
    return made


@lru_cache(maxsize=1024)
def _statement(model: type[Table], columns: Columns, column: str, order: tuple[str, ...], condition: str) -> str:
    ordered = f" ORDER BY {', '.join(map(quoted, order))}" if order else ""
    return f"{selection(model, columns)} WHERE {quoted(column)} {condition}{ordered}"


@cache
def _kind(model: type[Table], dialect: str) -> type:
    """Return the class of the model's rows: the driver's record, with a property for each column."""
    members: dict[str, Any] = {
        name: property(_reader(model._meta.fields_map[name], column, dialect))
        for name, column in model._meta.fields_db_projection.items()
    }
    members |= {name: value for name, value in vars(model).items() if isinstance(value, property)}
    base = asyncpg.Record if dialect == _POSTGRES else dict
    return type(f"{model.__name__}Row", (base,), {"__slots__": (), **members})


def _reader(field: Field[Any], column: str, dialect: str) -> Callable[[Any], Any]:
    """Return the function that reads the column from a record and converts it as the model does."""
    convert = reading(field, dialect)
    return itemgetter(column) if convert is None else lambda record: convert(record[column])
