"""Opens the database that a URL names, and migrates it."""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

import asyncpg
from tortoise import Tortoise
from tortoise.backends.base.config_generator import expand_db_url
from tortoise.backends.base.executor import EXECUTOR_CACHE
from tortoise.connection import get_connection
from tortoise.context import TortoiseContext
from tortoise.exceptions import OperationalError
from tortoise.migrations.api import migrate as run_migrations

from models.engine import private
from models.engine.errors import StorageFailure
from models.engine.file_urls import path_from
from models.engine.postgres import Translating
from models.engine.versions import Versions, compare

_MIGRATING: Final = 0x6D69_6772_6174_6500  # the key of an advisory lock


def config(url: str) -> dict[str, Any]:
    """Return Tortoise's configuration for `sqlite://PATH` or `postgres://USER:PASSWORD@HOST/NAME`.

    Raise `ValueError` for any other kind of URL.
    """
    scheme = _scheme(url)
    if scheme == "sqlite":
        connection: Any = _sqlite(url)
    elif is_postgres(url):
        connection = _postgres(url)
    else:
        raise ValueError(f"a database URL starts with sqlite:// or postgres://, not with {scheme!r}")
    return {
        "connections": {"default": connection},
        "apps": {"models": {"models": ["models"], "migrations": "models.migrations"}},
        "use_tz": True,
        "timezone": "UTC",
    }


def is_postgres(url: str) -> bool:
    return _scheme(url) in ("postgres", "postgresql")


def _scheme(url: str) -> str:
    return url.partition(":")[0].lower() if ":" in url else ""


# What may stand after the question mark, besides what the rest of the URL says; `sslmode` is libpq's word for `ssl`.
_POSTGRES_OPTIONS: Final = {"host", "port", "user", "password", "database"} | {
    *("ssl", "minsize", "maxsize", "timeout", "command_timeout", "application_name", "schema"),
    *("statement_cache_size", "max_inactive_connection_lifetime"),
}


def _postgres(url: str) -> dict[str, Any]:
    given = expand_db_url(url)["credentials"]
    if "sslmode" in given:
        given["ssl"] = given.pop("sslmode")
    if unknown := given.keys() - _POSTGRES_OPTIONS:
        raise ValueError(f"a PostgreSQL URL has no option {', '.join(sorted(unknown))}")
    credentials = {
        "maxsize": 10,  # connections of one process
        "timeout": 5,  # seconds for a connection to be made
        "command_timeout": 12,  # seconds after which even a server that is silently dead has failed
        "server_settings": {
            "statement_timeout": "10s",
            "lock_timeout": "5s",  # for which a command waits for another on the same order
            "idle_in_transaction_session_timeout": "15s",  # a transaction left open would hold up the feed
            "timezone": "UTC",
        },
        "application_name": "orderstream",
        **given,
    }
    return {"engine": "models.engine.postgres", "credentials": credentials}


async def connect(url: str) -> asyncpg.Connection:
    """Open a connection to PostgreSQL outside the pool, for what lasts as long as its session. The caller closes it.

    Raise `DatabaseUnavailable`.
    """
    with Translating():
        arguments = _postgres(url)["credentials"]
        names = ("host", "port", "user", "password", "database", "ssl", "timeout")
        return await asyncpg.connect(
            **{name: arguments[name] for name in names if name in arguments},
            server_settings={"application_name": arguments["application_name"]},
        )


def _sqlite(url: str) -> dict[str, Any]:
    path, _, query = url.removeprefix("sqlite://").partition("?")
    if not path or not url.startswith("sqlite://"):
        raise ValueError("a SQLite URL names a file: sqlite://PATH")
    options = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := options.keys() - _sqlite_options():
        raise ValueError(f"SQLite has no option {', '.join(sorted(unknown))}")
    credentials = {
        "file_path": path_from(path),
        "busy_timeout": 5000,  # milliseconds for which a writer waits for another process
        "synchronous": "NORMAL",  # with a write-ahead log, only the last commits before a power cut are at risk
        **options,
    }
    return {"engine": "models.engine.sqlite", "credentials": credentials}


@cache
def _sqlite_options() -> frozenset[str]:
    with closing(sqlite3.connect(":memory:")) as connection:
        return frozenset(name for (name,) in connection.execute("PRAGMA pragma_list"))


