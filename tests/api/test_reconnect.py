"""Subscribers that lose their connection again and again while orders change, and resume: they miss nothing.

Nobody waits for a moment here: writers write for as long as anybody reconnects, and each subscriber says itself
when it breaks off. The seeds decide how; whatever they decide, the outcome is the log.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from domain.stream.event_log import EventFilter, cursor_at, cursor_of
from domain.stream.feed import Feed
from models import Channel, OrderEvent
from models.enums import OrderEventType, OrderStatus
from tests.clients import WAIT, Live, Server, key_of, live, new_client

QUERY = """subscription ($after: String!, $filter: OrderEventFilter) {
    orderEvents(after: $after, filter: $filter) { cursor type toStatus order { id channel { code } } }
}"""
WRITERS = 3
MOST_AT_ONCE = 25  # events that a subscriber reads before it breaks off


@dataclass
class Subscriber:
    """One that has seen `cursors`, and processes each event before it asks for the next."""

    server: Server
    chance: random.Random
    wanted: dict[str, Any] | None = None
    cursors: list[str] = field(default_factory=list)
    settled: bool = False  # nothing more will happen: it closes its connection quietly

    @property
    def variables(self) -> dict[str, Any]:
        return {"after": self.cursors[-1] if self.cursors else cursor_at(0), "filter": self.wanted}

    async def events(self) -> AsyncGenerator[None, None]:
        """Connects, and resumes; one step for each event that was seen. Closing it breaks the connection."""
        raise NotImplementedError
        yield

    async def follow_with_breaks(self, times: int) -> None:
        for _ in range(times):
            count = self.chance.choice([0, 0, 1, 2, self.chance.randint(3, MOST_AT_ONCE)])
            await self._read(count)

    async def read_to(self, last: str) -> None:
        self.settled = True
        if last not in self.cursors:
            async with aclosing(self.events()) as events:
                while self.cursors[-1:] != [last]:
                    await self._one(events)

    async def _read(self, count: int) -> None:
        async with aclosing(self.events()) as events:
            for _ in range(count):
                await self._one(events)

    async def _one(self, events: AsyncGenerator[None, None]) -> None:
        async with asyncio.timeout(WAIT):
            await anext(events)


class OverWebSocket(Subscriber):
    async def events(self) -> AsyncGenerator[None, None]:
        async with live(self.server) as client:
            try:
                await client.subscribe(QUERY, self.variables)
                while True:
                    self.cursors.append((await client.next())["orderEvents"]["cursor"])
                    yield
            finally:
                await self._break_off(client)

    async def _break_off(self, client: Live) -> None:
        match "close" if self.settled else self.chance.choice(["abort", "close", "complete", "again"]):
            case "abort":
                client.connection.transport.abort()
            case "close":
                await client.connection.close()
            case "complete":
                await client.send({"id": "1", "type": "complete"})
            case "again":  # and resume on the same socket, where answers to the old operation may be on their way
                await client.send({"id": "1", "type": "complete"})
                await client.subscribe(QUERY, self.variables, operation_id="2")
                while (message := await client.receive())["id"] != "2":
                    assert message["type"] == "next"
                self.cursors.append(message["payload"]["data"]["orderEvents"]["cursor"])


class OverEventStream(Subscriber):
    async def events(self) -> AsyncGenerator[None, None]:
        request = {"query": QUERY, "variables": self.variables}
        headers = {"Authorization": f"Bearer {self.server.token}", "Accept": "text/event-stream"}
        async with (
            new_client() as client,
            client.stream("POST", self.server.url, json=request, headers=headers) as response,
        ):
            assert response.headers["content-type"].startswith("text/event-stream")
            async for line in response.aiter_lines():
                if line.startswith("data: "):
                    answer = orjson.loads(line.removeprefix("data: "))
                    self.cursors.append(answer["data"]["orderEvents"]["cursor"])
                    yield


async def write(server: Server, chance: random.Random, stopping: asyncio.Event) -> None:
    """Places orders in two channels and takes random steps with the last ones."""
    orders: list[str] = []
    while not stopping.is_set():
        if len(orders) < 3 or chance.random() < 0.3:
            orders.append((await server.place(channel=chance.choice(["web", "pos"])))["id"])
            continue
        given: dict[str, Any] = {"orderId": chance.choice(orders[-6:])}
        match chance.choice(["confirmOrder", "cancelOrder", "markShipped", "addOrderNote"]):
            case "cancelOrder" as act:
                given["reason"] = "CUSTOMER"
            case "addOrderNote" as act:
                given["note"] = "hello"
            case act:
                pass
        await server.mutate(act, given)  # where it is refused, nothing is written


@asynccontextmanager
async def writers(server: Server, seed: str) -> AsyncIterator[None]:
    """Orders change for as long as the block runs; after it, every change is in the log."""
    stopping = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for number in range(WRITERS):
            group.create_task(write(server, random.Random(f"{seed}/{number}"), stopping))
        try:
            yield
        finally:
            stopping.set()


async def the_log(wanted: EventFilter | None = None) -> list[str]:
    """The cursors of the wanted events, in the log's order: chosen here, not by the database."""
    return [
        cursor_of(event) for event in await OrderEvent.all().order_by("id") if wanted is None or wanted.matches(event)
    ]


