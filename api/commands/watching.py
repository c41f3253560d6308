"""Live subscribers that keep account of what they see, and the log that they are compared with."""

import asyncio
import math
import random
import statistics
import time
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.exceptions import ConnectionClosed, WebSocketException

from api.commands.client import ApiError, Client, Cut
from api.execution.errors import UNAVAILABLE

CATCH_UP_SECONDS = 30  # for the subscribers to see the last event, once everything has been sent
RETRY_SECONDS = 0.2  # before a connection is made anew, twice that after each attempt that brought nothing
LONGEST_RETRY_SECONDS = 2.0

EventKey = tuple[str, int]  # an order's number and its version after the event

_PAGE = """query ($after: String) {
    orderEvents(first: 100, after: $after) {
        nodes { cursor orderVersion order { number } }
        pageInfo { hasNextPage endCursor }
    }
}"""
_NEWEST = """{
    orders(first: 1, sort: { field: UPDATED_AT }) { nodes { events(first: 100) { pageInfo { endCursor } } } }
}"""


@dataclass(frozen=True, slots=True)
class Event:
    cursor: str
    key: EventKey

    @classmethod
    def of(cls, node: dict[str, Any]) -> "Event":
        return cls(node["cursor"], (node["order"]["number"], node["orderVersion"]))


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a subscriber asks for: the field `name` of `document`, which tells a `cursor` and takes `$after`."""

    name: str
    document: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    by_sse: bool = False

    def follow(self, client: Client, after: str, opened: Any) -> AsyncGenerator[dict[str, Any], None]:
        follow = client.stream if self.by_sse else client.follow
        return follow(self.document, {**self.variables, "after": after}, opened)


EVERYTHING = Subscription(
    "orderEvents", "subscription ($after: String!) { orderEvents(after: $after) { cursor orderVersion } }"
)


class Watcher:
    """A live subscriber, which resumes after its last event where the connection breaks.

    `cursors` are those of all events in the order in which they came, `arrived` says when each first did;
    `closings` counts the codes with which the server closed the socket.
    """

    def __init__(self, client: Client, after: str, subscription: Subscription = EVERYTHING) -> None:
        self.subscription = subscription
        self._client = client
        self._after = after
        self._progress = asyncio.Event()
        self._reading = asyncio.Event()
        self._reading.set()
        self._cut: Cut | None = None
        self.cursors: list[str] = []
        self.arrived: dict[str, float] = {}
        self.reconnects = 0
        self.closings: Counter[int] = Counter()

    async def run(self) -> None:
        """Run until cancelled. Raise `ApiError` if the server refuses."""
        in_vain = 0
        while True:
            seen = len(self.cursors)
            try:
                await self._follow()
            except (WebSocketException, httpx.HTTPError, OSError) as error:
                if isinstance(error, ConnectionClosed) and error.rcvd is not None:
                    self.closings[error.rcvd.code] += 1
            except ApiError as error:
                if error.code != UNAVAILABLE:
                    raise
            finally:
                self._cut = None
            in_vain = 0 if len(self.cursors) > seen else in_vain + 1
            longest = min(LONGEST_RETRY_SECONDS, RETRY_SECONDS * 2**in_vain)
            await asyncio.sleep(longest * random.uniform(0.5, 1))  # noqa: S311 - so that not all come at once
            self.reconnects += 1

    async def _follow(self) -> None:
        async with aclosing(self.subscription.follow(self._client, self._after, self._opened)) as answers:
            async for answer in answers:
                self._see(answer[self.subscription.name]["cursor"])
                await self._reading.wait()

    def _opened(self, cut: Cut) -> None:
        self._cut = cut

    def _see(self, cursor: str) -> None:
        self.arrived.setdefault(cursor, time.monotonic())
        self.cursors.append(cursor)
        self._after = cursor
        self._progress.set()

    async def reach(self, cursor: str) -> None:
        """Wait until this event has been seen."""
        while cursor not in self.arrived:
            self._progress.clear()
            await self._progress.wait()

    def cut(self) -> None:
        """Break the connection, if there is one, without telling the server."""
        if self._cut is not None:
            self._cut()

    async def stall(self, seconds: float) -> None:
        """Read nothing for so long, while the connection stays open."""
        self._reading.clear()
        try:
            await asyncio.sleep(seconds)
        finally:
            self._reading.set()


@dataclass(frozen=True, slots=True)
class Differences:
    """How many of the events were never seen, more than once, later than one that follows them in the log, or are not
    the log's."""

    lost: int = 0
    twice: int = 0
    out_of_order: int = 0
    foreign: int = 0

    def __bool__(self) -> bool:
        return any((self.lost, self.twice, self.out_of_order, self.foreign))

    def __add__(self, other: "Differences") -> "Differences":
        return Differences(
            self.lost + other.lost,
            self.twice + other.twice,
            self.out_of_order + other.out_of_order,
            self.foreign + other.foreign,
        )

    def __str__(self) -> str:
        return f"{self.lost} lost, {self.twice} twice, {self.out_of_order} out of order, {self.foreign} of no such log"


def differences(seen: Sequence[str], log: Sequence[str]) -> Differences:
    """Return how what a subscriber saw differs from all that it should have seen."""
    place = {cursor: number for number, cursor in enumerate(log)}
    counted = Counter(seen)
    out_of_order, furthest = 0, -1
    for cursor in counted:  # each as it was first seen
        here = place.get(cursor, furthest)
        out_of_order += here < furthest
        furthest = max(furthest, here)
    return Differences(
        lost=sum(cursor not in counted for cursor in log),
        twice=sum(count > 1 for count in counted.values()),
        out_of_order=out_of_order,
        foreign=sum(cursor not in place for cursor in counted),
    )


async def events_after(client: Client, after: str | None) -> tuple[list[Event], str]:
    """Return the log's events after a cursor, up to its end, and the cursor of that end."""
    events: list[Event] = []
    while True:
        page = (await client.ask(_PAGE, {"after": after}))["orderEvents"]
        events += map(Event.of, page["nodes"])
        end: str = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            return events, end
        after = end


async def end_of_log(client: Client) -> str:
    """Return the cursor of the log's end, found from an event that is near it."""
    newest = (await client.ask(_NEWEST))["orders"]["nodes"]
    near = newest[0]["events"]["pageInfo"]["endCursor"] if newest else None
    return (await events_after(client, near))[1]


async def problems_of(
    watchers: Sequence[Watcher], tasks: Sequence[asyncio.Task[None]], log: Sequence[Event]
) -> list[str]:
    """Return what each subscriber has missed or seen too often, after it had the time to see the log's last event."""
    cursors = [event.cursor for event in log]
    problems: list[str] = []
    if cursors:
        reaching = asyncio.create_task(all_reach(watchers, cursors[-1]))
        await asyncio.wait((reaching, *tasks), timeout=CATCH_UP_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        reaching.cancel()
    for number, (watcher, task) in enumerate(zip(watchers, tasks, strict=True), 1):
        if task.done():
            problems.append(f"subscriber {number} has ended: {task.exception()}")
        elif difference := differences(watcher.cursors[: len(cursors)], cursors):  # what came later is others' doing
            problems.append(f"subscriber {number}: {difference}")
    return problems


async def all_reach(watchers: Sequence[Watcher], cursor: str) -> None:
    """Wait until all of them have seen this event."""
    for watcher in watchers:
        await watcher.reach(cursor)


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value at or below which this share of the values lies. Return NaN if there are none."""
    if not values:
        return math.nan
    if share == 0.5:
        return statistics.median(values)
    return sorted(values)[min(len(values) - 1, math.ceil(share * len(values)) - 1)]
