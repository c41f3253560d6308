"""Where the events of a measurement come from: for the product its own database, for a peer a request."""

import asyncio
import multiprocessing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from typing import Any, Protocol

import orjson

from api.schema import ids
from domain.change import Target, change
from domain.orders.commands import add_order_note
from domain.stream import event_log
from domain.stream.bell import Bell
from models import OrderEvent
from models.engine.database import connected
from tests.bench.shop import ACTOR, Shop
from tests.bench.wires import Address, Disagreement, Line, Loop, post

NOTE = "Please ring twice."
_SAY_WHEN, _SAY_WHICH = "say when all is committed", "say which events there were"
SECONDS = 30  # for the process that writes to answer


class Source(Protocol):
    """Makes events, and knows what is to be told of them."""

    def send(self, orders: Sequence[int]) -> None:
        """One event of each of these orders, by its number in the shop. Returns at once."""

    def make(self, orders: Sequence[int]) -> None:
        """The same, but returns as soon as a server can tell of them."""

    def is_right(self, node: dict[str, Any]) -> bool:
        """Whether this is what should be told of one of the events."""

    def sent(self) -> list[str]:
        """The ids of all events so far, in their order."""


class Writer:
    """Commits changes into the product's database in a process of its own, and rings the bell: as another worker does.

    What is sent at once is one transaction.
    """

    def __init__(self, shop: Shop, pipe: Connection) -> None:
        self._orders = {order["id"]: order for order in shop.orders}
        self._pipe = pipe

    def send(self, orders: Sequence[int]) -> None:
        self._pipe.send(list(orders))

    def make(self, orders: Sequence[int]) -> None:
        self.send(orders)
        self._pipe.send(_SAY_WHEN)
        self._heard()

    def is_right(self, node: dict[str, Any]) -> bool:
        return bool(node["type"] == "NOTE_ADDED" and node["order"] == self._orders.get(node["order"]["id"]))

    def sent(self) -> list[str]:
        self._pipe.send(_SAY_WHICH)
        return self.answer()

    def answer(self) -> list[str]:
        found: list[str] = self._heard()
        return found

    def _heard(self) -> Any:
        if not self._pipe.poll(SECONDS):
            raise TimeoutError("the process that makes the events does not answer")
        return self._pipe.recv()


@contextmanager
def writing(shop: Shop) -> Iterator[Writer]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_write, args=(shop, theirs), daemon=True)
    process.start()
    try:
        writer = Writer(shop, ours)
        writer.answer()
        yield writer
    finally:
        process.kill()
        process.join()


def _write(shop: Shop, pipe: Connection) -> None:
    asyncio.run(_commit(shop, pipe))


async def _commit(shop: Shop, pipe: Connection) -> None:
    bell = Bell(shop.bell_url)
    async with connected(shop.database_url), bell.running(lambda: None):
        while not bell.state.connected:  # noqa: ASYNC110 - the bell tells nobody
            await asyncio.sleep(0.01)
        start = (await event_log.last_place()).position
        pipe.send([])
        while True:
            orders = await asyncio.to_thread(pipe.recv)
            if orders == _SAY_WHEN:
                pipe.send(True)
                continue
            if orders == _SAY_WHICH:
                events = await OrderEvent.filter(id__gt=start).order_by("id").only("id")
                pipe.send([str(ids.encode("OrderEvent", event.id)) for event in events])
                continue
            async with change(ACTOR):
                for order in orders:
                    await add_order_note(actor=ACTOR, target=Target(shop.keys[order]), note=NOTE)


class Poster:
    """Posts events to a peer's `/publish`, whole as they are to be told; what is sent at once is one request."""

    def __init__(self, shop: Shop, loop: Loop, address: Address) -> None:
        self._orders = shop.orders
        self._address = address.at("/publish")
        self._line = Line(loop, self._address)
        self._sent: dict[str, dict[str, Any]] = {}

    def send(self, orders: Sequence[int]) -> None:
        events = [self.event(order) for order in orders]
        self._line.send(post(self._address, orjson.dumps(events)), lambda _: None)

    def make(self, orders: Sequence[int]) -> None:
        self.send(orders)

    def is_right(self, node: dict[str, Any]) -> bool:
        return node == self._sent.get(node["id"])

    def sent(self) -> list[str]:
        return list(self._sent)

    def event(self, order: int) -> dict[str, Any]:
        """The next event, for who makes it known in another way."""
        place = 100_000 + len(self._sent)  # as long as those of the product
        event_id = str(ids.encode("OrderEvent", place))
        self._sent[event_id] = {
            "id": event_id,
            "cursor": event_log.cursor_at(place),
            "type": "NOTE_ADDED",
            "occurredAt": datetime.now(UTC).isoformat(),
            "message": "A note was added.",
            "order": self._orders[order],
        }
        return self._sent[event_id]


def require_all(seen: Sequence[str], sent: Sequence[str]) -> None:
    """Raises `Disagreement` unless these are the last of the events that were made, in their order."""
    if list(seen) != list(sent)[-len(seen) :]:
        raise Disagreement(f"{len(seen)} events were seen, which are not the last of the {len(sent)} that were made")
