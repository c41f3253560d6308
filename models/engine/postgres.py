"""The PostgreSQL engine for Tortoise: every wait ends, and a cancelled task loses no connection.

Tortoise's own engine waits for ever for a free connection, leaks the connection of a task that is cancelled while its
transaction begins, and raises asyncpg's errors, which no code above should know.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import asyncpg
from tortoise.backends.asyncpg.client import AsyncpgDBClient, TransactionWrapper
from tortoise.backends.base.client import (
    PoolConnectionWrapper,
    TransactionalDBClient,
    TransactionContext,
    TransactionContextPooled,
)
from tortoise.connection import get_connections
from tortoise.exceptions import OperationalError

from models.engine.errors import DatabaseUnavailable, StorageFailure, TransactionConflict
from models.engine.shares import Shares

log = logging.getLogger(__name__)

ACQUIRE_SECONDS: Final = 5.0  # for a connection to be free, or to be made

_CONFLICTS: Final = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
_OUTAGES: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shut down, starting up, or the statement took too long
    asyncpg.InsufficientResourcesError,
    asyncpg.LockNotAvailableError,  # somebody else holds the order for longer than lock_timeout
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InvalidAuthorizationSpecificationError,  # the password is being changed
    asyncpg.InvalidCatalogNameError,  # the database is not there yet, or is being restored
    asyncpg.InternalClientError,  # the server's last words reached a connection just as it was to be used
    OSError,  # among these: no answer in time
)

# What is wrong if PostgreSQL raises one of these, and what to do about it.
_READ_ONLY: Final = ("the database is read-only", "Make it writable, or name the primary server in DATABASE_URL.")
_DAMAGED: Final = ("the database is damaged", "Look into PostgreSQL's log, and restore a backup.")
_FAILURES: Final[dict[type[Exception], tuple[str, str]]] = {
    asyncpg.DiskFullError: ("the disk is full", "Make room on PostgreSQL's disk."),
    asyncpg.ReadOnlySQLTransactionError: _READ_ONLY,  # a standby, or a server whose disk is nearly full
    asyncpg.PostgresSystemError: ("the disk cannot be read or written", "Look at PostgreSQL's disk and log."),
    asyncpg.DataCorruptedError: _DAMAGED,
    asyncpg.IndexCorruptedError: _DAMAGED,
}
_BROKEN: Final = tuple(_FAILURES)

# Takes 256 KiB of the disk for the length of a transaction.
_TRY_TO_WRITE: Final = (
    "CREATE TEMP TABLE orderstream_room ON COMMIT DROP AS SELECT md5(n::text) FROM generate_series(1, 4096) n"
)


class Translating:
    """Turns asyncpg's errors that are not mistakes of the program into those of `models.engine.errors`.

    It is a class because each transaction has three such blocks: docs/decisions/0012-hot-paths.md.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: Any, error: BaseException | None, _traceback: Any) -> None:
        if isinstance(error, _CONFLICTS):
            raise TransactionConflict(str(error)) from error
        if isinstance(error, _BROKEN):
            problem, remedy = next(_FAILURES[kind] for kind in _BROKEN if isinstance(error, kind))
            raise StorageFailure(problem, f"{problem} ({error}). {remedy}") from error
        if isinstance(error, _OUTAGES):
            raise DatabaseUnavailable(f"{type(error).__name__}: {error}") from error
        if isinstance(error, asyncpg.InterfaceError) and "clos" in str(error):
            # The connection, or the pool, is closed or closing: that has no class of its own.
            raise DatabaseUnavailable(str(error)) from error


