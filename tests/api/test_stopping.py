"""A server that is told to stop: what runs is answered, nothing else begins, and nobody can hold it."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import orjson
import pytest

from api.commands.temporary_server import server_process
from api.settings import Settings
from domain.actors import Scope, system
from domain.tokens import create_token
from models import Order, OrderEvent
from models.engine.database import connect, connected, is_postgres
from models.enums import OrderStatus
from tests.api.test_sse import COMPLETE, EVENTS, open_stream
from tests.clients import Server, follow, key_of, live, new_client, open_socket, until
from tests.database import sqlite_path
from tests.effects.test_renderer import workers

pytestmark = pytest.mark.wire

CONFIRM = "mutation ($id: ID!) { confirmOrder(input: { orderId: $id }) { order { status } } }"
CREATE_NOTE = "mutation ($id: ID!) { createDeliveryNote(input: { orderId: $id }) { userErrors { code } } }"
CONFIRMED = {"confirmOrder": {"order": {"status": "CONFIRMED"}}}
DONE = (OrderStatus.CONFIRMED, 2, 2)  # status, version and number of events of an order
NOT_DONE = (OrderStatus.PENDING, 1, 1)
RESTART = (1012, "Service Restart")
EXIT_SECONDS = 10  # in which a server ends, whatever its clients do


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings(database_url=database_url)


@asynccontextmanager
async def writes_held(url: str) -> AsyncIterator[None]:
    """No order can be changed while the block runs: a command waits."""
    if is_postgres(url):
        connection = await connect(url)
        async with connection.transaction():
            await connection.execute("LOCK TABLE orders IN EXCLUSIVE MODE")
            yield
        await connection.close()
    else:
        with contextlib.closing(sqlite3.connect(sqlite_path(url))) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.rollback()


@asynccontextmanager
async def told_to_stop(server: Server) -> AsyncIterator[None]:
    """The server is ending while the block runs, and has ended after it."""
    stopping = asyncio.create_task(server.running.shutdown())
    await until(server.service.stopping.is_set)
    yield
    async with asyncio.timeout(EXIT_SECONDS):
        await stopping


async def steps_of(database_url: str, *orders: dict[str, Any]) -> list[tuple[OrderStatus, int, int]]:
    async with connected(database_url):
        rows = [await Order.get(id=key_of(order["id"])) for order in orders]
        return [(row.status, row.version, await OrderEvent.filter(order_id=row.id).count()) for row in rows]


async def is_working(server: Server, requests: int = 1) -> None:
    await until(lambda: len(server.running.server_state.tasks) == requests)


class TestWhatRuns:
    async def test_on_a_socket_is_answered_before_it_is_closed(self, server: Server, database_url: str) -> None:
        running, refused = await server.place(), await server.place()
        async with live(server) as client, live(server) as idle, AsyncExitStack() as held:
            await follow(server, client, "live")
            await held.enter_async_context(writes_held(database_url))
            await client.subscribe(CONFIRM, {"id": running["id"]})
            await client.send({"type": "ping"})
            assert await client.receive() == {"type": "pong"}  # so what was sent before runs
            async with told_to_stop(server):
                assert await idle.closed() == RESTART
                with contextlib.suppress(OSError):
                    await client.subscribe(CONFIRM, {"id": refused["id"]}, "2")
                assert client.connection.close_code is None
                await held.aclose()
                assert await client.next() == CONFIRMED
                assert await client.receive() == {"id": "1", "type": "complete"}
                assert await client.closed() == RESTART
        assert await steps_of(database_url, running, refused) == [DONE, NOT_DONE]

    async def test_over_http_is_answered_on_a_connection_that_ends(self, server: Server, database_url: str) -> None:
        order = await server.place()
        async with AsyncExitStack() as held:
            await held.enter_async_context(writes_held(database_url))
            request = {"query": CONFIRM, "variables": {"id": order["id"]}}
            headers = {"Authorization": f"Bearer {server.token}"}
            asking = asyncio.create_task(server.http.post(server.url, json=request, headers=headers))
            await is_working(server)
            async with told_to_stop(server):
                with pytest.raises(httpx.ConnectError):  # the server does not listen any more
                    await new_client().get(server.url)
                await held.aclose()
                answer = await asking
        assert (answer.status_code, answer.json()) == (200, {"data": CONFIRMED})
        assert answer.headers["connection"] == "close"
        assert await steps_of(database_url, order) == [DONE]

    async def test_as_an_event_stream_is_answered_and_a_subscription_ends(
        self, server: Server, database_url: str
    ) -> None:
        order = await server.place()
        async with AsyncExitStack() as held, open_stream(server, EVENTS) as following:
            await until(lambda: server.service.subscriptions.count == 1)
            await held.enter_async_context(writes_held(database_url))
            async with open_stream(server, CONFIRM, {"id": order["id"]}) as stream:
                await is_working(server, 2)
                async with told_to_stop(server):
                    await following.ended()  # without complete: its client resumes elsewhere
                    await held.aclose()
                    assert await stream.event() == ("next", {"data": CONFIRMED})
                    assert await stream.event() == COMPLETE
                    await stream.ended()
        assert await steps_of(database_url, order) == [DONE]

    @pytest.mark.slow
    async def test_too_long_is_told_to_come_again(
        self, server: Server, database_url: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """No traceback is logged: not of the request, and not of what it has left behind."""
        server.running.config.timeout_graceful_shutdown = 0
        order = await server.place()
        async with writes_held(database_url):
            request = {"query": CONFIRM, "variables": {"id": order["id"]}}
            headers = {"Authorization": f"Bearer {server.token}"}
            asking = asyncio.create_task(server.http.post(server.url, json=request, headers=headers))
            await is_working(server)
            async with told_to_stop(server):
                answer = await asking
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.json()["errors"][0]["extensions"] == {"code": "UNAVAILABLE"}
        gc.collect()
        assert [record.message for record in caplog.records if record.exc_info] == []

    @pytest.mark.rendering
    async def test_a_document_that_nobody_has_begun_is_refused_at_once(
        self, server: Server, caplog: pytest.LogCaptureFixture
    ) -> None:
        order = await server.place(shippingAddress={"name": "Anna", "countryCode": "CH"})
        note = {"query": CREATE_NOTE, "variables": {"id": order["id"]}}
        headers = {"Authorization": f"Bearer {server.token}"}
        asking = asyncio.create_task(server.http.post(server.url, json=note, headers=headers))
        await until(workers)
        [starting] = workers()
        os.kill(starting, signal.SIGSTOP)
        async with told_to_stop(server):
            answer = await asking
            assert answer.json()["data"]["createDeliveryNote"]["userErrors"] == [{"code": "RENDERING_BUSY"}]
        assert workers() == []
        assert [record.message for record in caplog.records if record.levelno > logging.INFO] == []


class TestWhatComes:
    """What was accepted as the server began to end."""

    async def test_as_a_request_is_refused(self, server: Server) -> None:
        server.service.stopping.set()
        query = {"query": "mutation { placeOrder(input: {}) { order { id } } }"}
        for request in (query, {}):
            answer = await server.http.post(server.url, json=request)
            assert answer.status_code == 503
            assert (answer.headers["connection"], answer.headers["retry-after"]) == ("close", "1")
            message = "The server is restarting. Send this again."
            assert answer.json() == {"errors": [{"message": message, "extensions": {"code": "UNAVAILABLE"}}]}

    async def test_as_a_socket_is_closed(self, server: Server) -> None:
        server.service.stopping.set()
        async with open_socket(server) as client:
            await client.send({"type": "connection_init", "payload": {"Authorization": f"Bearer {server.token}"}})
            assert await client.closed() == RESTART

    async def test_as_half_a_request_is_not_waited_for(self, server: Server) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
        )
        await is_working(server)
        async with told_to_stop(server):
            assert await reader.read() == b""
        writer.close()


async def test_a_socket_that_has_not_begun_is_closed(server: Server) -> None:
    async with open_socket(server) as client:
        await until(lambda: server.running.server_state.tasks)
        async with told_to_stop(server):
            assert await client.closed() == RESTART


class Stalled:
    """Connections of clients that ask for more than fits into all buffers on the way, and read nothing."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._token = token
        self._sockets: list[socket.socket] = []

    def _connect(self) -> socket.socket:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", self._port))
        self._sockets.append(connection)
        return connection

    def post(self, query: str, accept: str) -> None:
        body = orjson.dumps({"query": query})
        head = (
            f"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAccept: {accept}\r\n"
            f"Authorization: Bearer {self._token}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._connect().sendall(head.encode() + body)

    def socket(self, *queries: str) -> None:
        connection = self._connect()
        head = (
            "GET /graphql HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
        )
        connection.sendall(head.encode())
        init = {"type": "connection_init", "payload": {"Authorization": f"Bearer {self._token}"}}
        connection.sendall(_frame(init))
        for number, query in enumerate(queries):
            connection.sendall(_frame({"id": str(number), "type": "subscribe", "payload": {"query": query}}))

    def close(self) -> None:
        for connection in self._sockets:
            connection.close()


def _frame(message: dict[str, Any]) -> bytes:
    """A text message from a client, masked with zeros."""
    data = orjson.dumps(message)
    return b"\x81" + bytes([0x80 | 126]) + len(data).to_bytes(2, "big") + bytes(4) + data


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
async def test_clients_that_do_not_read_do_not_hold_the_process(database_url: str, workers: str) -> None:
    async with connected(database_url):
        _, token = await create_token(actor=system("tests"), name="everything", scopes=list(Scope))
    much = " ".join(f"a{number}: __schema {{ types {{ name description }} }}" for number in range(50))
    async with server_process(database_url, "--workers", workers) as (url, process), new_client() as http:
        stalled = Stalled(httpx.URL(url).port or 0, token)
        for _ in range(2):  # of two workers, each has some
            stalled.post(f"{{ {much} }}", "application/json")
            stalled.post(f"{{ {much} }}", "text/event-stream")
            stalled.post("subscription { orderEvents { type } }", "text/event-stream")
            stalled.socket("subscription { orderEvents { type } }", *[f"{{ {much} }}"] * 10)
        answer = await http.post(url, json={"query": f"{{ {much} }}"}, headers={"Authorization": f"Bearer {token}"})
        assert len(answer.content) > 500_000
        begun = time.monotonic()
        process.terminate()
        await process.wait()
        assert time.monotonic() - begun < EXIT_SECONDS
        stalled.close()


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
async def test_an_idle_server_ends_at_once(database_url: str, workers: str) -> None:
    async with server_process(database_url, "--workers", workers) as (url, process), new_client() as http:
        for _ in range(5):
            answer = await http.post(url, json={"query": "{ __typename }"})  # and the connection stays open
            assert answer.json() == {"data": {"__typename": "Query"}}
        begun = time.monotonic()
        process.terminate()
        assert await process.wait() in (0, -signal.SIGTERM)
        assert time.monotonic() - begun < 3  # a fraction of a second on a machine that does nothing else


@pytest.mark.slow
async def test_a_socket_that_is_not_read_is_aborted(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its answer waits for room. Otherwise the server would wait for that answer, and then end by force."""
    monkeypatch.setattr("api.http.connections.LINGER_SECONDS", 0.2)
    monkeypatch.setattr("api.http.connections.FINISH_SECONDS", 60)
    much = " ".join(f"a{number}: __schema {{ types {{ name description }} }}" for number in range(100))
    async with live(server) as client:
        client.connection.transport.pause_reading()
        [connection] = [each for each in server.running.server_state.connections if hasattr(each, "full")]
        for number in range(20):
            await client.subscribe(f"{{ {much} }}", operation_id=str(number))
        await until(lambda: connection.full)
        async with told_to_stop(server):
            pass
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
