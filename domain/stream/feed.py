"""The feed: reads the event log once for the whole process, and hands each event to the subscribers that want it."""

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Hashable, Iterator
from datetime import UTC, datetime
from operator import attrgetter
from typing import Protocol

from domain.stream import event_log
from domain.stream.bell import Bell
from domain.stream.event_log import CursorExpired, EventFilter, Place
from domain.stream.pauses import apart, set_within
from models import OrderEvent
from models.engine.errors import DatabaseUnavailable

log = logging.getLogger(__name__)

PAGE = 500  # events read from the log at a time
APART_SECONDS = 0.002  # from one reading of the log to the next, if there is always something new: see `Feed`
HANDLE_SECONDS = 0.5  # for which the feed waits until its subscribers have handled a page
FIRST_READ_SECONDS = 5.0  # for which the start waits for the database; the feed goes on trying


class Subscriber(Protocol):
    """Receives the events that match its filter."""

    @property
    def wanted(self) -> EventFilter: ...

    def receive(self, event: OrderEvent) -> asyncio.Future[None] | None:
        """Handle the next matching event. Events arrive in log order. Must not raise, because other subscribers follow.

        The feed reads on when the future is done, so that nothing piles up if answering takes time. It waits no longer
        than `HANDLE_SECONDS`: a subscriber that takes more delays only itself. Several subscribers may return the same
        future, and one may return the same future for several events.
        """

    def end(self, error: Exception) -> None:
        """Take note that events may be missing from here on: the log has another history now. Must not raise."""


# By what a subscriber can be indexed: attributes that its filter names values of.
_Axis = tuple[str, ...]
_ORDER: _Axis = ("order_id",)
_CHANNEL: _Axis = ("channel_id",)
_TYPE: _Axis = ("type",)
_BOTH: _Axis = ("channel_id", "type")
_ALL: _Axis = ()

_VALUE_OF: dict[_Axis, Callable[[OrderEvent], Hashable]] = {
    **{axis: attrgetter(*axis) for axis in (_ORDER, _CHANNEL, _TYPE, _BOTH)},
    _ALL: lambda _: (),
}


class _Index:
    """Finds the subscribers that want an event without looking at the others.

    Each is listed under what its filter names: its orders, or its channels and types of events. An event is looked up
    by each axis in use. There are five, however many subscribers there are. If a filter names nothing else, an event
    that is found under its values need not be matched.
    """

    _MOST_VALUES = 256  # of one subscriber; one that names more is found by its channels alone

    def __init__(self) -> None:
        self.subscribers: set[Subscriber] = set()
        self._listed: dict[_Axis, dict[Hashable, dict[Subscriber, bool]]] = {}

    def add(self, subscriber: Subscriber) -> None:
        self.subscribers.add(subscriber)
        axis, values, is_all = self._keys_of(subscriber.wanted)
        for value in values:
            self._listed.setdefault(axis, {}).setdefault(value, {})[subscriber] = is_all

    def discard(self, subscriber: Subscriber) -> None:
        if subscriber not in self.subscribers:
            return
        self.subscribers.discard(subscriber)
        axis, values, _ = self._keys_of(subscriber.wanted)
        for value in values:
            listed = self._listed[axis]
            del listed[value][subscriber]
            if not listed[value]:
                del listed[value]
            if not listed:
                del self._listed[axis]

    def _keys_of(self, wanted: EventFilter) -> tuple[_Axis, Collection[Hashable], bool]:
        """Return the axis and the values under which a filter is listed, and whether they are the whole filter."""
        channels, types = wanted.channels, wanted.types
        rest = wanted.to_status is not None or wanted.status_changes_only
        if wanted.order_ids is not None:
            return _ORDER, wanted.order_ids, channels is None and types is None and not rest
        if types is not None and len(types) * len(channels or (None,)) <= self._MOST_VALUES:
            if channels is None:
                return _TYPE, types, not rest
            return _BOTH, [*itertools.product(channels, types)], not rest
        if channels is None:
            return _ALL, [()], types is None and not rest
        return _CHANNEL, channels, types is None and not rest

    def find(self, event: OrderEvent) -> list[Subscriber]:
        """Return the subscribers that want the event."""
        found = []
        for axis, listed in self._listed.items():
            if subscribers := listed.get(_VALUE_OF[axis](event)):
                found += [
                    subscriber
                    for subscriber, is_all in subscribers.items()
                    if is_all or subscriber.wanted.matches(event)
                ]
        return found


