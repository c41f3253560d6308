"""The PostgreSQL, Valkey and Stripe that a run of the tests needs: started when first asked for, ended with the run.

They belong to the process that was started, whose workers (pytest-xdist's) ask it for them over a connection.
"""

import asyncio
import os
import socket
import uuid
from contextlib import AsyncExitStack
from threading import Thread
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from models.engine.database import migrate
from tests.local_stripe import local_stripe
from tests.services import postgres_server, valkey_server

Kind = Literal["postgres", "redis", "stripe"]

# Where these are set, the tests use the servers that they name and start none. The PostgreSQL user must be allowed to
# create databases; what is in other databases is left alone.
VARIABLES: dict[Kind, str] = {"postgres": "TEST_POSTGRES_URL", "redis": "TEST_REDIS_URL", "stripe": "TEST_STRIPE_URL"}


class SharedServers:
    """Starts each server when it is first asked for, and ends them all when `close` is called."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._closing = asyncio.Event()
        self._locks = {kind: asyncio.Lock() for kind in VARIABLES}
        self._urls: dict[str, str] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._run, name="servers of the tests")
        self._thread.start()

    @property
    def port(self) -> int:
        """Where `url_of` asks."""
        port: int = self._listening.getsockname()[1]
        return port

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        listening = await asyncio.start_server(self._answer, sock=self._listening)
        async with AsyncExitStack() as self._started, listening:
            await self._closing.wait()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kind: Any = (await reader.readline()).decode().strip()
        try:
            async with self._locks[kind]:
                if kind not in self._urls:
                    self._urls[kind] = await self._start(kind)
            answer = self._urls[kind]
        except RuntimeError as error:
            answer = str(error)
        writer.write(answer.encode())
        writer.close()

    async def _start(self, kind: Kind) -> str:
        if kind == "postgres":
            return (await self._started.enter_async_context(postgres_server())).url()
        if kind == "stripe":
            return await self._started.enter_async_context(local_stripe())
        return (await self._started.enter_async_context(valkey_server())).url


def url_of(kind: Kind, port: int) -> str:
    """The server's URL; raises `RuntimeError` where it cannot be started."""
    if given := os.environ.get(VARIABLES[kind]):
        return given
    with socket.create_connection(("127.0.0.1", port)) as connection, connection.makefile("rwb") as file:
        file.write(f"{kind}\n".encode())
        file.flush()
        answer = file.read().decode()
    if "://" not in answer.partition("\n")[0]:
        raise RuntimeError(answer)
    return answer


class Databases:
    """Makes databases on one PostgreSQL, and drops them all in the end, over one connection that stays open.

    Their URLs ask for a pool that is small enough for many tests at once.
    """

    def __init__(self, server_url: str) -> None:
        self._server_url = server_url
        self._prefix = f"test_{uuid.uuid4().hex[:12]}"
        self._made: list[str] = []
        self._restored: dict[str, _Restored] = {}
        self._free: list[str] = []
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)  # for fixtures that have no loop
        self._connection: Any = self._runner.run(asyncpg.connect(server_url))

    def create(self) -> str:
        """The URL of a new database that is migrated and empty."""
        url = self.create_bare()
        self._runner.run(migrate(url))
        return url

    def create_copy(self, url: str) -> str:
        """The URL of a new copy of this database, to which nobody is connected."""
        return self._create(f' TEMPLATE "{_name(url)}" STRATEGY FILE_COPY')

    def take_empty(self, empty: str) -> str:
        """The URL of a copy of this database, which is always the same one. It may have been another test's before."""
        if self._free:
            return self._free.pop()
        url = self.create_copy(empty)
        self._restored[url] = self._runner.run(_Restored.open(url))
        return url

    def give_back(self, url: str) -> None:
        """The test that has taken the database has ended."""
        if self._runner.run(self._restored[url].restore()):
            self._free.append(url)
        else:
            self._runner.run(self._restored.pop(url).close())
            self.drop(url)

    def create_bare(self) -> str:
        """The URL of a new database without a table."""
        return self._create("")

    def drop(self, url: str) -> None:
        """The database is gone, whoever was connected to it."""
        self._execute(f'DROP DATABASE "{_name(url)}" WITH (FORCE)')
        self._made.remove(url)

    def close(self) -> None:
        for restored in self._restored.values():
            self._runner.run(restored.close())
        for url in list(self._made):
            self.drop(url)
        self._runner.run(self._connection.close())
        self._runner.close()

    def _create(self, source: str) -> str:
        name = f"{self._prefix}_{uuid.uuid4().hex[:8]}"
        self._execute(f'CREATE DATABASE "{name}"{source}')
        self._made.append(self._url(name))
        return self._made[-1]

    def _execute(self, sql: str) -> None:
        self._runner.run(self._connection.execute(sql))

    def _url(self, name: str) -> str:
        parts = urlsplit(self._server_url)
        query = f"{parts.query}&maxsize=5".removeprefix("&")
        return urlunsplit(parts._replace(path=f"/{name}", query=query))


class _Restored:
    """A database that many tests have in turn, each of them with the rows and numbers that were in it when it was new.

    Deleting some rows takes a thirtieth of the time that copying a database does.
    """

    def __init__(self, connection: Any, shape: Any, script: str) -> None:
        self._connection = connection
        self._shape = shape
        self._script = script

    @classmethod
    async def open(cls, url: str) -> "_Restored":
        connection = await asyncpg.connect(url.partition("?")[0])
        return cls(connection, await connection.fetchval(_SHAPE), await _restoring(connection))

    async def restore(self) -> bool:
        """False where that cannot be done: a test has changed the tables, filled them with much, or let nobody in."""
        try:
            await self._connection.execute(_ALONE)
            if (
                await self._connection.fetchval(_SHAPE) != self._shape
                or await self._connection.fetchval(_SIZE) > _LARGE
            ):
                return False
            await self._connection.execute(self._script)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            return False
        return True

    async def close(self) -> None:
        self._connection.terminate()


_ALONE = (  # waits for each of them to have gone
    "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
)
_PUBLIC = "FROM pg_class WHERE relnamespace = 'public'::regnamespace"
_SHAPE = f"SELECT array_agg(oid || ' ' || xmin ORDER BY oid) {_PUBLIC}"  # whatever changes a table writes its row anew
_SIZE = f"SELECT sum(pg_relation_size(oid))::bigint {_PUBLIC}"
_LARGE = 4_000_000  # bytes: an empty database has a seventh of it


async def _restoring(connection: Any) -> str:
    """SQL that gives the database the rows and numbers that it has now."""
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    script = ["SET session_replication_role = replica"]  # nobody asks whether a row that goes is needed
    for (table,) in tables:
        script.append(f"DELETE FROM {table}")
        if rows := await connection.fetchval(f"SELECT json_agg(t) FROM {table} t"):
            quoted = rows.replace("'", "''")
            script.append(f"INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, '{quoted}')")
    for name, start, last in await connection.fetch("SELECT sequencename, start_value, last_value FROM pg_sequences"):
        script.append(f"SELECT setval('{name}', {last or start}, {last is not None})")
    return "; ".join(script)


def _name(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")