async def migrate(url: str) -> list[str]:
    """Apply the migrations that the database lacks, and return their names. Create the SQLite file if there is none.

    Wait while another process migrates. Raise `WrongVersion` if a newer version has migrated the database, and
    `DatabaseUnavailable`, as `StorageFailure` if waiting does not help.
    """
    async with _alone(url):
        configuration = _without_time_limits(config(url))
        try:
            await Tortoise.init(config=configuration, init_connections=False)
            there = await compare()
            there.require_nothing_newer()
            if there.pending:
                await Tortoise.close_connections()
                await run_migrations(config=configuration)
            return there.pending
        except OperationalError as error:
            if isinstance(error.__cause__, asyncpg.InsufficientPrivilegeError):
                message = (
                    f"The database's user may not change its tables ({error}): their owner has to run scripts/migrate."
                )
                raise StorageFailure("no right to change tables", message) from error
            raise
        finally:
            await Tortoise.close_connections()
            _models.forget()


async def compare_with(url: str) -> Versions | None:
    """Return how the database's migrations differ from this version's; None if there is no database yet.

    Raise `DatabaseUnavailable`.
    """
    if not is_postgres(url) and not sqlite_file(url).exists():
        return None
    async with connected(url):
        return await compare()


def sqlite_file(url: str) -> Path:
    """Return the file that a `sqlite://` URL names."""
    return Path(config(url)["connections"]["default"]["credentials"]["file_path"])


@asynccontextmanager
async def _alone(url: str) -> AsyncIterator[None]:
    if is_postgres(url):
        connection = await connect(url)
        try:
            with Translating():
                await connection.execute("SELECT pg_advisory_lock($1)", _MIGRATING)  # held until the connection ends
            yield
        finally:
            await connection.close(timeout=5)
    else:
        file = sqlite_file(url)
        try:
            lock = _lock_folder(file)
        except OSError as error:
            problem = error.strerror or type(error).__name__
            message = f"{file}: {problem}. DATABASE_URL names a file that this user can write, in a folder likewise."
            raise StorageFailure("the database file cannot be opened", message) from error
        try:
            await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def _lock_folder(file: Path) -> int:
    """Return the file descriptor of the file's folder, which is to be locked. Make both if they are not there."""
    private.make_folder(file.parent)
    private.make_file(file)
    for name in (file.name, *(f"{file.name}-{end}" for end in ("wal", "shm", "journal"))):
        private.restrict(file.with_name(name))
    return os.open(file.parent, os.O_RDONLY)


def _without_time_limits(configuration: dict[str, Any]) -> dict[str, Any]:
    """Remove the time limits: a migration takes as long as it takes."""
    credentials = configuration["connections"]["default"]["credentials"]
    credentials.pop("command_timeout", None)
    credentials.pop("server_settings", None)
    return configuration


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[None]:
    """Open the database for every task of the process while the block runs."""
    context = await Tortoise.init(config=config(url), init_connections=False, _enable_global_fallback=True)
    try:
        _models.prepare(context)
        yield
    finally:
        await Tortoise.close_connections()


class _Models:
    """The models, which hold the beginnings of their queries in the SQL of one engine.

    Left to itself, Tortoise prepares them whenever a database is opened, which takes as long as a dozen queries. It
    keeps other statements for ever, in the SQL of the first engine that the process used. Here, both are made anew only
    if the engine is not the one of before.
    """

    def __init__(self) -> None:
        self._dialect: str | None = None

    def prepare(self, context: TortoiseContext) -> None:
        """Prepare the models for the engine of this context's database."""
        dialect = get_connection("default").capabilities.dialect
        if dialect == self._dialect:
            return
        assert context.apps is not None
        EXECUTOR_CACHE.clear()
        context.apps._build_initial_querysets()
        self._dialect = dialect

    def forget(self) -> None:
        """Prepare the models the next time, whatever the engine. Something else has used them meanwhile."""
        self._dialect = None


_models = _Models()


async def ping() -> None:
    """Raise what a query or a write would raise now: `DatabaseUnavailable` as a rule.

    Nothing is written as long as the changes of this process succeed.
    """
    connection: Any = get_connection("default")
    await connection.check()


@dataclass(frozen=True, slots=True)
class PoolUse:
    """The pool of connections to PostgreSQL: how many are in use, open and allowed, and how many tasks wait."""

    in_use: int
    open: int
    limit: int
    waiting: int


def pool_use() -> PoolUse | None:
    """Return how the pool is used now, or None if there is none: on SQLite, and before the first query."""
    pool = getattr(get_connection("default"), "_pool", None)
    if pool is None:
        return None
    size = pool.get_size()
    waiting = sum(not waiter.done() for waiter in pool._queue._getters)
    return PoolUse(in_use=size - pool.get_idle_size(), open=size, limit=pool.get_max_size(), waiting=waiting)


# What Tortoise's own command line reads (`python -m tortoise makemigrations`): it needs the tables, no data.
TORTOISE_ORM = config("sqlite://:memory:")