class _Flag:
    """A subscriber that only says that there was an event."""

    def __init__(self, wanted: EventFilter) -> None:
        self.wanted = wanted
        self.raised = asyncio.Event()

    def receive(self, event: OrderEvent) -> None:
        self.raised.set()

    def end(self, error: Exception) -> None:
        self.raised.set()  # who looks now sees what there is


class Feed:
    """Follows the log while `running` lasts. The bell wakes it, and it looks every `poll_seconds` anyway.

    It reads at once after a pause of `APART_SECONDS`. If changes come faster, it reads several with one statement:
    docs/decisions/0003-bell.md.

    `place` is behind the last event that it has handed out. `last_read` is when it last read the log
    (`time.monotonic`). Both are None until the database could be reached. If the log does not have that place any more,
    because the database was restored or lacks its last events after a failover, all subscribers end with
    `CursorExpired`.
    """

    def __init__(self, bell: Bell, poll_seconds: float) -> None:
        self.bell = bell
        self.poll_seconds = poll_seconds
        self.place: Place | None = None
        self.last_read: float | None = None
        self._delay = 0.0
        self._index = _Index()
        self._rung = asyncio.Event()
        self._started = asyncio.Event()

    @property
    def position(self) -> int | None:
        """The id of the last event that it has handed out, 0 before the first."""
        return None if self.place is None else self.place.position

    @property
    def subscriber_count(self) -> int:
        return len(self._index.subscribers)

    @property
    def lag_seconds(self) -> float:
        """Return how late the feed is: how old the last event was when it was handed out, 0 if there was none.

        While the log cannot be read, it is the time since the last read.
        """
        if self.last_read is None:
            return 0.0
        since = time.monotonic() - self.last_read
        return since if since > 2 * self.poll_seconds else self._delay

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with self.bell.running(self._rung.set):
            following = asyncio.create_task(self._follow_log())
            try:
                await set_within(self._started, FIRST_READ_SECONDS)
                yield
            finally:
                following.cancel()
                await asyncio.wait((following,))

    async def _follow_log(self) -> None:
        while True:
            begun = time.monotonic()
            self._rung.clear()
            try:
                while await self._deliver_page() == PAGE:
                    pass
            except Exception as error:
                self._report_failure(error)
                await asyncio.sleep(self.poll_seconds)
                continue
            await set_within(self._rung, self.poll_seconds)
            await apart(APART_SECONDS, begun)

    async def _deliver_page(self) -> int:
        if self.place is None:
            self.place = await event_log.last_place()
            self._started.set()
        try:
            events = await event_log.read_after(self.place, limit=PAGE)
        except CursorExpired as error:
            await self._begin_anew(error)
            return 0
        self.last_read = time.monotonic()
        if events:
            await self._hand_out(events)
        self._delay = max(0.0, (datetime.now(UTC) - events[-1].occurred_at).total_seconds()) if events else 0.0
        return len(events)

    async def _hand_out(self, events: list[OrderEvent]) -> None:
        self.place = event_log.place_of(events[-1])
        find = self._index.find
        received = (subscriber.receive(event) for event in events for subscriber in find(event))
        if handling := {each for each in received if each is not None}:
            await asyncio.wait(handling, timeout=HANDLE_SECONDS)

    async def _begin_anew(self, error: CursorExpired) -> None:
        assert self.place is not None
        log.error(
            "the event log has lost event %d: was a backup restored? All subscribers have to read anew.",
            self.place.position,
        )
        self.place = await event_log.last_place()
        for subscriber in list(self._index.subscribers):
            subscriber.end(error)

    def _report_failure(self, error: Exception) -> None:
        if isinstance(error, DatabaseUnavailable):
            log.warning("the event log cannot be read, trying again: %s", error)
        else:
            log.error("the event log could not be read, trying again", exc_info=error)

    def add(self, subscriber: Subscriber) -> None:
        """Hand it every matching event after `position`."""
        self._index.add(subscriber)

    def remove(self, subscriber: Subscriber) -> None:
        """Hand it nothing more. No error if it is not there."""
        self._index.discard(subscriber)

    @contextlib.contextmanager
    def watching(self, wanted: EventFilter) -> Iterator[asyncio.Event]:
        """Yield an `asyncio.Event` that every matching event sets while the block runs.

        So does an event that is committed but not read by the feed yet. Clear it first and look at the database then,
        to see everything that has set it before.
        """
        flag = _Flag(wanted)
        self.add(flag)
        try:
            yield flag.raised
        finally:
            self.remove(flag)
