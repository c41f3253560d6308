"""What subscribers ask for, whether they get it, and how fast: for all measurements with sockets.

An event comes into being where it does in earnest: for the product as a change that another process commits into its
PostgreSQL, with the bell rung through Valkey, so that reading the log is part of the measured work. The peers are
handed theirs ready-made, by an HTTP request, and pass them on in memory; they have no database, no token and no
filter by channel. As many events as make up one transaction of the product's make up one request of theirs.
"""

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench.cores import cpu_seconds
from tests.bench.crowd import node_of
from tests.bench.rounds import Figures, Metric
from tests.bench.sources import Source, require_all
from tests.bench.wires import Disagreement, Loop

FIELDS = """{
    id cursor type occurredAt message order { id number status paymentStatus total { amount currencyCode } }
}"""
ALL: Mapping[str, Any] = {"query": f"subscription {{ orderEvents {FIELDS} }}"}
SOME = f"subscription ($ids: [ID!]!) {{ orderEvents(filter: {{ orderIds: $ids }}) {FIELDS} }}"

ANSWER_SECONDS = 60  # for an event to reach everybody
TRY_SECONDS = 10  # for a subscription to have begun, before another event shows whether it has
TRIES = 12
SETTLE_SECONDS = 1.0  # of silence, after which nothing of the beginning is under way any more

SERVER_CPU, SERVER_BUSY, CLIENT_BUSY = "server CPU, µs each", "server busy, %", "client busy, %"


def metrics(what: str) -> tuple[Metric, ...]:
    """Those of `Usage`. Where the server is not busy all the time, the time that it needed says more than the clock."""
    return (
        Metric(f"{what}/s"),
        Metric(SERVER_CPU, digits=1, is_cost=True),
        Metric(SERVER_BUSY, ratio=False),
        Metric(CLIENT_BUSY, ratio=False),
    )


def of_orders(*order_ids: str) -> Mapping[str, Any]:
    """The subscription of somebody who watches these orders alone."""
    return {"query": SOME, "variables": {"ids": order_ids}}


@dataclass(frozen=True, slots=True)
class Pace:
    """Events are made for so many seconds, `at_once` by `at_once`; `in_flight` of them may not have arrived yet."""

    seconds: float
    at_once: int
    in_flight: int


def drive(loop: Loop, source: Source, orders: int, pace: Pace, arrived: Callable[[], int]) -> int:
    """Makes events of these orders in turn: how many, once all have arrived."""
    sent, end = 0, time.monotonic() + pace.seconds
    while time.monotonic() < end:
        while sent + pace.at_once - arrived() <= pace.in_flight:
            source.send([(sent + number) % orders for number in range(pace.at_once)])
            sent += pace.at_once
        loop.turn(0.05)
    loop.until(lambda: arrived() == sent, ANSWER_SECONDS)
    return sent


def burst(
    loop: Loop, source: Source, orders: Sequence[int], pace: Pace, usage: "Usage", heard: Callable[[], int]
) -> int:
    """Makes an event of each of these orders at once, again and again, each time when all have arrived: how many.

    Making them is left out of the time: it counts from when they are committed, or posted.
    """
    sent, spent = 0, 0.0
    while spent < pace.seconds:
        begun = time.perf_counter()
        source.make(orders)
        made = time.perf_counter()
        usage.leave_out(made - begun)
        sent += len(orders)
        loop.until(lambda: heard() == sent, ANSWER_SECONDS)  # noqa: B023 - it is waited for here
        spent += time.perf_counter() - made
    return sent


@dataclass(slots=True)
class Usage:
    """Time on the clock, and of the server's and this process's, from the moment that this was made."""

    pid: int
    wall: float
    server: float
    client: float

    @classmethod
    def of(cls, pid: int) -> "Usage":
        return cls(pid, time.perf_counter(), cpu_seconds(pid), time.process_time())

    def leave_out(self, seconds: float) -> None:
        """Time on the clock in which the server had nothing to do."""
        self.wall += seconds

    def figures(self, count: int, what: str) -> Figures:
        """`count` of what has been done since."""
        wall, server = time.perf_counter() - self.wall, cpu_seconds(self.pid) - self.server
        return {
            f"{what}/s": count / wall,
            SERVER_CPU: 1e6 * server / count,
            SERVER_BUSY: 100 * server / wall,
            CLIENT_BUSY: 100 * (time.process_time() - self.client) / wall,
        }


