"""The SQLite engine for Tortoise, with transactions that take the write lock when they begin.

A deferred transaction that reads first and writes later fails with "database is locked" as soon as another
process writes in between, whatever the busy timeout (https://www.sqlite.org/lang_transaction.html).
"""

import asyncio
import os
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from tortoise.backends.base.client import ConnectionWrapper, TransactionalDBClient, TransactionContext
from tortoise.backends.sqlite.client import (
    SqliteClient,
    SqliteTransactionContext,
    SqliteTransactionWrapper,
)
from tortoise.connection import get_connections
from tortoise.exceptions import OperationalError

from models.engine import private
from models.engine.errors import DatabaseUnavailable, StorageFailure
from models.engine.shares import Shares

INTERRUPT_SECONDS: Final = 0.01  # after which a statement that was to be called off may have begun
_ROOM: Final = 256 * 1024  # bytes that must be free before a disk that was full counts as mended

_BUSY: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)
_FULL: Final = "the disk is full"
_GONE: Final = "the database file is gone"
_DAMAGED: Final = "the database file is damaged"
_NO_DATABASE: Final = "the file is not a SQLite database"

# What SQLite says about its files: what is wrong, and what to do about it.
_FAILURES: Final = {
    sqlite3.SQLITE_FULL: (_FULL, "Make room on its disk."),
    sqlite3.SQLITE_READONLY: ("the database file is read-only", "Let this user write the file and its folder."),
    sqlite3.SQLITE_PERM: ("the database file is not accessible", "Let this user write the file and its folder."),
    sqlite3.SQLITE_CANTOPEN: ("the database file cannot be opened", "Let this user read and write it and its folder."),
    sqlite3.SQLITE_IOERR: ("the disk cannot be read or written", "Look at the disk, its quota and its mount."),
    sqlite3.SQLITE_CORRUPT: (_DAMAGED, "Restore it from a backup and restart."),
    sqlite3.SQLITE_NOTADB: (
        _NO_DATABASE,
        "Name another one in DATABASE_URL, or restore a backup and restart.",
    ),
}
_LASTING: Final = (_DAMAGED, _NO_DATABASE)


def translate(error: sqlite3.DatabaseError, path: str) -> Exception:
    """Return what the error means: busy or broken storage is an outage, anything else is a mistake of ours."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # the driver's own errors have none
    if code in _BUSY:
        return DatabaseUnavailable(str(error))
    if code in _FAILURES:
        problem, remedy = _FAILURES[code]
        message = f"{path}: {problem} ({error.sqlite_errorname}). {remedy}"
        return StorageFailure(problem, message, is_lasting=problem in _LASTING)
    return OperationalError(error) if isinstance(error, sqlite3.OperationalError) else error


class _Translating(ConnectionWrapper[Any]):
    """Holds the connection for one statement, whose errors become those of `models.engine.errors`."""

    __slots__ = ()
    client: "_Client | _ImmediateTransaction"

    async def __aenter__(self) -> Any:
        # Tortoise's own version keeps its lock when there is no connection to be had: every later query would hang.
        await self._lock.acquire()
        try:
            await self.ensure_connection()
        except BaseException:
            self._lock.release()
            raise
        return self.connection

    async def __aexit__(self, _type: Any, error: BaseException | None, _traceback: Any) -> None:
        self._lock.release()
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.IntegrityError):
            raise self.client.storage.translate(error) from error


class _Reading(_Translating):
    """Holds the connection for one reading statement. Of each caller's statements, one waits for it or runs.

    So nobody waits behind all that another caller asks for at once. The statement of a task that is cancelled is ended
    first: until then it keeps the connection, and what the task holds.
    """

    __slots__ = ("_share",)
    client: "_Reader"

    async def __aenter__(self) -> Any:
        self._share = self.client.shares.of_this_caller(1)
        if self._share is not None:
            await self._share.acquire()
        try:
            return await super().__aenter__()
        except BaseException:
            self._give_back()
            raise

    async def __aexit__(self, _type: Any, error: BaseException | None, _traceback: Any) -> None:
        try:
            if isinstance(error, asyncio.CancelledError):
                await _end_statement(self.connection)
            await super().__aexit__(_type, error, _traceback)
        finally:
            self._give_back()

    def _give_back(self) -> None:
        if self._share is not None:
            self._share.release()


async def _end_statement(connection: Any) -> None:
    """Call off the statement that the connection's thread runs, or is about to run. Wait until the thread is free."""
    free = asyncio.ensure_future(connection.rollback())  # nothing is rolled back: this comes after the statement
    while not free.done():
        await connection.interrupt()
        with suppress(asyncio.CancelledError):  # once more
            await asyncio.wait((free,), timeout=INTERRUPT_SECONDS)
    with suppress(sqlite3.Error):
        free.result()


