"""Clients that send half a request, or read no answer: they hold little, not for long, and keep nobody out."""

import asyncio
import itertools
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from tempfile import TemporaryFile
from typing import Any

import orjson
import pytest

from api.commands.temporary_server import answering, free_port
from api.execution.costs import WEIGHT_OF_ONE
from api.execution.execution import DEAR
from api.http.http_connection import MOST_HEAD_BYTES, MOST_PIPELINED, HTTPConnection
from api.http.websocket_connection import MOST_FRAGMENTS
from api.http.writers import UNREAD_BYTES
from api.settings import Settings
from tests.api.test_stopping import writes_held
from tests.clients import Server, an_order, live, new_client, until

pytestmark = pytest.mark.wire

SHORT: dict[str, Any] = {"headers_seconds": 0.3, "body_seconds": 0.3, "stall_seconds": 0.3}
CHUNK_BYTES = 256 * 1024  # that the server reads at a time
GET = b"GET /graphql?query={__typename} HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
UPGRADE = (
    b"GET /graphql HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
)


@pytest.fixture
def settings(database_url: str, request: pytest.FixtureRequest) -> Settings:
    return Settings(database_url=database_url, **getattr(request, "param", {}))


def with_settings(**given: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("settings", [given], indirect=True, ids=[" ".join(given)])


Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connection(port: int, data: bytes = b"", source: str | None = None) -> AsyncIterator[Ends]:
    """A connection on which this is sent, from this address of the machine."""
    options: dict[str, Any] = {} if source is None else {"local_addr": (source, 0)}
    reader, writer = await asyncio.open_connection("127.0.0.1", port, **options)
    writer.write(data)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def status_of(answer: bytes) -> int | None:
    """The status of an answer; None for none."""
    return int(answer.split()[1]) if answer else None


async def is_answered(port: int) -> bool:
    async with new_client() as http:
        answer = await http.post(f"http://127.0.0.1:{port}/graphql", json={"query": "{ __typename }"})
        return bool(answer.json() == {"data": {"__typename": "Query"}})


class TestHalfARequest:
    @with_settings(**SHORT)
    @pytest.mark.parametrize(
        ("sent", "status"),
        [
            (b"", None),
            (b"\r\n", None),
            (b"GET /gra", 408),
            (POST, 408),
            (UPGRADE[:-2], 408),
            (POST + b"Content-Length: 40\r\n\r\n{", 408),
            (POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", 408),
            (b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n\r\n{", 404),
        ],
        ids=["nothing", "an empty line", "a line", "headers", "a handshake", "a body", "a chunk", "after its answer"],
    )
    async def test_is_waited_for_a_while(self, server: Server, sent: bytes, status: int | None) -> None:
        async with connection(server.port, sent) as (reader, _):
            assert status_of(await reader.read()) == status
        await until(lambda: not server.running.server_state.tasks)

    @with_settings(**SHORT)
    @pytest.mark.parametrize(
        ("begin", "drop", "status"),
        [
            (b"GET /graphql HTTP/1.1\r\nX: ", b"x", 408),
            (POST + b"Content-Length: 4000\r\n\r\n", b"{", 408),
            (GET, b"\r\n", 200),  # empty lines after a request that was answered
        ],
        ids=["headers", "body", "empty lines"],
    )
    async def test_that_comes_in_drops_has_no_more_time(
        self, server: Server, begin: bytes, drop: bytes, status: int
    ) -> None:
        async with connection(server.port, begin) as (reader, writer):

            async def go_on() -> None:
                while True:
                    writer.write(drop)
                    await asyncio.sleep(0.02)

            dropping = asyncio.create_task(go_on())
            with suppress(ConnectionResetError):  # the answer is lost if a drop comes after the end
                assert status_of(await reader.read()) == status
            dropping.cancel()

    @with_settings(**SHORT)
    async def test_does_not_end_the_one_before_it(self, server: Server, database_url: str) -> None:
        order = await server.place()
        document = f'mutation {{ confirmOrder(input: {{ orderId: "{order["id"]}" }}) {{ order {{ status }} }} }}'
        body = orjson.dumps({"query": document})
        head = POST + f"Authorization: Bearer {server.token}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        async with AsyncExitStack() as held:
            await held.enter_async_context(writes_held(database_url))
            async with connection(server.port, head + body + b"GET /half") as (reader, _):
                async with connection(server.port, b"GET /half") as (other, _):
                    assert status_of(await other.read()) == 408  # so the time of both is up
                await held.aclose()
                answer = await reader.read()
        assert b'{"data":{"confirmOrder":{"order":{"status":"CONFIRMED"}}}}' in answer

    async def test_with_headers_without_end_is_refused(self, server: Server) -> None:
        async with connection(server.port, b"GET / HTTP/1.1\r\nX: ") as (reader, writer):
            writer.write(b"x" * (MOST_HEAD_BYTES + CHUNK_BYTES))
            assert status_of(await reader.readline()) == 431

    @with_settings(max_body_bytes=1000)
    async def test_with_a_body_without_end_is_refused(self, server: Server) -> None:
        head = b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"  # nobody reads this one's body
        async with connection(server.port, head) as (reader, writer):
            writer.write(b"3e8\r\n" + b"x" * 1000 + b"\r\n0\r\n" + b"a: b\r\n" * 200_000)
            with pytest.raises((OSError, asyncio.IncompleteReadError)):
                await reader.readuntil(b"no such answer")
        assert await is_answered(server.port)


class TestRoom:
    @with_settings(max_connections=3, max_connections_per_address=9)
    async def test_is_made_by_the_one_that_has_waited_longest(
        self, server: Server, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with live(server) as client, AsyncExitStack() as opened:
            oldest, _ = await opened.enter_async_context(connection(server.port, GET[:20]))
            second, _ = await opened.enter_async_context(connection(server.port))
            assert await is_answered(server.port)
            assert await oldest.read() == b""
            third, _ = await opened.enter_async_context(connection(server.port))
            assert await is_answered(server.port)
            assert await second.read() == b""
            await client.subscribe("{ __typename }")  # it is known who this is
            assert await client.next() == {"__typename": "Query"}
            assert not third.at_eof()
        [line] = [each.getMessage() for each in caplog.records if each.name == "api.http.admission"]
        assert line.startswith("3 connections are open, which is the limit (MAX_CONNECTIONS")

    @with_settings(max_connections=2, max_connections_per_address=9)
    async def test_is_not_made_by_those_that_are_known(self, server: Server) -> None:
        async with live(server) as one, live(server) as other:
            async with connection(server.port, GET) as (reader, _):
                assert await reader.read() == b""
            for client in (one, other):
                await client.subscribe("{ __typename }")
                assert await client.next() == {"__typename": "Query"}
        await until(lambda: not server.running.server_state.connections)
        assert await is_answered(server.port)

    @with_settings(max_connections=2, max_connections_per_address=9)
    async def test_is_made_by_sockets_that_do_not_say_who_they_are(self, server: Server) -> None:
        async with connection(server.port, UPGRADE) as (one, _), connection(server.port, UPGRADE) as (other, _):
            await one.readuntil(b"\r\n\r\n")
            await other.readuntil(b"\r\n\r\n")
            assert await is_answered(server.port)
            assert await one.read() == b""

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux answers to all of 127.0.0.0/8")
    @with_settings(max_connections_per_address=2)
    async def test_for_one_address_is_taken_once_by_each_socket(self, server: Server) -> None:
        async with connection(server.port, UPGRADE, "127.0.0.2") as (one, _):
            assert status_of(await one.readline()) == 101
            async with connection(server.port, UPGRADE, "127.0.0.2") as (other, _):
                assert status_of(await other.readline()) == 101
        await until(lambda: not server.service.open_counts._open)

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux answers to all of 127.0.0.0/8")
    @with_settings(max_connections_per_address=2)
    async def test_for_one_address_is_shared_by_requests_and_sockets(self, server: Server) -> None:
        """127.0.0.1 is a proxy, whose connections are counted for those that it names."""
        there = "127.0.0.2"
        async with connection(server.port, UPGRADE, there) as (socket_, _), connection(server.port, b"", there):
            assert status_of(await socket_.readline()) == 101
            for refused in (GET, UPGRADE):
                async with connection(server.port, refused, there) as (reader, _):
                    answer = await reader.read()
                    assert status_of(answer) == 429
                    assert b"There may be at most 2 connections from one address." in answer
            async with connection(server.port, GET, "127.0.0.3") as (reader, _):
                assert status_of(await reader.readline()) == 200
            assert await is_answered(server.port)
        await until(lambda: not server.service.open_counts._open)
        async with connection(server.port, GET, there) as (reader, _):
            assert status_of(await reader.readline()) == 200

    @with_settings(max_connections_per_address=1)
    async def test_for_an_address_behind_a_proxy_is_shared_too(self, server: Server, database_url: str) -> None:
        upgrade = UPGRADE.replace(b"Host: x", b"Host: x\r\nX-Forwarded-For: 192.0.2.7")
        async with connection(server.port, upgrade) as (reader, _):
            assert status_of(await reader.readline()) == 101
            for address, status in (("192.0.2.7", 429), ("192.0.2.8", 200)):
                headers = {"X-Forwarded-For": address}
                answer = await server.http.post(server.url, json={"query": "{ __typename }"}, headers=headers)
                assert answer.status_code == status

    @pytest.mark.slow
    async def test_is_left_for_others_by_300_halves_in_256_files(self, database_url: str) -> None:
        port = free_port()
        serve = (sys.executable, "-m", "api.commands.serve", "--port", str(port))
        command = ("sh", "-c", 'ulimit -n 256; exec "$0" "$@"', *serve)
        environment = {"DATABASE_URL": database_url, "BROADCAST_URL": "memory://", "EFFECTS": "false"}
        with TemporaryFile() as log:
            async with answering(f"http://127.0.0.1:{port}", command, environment=environment, log=log) as process:
                with half_requests(port, 300):
                    for _ in range(3):
                        assert await is_answered(port)
                    assert len(os.listdir(f"/proc/{process.pid}/fd")) < 256
                assert await is_answered(port)
            log.seek(0)
            said = [orjson.loads(line) for line in log]
        lines = [each["event"] for each in said if each["logger"] == "api.http.admission"]
        assert len(lines) == 1
        assert lines[0].startswith("192 connections are open, which is the limit (MAX_CONNECTIONS")

    @pytest.mark.slow
    async def test_that_is_missing_is_said_and_comes_back(self, database_url: str) -> None:
        """Files that are not connections may run out, too."""
        port = free_port()
        serve = (sys.executable, "-m", "api.commands.serve", "--port", str(port))
        command = ("sh", "-c", 'ulimit -n 256; exec "$0" "$@"', *serve)
        environment = {"DATABASE_URL": database_url, "BROADCAST_URL": "memory://", "EFFECTS": "false"}
        environment["MAX_CONNECTIONS"] = "1000"
        with TemporaryFile() as log:

            def says(text: str) -> bool:
                return text in os.pread(log.fileno(), 100_000, 0).decode()

            async with answering(f"http://127.0.0.1:{port}", command, environment=environment, log=log) as process:
                with half_requests(port, 300):
                    await until(lambda: says("No file can be opened"))
                await until(lambda: says("Files can be opened again"))
                assert await is_answered(port)
                process.send_signal(signal.SIGTERM)
                await process.wait()


@contextmanager
def half_requests(port: int, count: int) -> Iterator[None]:
    """So many connections that have sent half a request."""
    made = []
    for _ in range(count):
        made.append(socket.create_connection(("127.0.0.1", port)))
        made[-1].send(POST)
    yield
    for each in made:
        each.close()


def waiting_bytes(server: Server) -> int:
    """How much waits in the process for the clients."""
    return sum(each.transport.get_write_buffer_size() for each in server.running.server_state.connections)


async def send_until(writer: asyncio.StreamWriter, data: bytes | Iterator[bytes], reached: Callable[[], object]) -> int:
    """Send the data again and again until the condition holds; how often that was."""
    count = 0

    async def send() -> None:
        nonlocal count
        while True:
            writer.write(data if isinstance(data, bytes) else next(data))
            count += 1
            await writer.drain()
            await asyncio.sleep(0)

    sending = asyncio.create_task(send())
    await until(reached)
    sending.cancel()
    return count


def frame(opcode: int, payload: bytes, *, final: bool = True) -> bytes:
    """One of a client, masked with zeros."""
    length = len(payload)
    size = bytes([0x80 | length]) if length < 126 else bytes([0x80 | 126]) + length.to_bytes(2, "big")
    return bytes([opcode | (0x80 if final else 0)]) + size + bytes(4) + payload


def message(**content: Any) -> bytes:
    return frame(1, orjson.dumps(content))


class TestAnswersThatAreNotRead:
    @asynccontextmanager
    async def socket(self, server: Server, *, known: bool) -> AsyncIterator[Ends]:
        async with connection(server.port, UPGRADE) as (reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            if known:
                writer.write(message(type="connection_init", payload={"Authorization": f"Bearer {server.token}"}))
                await reader.readuntil(b'{"type":"connection_ack"}')
            reader._transport.pause_reading()  # type: ignore[attr-defined]
            yield reader, writer

    @pytest.mark.parametrize("known", [False, True])
    async def test_pongs_of_the_connection(self, server: Server, known: bool) -> None:
        payload = b"p" * 125
        async with self.socket(server, known=known) as (reader, writer):
            [connected] = server.running.server_state.connections
            sent = await send_until(writer, frame(9, payload) * 100, lambda: connected._pongs_wait)  # type: ignore[union-attr]
            assert waiting_bytes(server) < UNREAD_BYTES + 2 * CHUNK_BYTES
            before = waiting_bytes(server)
            await asyncio.sleep(0.05)
            assert waiting_bytes(server) <= before  # nothing more is taken in
            reader._transport.resume_reading()  # type: ignore[attr-defined]
            async with asyncio.timeout(30):  # and nothing is lost once the client reads
                await reader.readexactly(100 * (sent - 1) * (2 + len(payload)))

    @pytest.mark.parametrize("known", [False, True])
    @with_settings(stall_seconds=0.3, init_timeout_seconds=60)
    async def test_pongs_end_the_socket_after_a_while(self, server: Server, known: bool) -> None:
        async with self.socket(server, known=known) as (_, writer):
            await send_until(writer, frame(9, b"p" * 125) * 100, lambda: not server.running.server_state.connections)

    @with_settings(stall_seconds=0.3)
    async def test_pongs_of_the_protocol(self, server: Server) -> None:
        data = message(type="ping", payload={"x": "y" * 1000}) * 10
        peak = 0

        def cut_off() -> bool:
            nonlocal peak
            peak = max(peak, waiting_bytes(server))
            return not server.running.server_state.connections

        async with self.socket(server, known=True) as (_, writer):
            await send_until(writer, data, cut_off)
        assert peak < UNREAD_BYTES + CHUNK_BYTES

    @with_settings(max_operations_per_socket=10)
    @pytest.mark.parametrize("payload", [{"query": "{ nothing }"}, {"query": "{ __typename }"}])
    async def test_refusals_and_answers(self, server: Server, payload: dict[str, Any]) -> None:
        ids = itertools.count(10**30_000)
        data = (message(type="subscribe", id=f"{next(ids):x}", payload=payload) for _ in itertools.repeat(None))
        async with self.socket(server, known=True) as (_, writer):
            [connected] = server.running.server_state.connections
            tasks = len(asyncio.all_tasks())
            await send_until(writer, data, lambda: connected.full)  # type: ignore[union-attr]
            await send_until(writer, data, lambda: connected.read_paused)  # type: ignore[union-attr]
            assert len(asyncio.all_tasks()) - tasks < 10 + 5
            assert waiting_bytes(server) < UNREAD_BYTES + CHUNK_BYTES
        await until(lambda: not server.running.server_state.connections)

    async def test_a_message_of_too_many_fragments_is_refused(self, server: Server) -> None:
        async with connection(server.port, UPGRADE) as (reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(frame(1, b"", final=False) + frame(0, b"", final=False) * MOST_FRAGMENTS)
            assert (await reader.read())[:4] == b"\x88" + bytes([2 + 18]) + (1009).to_bytes(2)

    async def test_a_client_that_goes_is_not_waited_for(self, server: Server) -> None:
        """The server waits for room to answer a ping when the client goes."""
        data = message(type="ping", payload={"x": "y" * 1000}) * 10
        async with self.socket(server, known=True) as (_, writer):
            [connected] = server.running.server_state.connections
            await send_until(writer, data, lambda: connected.full)  # type: ignore[union-attr]
        await until(lambda: not server.running.server_state.tasks)


class TestRequestsSentAhead:
    async def test_are_answered_in_their_order(self, server: Server) -> None:
        requests = [GET.replace(b"__typename", f"a{number}:__typename".encode()) for number in range(MOST_PIPELINED)]
        async with connection(server.port, b"".join(requests)) as (reader, _):
            for number in range(MOST_PIPELINED):
                await reader.readuntil(f'{{"data":{{"a{number}":"Query"}}}}'.encode())

    async def test_in_too_great_a_number_are_refused(self, server: Server) -> None:
        async with connection(server.port, GET * (MOST_PIPELINED + 2)) as (reader, _):
            assert b"HTTP/1.1 400 Bad Request" in await reader.read()

    @with_settings(stall_seconds=0.5)
    async def test_are_not_taken_in_while_answers_are_not_read(self, server: Server) -> None:
        """However many are sent, few wait; and who does not read is cut off."""
        most = 0

        def cut_off() -> bool:
            nonlocal most
            for each in server.running.server_state.connections:
                assert isinstance(each, HTTPConnection)
                most = max(most, len(each.pipeline))
            return not server.running.server_state.connections

        long = GET.replace(b"__typename", b"%20".join(b"a%d:__typename" % number for number in range(100)))
        async with connection(server.port, GET) as (reader, writer):
            await reader.readuntil(b"}}")
            reader._transport.pause_reading()  # type: ignore[attr-defined]
            await send_until(writer, long, cut_off)
        assert most <= MOST_PIPELINED


@with_settings(stall_seconds=0.3)
@pytest.mark.parametrize("closing", [b"", b"Connection: close\r\n"])
async def test_an_answer_that_is_not_read_is_not_kept(
    server: Server, closing: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.http.connections.LINGER_SECONDS", 0.3)
    much = " ".join(f"a{number}: __schema {{ types {{ name description }} }}" for number in range(100))
    body = orjson.dumps({"query": f"{{ {much} }}"})
    head = POST + f"Authorization: Bearer {server.token}\r\n".encode() + closing
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # or the system would take all of it
        client.connect(("127.0.0.1", server.port))
        client.sendall(head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await until(lambda: waiting_bytes(server) > UNREAD_BYTES)
        await until(lambda: not server.running.server_state.connections)


@with_settings(stall_seconds=0.3)
async def test_an_answer_of_which_only_a_part_is_read_is_not_kept(server: Server) -> None:
    much = " ".join(f"a{number}: __schema {{ types {{ name description }} }}" for number in range(100))
    body = orjson.dumps({"query": f"{{ {much} }}"})
    head = POST + f"Authorization: Bearer {server.token}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.port))
        client.sendall(head + body)
        await until(lambda: waiting_bytes(server) > UNREAD_BYTES)
        waiting = waiting_bytes(server)
        while waiting_bytes(server) == waiting:
            client.recv(1024)
            await asyncio.sleep(0)
        assert waiting_bytes(server) > UNREAD_BYTES // 4  # it has not had enough to be sent more
        await until(lambda: not server.running.server_state.connections)


class TestAnIdleConnection:
    @pytest.fixture
    def connections_of(self) -> dict[str, Any]:
        return {"timeout_keep_alive": 0.5}

    async def test_whose_last_answer_is_not_read_is_not_kept(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Little of it waits in the process, so that nobody looks whether it is read before the connection is idle."""
        monkeypatch.setattr("api.http.connections.LINGER_SECONDS", 0.3)
        state = server.running.server_state
        some = "%20".join(f"a{number}:__schema{{types{{name}}}}" for number in range(5))
        head = f"GET /graphql?query={{{some}}} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.token}\r\n\r\n"

        def is_answered() -> bool:
            return state.total_requests == asked and not state.tasks

        asked = 0
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", server.port))
            while not waiting_bytes(server):
                asked += 1
                client.sendall(head.encode())
                await until(is_answered)
            assert waiting_bytes(server) < UNREAD_BYTES
            await until(lambda: not state.connections)


LINES = [{"title": "Socks", "sku": f"S-{number}", "quantity": 1, "unitPrice": "1"} for number in range(3)]
PLACE = "mutation ($input: PlaceOrderInput!) { placeOrder(input: $input) { order { id } } }"


class TestOperationsThatAreGivenUp:
    """Their work is counted until it is over. Meanwhile the database is held: no order can be written."""

    def body(self) -> dict[str, Any]:
        """One that is dear enough to wait for its turn, so that many may come before the first has a slot."""
        padding = [0] * WEIGHT_OF_ONE * DEAR
        return {"query": PLACE, "variables": {"input": an_order(lines=LINES), "padding": padding}}

    async def placed(self, server: Server) -> int:
        return int((await server.ask("{ orderCounts { total } }"))["orderCounts"]["total"])

    @with_settings(max_operations_per_socket=3, max_operations_per_token=100)
    async def test_keep_their_slots_of_the_socket(self, server: Server, database_url: str) -> None:
        async with live(server) as client, AsyncExitStack() as held:
            await held.enter_async_context(writes_held(database_url))
            for number in range(3):
                await client.send({"type": "subscribe", "id": str(number), "payload": self.body()})
            await until(lambda: begun(server) == 3)
            for number in range(3):
                await client.send({"type": "complete", "id": str(number)})
            await client.subscribe("{ __typename }", operation_id="4")
            refused = await client.receive()
            assert refused["payload"][0]["message"] == "A socket runs at most 3 operations at a time."
            await held.aclose()
            await until(lambda: begun(server) == 0)
            await client.subscribe("{ __typename }", operation_id="5")
            assert await client.next("5") == {"__typename": "Query"}
        assert await self.placed(server) == 3

    @with_settings(max_operations_per_token=3)
    @pytest.mark.parametrize("way", ["sockets", "requests", "streams"])
    async def test_keep_their_slots_of_the_token(self, server: Server, database_url: str, way: str) -> None:
        other = await server.new_token()
        async with AsyncExitStack() as held:
            await held.enter_async_context(writes_held(database_url))
            for count in (6, 3, 3):  # of which only the first three find slots
                await self.give_up(server, way, count)
            assert begun(server) == 3
            waits = asyncio.create_task(server.ask("{ __typename orderCounts { total } }"))
            assert (await server.send("{ orderCounts { total } }", token=other))["data"]  # others go on
            assert not waits.done()
            await held.aclose()
            await waits
        await until(lambda: not server.service.open_counts.operations._taken)
        assert await self.placed(server) == 3  # those that waited were dropped

    async def give_up(self, server: Server, way: str, count: int) -> None:
        """Have orders placed, and go away once as many are worked on as there can be."""
        if way == "sockets":
            async with live(server) as client:
                for number in range(count):
                    await client.send({"type": "subscribe", "id": str(number), "payload": self.body()})
                await client.send({"type": "ping"})
                await client.receive()
                await until(lambda: begun(server) == 3)
            await until(lambda: not server.running.server_state.tasks)
            return
        body = orjson.dumps(self.body())
        accept = "text/event-stream" if way == "streams" else "application/json"
        head = f"Authorization: Bearer {server.token}\r\nAccept: {accept}\r\nContent-Length: {len(body)}\r\n\r\n"
        async with AsyncExitStack() as opened:
            for _ in range(count):
                await opened.enter_async_context(connection(server.port, POST + head.encode() + body))
            await until(lambda: begun(server) == 3)
        await until(lambda: not server.running.server_state.connections)

    @with_settings(max_operations_per_token=2)
    async def test_take_turns(self, server: Server, database_url: str) -> None:
        """Those that wait run in their order, once there is a slot."""
        async with live(server) as client, AsyncExitStack() as held:
            await held.enter_async_context(writes_held(database_url))
            for number in range(6):
                await client.send({"type": "subscribe", "id": str(number), "payload": self.body()})
            await until(lambda: begun(server) == 2)
            await client.send({"type": "complete", "id": "3"})
            await held.aclose()
            ids = [message["id"] for message in [await client.receive() for _ in range(10)]]
        assert list(dict.fromkeys(ids)) == ["0", "1", "2", "4", "5"]
        assert await self.placed(server) == 5


def begun(server: Server) -> int:
    """How many operations have a slot."""
    return sum(server.service.open_counts.operations._taken.values())
