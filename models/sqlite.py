"""The SQLite engine for Tortoise, with transactions that take the write lock when they begin.

A deferred transaction that reads first and writes later fails with "database is locked" as soon as another
process writes in between, whatever the busy timeout (https://www.sqlite.org/lang_transaction.html).
"""

import asyncio
import sqlite3
from collections.abc import Sequence
from typing import Any

from tortoise.backends.base.client import TransactionalDBClient, TransactionContext
from tortoise.backends.sqlite.client import (
    SqliteClient,
    SqliteTransactionContext,
    SqliteTransactionWrapper,
)
from tortoise.connection import get_connections
from tortoise.exceptions import OperationalError

from models.errors import DatabaseUnavailable


class _ImmediateTransaction(SqliteTransactionWrapper):
    async def begin(self) -> None:
        try:
            await self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise _translated(error) from error
        except asyncio.CancelledError:
            # The connection's thread carries out what it was handed, and so this too, even if nobody waits for it.
            await self._connection.rollback()
            raise

    async def commit(self) -> None:
        try:
            await super().commit()
        except BaseException:
            await self._connection.rollback()  # a transaction left open would take in all that comes after it
            raise


def _translated(error: sqlite3.OperationalError) -> Exception:
    """Another process that writes for longer than busy_timeout is an outage; everything else is a mistake."""
    busy = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    return DatabaseUnavailable(str(error)) if busy else OperationalError(error)


class _ImmediateContext(SqliteTransactionContext):
    async def __aenter__(self) -> TransactionalDBClient:
        # Tortoise's own version keeps its lock when the transaction cannot begin: every later query would hang.
        await self._trxlock.acquire()
        try:
            await self.ensure_connection()
            await self.connection.begin()
        except BaseException:
            self._trxlock.release()
            raise
        self.token = get_connections().set(self.connection_name, self.connection)
        return self.connection  # type: ignore[no-any-return]


class ImmediateSqliteClient(SqliteClient):
    """Reads outside a transaction have a connection of their own: they see what is committed, and wait for no writer.

    On a single connection, each of them would wait for every transaction that is in the queue before it.
    """

    def __init__(self, file_path: str, **options: Any) -> None:
        super().__init__(file_path, **options)
        self._reader = None if file_path == ":memory:" else SqliteClient(file_path, **options, query_only="ON")

    async def close(self) -> None:
        if self._reader is not None:
            await self._reader.close()
        await super().close()

    async def execute_query(self, query: str, values: list[Any] | None = None) -> tuple[int, Sequence[dict[str, Any]]]:
        if self._reader is not None and query.startswith("SELECT"):
            return await self._reader.execute_query(query, values)  # type: ignore[no-any-return]
        return await super().execute_query(query, values)  # type: ignore[no-any-return]

    async def execute_query_dict(self, query: str, values: list[Any] | None = None) -> list[dict[str, Any]]:
        if self._reader is not None and query.startswith("SELECT"):
            return await self._reader.execute_query_dict(query, values)  # type: ignore[no-any-return]
        return await super().execute_query_dict(query, values)  # type: ignore[no-any-return]

    def _in_transaction(self) -> TransactionContext:
        return _ImmediateContext(_ImmediateTransaction(self), self._lock)


client_class = ImmediateSqliteClient
