"""Subscribers that do not read: they are cut off, delay nobody, hold little, and lose nothing when they come again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson
import pytest
from websockets.exceptions import ConnectionClosed

from api.http.writers import UNREAD_BYTES
from api.settings import Settings
from domain.stream.event_log import cursor_at, cursor_of
from models import OrderEvent
from tests.clients import Live, Server, live, new_client, until

pytestmark = pytest.mark.wire

STALLED = 80
HEALTHY = 5
STALL_SECONDS = 3.0
CUT_OFF = (4408, "Too slow: resume with after")
ABORTED = (1006, "")  # what a client sees that does not even read the close frame for LINGER_SECONDS
NOTE = "x" * 5_000
NOTES = " ".join(f"n{number}: note" for number in range(10))
QUERY = f"subscription ($after: String!) {{ orderEvents(after: $after) {{ cursor order {{ {NOTES} }} }} }}"
EVENT_BYTES = 10 * len(NOTE)  # at least
PATIENCE = 60  # seconds for many megabytes to reach many clients


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings(database_url=database_url, stall_seconds=STALL_SECONDS)


@dataclass
class Subscriber:
    client: Live
    cursors: list[str] = field(default_factory=list)

    async def follow(self) -> None:
        after = self.cursors[-1] if self.cursors else cursor_at(0)
        await self.client.subscribe(QUERY, {"after": after})

    async def read(self) -> None:
        self.cursors.append((await self.client.next())["orderEvents"]["cursor"])

    async def read_to(self, last: str) -> None:
        while self.cursors[-1:] != [last]:
            await self.read()

    def stall(self) -> None:
        self.client.connection.transport.pause_reading()

    async def read_what_was_sent(self) -> tuple[int | None, str | None]:
        """Up to the end of the connection: how it was closed."""
        self.client.connection.transport.resume_reading()
        with suppress(ConnectionClosed):
            while True:
                await self.read()
        return await self.client.closed()


@asynccontextmanager
async def resumed(server: Server, subscriber: Subscriber) -> AsyncIterator[None]:
    """It has a new connection."""
    async with live(server) as subscriber.client:
        await subscriber.follow()
        yield


@asynccontextmanager
async def subscribers(server: Server, count: int) -> AsyncIterator[list[Subscriber]]:
    """They follow, and have seen the first event."""
    async with AsyncExitStack() as stack:
        made = [Subscriber(await stack.enter_async_context(live(server))) for _ in range(count)]
        for each in made:
            await each.follow()
            await each.read()
        yield made


async def the_log() -> list[str]:
    return [cursor_of(event) for event in await OrderEvent.all().order_by("id")]


def waiting_bytes(server: Server) -> list[int]:
    """How much waits in the process for each client."""
    return [each.transport.get_write_buffer_size() for each in server.running.server_state.connections]


@pytest.mark.slow
async def test_many_that_stall_are_cut_off_and_delay_nobody(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    order = await server.place(note=NOTE)
    async with subscribers(server, HEALTHY) as healthy, subscribers(server, STALLED) as stalled:
        for each in stalled:
            each.stall()

        async def tell_the_healthy() -> None:
            await server.do("addOrderNote", {"orderId": order["id"], "note": "x"})
            async with asyncio.timeout(STALL_SECONDS):  # so nobody waits for those that stall
                for each in healthy:
                    await each.read()

        while sum(size > UNREAD_BYTES for size in waiting_bytes(server)) < STALLED:
            await tell_the_healthy()
        for _ in range(3):
            await tell_the_healthy()
            assert max(waiting_bytes(server)) < UNREAD_BYTES + 2 * EVENT_BYTES
        await until(lambda: server.service.subscriptions.count == HEALTHY)
        await tell_the_healthy()
        log = await the_log()
        for each in healthy:
            assert each.cursors == log
        ends = [await each.read_what_was_sent() for each in stalled]
        assert set(ends) <= {CUT_OFF, ABORTED}
    for each in stalled:
        async with resumed(server, each):
            await each.read_to(log[-1])
        assert each.cursors == log
    assert caplog.records == []


async def test_one_that_reads_on_in_time_is_told_why(server: Server) -> None:
    order = await server.place(note=NOTE)
    async with subscribers(server, 1) as [stalled]:
        stalled.stall()
        while max(waiting_bytes(server)) < UNREAD_BYTES:
            await server.do("addOrderNote", {"orderId": order["id"], "note": "x"})
        await until(lambda: server.service.subscriptions.count == 0)
        assert await stalled.read_what_was_sent() == CUT_OFF
    async with resumed(server, stalled):
        await stalled.read_to((await the_log())[-1])
        assert stalled.cursors == await the_log()


async def test_an_event_stream_that_is_not_read_is_resumed(server: Server) -> None:
    order = await server.place(note=NOTE)
    headers = {"Authorization": f"Bearer {server.token}", "Accept": "text/event-stream"}
    seen: list[str] = []
    async with new_client(headers=headers) as http:
        async with http.stream("POST", server.url, json=request_after(seen)) as response:
            await until(lambda: server.service.subscriptions.count == 1)
            while max(waiting_bytes(server)) < UNREAD_BYTES:  # nobody reads
                await server.do("addOrderNote", {"orderId": order["id"], "note": "x"})
            await until(lambda: server.service.subscriptions.count == 0)
            with pytest.raises(httpx.TransportError):
                await read_events(response, seen)
        log = await the_log()
        assert seen == log[: len(seen)]
        assert len(seen) < len(log)
        async with http.stream("POST", server.url, json=request_after(seen)) as response:
            await read_events(response, seen, log[-1])
    assert seen == log


def request_after(seen: list[str]) -> dict[str, Any]:
    return {"query": QUERY, "variables": {"after": seen[-1] if seen else cursor_at(0)}}


async def read_events(response: httpx.Response, seen: list[str], last: str | None = None) -> None:
    """Up to the last one, or until the connection ends. An event that did not come whole is none."""
    async with asyncio.timeout(PATIENCE):
        text = ""
        async for part in response.aiter_text():
            *events, text = (text + part).split("\n\n")
            answers = [orjson.loads(event.partition("data: ")[2]) for event in events if event != ":"]
            seen += [answer["data"]["orderEvents"]["cursor"] for answer in answers]
            if last in seen:
                return