def _translating(function: Callable[..., Any]) -> Callable[..., Any]:
    async def run(client: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            with Translating():
                return await function(client, *args, **kwargs)
        except StorageFailure as failure:
            getattr(client, "_parent", client).failure = failure
            raise

    return run


class _Pooled(PoolConnectionWrapper[Any]):
    __slots__ = ("_share",)

    async def __aenter__(self) -> Any:
        await self.ensure_connection()
        self.connection, self._share = await _take(self.client)
        return self.connection

    async def __aexit__(self, exc_type: Any, *_: Any) -> None:
        await _give_back(self.client._pool, self.connection, self._share, exc_type)


async def _take(client: Any) -> tuple[Any, asyncio.Semaphore | None]:
    """Return a connection of the pool, and the caller's share that it is counted in.

    A free connection is there at once (and has a time limit of its own if it must be made anew). Only waiting needs a
    clock. The pool's own would take a task for each. To wait for one's own share is no outage: it ends when the
    caller's other statements do.
    """
    pool = client._pool
    share = client.shares.of_this_caller(pool.get_max_size())
    if share is not None:
        await share.acquire()
    try:
        if not pool._queue.empty():
            return await pool.acquire(), share
        async with asyncio.timeout(ACQUIRE_SECONDS):
            return await pool.acquire(), share
    except BaseException:
        if share is not None:
            share.release()
        raise


async def _give_back(pool: Any, connection: Any, share: asyncio.Semaphore | None, failure: Any = None) -> None:
    """Give the connection back to the pool. What was done on it stays done, also if it breaks now.

    After a failure, a statement that still runs may have to be cancelled first. Otherwise there is nothing to wait for,
    and the connection's holder is called directly: the pool would make a task (docs/decisions/0012-hot-paths.md). If it
    has to wait after all and the task is cancelled meanwhile, the pool loses this connection and makes a new one.
    """
    try:
        if failure is None and connection._con is not None:  # one that was lost has left its holder to others
            await connection._holder.release(None)
        else:
            await pool.release(connection, timeout=ACQUIRE_SECONDS)
    except Exception as error:
        log.debug("a connection broke while it was given back: %r", error)
    finally:
        if share is not None:
            share.release()


async def _fetch(
    client: Any, query: str, values: Sequence[Any], kind: type[asyncpg.Record] = asyncpg.Record
) -> list[asyncpg.Record]:
    """Return the rows of a statement as records of that class. Raise what Tortoise's `execute_query` raises.

    Tortoise's own method goes through five wrappers that only an error needs.
    """
    try:
        async with client.acquire_connection() as connection:
            client.log.debug("%s: %s", query, values)
            return await connection.fetch(query, *values, record_class=kind)  # type: ignore[no-any-return]
    except Exception as error:
        return await client._translate_exceptions(_raise, error)  # type: ignore[no-any-return]


async def _raise(_client: Any, error: Exception) -> None:
    raise error


class _Transaction(TransactionWrapper):
    fetch = _fetch
    commit = _translating(TransactionWrapper.commit)

    async def begin(self) -> None:
        self.transaction = self._connection.transaction()
        with Translating():
            await self.transaction.start()

    async def _translate_exceptions(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await super()._translate_exceptions(_translating(func), *args, **kwargs)


class _TransactionContext(TransactionContextPooled):
    async def __aenter__(self) -> TransactionalDBClient:
        with Translating():
            await self.ensure_connection()
            self._pool = self.client._parent._pool
            self._connection, self._share = await _take(self.client._parent)
        try:
            self.client._connection = self._connection
            await self.client.begin()
        except BaseException as error:
            await _give_back(self._pool, self._connection, self._share, error)
            raise
        self.token = get_connections().set(self.connection_name, self.client)
        return self.client

    async def __aexit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> None:
        try:
            if exc_type is None:
                await self.client.commit()
            else:
                try:
                    await self.client.rollback()
                except Exception as error:  # what went wrong first is what counts; the pool drops the connection
                    log.debug("a transaction could not be rolled back: %r", error)
        finally:
            get_connections().reset(self.token)
            await _give_back(self._pool, self._connection, self._share, exc_type)


class PostgresClient(AsyncpgDBClient):
    fetch = _fetch
    failure: StorageFailure | None = None  # what was last wrong with the storage, if that still is

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.shares = Shares()

    async def create_connection(self, with_db: bool) -> None:
        with Translating():
            await super().create_connection(with_db)

    async def create_pool(self, **options: Any) -> asyncpg.Pool:
        # asyncpg resets the session whenever a connection is given back: a round trip for each read. We set nothing.
        return await super().create_pool(**options, reset=_leave_as_it_is)

    def acquire_connection(self) -> _Pooled:
        return _Pooled(self, self._pool_init_lock)

    async def _translate_exceptions(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await super()._translate_exceptions(_translating(func), *args, **kwargs)

    async def check(self) -> None:
        """Raise what a query would. Write only if a statement has failed for the storage's sake before."""
        [row] = await self.fetch("SELECT current_setting('transaction_read_only') = 'on'", ())
        if row[0]:
            raise StorageFailure(_READ_ONLY[0], ". ".join(_READ_ONLY))
        if self.failure is None:
            return
        with suppress(OperationalError):  # this user may not make temporary tables: the next change will tell
            async with self._in_transaction() as transaction:
                await transaction.execute_script(_TRY_TO_WRITE)
        self.failure = None

    def _in_transaction(self) -> TransactionContext:
        return _TransactionContext(_Transaction(self), self._pool_init_lock)


async def _leave_as_it_is(connection: asyncpg.Connection) -> None:
    pass


client_class = PostgresClient
