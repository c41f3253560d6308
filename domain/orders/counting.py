"""Counts that are kept up to date for everybody who follows them.

Counting is dear, and there may be many filters. So the same counts are made once for all who follow them. Of one
caller's, one is made at a time, and after each the database is left alone for as long as it took.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator
from contextvars import copy_context
from weakref import WeakValueDictionary

from domain.actors import Actor
from domain.orders.filters import OrderFilter
from domain.orders.queries import OrderCounts, count_orders
from domain.stream.event_log import EventFilter
from domain.stream.feed import Feed
from models import OrderEvent
from models.engine.shares import caller_now


class Counting:
    """The counts that are followed in a process, each at most once in so many seconds."""

    def __init__(self, feed: Feed, seconds: float) -> None:
        self._feed = feed
        self._seconds = seconds
        self._followed: dict[tuple[Actor, str], _SharedCounts] = {}
        self._queues: WeakValueDictionary[str | None, _Queue] = WeakValueDictionary()

    async def follow(self, actor: Actor, wanted: OrderFilter | None) -> AsyncGenerator[OrderCounts, None]:
        """Yield the counts of the orders that exist for the actor, and again after events that may change them.

        Actors that have no name share what they follow. Raise `Forbidden`, `InvalidInput` and `DatabaseUnavailable`.
        """
        key = (actor, repr(wanted))
        followed = self._followed.get(key)
        if followed is None or followed.error is not None:
            queue = self._queues.get(caller_now())
            if queue is None:
                queue = self._queues[caller_now()] = _Queue()
            followed = self._followed[key] = _SharedCounts(actor, wanted, queue, self._seconds)
        if not followed.followers:
            self._feed.add(followed)
        followed.followers += 1
        seen = 0
        try:
            while True:
                seen = await followed.wait_for_more_than(seen)
                assert followed.counts is not None
                yield followed.counts
        finally:
            followed.followers -= 1
            if not followed.followers:
                self._feed.remove(followed)
                followed.close()
                if self._followed.get(key) is followed:
                    del self._followed[key]


class _Queue:
    """The counts of one caller that are out of date."""

    def __init__(self) -> None:
        self._outdated: deque[_SharedCounts] = deque()
        self._running: asyncio.Task[None] | None = None

    def append(self, followed: "_SharedCounts") -> None:
        self._outdated.append(followed)
        if self._running is None:
            self._running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while self._outdated:
            followed = self._outdated.popleft()
            if followed.followers:
                begun = time.monotonic()
                await followed.count()
                await asyncio.sleep(time.monotonic() - begun)
        self._running = None


class _SharedCounts:
    """The counts of one filter for callers with the same rights: a subscriber of the feed while they are followed.

    `made` is how often they have been counted. An `error` ends them.
    """

    def __init__(self, actor: Actor, wanted: OrderFilter | None, queue: _Queue, seconds: float) -> None:
        self.wanted = EventFilter(visible_channel_ids=actor.channel_ids)
        self.followers = 0
        self.made = 0
        self.counts: OrderCounts | None = None
        self.error: Exception | None = None
        self._actor = actor
        self._filter = wanted
        self._queue = queue
        self._seconds = seconds
        self._begun = 0.0
        self._counting: asyncio.Task[OrderCounts] | None = None
        self._due: asyncio.TimerHandle | None = None
        self._is_current = False
        self._is_due = False
        self._waiting = 0
        self._changed = asyncio.Event()
        self._context = copy_context()  # the database's connections count for the caller who follows them first

    def end(self, _error: Exception) -> None:
        """Count again: with another history of the log come other orders."""
        self._outdate()

    def receive(self, _event: OrderEvent) -> None:
        self._outdate()

    def _outdate(self) -> None:
        """Count again if a follower waits for it. An event during a count may be missing from it."""
        self._is_current = False
        if self._waiting:
            self._schedule()

    def _schedule(self) -> None:
        if not self._is_due:
            self._is_due = True
            wait = self._begun + self._seconds - time.monotonic() if self.made else 0.0
            self._due = asyncio.get_running_loop().call_later(max(0.0, wait), self._queue.append, self)

    async def count(self) -> None:
        self._is_current, self._is_due = True, False
        self._begun = time.monotonic()
        self._counting = asyncio.create_task(count_orders(self._actor, self._filter), context=self._context)
        await asyncio.wait((self._counting,))
        if self._counting.cancelled():
            return
        error = self._counting.exception()
        if isinstance(error, Exception):
            self.error = error
        else:
            self.counts = self._counting.result()
        self.made += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_for_more_than(self, made: int) -> int:
        """Wait for a count after so many, and return its number. Raise what stands in its way."""
        self._waiting += 1
        try:
            while self.made == made:
                if not self._is_current:
                    self._schedule()
                await self._changed.wait()
        finally:
            self._waiting -= 1
        if self.error is not None:
            raise self.error
        return self.made

    def close(self) -> None:
        """Count no more."""
        if self._due is not None:
            self._due.cancel()
        if self._counting is not None:
            self._counting.cancel()