async def nobody_is_left(feed: Feed) -> None:
    """Waits until the server has noticed that every subscriber has gone, and let go of what it held for it."""
    async with asyncio.timeout(WAIT):
        while feed.subscriber_count:  # noqa: ASYNC110 - it says nothing when one goes
            await asyncio.sleep(0.005)


async def settle(subscribers: list[Subscriber], wanted: EventFilter | None = None) -> list[str]:
    """Lets each subscriber read on to the end, and says what each of them must have seen by then."""
    log = await the_log(wanted)
    await asyncio.gather(*(subscriber.read_to(log[-1]) for subscriber in subscribers))
    return log


@pytest.mark.slow
async def test_subscribers_that_reconnect_again_and_again_see_exactly_the_log(server: Server) -> None:
    sockets = [OverWebSocket(server, random.Random(f"socket {number}")) for number in range(3)]
    streams = [OverEventStream(server, random.Random(f"stream {number}")) for number in range(2)]
    async with writers(server, "reconnect"):
        await asyncio.gather(
            *(subscriber.follow_with_breaks(15) for subscriber in sockets),
            *(subscriber.follow_with_breaks(8) for subscriber in streams),
        )
    subscribers = [*sockets, *streams]
    log = await settle(subscribers)
    assert len(log) > 50
    for subscriber in subscribers:
        assert subscriber.cursors == log
    await nobody_is_left(server.service.feed)


@pytest.mark.slow
async def test_subscribers_with_filters_that_reconnect_see_exactly_what_they_asked_for(server: Server) -> None:
    own = [await server.place(channel="web") for _ in range(2)]
    web = await Channel.get(code="web")
    filters: list[tuple[dict[str, Any], EventFilter]] = [
        ({"channels": ["web"]}, EventFilter(channel_ids=frozenset({web.id}))),
        (
            {"types": ["NOTE_ADDED", "ORDER_PLACED"]},
            EventFilter(types=frozenset({OrderEventType.NOTE_ADDED, OrderEventType.ORDER_PLACED})),
        ),
        (
            {"toStatus": ["CONFIRMED", "CANCELLED"]},
            EventFilter(to_status=frozenset({OrderStatus.CONFIRMED, OrderStatus.CANCELLED})),
        ),
        (
            {"orderIds": [order["id"] for order in own], "types": ["NOTE_ADDED"]},
            EventFilter(
                order_ids=frozenset(key_of(order["id"]) for order in own), types=frozenset({OrderEventType.NOTE_ADDED})
            ),
        ),
    ]
    subscribers: list[Subscriber] = [
        kind(server, random.Random(f"{kind.__name__} {number}"), wanted)
        for number, (wanted, _) in enumerate(filters)
        for kind in (OverWebSocket, OverEventStream)
    ]

    async def note_own_orders(stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            for order in own:
                await server.do("addOrderNote", {"orderId": order["id"], "note": "hello"})

    stopping = asyncio.Event()
    async with writers(server, "filters"):
        noting = asyncio.create_task(note_own_orders(stopping))
        await asyncio.gather(*(subscriber.follow_with_breaks(4) for subscriber in subscribers))
        stopping.set()
        await noting
    whole = await the_log()
    for number, (_, wanted) in enumerate(filters):
        pair = subscribers[2 * number : 2 * number + 2]
        log = await settle(pair, wanted)
        assert 5 < len(log) < len(whole)
        for subscriber in pair:
            assert subscriber.cursors == log
    await nobody_is_left(server.service.feed)
