"""What a test can ask the open database itself: all of its rows, and which statements were run on it."""

import json
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from tortoise import Tortoise, connections
from tortoise.fields import JSONField
from tortoise.models import Model

from models.database import connect, is_postgres


def tables() -> list[type[Model]]:
    """The models, by table."""
    assert Tortoise.apps is not None
    return sorted(Tortoise.apps["models"].values(), key=lambda model: model._meta.db_table)


async def all_rows() -> dict[str, list[dict[str, Any]]]:
    """Every row of every table: two of these are equal where nothing was changed in between."""
    return {model._meta.db_table: list(await model.all().order_by(model._meta.pk_attr).values()) for model in tables()}


async def run_sql(sql: str, *values: Any) -> list[dict[str, Any]]:
    """The rows of a statement as the database has them."""
    _, rows = await connections.get("default").execute_query(sql, list(values))
    return [dict(row) for row in rows]


# Statements that a command takes more than on SQLite, for the log's order among writers who do not wait for each other.
RECORDING = {"sqlite": 0, "postgres": 1}


class Reader(Protocol):
    """Somebody else who reads the database, on a connection of their own, and sees what is committed."""

    async def rows(self) -> dict[str, list[dict[str, Any]]]:
        """Every row of every table, with values as JSON has them: keys and moments are strings."""

    async def check(self) -> None:
        """The database is whole, and each row that another one points to is there."""

    async def close(self) -> None: ...


class _SqliteReader:
    def __init__(self, url: str) -> None:
        self._connection = sqlite3.connect(sqlite_path(url))
        self._connection.row_factory = sqlite3.Row

    async def rows(self) -> dict[str, list[dict[str, Any]]]:
        return {model._meta.db_table: self._rows(model) for model in tables()}

    def _rows(self, model: type[Model]) -> list[dict[str, Any]]:
        documents = [name for name, field in model._meta.fields_map.items() if isinstance(field, JSONField)]
        rows = [dict(row) for row in self._connection.execute(f"SELECT * FROM {model._meta.db_table}")]
        return [{**row, **{name: json.loads(row[name]) for name in documents if row[name]}} for row in rows]

    async def check(self) -> None:
        assert self._connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert [row[0] for row in self._connection.execute("PRAGMA integrity_check")] == ["ok"]

    async def close(self) -> None:
        self._connection.close()


class _PostgresReader:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def rows(self) -> dict[str, list[dict[str, Any]]]:
        names = [model._meta.db_table for model in tables()]
        parts = ", ".join(f"'{name}', (SELECT coalesce(json_agg(t), '[]') FROM {name} t)" for name in names)
        found: dict[str, list[dict[str, Any]]] = json.loads(
            await self._connection.fetchval(f"SELECT json_build_object({parts})")
        )
        return found

    async def check(self) -> None:
        """PostgreSQL checks each row when it is written."""

    async def close(self) -> None:
        await self._connection.close()


async def reader_of(url: str) -> Reader:
    """A reader of the database of the URL, whose models are open in this process."""
    return _PostgresReader(await connect(url)) if is_postgres(url) else _SqliteReader(url)


def sqlite_path(url: str) -> str:
    """The file that a `sqlite://` URL names."""
    return url.removeprefix("sqlite://").partition("?")[0]


@dataclass(frozen=True)
class Statement:
    """What was sent to the database: placeholders and their values."""

    sql: str
    values: list[Any]


class _Recorder(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.statements: list[Statement] = []

    def emit(self, record: logging.LogRecord) -> None:
        values = record.args[1] if isinstance(record.args, tuple) and len(record.args) == 2 else ()
        sql = record.args[0] if isinstance(record.args, tuple) and record.args else record.msg
        self.statements.append(Statement(str(sql), list(values or ())))  # type: ignore[call-overload]


@contextmanager
def statements() -> Iterator[list[Statement]]:
    """Every statement that is sent to the database while the block runs."""
    logger = logging.getLogger("tortoise.db_client")
    recorder, level = _Recorder(), logger.level
    logger.addHandler(recorder)
    logger.setLevel(logging.DEBUG)
    try:
        yield recorder.statements
    finally:
        logger.setLevel(level)
        logger.removeHandler(recorder)
