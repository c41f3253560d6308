"""The PostgreSQL and the Valkey that a run of the tests needs: started when first asked for, ended with the run.

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

from api.commands.services import create_database, drop_database, postgres_server, valkey_server
from models.database import migrate

Kind = Literal["postgres", "redis"]

# Where these are set, the tests use the servers that they name and start none. The PostgreSQL user must be allowed to
# create databases; what is in other databases is left alone.
VARIABLES: dict[Kind, str] = {"postgres": "TEST_POSTGRES_URL", "redis": "TEST_REDIS_URL"}


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
    """Makes migrated, empty databases on one PostgreSQL, each a copy of a template that it migrates once."""

    def __init__(self, server_url: str) -> None:
        self._server_url = server_url
        self._prefix = f"test_{uuid.uuid4().hex[:12]}"
        self._made: list[str] = []
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)  # for fixtures that have no loop
        self._template: str | None = None

    def create(self, *, migrated: bool = True) -> str:
        """The new database's URL, with a pool that is small enough for many tests at once."""
        if migrated and self._template is None:
            self._template = self._create(None)
            self._runner.run(migrate(self._url(self._template)))
        return self._url(self._create(self._template if migrated else None))

    def drop(self, url: str) -> None:
        """The database is gone, whoever was connected to it."""
        self._drop(urlsplit(url).path.removeprefix("/"))

    def close(self) -> None:
        for name in list(self._made):
            self._drop(name)
        self._runner.close()

    def _create(self, template: str | None) -> str:
        name = f"{self._prefix}_{uuid.uuid4().hex[:8]}"
        self._runner.run(create_database(self._server_url, name, template))
        self._made.append(name)
        return name

    def _drop(self, name: str) -> None:
        self._runner.run(drop_database(self._server_url, name))
        self._made.remove(name)

    def _url(self, name: str) -> str:
        parts = urlsplit(self._server_url)
        query = f"{parts.query}&maxsize=5".removeprefix("&")
        return urlunsplit(parts._replace(path=f"/{name}", query=query))
