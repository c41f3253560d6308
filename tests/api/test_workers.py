"""Several worker processes behind one socket: they are watched over, and replaced without a loss."""

import asyncio
import itertools
import os
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import httpx
import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from api.commands.temporary_server import server_process
from domain.actors import Scope, system
from domain.stream.event_log import cursor_at, cursor_of
from domain.tokens import create_token
from models import Order, OrderEvent
from models.engine.database import connected
from tests.clients import an_order, key_of, new_client

PATIENCE = 60  # seconds for processes to start, while the machine is busy with other tests
WRITERS = 2
PLACE = "mutation ($input: PlaceOrderInput!) { placeOrder(input: $input) { order { id } userErrors { code } } }"
FOLLOW = "subscription ($after: String!) { orderEvents(after: $after) { cursor } }"


def workers_of(process: Process) -> set[int]:
    """The process ids of the workers."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="utf-8").split()
    return {int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()}


async def replaced(process: Process, *gone: int, count: int = 2) -> None:
    """Waits until none of these is a worker any more, and there are so many."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(FileNotFoundError):  # one has ended as we looked
                workers = workers_of(process)
                if len(workers) == count and workers.isdisjoint(gone):
                    return
            await asyncio.sleep(0.05)


@dataclass
class Shop:
    """Clients of a server whose workers come and go."""

    url: str
    token: str
    placed: list[str] = field(default_factory=list)  # ids of the orders of which the server said that it had them
    seen: list[str] = field(default_factory=list)  # cursors, in the order in which they came
    connections: int = 0
    not_connected: int = 0

    async def write(self, name: str, stopping: asyncio.Event) -> None:
        """Places one order after the other, each again and again until the server says that it has it."""
        headers = {"Authorization": f"Bearer {self.token}"}
        async with new_client(headers=headers) as http:
            for number in itertools.count():
                if stopping.is_set():
                    return
                given = an_order(idempotencyKey=f"{name} {number}")
                while (answer := await self._place(http, given)) is None:  # noqa: ASYNC110 - a client that tries again
                    await asyncio.sleep(0.01)
                assert answer["placeOrder"]["userErrors"] == []
                self.placed.append(answer["placeOrder"]["order"]["id"])
                await asyncio.sleep(0.02)  # leaves the processor to workers that start

    async def _place(self, http: httpx.AsyncClient, given: dict[str, Any]) -> dict[str, Any] | None:
        """`None` where it is to be sent again."""
        try:
            answer = await http.post(self.url, json={"query": PLACE, "variables": {"input": given}})
        except httpx.ConnectError:
            self.not_connected += 1
            return None
        except httpx.TransportError:
            return None
        if answer.status_code == 503:
            return None
        data: dict[str, Any] = answer.json()["data"]
        return data

    async def follow(self) -> AsyncGenerator[str, None]:
        """The cursors of all events, by a client that resumes whenever its connection ends."""
        while True:
            with suppress(WebSocketException, OSError):
                async with self._socket() as socket:
                    async for text in socket:
                        message = orjson.loads(text)
                        match message["type"]:
                            case "ping":
                                await socket.send('{"type": "pong"}')
                            case "next":
                                self.seen.append(message["payload"]["data"]["orderEvents"]["cursor"])
                                yield self.seen[-1]

    @asynccontextmanager
    async def _socket(self) -> AsyncIterator[Any]:
        async with connect(self.url.replace("http", "ws"), subprotocols=["graphql-transport-ws"]) as socket:  # type: ignore[list-item]
            self.connections += 1
            variables = {"after": self.seen[-1] if self.seen else cursor_at(0)}
            init = {"type": "connection_init", "payload": {"Authorization": f"Bearer {self.token}"}}
            await socket.send(orjson.dumps(init).decode())
            subscribe = {"id": "1", "type": "subscribe", "payload": {"query": FOLLOW, "variables": variables}}
            assert orjson.loads(await socket.recv())["type"] == "connection_ack"
            await socket.send(orjson.dumps(subscribe).decode())
            yield socket

    async def read_to(self, last: str) -> None:
        async with aclosing(self.follow()) as cursors:
            async for cursor in cursors:
                if cursor == last:
                    return