class Everybody:
    """All sockets are told of all events: every message is compared with the first of its kind, byte by byte.

    The first is compared with what is right. `complete` is how many events have reached everybody.
    """

    def __init__(self, source: Source, size: int) -> None:
        self._source = source
        self._size = size
        self._numbers: dict[bytes, int] = {}
        self._next: list[int | None] = [None] * size
        self._reached: list[int] = []
        self.ids: list[str] = []
        self.complete = 0

    def hear(self, member: int, message: bytes) -> None:
        number = self._numbers.get(message)
        if number is None:
            number = self._learn(message)
        if self._next[member] not in (number, None):
            raise Disagreement(f"socket {member} got event {number} instead of {self._next[member]}")
        self._next[member] = number + 1
        self._reached[number] += 1
        self.heard(number)
        if self._reached[number] == self._size and self.complete == number:
            self.complete = number + 1

    def heard(self, number: int) -> None:
        """A socket has this event."""

    def _learn(self, message: bytes) -> int:
        node = node_of(message)
        if not self._source.is_right(node) or node["id"] in self.ids[-100:]:
            raise Disagreement(f"this was not to be told: {message!r}")
        number = len(self.ids)
        self._numbers[message] = number
        self.ids.append(node["id"])
        self._reached.append(0)
        return number

    def begin(self, loop: Loop) -> None:
        """Returns once every subscription has begun: everybody has the same last event, and will have the next one."""
        for _ in range(TRIES):
            self._source.send([0])
            try:
                loop.until(lambda: bool(self._reached) and self._reached[-1] == self._size, TRY_SECONDS)
            except TimeoutError:
                continue
            loop.run(SETTLE_SECONDS)
            if self._reached[-1] == self._size:
                self.complete = len(self.ids)
                return
        raise Disagreement(f"not all of the {self._size} subscriptions have begun")

    def finish(self) -> None:
        """Raises `Disagreement` where what was told is not all that happened."""
        require_all(self.ids, self._source.sent())


class Watchers:
    """The socket with number n is told of the events of the order with number n alone; those beyond, of none."""

    def __init__(self, source: Source, order_ids: list[str]) -> None:
        self._source = source
        self._order_ids = order_ids
        self._ids: list[list[str]] = [[] for _ in order_ids]
        self.heard = 0

    def hear(self, member: int, message: bytes) -> None:
        node = node_of(message)
        if member >= len(self._order_ids) or node["order"]["id"] != self._order_ids[member]:
            raise Disagreement(f"socket {member} was told of another's order: {message!r}")
        if not self._source.is_right(node):
            raise Disagreement(f"this was not to be told: {message!r}")
        self._ids[member].append(node["id"])
        self.heard += 1

    def begin(self, loop: Loop, at_once: int) -> None:
        """Returns once every subscription has begun."""
        for _ in range(TRIES):
            silent = [number for number, ids in enumerate(self._ids) if not ids]
            if not silent:
                loop.run(SETTLE_SECONDS)
                self._ids = [[] for _ in self._order_ids]
                self.heard = 0
                return
            for start in range(0, len(silent), at_once):
                self._source.send(silent[start : start + at_once])
            try:
                loop.until(lambda: all(self._ids), TRY_SECONDS)
            except TimeoutError:
                continue
        raise Disagreement(f"only {sum(map(bool, self._ids))} subscriptions have begun")

    def finish(self) -> None:
        """Raises `Disagreement` where what was told is not all that happened, each order's in its order."""
        place = {event_id: number for number, event_id in enumerate(self._source.sent())}
        seen = [[place[event_id] for event_id in ids] for ids in self._ids]
        if any(places != sorted(places) for places in seen):
            raise Disagreement("the events of an order were told out of order")
        if sorted(itertools.chain.from_iterable(seen)) != list(range(len(place)))[-self.heard :]:
            raise Disagreement(f"{self.heard} events were seen, which are not the last that were made")
