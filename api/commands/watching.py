"""Live subscribers that keep account of what they see, and the log that they are compared with."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from websockets.exceptions import WebSocketException

from api.commands.client import Client

CATCH_UP_SECONDS = 30  # for the subscribers to see the last event, once everything has been sent
RETRY_SECONDS = 0.2

EventKey = tuple[str, int]  # an order's id and its version after the event

_EVENT = "cursor orderVersion order { id }"
_PAGE = f"""query ($after: String) {{
    orderEvents(first: 100, after: $after) {{ nodes {{ {_EVENT} }} pageInfo {{ hasNextPage endCursor }} }}
}}"""
_NEWEST = """{
    orders(first: 1, sort: { field: UPDATED_AT }) { nodes { events(first: 100) { pageInfo { endCursor } } } }
}"""
_LIVE = f"subscription ($after: String!) {{ orderEvents(after: $after) {{ {_EVENT} }} }}"


@dataclass(frozen=True, slots=True)
class Event:
    cursor: str
    key: EventKey

    @classmethod
    def of(cls, node: dict[str, Any]) -> "Event":
        return cls(node["cursor"], (node["order"]["id"], node["orderVersion"]))


class Watcher:
    """A live subscriber, which resumes after its last event where the connection breaks."""

    def __init__(self, client: Client, after: str) -> None:
        self._client = client
        self._after = after
        self._progress = asyncio.Event()
        self._known: set[str] = set()
        self.cursors: list[str] = []
        self.seen: dict[EventKey, float] = {}
        self.reconnects = 0

    async def run(self) -> None:
        """Until cancelled. Raises `ApiError` where the server refuses."""
        while True:
            try:
                async with aclosing(self._client.follow(_LIVE, {"after": self._after})) as answers:
                    async for answer in answers:
                        self._see(Event.of(answer["orderEvents"]))
            except (WebSocketException, OSError):
                await asyncio.sleep(RETRY_SECONDS)
            self.reconnects += 1

    def _see(self, event: Event) -> None:
        self.seen.setdefault(event.key, time.monotonic())
        self.cursors.append(event.cursor)
        self._known.add(event.cursor)
        self._after = event.cursor
        self._progress.set()

    async def reach(self, cursor: str) -> None:
        """Returns once this event has been seen."""
        while cursor not in self._known:
            self._progress.clear()
            await self._progress.wait()


def differences(seen: Sequence[str], log: Sequence[str]) -> str | None:
    """How what a subscriber saw differs from the log up to the log's last event, or `None`."""
    if list(seen[: len(log)]) == list(log):
        return None
    counted = Counter(seen)
    missing = sum(cursor not in counted for cursor in log)
    twice = sum(count > 1 for count in counted.values())
    if missing or twice:
        return f"{missing} events missing, {twice} seen more than once"
    return "events out of order, or of another log"


async def events_after(client: Client, after: str | None) -> tuple[list[Event], str]:
    """The log's events after a cursor, up to its end, and the cursor of that end."""
    events: list[Event] = []
    while True:
        page = (await client.ask(_PAGE, {"after": after}))["orderEvents"]
        events += map(Event.of, page["nodes"])
        end: str = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            return events, end
        after = end


async def end_of_log(client: Client) -> str:
    """Where the log ends now, found from an event that is near its end."""
    newest = (await client.ask(_NEWEST))["orders"]["nodes"]
    near = newest[0]["events"]["pageInfo"]["endCursor"] if newest else None
    return (await events_after(client, near))[1]


async def problems_of(
    watchers: Sequence[Watcher], tasks: Sequence[asyncio.Task[None]], log: Sequence[Event]
) -> list[str]:
    """What each subscriber has missed or seen too often, once it had the time to see the log's last event."""
    cursors = [event.cursor for event in log]
    problems: list[str] = []
    if cursors:
        reaching = asyncio.create_task(_reach(watchers, cursors[-1]))
        await asyncio.wait((reaching, *tasks), timeout=CATCH_UP_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        reaching.cancel()
    for number, (watcher, task) in enumerate(zip(watchers, tasks, strict=True), 1):
        if task.done():
            problems.append(f"subscriber {number} has ended: {task.exception()}")
        elif difference := differences(watcher.cursors, cursors):
            problems.append(f"subscriber {number}: {difference}")
    return problems


async def _reach(watchers: Sequence[Watcher], cursor: str) -> None:
    for watcher in watchers:
        await watcher.reach(cursor)
