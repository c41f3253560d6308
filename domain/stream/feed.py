"""The live feed: the process's one reader of the event log, and whom it tells of which event."""

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
from domain.stream.event_log import EventFilter
from domain.stream.pauses import apart, set_within
from models import OrderEvent
from models.engine.errors import DatabaseUnavailable

log = logging.getLogger(__name__)

PAGE = 500  # events read from the log at a time
APART_SECONDS = 0.002  # from one reading of the log to the next, where there is always something new: see `Feed`
TELL_SECONDS = 0.5  # for which the feed waits until its readers have dealt with a page
FIRST_READ_SECONDS = 5.0  # for which the start waits for the database; the feed goes on trying


class Reader(Protocol):
    """Who is told of the events that `wanted` means."""

    @property
    def wanted(self) -> EventFilter: ...

    def take(self, event: OrderEvent) -> asyncio.Future[None] | None:
        """The next of them, in the log's order. Must not raise: the others' turn comes after it.

        The feed reads on once the future is done, so that nothing piles up if it takes time to tell of an event. It
        waits no longer than `TELL_SECONDS`: a reader that takes more delays itself, and nobody else. Several readers
        may give the same future, and a reader the same one for several events.
        """


# By what a reader can be listed: attributes that it names values of.
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
    """Finds the readers that an event may concern without a look at the others.

    Each is listed under what it names: its orders, or its channels, and with these its types of events. An event is
    looked up by each of the axes that are in use, of which there are five, however many readers there are. Whether the
    values by which a reader is listed are all that it wants is known from the start: then an event that is found there
    need not be matched.
    """

    _MOST_VALUES = 256  # of one reader; one that names more is found by its channels alone

    def __init__(self) -> None:
        self.readers: set[Reader] = set()
        self._listed: dict[_Axis, dict[Hashable, dict[Reader, bool]]] = {}

    def add(self, reader: Reader) -> None:
        self.readers.add(reader)
        axis, values, is_all = self._place(reader.wanted)
        for value in values:
            self._listed.setdefault(axis, {}).setdefault(value, {})[reader] = is_all

    def discard(self, reader: Reader) -> None:
        if reader not in self.readers:
            return
        self.readers.discard(reader)
        axis, values, _ = self._place(reader.wanted)
        for value in values:
            listed = self._listed[axis]
            del listed[value][reader]
            if not listed[value]:
                del listed[value]
            if not listed:
                del self._listed[axis]

    def _place(self, wanted: EventFilter) -> tuple[_Axis, Collection[Hashable], bool]:
        """Under which values of which axis a reader is listed, and whether they are all that it wants."""
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

    def concerned(self, event: OrderEvent) -> list[Reader]:
        found = []
        for axis, listed in self._listed.items():
            if readers := listed.get(_VALUE_OF[axis](event)):
                found += [reader for reader, is_all in readers.items() if is_all or reader.wanted.matches(event)]
        return found


class _Flag:
    """Says that there was a wanted event, and forgets which."""

    def __init__(self, wanted: EventFilter) -> None:
        self.wanted = wanted
        self.raised = asyncio.Event()

    def take(self, event: OrderEvent) -> None:
        self.raised.set()


class Feed:
    """Follows the log for as long as `running` lasts: woken by the bell, and once every `poll_seconds` anyway.

    It reads at once when something happens after a pause of `APART_SECONDS`. Where changes come faster than that, it
    reads several with one statement: otherwise, reading would take a tenth of the CPU time of confirming orders.

    `position` is the place up to which it has handed out the log, `last_read` when it read it last (`time.monotonic`);
    both are `None` until the database could be reached.
    """

    def __init__(self, bell: Bell, poll_seconds: float) -> None:
        self.bell = bell
        self.poll_seconds = poll_seconds
        self.position: int | None = None
        self.last_read: float | None = None
        self._delay = 0.0
        self._index = _Index()
        self._rung = asyncio.Event()
        self._started = asyncio.Event()

    @property
    def readers(self) -> int:
        """How many it tells of events now."""
        return len(self._index.readers)

    @property
    def lag_seconds(self) -> float:
        """How late it is: the age of the newest event when it was handed on last, 0 where there was none to hand on.

        While the log cannot be read: the time since it was.
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
        if self.position is None:
            self.position = await event_log.last_position()
            self._started.set()
        events = await event_log.read_on(after=self.position, limit=PAGE)
        self.last_read = time.monotonic()
        if events:
            await self._hand_out(events)
        self._delay = max(0.0, (datetime.now(UTC) - events[-1].occurred_at).total_seconds()) if events else 0.0
        return len(events)

    async def _hand_out(self, events: list[OrderEvent]) -> None:
        self.position = events[-1].id
        concerned = self._index.concerned
        takings = (reader.take(event) for event in events for reader in concerned(event))
        if telling := {taking for taking in takings if taking is not None}:
            await asyncio.wait(telling, timeout=TELL_SECONDS)

    def _report_failure(self, error: Exception) -> None:
        if isinstance(error, DatabaseUnavailable):
            log.warning("the event log cannot be read, trying again: %s", error)
        else:
            log.error("the event log could not be read, trying again", exc_info=error)

    def add(self, reader: Reader) -> None:
        """From now on it is told of what lies behind `position`."""
        self._index.add(reader)

    def remove(self, reader: Reader) -> None:
        """It is told of nothing more; no error for one that is not there."""
        self._index.discard(reader)

    @contextlib.contextmanager
    def watching(self, wanted: EventFilter) -> Iterator[asyncio.Event]:
        """While the block runs, every wanted event sets the `asyncio.Event` that is given.

        So does one that is committed but not read by the feed yet: who clears it first and then looks at the
        database sees all that has set it before.
        """
        flag = _Flag(wanted)
        self.add(flag)
        try:
            yield flag.raised
        finally:
            self.remove(flag)