async def new_token(database_url: str) -> str:
    async with connected(database_url):
        _, token = await create_token(actor=system("tests"), name="everything", scopes=list(Scope))
        return token


async def served(log: IO[bytes], count: int) -> None:
    """Waits until so many workers have begun to serve since the server was started."""
    async with asyncio.timeout(PATIENCE):
        while os.pread(log.fileno(), 1_000_000, 0).count(b"Application startup complete") < count:  # noqa: ASYNC110 - they tell nobody
            await asyncio.sleep(0.05)


@pytest.mark.slow
@pytest.mark.wire
async def test_a_worker_that_dies_or_hangs_is_replaced(database_url: str) -> None:
    with TemporaryFile() as log:
        async with server_process(database_url, "--workers", "2", log=log) as (url, process), new_client() as http:
            await served(log, 2)  # one that is still starting has a minute before it counts as hanging
            killed, hanging = workers_of(process)
            os.kill(killed, signal.SIGKILL)
            await replaced(process, killed)
            await served(log, 3)
            os.kill(hanging, signal.SIGSTOP)
            await replaced(process, killed, hanging)
            answer = await http.post(url, json={"query": "{ __typename }"})
            assert answer.json() == {"data": {"__typename": "Query"}}


@pytest.mark.slow
@pytest.mark.wire
async def test_workers_end_with_their_parent(database_url: str) -> None:
    async with server_process(database_url, "--workers", "2") as (_, process):
        workers = workers_of(process)
        process.kill()
        async with asyncio.timeout(PATIENCE):
            while any(_runs(worker) for worker in workers):  # noqa: ASYNC110 - they tell nobody
                await asyncio.sleep(0.05)


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.slow
@pytest.mark.postgres
async def test_a_rolling_restart_loses_nothing(database_url: str) -> None:
    shop = Shop("", await new_token(database_url))
    environment = {"POLL_SECONDS": "0.1"}  # the bell of the tests reaches one process only
    async with server_process(database_url, "--workers", "2", environment=environment) as (shop.url, process):
        await replaced(process)
        stopping = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            writers = [group.create_task(shop.write(str(number), stopping)) for number in range(WRITERS)]
            reading = group.create_task(shop.read_to(""))
            workers = workers_of(process)
            process.send_signal(signal.SIGHUP)
            await replaced(process, *workers)
            stopping.set()
            await asyncio.gather(*writers)
            reading.cancel()
        async with connected(database_url):
            log = [cursor_of(event) for event in await OrderEvent.all().order_by("id")]
            orders = {order.id for order in await Order.all()}
        if shop.seen[-1] != log[-1]:
            await asyncio.wait_for(shop.read_to(log[-1]), PATIENCE)
    assert shop.not_connected == 0
    assert shop.connections > 1
    assert shop.seen == log
    assert sorted(map(key_of, shop.placed)) == sorted(orders)


@pytest.mark.slow
@pytest.mark.wire
async def test_a_single_worker_is_replaced_as_well(database_url: str) -> None:
    shop = Shop("", await new_token(database_url))
    async with server_process(database_url) as (shop.url, process):
        assert workers_of(process) == set(), "one worker has taken two processes"
        stopping = asyncio.Event()
        writing = asyncio.create_task(shop.write("0", stopping))
        process.send_signal(signal.SIGHUP)
        await replaced(process, count=1)
        [first] = workers_of(process)
        process.send_signal(signal.SIGHUP)
        await replaced(process, first, count=1)
        [second] = workers_of(process)
        os.kill(second, signal.SIGKILL)  # it is watched over as others are
        await replaced(process, first, second, count=1)
        stopping.set()
        await writing
        process.terminate()
        assert await process.wait() == 0
    assert shop.not_connected == 0
    async with connected(database_url):
        assert sorted(map(key_of, shop.placed)) == sorted(order.id for order in await Order.all())
