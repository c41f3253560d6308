"""SQL that is put together once, and the statements that write rows.

Tortoise builds each statement anew and sends each on its own, which costs twice the CPU time of a command:
docs/decisions/0005-rows-to-read.md. Values are converted and their length is checked by Tortoise's fields all the same.
Only this module knows how the SQL of the two databases differs.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Final

from tortoise.connection import get_connection

from models.engine.fields import writing
from models.engine.table import Table

_MOST_KEPT: Final = 500  # values of a statement whose text is kept: larger ones are rare, long, and of many sizes


def is_postgres() -> bool:
    return speaks_postgres(get_connection("default"))


def speaks_postgres(connection: Any) -> bool:
    dialect: str = connection.capabilities.dialect
    return dialect == "postgres"


@cache
def selection(model: type[Table], names: frozenset[str] | None = None) -> str:
    """`SELECT … FROM …`, with these columns, or with all of the model's."""
    wanted = (column for name, column in model._meta.fields_db_projection.items() if names is None or name in names)
    return f"SELECT {', '.join(map(quoted, wanted))} FROM {_table(model)}"  # noqa: S608 - names only


async def run(connection: Any, statements: tuple[str, ...], values: Sequence[Any]) -> Sequence[Any]:
    """One statement for PostgreSQL; all but the last are parts of it."""
    if speaks_postgres(connection):
        number = _kept_number if len(values) <= _MOST_KEPT else _number
        return await connection.fetch(number(statements), values)  # type: ignore[no-any-return]
    [statement] = statements
    _, rows = await connection.execute_query(statement, list(values))
    return rows  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Write:
    """A statement that changes rows, with a `?` for each of its values and nowhere else."""

    sql: str
    values: list[Any]


def update(row: Table, columns: Collection[str]) -> Write:
    """Writes these columns of a row that is there."""
    model = type(row)
    values = converted(model, ((name, getattr(row, name)) for name in (*columns, model._meta.pk_attr)))
    return Write(_update(model, tuple(columns)), values)


@lru_cache
def _update(model: type[Table], columns: tuple[str, ...]) -> str:
    changed = ", ".join(f"{quoted(name)} = ?" for name in columns)
    return f"UPDATE {_table(model)} SET {changed} WHERE {quoted(model._meta.pk_attr)} = ?"  # noqa: S608 - names only


def update_all(rows: Sequence[Table], columns: Collection[str]) -> Write:
    """Writes these columns of rows of one table, of which there is at least one."""
    model, names = type(rows[0]), (rows[0]._meta.pk_attr, *columns)
    values = converted(model, ((name, getattr(row, name)) for row in rows for name in names))
    key, *changed = map(quoted, names)
    # Both databases name the columns of VALUES like this.
    settings = ", ".join(f"{name} = v.column{number}" for number, name in enumerate(changed, start=2))
    source = _values(model, names, len(rows), typed=is_postgres())
    sql = f"UPDATE {_table(model)} SET {settings} FROM ({source}) AS v WHERE {key} = v.column1"  # noqa: S608 - names only
    return Write(sql, values)


def insert(
    model: type[Table], rows: Sequence[Mapping[str, Any]], *, unless_there: bool = False, after: str | None = None
) -> Write:
    """Writes new rows, of which there is at least one, in their order. Raises `ValidationError`.

    A row has every column but a number that the database gives; null is what it lacks. With `unless_there`, a row whose
    like is there already is left out. On PostgreSQL, `after` is a SELECT of one row: what it calls is done before the
    first row takes its number.
    """
    columns = _written(model)
    values = converted(model, ((name, row.get(name)) for row in rows for name in columns))
    make = _kept_insert if len(values) <= _MOST_KEPT else _insert
    return Write(make(model, len(rows), unless_there, after), values)


def converted(model: type[Table], values: Iterable[tuple[str, Any]]) -> list[Any]:
    """Values of the columns that stand before them, as the database takes them. Raises `ValidationError`."""
    writers = _writers(model)
    return [writers[name](value, model) for name, value in values]


@cache
def _writers(model: type[Table]) -> dict[str, Callable[[Any, type[Table]], Any]]:
    return {name: writing(model._meta.fields_map[name], model) for name in model._meta.fields_db_projection}


def _insert(model: type[Table], rows: int, unless_there: bool, after: str | None) -> str:
    columns = _written(model)
    source = _values(model, columns, rows, typed=after is not None)
    if after is not None:
        # The numbers are taken for what is joined, and so after its row is there; OFFSET 0 keeps it whole.
        source = f"SELECT v.* FROM ({after} OFFSET 0) AS before CROSS JOIN ({source}) AS v"  # noqa: S608 - names only
    conflicts = " ON CONFLICT DO NOTHING" if unless_there else ""
    return f"INSERT INTO {_table(model)} ({', '.join(map(quoted, columns))}) {source}{conflicts}"


_kept_insert = lru_cache(_insert)


def _values(model: type[Table], columns: tuple[str, ...], rows: int, *, typed: bool) -> str:
    return f"VALUES {', '.join([_row(model, columns, typed)] * rows)}"


@lru_cache
def _row(model: type[Table], columns: tuple[str, ...], typed: bool) -> str:
    """PostgreSQL has to be told the types of what does not go into a table at once."""
    fields = model._meta.fields_map
    types = [fields[name].get_for_dialect("postgres", "SQL_TYPE").partition("(")[0] for name in columns]
    return f"({', '.join(f'?::{each}' if typed else '?' for each in types)})"


@lru_cache
def _written(model: type[Table]) -> tuple[str, ...]:
    """The columns of a new row: all but the number that the database gives it."""
    generated = model._meta.generated_db_fields
    return tuple(name for name in model._meta.fields_db_projection if name not in generated)


async def write(*writes: Write) -> None:
    """Inside a transaction: carries them out, on PostgreSQL with one statement for all of them.

    That saves a round trip for each but the last. None of them sees what the others write (they are the parts of a
    `WITH`), so they must not depend on one another, nor write the same row. Constraints hold for all of them together.
    """
    connection = get_connection("default")
    if not writes:
        return
    if speaks_postgres(connection):
        await run(connection, tuple(each.sql for each in writes), [value for each in writes for value in each.values])
    else:
        for each in writes:
            await run(connection, (each.sql,), each.values)


def _number(statements: tuple[str, ...]) -> str:
    """One statement for PostgreSQL, whose placeholders have numbers."""
    *before, last = statements
    parts = ", ".join(f"w{number} AS ({sql})" for number, sql in enumerate(before))
    return numbered(f"WITH {parts} {last}" if parts else last)


def numbered(statement: str) -> str:
    """The statement with PostgreSQL's placeholders instead of question marks, of which it has no others."""
    first, *rest = statement.split("?")
    return first + "".join(f"${number}{text}" for number, text in enumerate(rest, start=1))


_kept_number = lru_cache(maxsize=1024)(_number)


def _table(model: type[Table]) -> str:
    return quoted(model._meta.db_table)


def quoted(name: str) -> str:
    """A name, as SQL has it."""
    return f'"{name}"'
