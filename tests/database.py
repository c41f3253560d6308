"""What a test can ask the open database itself: all of its rows, and which statements were run on it."""

import asyncio
import json
import logging
import sqlite3
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from tortoise import Tortoise, connections
from tortoise.fields import JSONField
from tortoise.transactions import in_transaction

from models.engine.database import config, connect, is_postgres
from models.engine.table import Table

T = TypeVar("T")


def tables() -> list[type[Table]]:
    """The models, by table."""
    assert Tortoise.apps is not None
    return sorted(Tortoise.apps["models"].values(), key=lambda model: model._meta.db_table)


async def all_rows() -> dict[str, Any]:
    """Every row of every table: two of these are equal where nothing was changed in between."""
    if _on_postgres():
        [row] = await run_sql(rows_as_json())
        return dict(json.loads(row["rows"]))
    names = [(model._meta.db_table, model._meta.db_pk_column) for model in tables()]
    return {name: await run_sql(f'SELECT * FROM "{name}" ORDER BY "{key}"') for name, key in names}


def _on_postgres() -> bool:
    return bool(connections.get("default").capabilities.dialect == "postgres")


async def nobody_writes() -> None:
    """Waits until every transaction has ended, also one that its caller has left: it may still be committed."""
    others = "datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    busy = f"SELECT pid FROM pg_stat_activity WHERE {others} AND state <> 'idle'"
    while _on_postgres() and await run_sql(busy):  # noqa: ASYNC110 - the server tells nobody
        await asyncio.sleep(0.005)
    async with in_transaction():  # on SQLite, writers come one after another
        pass


async def while_another_writes(url: str, lock: str, sql: str, *values: Any, call: Coroutine[Any, Any, T]) -> T:
    """What a call answers that begins while another process has this lock, and waits for it until that has written.

    A call that does not wait is over by then, or has read what was there before. For PostgreSQL.
    """
    other = await connect(url)
    try:
        async with other.transaction():
            await other.execute(lock)
            calling = asyncio.create_task(call)
            await is_over_or_waits(calling)
            await other.execute(sql, *values)
        return await calling
    finally:
        await other.close()


async def is_over_or_waits(task: asyncio.Task[Any]) -> None:
    """Returns once the task is over, or somebody waits for a lock of PostgreSQL's."""
    waiting = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    while not task.done() and not await run_sql(waiting):  # noqa: ASYNC110 - the server tells nobody
        await asyncio.sleep(0.005)


def rows_as_json() -> str:
    """What asks PostgreSQL for every row of every table at once: one value named `rows`."""
    parts = (
        f"'{model._meta.db_table}', (SELECT coalesce(json_agg(t ORDER BY t.{model._meta.db_pk_column}), '[]')"
        f' FROM "{model._meta.db_table}" t)'
        for model in tables()
    )
    return f"SELECT json_build_object({', '.join(parts)}) AS rows"


async def run_sql(sql: str, *values: Any) -> list[dict[str, Any]]:
    """The rows of a statement as the database has them."""
    _, rows = await connections.get("default").execute_query(sql, list(values))
    return [dict(row) for row in rows]


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

    def _rows(self, model: type[Table]) -> list[dict[str, Any]]:
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
        found: dict[str, list[dict[str, Any]]] = json.loads(await self._connection.fetchval(rows_as_json()))
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
    path: str = config(url)["connections"]["default"]["credentials"]["file_path"]
    return path


@dataclass(frozen=True)
class Statement:
    """What was sent to the database: placeholders and their values, and by which task."""

    sql: str
    values: list[Any]
    task: asyncio.Task[Any] | None


class _Recorder(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.statements: list[Statement] = []

    def emit(self, record: logging.LogRecord) -> None:
        values = record.args[1] if isinstance(record.args, tuple) and len(record.args) == 2 else ()
        sql = record.args[0] if isinstance(record.args, tuple) and record.args else record.msg
        task = asyncio.current_task()
        self.statements.append(Statement(str(sql), list(values or ()), task))  # type: ignore[call-overload]


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