class Storage:
    """The database's file, as one process has it open. `failure` is what was last wrong with it, if that still is."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._opened: tuple[int, int] | None = None
        self.failure: StorageFailure | None = None

    def require_file(self) -> None:
        """Raise StorageFailure if the file is not the one that was opened first. Make one if none was opened yet.

        SQLite would make a file that everybody can read, and go on writing into one that was removed.
        """
        if self._path == ":memory:":
            return
        try:
            if self._opened is None:
                private.make_file(Path(self._path))
            found = os.stat(self._path)
        except OSError as error:
            gone = isinstance(error, FileNotFoundError)
            problem = _GONE if gone else _FAILURES[sqlite3.SQLITE_CANTOPEN][0]
            raise self._fail(StorageFailure(problem, f"{self._path}: {problem} ({error.strerror}).")) from error
        identity = (found.st_dev, found.st_ino)
        self._opened = self._opened or identity
        if identity != self._opened:
            message = f"{self._path}: {_GONE}, there is another one in its place. Restart to use that."
            raise self._fail(StorageFailure(_GONE, message))

    def require_room(self) -> None:
        """Raise the failure again if it was a full disk that still is nearly full."""
        if self.failure is None or self.failure.problem != _FULL:
            return
        disk = os.statvfs(Path(self._path).parent)
        if disk.f_bavail * disk.f_frsize < _ROOM:
            raise self.failure.with_traceback(None)  # each time it is raised would make its traceback longer

    def translate(self, error: sqlite3.DatabaseError) -> Exception:
        meaning = translate(error, self._path)
        return self._fail(meaning) if isinstance(meaning, StorageFailure) else meaning

    def _fail(self, failure: StorageFailure) -> StorageFailure:
        if self.failure is None or not self.failure.is_lasting:
            self.failure = failure
        return failure


class _Client(SqliteClient):
    """One connection, whose errors are translated."""

    def __init__(self, file_path: str, storage: Storage, **options: Any) -> None:
        super().__init__(file_path, **options)
        self.storage = storage

    async def create_connection(self, with_db: bool) -> None:
        self.storage.require_file()
        try:
            await super().create_connection(with_db)
        except BaseException as error:
            await self._drop()  # it may lack some of its settings
            if isinstance(error, sqlite3.DatabaseError):
                raise self.storage.translate(error) from error
            raise

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                await connection.close()

    def acquire_connection(self) -> ConnectionWrapper[Any]:
        return _Translating(self._lock, self)


class _Reader(_Client):
    """A connection that only reads, for all callers in turn."""

    def __init__(self, file_path: str, storage: Storage, **options: Any) -> None:
        super().__init__(file_path, storage, **options, query_only="ON")
        self.shares = Shares()

    def acquire_connection(self) -> _Reading:
        return _Reading(self._lock, self)


class _ImmediateTransaction(SqliteTransactionWrapper):
    def __init__(self, connection: "ImmediateSqliteClient") -> None:
        super().__init__(connection)
        self.storage = connection.storage

    def acquire_connection(self) -> ConnectionWrapper[Any]:
        return _Translating(self._lock, self)

    async def begin(self) -> None:
        self.storage.require_file()
        try:
            await self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.DatabaseError as error:
            raise self.storage.translate(error) from error
        except asyncio.CancelledError:
            # The connection's thread carries out what it was handed, and so this too, even if nobody waits for it.
            await self._connection.rollback()
            raise

    async def commit(self) -> None:
        try:
            await super().commit()
        except BaseException as error:
            await self._connection.rollback()  # a transaction left open would take in all that comes after it
            if isinstance(error, sqlite3.DatabaseError):
                raise self.storage.translate(error) from error
            raise


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


class ImmediateSqliteClient(_Client):
    """Reads outside a transaction on a connection of its own. They see what is committed, and wait for no writer.

    On a single connection, each of them would wait for every transaction that is in the queue before it.
    """

    def __init__(self, file_path: str, **options: Any) -> None:
        storage = Storage(file_path)
        super().__init__(file_path, storage, **options)
        self._reader = None if file_path == ":memory:" else _Reader(file_path, storage, **options)

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

    async def check(self) -> None:
        """Raise what a query would. Write only if a statement has failed for the storage's sake before."""
        self.storage.require_file()
        await self.execute_query("SELECT 1 FROM sqlite_master LIMIT 1")
        failure = self.storage.failure
        if failure is None:
            return
        if failure.is_lasting:
            raise failure.with_traceback(None)
        self.storage.require_room()
        async with self._in_transaction() as transaction:
            [row] = (await transaction.execute_query("PRAGMA user_version"))[1]
            await transaction.execute_query(f"PRAGMA user_version = {row['user_version']}")  # writes a page
        self.storage.failure = None

    def _in_transaction(self) -> TransactionContext:
        return _ImmediateContext(_ImmediateTransaction(self), self._lock)


client_class = ImmediateSqliteClient
