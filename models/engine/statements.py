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
    """Return `SELECT … FROM …` with these columns, or with all columns of the model."""
    wanted = (column for name, column in model._meta.fields_db_projection.items() if names is None or name in names)
    return f"SELECT {', '.join(map(quoted, wanted))} FROM {_table(model)}"  # noqa: S608 - names only


async def run(connection: Any, statements: tuple[str, ...], values: Sequence[Any]) -> Sequence[Any]:
    """Run the statements and return the rows of the last. On PostgreSQL they are sent as one, on SQLite there is only
    one.
    """
    if speaks_postgres(connection):
        number = _kept_number if len(values) <= _MOST_KEPT else _number
        return await connection.fetch(number(statements), values)  # type: ignore[no-any-return]
    [statement] = statements
    _, rows = await connection.execute_query(statement, list(values))
    return rows  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Write:
    """A statement that changes rows. Each `?` is the place of a value."""

    sql: str
    values: list[Any]


def update(row: Table, columns: Collection[str]) -> Write:
    """Return the statement that writes these columns of a row that exists."""
    model = type(row)
    values = converted(model, ((name, getattr(row, name)) for name in (*columns, model._meta.pk_attr)))
    return Write(_update(model, tuple(columns)), values)


@lru_cache
def _update(model: type[Table], columns: tuple[str, ...]) -> str:
    changed = ", ".join(f"{quoted(name)} = ?" for name in columns)
    return f"UPDATE {_table(model)} SET {changed} WHERE {quoted(model._meta.pk_attr)} = ?"  # noqa: S608 - names only


def update_all(rows: Sequence[Table], columns: Collection[str]) -> Write:
    """Return the statement that writes these columns of rows of one table. There must be at least one row."""
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
    """Return the statement that writes new rows in their order. There must be at least one row. Raise
    `ValidationError`.

    A row has every column but a number that the database gives; missing values are null. With `unless_there`, a row
    that violates a unique constraint is left out. On PostgreSQL, `after` is a SELECT of one row: its functions are
    called before the first row gets its number.
    """
    columns = _written_columns(model)
    values = converted(model, ((name, row.get(name)) for row in rows for name in columns))
    make = _kept_insert if len(values) <= _MOST_KEPT else _insert
    return Write(make(model, len(rows), unless_there, after), values)


def converted(model: type[Table], values: Iterable[tuple[str, Any]]) -> list[Any]:
    """Return the values as the database takes them, each for the column of its name. Raise `ValidationError`."""
    writers = _writers(model)
    return [writers[name](value, model) for name, value in values]


@cache
def _writers(model: type[Table]) -> dict[str, Callable[[Any, type[Table]], Any]]:
    return {name: writing(model._meta.fields_map[name], model) for name in model._meta.fields_db_projection}


def _insert(model: type[Table], rows: int, unless_there: bool, after: str | None) -> str:
    columns = _written_columns(model)
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
    """Return the placeholders of one row. PostgreSQL needs their types unless they go into a table at once."""
    fields = model._meta.fields_map
    types = [fields[name].get_for_dialect("postgres", "SQL_TYPE").partition("(")[0] for name in columns]
    return f"({', '.join(f'?::{each}' if typed else '?' for each in types)})"


@lru_cache
def _written_columns(model: type[Table]) -> tuple[str, ...]:
    """Return the columns of a new row: all but the number that the database gives it."""
    generated = model._meta.generated_db_fields
    return tuple(name for name in model._meta.fields_db_projection if name not in generated)


async def write(*writes: Write) -> None:
    """Carry out the statements, inside a transaction. On PostgreSQL they are sent as one.

    That saves a round trip for each but the last. They are the parts of a `WITH`: none sees what the others write, so
    they must not depend on one another nor write the same row. Constraints hold for all of them together.
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
    """Return one statement for PostgreSQL with numbered placeholders."""
    *before, last = statements
    parts = ", ".join(f"w{number} AS ({sql})" for number, sql in enumerate(before))
    return numbered(f"WITH {parts} {last}" if parts else last)


def numbered(statement: str) -> str:
    """Return the statement with PostgreSQL's placeholders in place of question marks. It must have no other question
    marks.
    """
    first, *rest = statement.split("?")
    return first + "".join(f"${number}{text}" for number, text in enumerate(rest, start=1))


_kept_number = lru_cache(maxsize=1024)(_number)


def _table(model: type[Table]) -> str:
    return quoted(model._meta.db_table)


def quoted(name: str) -> str:
    """Return a name as SQL writes it."""
    return f'"{name}"'
