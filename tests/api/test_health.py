"""/healthz and /readyz, with everything well and with each part dead."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, nullcontext
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn

from api.app import create_app
from api.commands.serve import server_options
from api.commands.temporary_server import free_port
from api.service import Service
from api.settings import Settings
from domain.actors import Scope, system
from domain.tokens import create_token
from models import Order, OrderEvent
from tests.clients import WAIT, Server, an_order, new_client, until
from tests.database import sqlite_path

LONGEST_ANSWER = 4  # seconds that /readyz may take whatever is dead


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[tuple[httpx.AsyncClient, Service]]:
    """A server with these settings, whether its database can be reached or not: a client of it, and its service."""
    app = create_app(settings)
    running = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", **server_options(settings)))
    running.capture_signals = nullcontext  # type: ignore[method-assign, assignment]
    task = asyncio.create_task(running.serve())
    await until(lambda: running.started or task.done())
    assert running.started
    port = running.servers[0].sockets[0].getsockname()[1]
    try:
        async with new_client(base_url=f"http://127.0.0.1:{port}") as client:
            yield client, app.state.service
    finally:
        running.should_exit = True
        await task


@contextmanager
def another_writer(database_url: str) -> Iterator[None]:
    """Another process, as it were, that is in the middle of writing to this SQLite database."""
    with closing(sqlite3.connect(sqlite_path(database_url))) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.rollback()


class Line:
    """A way to a server that can fall silent: what is sent on it then arrives later, if ever."""

    def __init__(self, url: str) -> None:
        target = urlsplit(url)
        self._target = (target.hostname or "", target.port or 5432)
        self._open = asyncio.Event()
        self._open.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends: list[asyncio.StreamWriter] = []

    def fall_silent(self) -> None:
        self._open.clear()

    def speak_again(self) -> None:
        self._open.set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """The port that leads to the server."""
        listening = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        try:
            yield listening.sockets[0].getsockname()[1]
        finally:
            listening.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for end in self._ends:
                end.transport.abort()
            await asyncio.gather(*(end.wait_closed() for end in self._ends), return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ends.append(writer)
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        self._ends.append(far_writer)
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(self._pump(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                await self._open.wait()
                sink.write(data)
        finally:
            sink.close()


async def ready(client: httpx.AsyncClient) -> tuple[int, dict[str, Any]]:
    """Status and body of /readyz, which must come in time."""
    begun = time.monotonic()
    response = await client.get("/readyz")
    assert time.monotonic() - begun < LONGEST_ANSWER
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["content-type"] == "application/json"
    body: dict[str, Any] = response.json()
    return response.status_code, body


async def ready_once(client: httpx.AsyncClient, status: int, **parts: str) -> dict[str, Any]:
    """The body of the first answer with this status, in which these parts have these statuses."""
    async with asyncio.timeout(2 * WAIT):
        while True:
            code, body = await ready(client)
            if code == status and parts.items() <= {name: body[name]["status"] for name in parts}.items():
                return body
            await asyncio.sleep(0.05)


@pytest.mark.wire
async def test_a_living_process_says_so(server: Server) -> None:
    response = await server.http.get(f"http://127.0.0.1:{server.port}/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert response.headers["cache-control"] == "no-store"


async def test_a_server_with_all_it_needs_is_ready(server: Server) -> None:
    await until(lambda: server.service.feed.bell.state.connected)
    response = await server.http.get(f"http://127.0.0.1:{server.port}/readyz")
    body = response.json()
    assert response.status_code == 200
    assert set(body) == {"status", "database", "feed", "bell", "effects"}
    assert body["status"] == "ready"
    assert body["database"] == {"status": "ok"}
    assert body["feed"]["status"] == "ok"
    assert set(body["feed"]) == {"status", "secondsSinceRead", "lagSeconds"}
    assert body["bell"] == {"status": "connected", "since": server.service.feed.bell.state.since.isoformat()}
    assert body["effects"] == {"status": "off"}


@pytest.mark.wire
async def test_a_server_that_is_to_end_is_not_ready(server: Server) -> None:
    base = f"http://127.0.0.1:{server.port}"
    assert (await server.http.get(f"{base}/readyz")).status_code == 200
    server.service.stopping.set()
    response = await server.http.get(f"{base}/readyz")
    assert (response.status_code, response.json()) == (503, {"status": "stopping"})
    assert (await server.http.get(f"{base}/healthz")).status_code == 200


@pytest.mark.slow
async def test_a_server_without_its_database_starts_and_says_so() -> None:
    settings = Settings(
        database_url=f"postgres://somebody:secret@127.0.0.1:{free_port()}/orders", broadcast_url="memory://"
    )
    async with serving(settings) as (client, _):
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        status, body = await ready(client)
        assert status == 503
        assert body["status"] == "not ready"
        assert body["database"] == {"status": "unreachable", "problem": "ConnectionRefusedError"}
        assert body["feed"] == {"status": "not started", "lagSeconds": 0.0}
        assert body["bell"]["status"] == "connected"
        assert "127.0.0.1" not in str(body)
        assert "secret" not in str(body)

        given = {"query": "{ viewer { name } }"}
        response = await client.post("/graphql", json=given, headers={"Authorization": "Bearer ost_somebodys"})
        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"
        assert [error["extensions"] for error in response.json()["errors"]] == [{"code": "UNAVAILABLE"}]


@pytest.mark.sqlite
async def test_a_change_that_could_not_be_written_may_be_sent_again(database_url: str) -> None:
    settings = Settings(database_url=f"{database_url}&busy_timeout=50")
    async with serving(settings) as (client, _):
        _, token = await create_token(actor=system("tests"), name="everything", scopes=list(Scope))
        client.headers["Authorization"] = f"Bearer {token}"
        query = "mutation ($input: PlaceOrderInput!) { placeOrder(input: $input) { order { number } } }"
        placing = {"query": query, "variables": {"input": an_order()}}
        with another_writer(database_url):
            response = await client.post("/graphql", json=placing)
        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"
        assert response.json()["data"] is None
        assert [error["extensions"] for error in response.json()["errors"]] == [{"code": "UNAVAILABLE"}]
        assert await Order.all().count() == 0
        assert await OrderEvent.all().count() == 0
        response = await client.post("/graphql", json=placing)
        assert response.status_code == 200
        assert "retry-after" not in response.headers


@pytest.mark.wire
async def test_a_server_whose_bell_is_broken_is_ready_all_the_same(database_url: str) -> None:
    settings = Settings(database_url=database_url, broadcast_url=f"redis://:secret@127.0.0.1:{free_port()}")
    async with serving(settings) as (client, service):
        await until(lambda: service.feed.bell.state.problem is not None)
        status, body = await ready(client)
        assert (status, body["status"]) == (200, "ready")
        assert body["bell"] == {
            "status": "reconnecting",
            "since": service.feed.bell.state.since.isoformat(),
            "problem": "the broker cannot be reached",
        }


@pytest.mark.slow
@pytest.mark.postgres
async def test_a_database_that_falls_silent_is_noticed_and_waited_for(database_url: str) -> None:
    line = Line(database_url)
    async with line.listening() as port:
        there = urlsplit(database_url)
        address = there.netloc.rpartition("@")
        url = there._replace(netloc=f"{address[0]}{address[1]}127.0.0.1:{port}").geturl()
        settings = Settings(database_url=url, broadcast_url="memory://", poll_seconds=0.2)
        async with serving(settings) as (client, service):
            await ready_once(client, 200)

            line.fall_silent()
            body = await ready_once(client, 503, database="unreachable")
            assert body["database"] == {"status": "unreachable", "problem": "no answer within 2 seconds"}
            body = await ready_once(client, 503, feed="stalled")
            assert body["feed"]["lagSeconds"] > 2

            line.speak_again()
            body = await ready_once(client, 200)
            assert body["database"] == {"status": "ok"}
            assert body["feed"]["status"] == "ok"
            assert service.subscriptions.count == 0
