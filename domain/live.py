"""The live feed: the process's one reader of the event log, and those who wait for what it reads."""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Protocol

from domain import event_log
from domain.bell import Bell
from domain.event_log import EventFilter
from models import OrderEvent
from models.errors import DatabaseUnavailable

log = logging.getLogger(__name__)

PAGE = 500  # events read from the log at a time
MAILBOX = 1_000  # events that wait for one subscriber before it is sent back to the log
FIRST_READ_SECONDS = 5.0  # for which the start waits for the database; the feed goes on trying


class _Reader(Protocol):
    """Who is told of each event, in the log's order. `put` must not raise: the others' turn comes after it."""

    def put(self, event: OrderEvent) -> None: ...


class _Mailbox:
    """The events that wait for one subscriber, all of them after `since`.

    A subscriber that lets too many pile up loses none: the mailbox is emptied, and it reads on from the log.
    """

    def __init__(self, wanted: EventFilter, since: int) -> None:
        self._wanted = wanted
        self.since = since
        self._events: deque[OrderEvent] = deque()
        self._filled = asyncio.Event()

    def put(self, event: OrderEvent) -> None:
        if not self._wanted.matches(event):
            return
        if len(self._events) >= MAILBOX:
            self._events.clear()
            self.since = event.id
        else:
            self._events.append(event)
        self._filled.set()

    async def wait(self) -> None:
        await self._filled.wait()
        self._filled.clear()

    def take(self) -> OrderEvent | None:
        return self._events.popleft() if self._events else None


class _Flag:
    """Says that there was a wanted event, and forgets which."""

    def __init__(self, wanted: EventFilter) -> None:
        self._wanted = wanted
        self.raised = asyncio.Event()

    def put(self, event: OrderEvent) -> None:
        if self._wanted.matches(event):
            self.raised.set()


class Feed:
    """Follows the log for as long as `running` lasts: woken by the bell, and once every `poll_seconds` anyway.

    `position` is the place that it has reached, `last_read` when it read the log last (`time.monotonic`); both are
    `None` until the database could be reached.
    """

    def __init__(self, bell: Bell, poll_seconds: float) -> None:
        self.bell = bell
        self.poll_seconds = poll_seconds
        self.position: int | None = None
        self.last_read: float | None = None
        self._delay = 0.0
        self._readers: set[_Reader] = set()
        self._rung = asyncio.Event()
        self._started = asyncio.Event()

    @property
    def readers(self) -> int:
        """How many follow or watch the feed now."""
        return len(self._readers)

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
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(FIRST_READ_SECONDS):
                        await self._started.wait()
                yield
            finally:
                following.cancel()
                await asyncio.wait((following,))

    async def _follow_log(self) -> None:
        while True:
            self._rung.clear()
            try:
                while await self._deliver_page() == PAGE:
                    pass
            except Exception as error:
                self._report_failure(error)
                await asyncio.sleep(self.poll_seconds)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.poll_seconds):
                    await self._rung.wait()

    async def _deliver_page(self) -> int:
        if self.position is None:
            self.position = await event_log.last_position()
            self._started.set()
        events = await event_log.read_on(after=self.position, limit=PAGE)
        self.last_read = time.monotonic()
        for event in events:
            for reader in self._readers:
                reader.put(event)
            self.position = event.id
        self._delay = max(0.0, (datetime.now(UTC) - events[-1].occurred_at).total_seconds()) if events else 0.0
        return len(events)

    def _report_failure(self, error: Exception) -> None:
        if isinstance(error, DatabaseUnavailable):
            log.warning("the event log cannot be read, trying again: %s", error)
        else:
            log.error("the event log could not be read, trying again", exc_info=error)

    async def follow(self, wanted: EventFilter, after: str | None = None) -> AsyncGenerator[OrderEvent, None]:
        """The wanted events after the cursor, each once and in the log's order, and then those to come.

        Without a cursor: those after this moment. Raises `InvalidInput` for a cursor that is none, and
        `CursorExpired` for one that the log does not reach back to: as a rule before the first event, later where
        the log's beginning overtakes a reader that is far behind. `DatabaseUnavailable` ends it at any time.
        """
        if self.position is None:
            raise DatabaseUnavailable("the event log has not been read yet")
        mailbox = _Mailbox(wanted, since=self.position)
        self._readers.add(mailbox)
        try:
            if after is None:
                position = await event_log.last_position()
            else:
                position = event_log.position_of(after)
                await event_log.require_reachable(position)
            while True:
                while position < (up_to := mailbox.since):
                    events = await event_log.read(wanted, after=position, limit=PAGE, up_to=up_to)
                    await event_log.require_kept(position)
                    for event in events:
                        position = event.id
                        if wanted.matches(event):
                            yield event
                    if len(events) < PAGE:
                        position = up_to
                waiting = mailbox.take()
                if waiting is None:
                    await mailbox.wait()
                elif waiting.id > position:
                    position = waiting.id
                    yield waiting
        finally:
            self._readers.discard(mailbox)

    @contextlib.contextmanager
    def watching(self, wanted: EventFilter) -> Iterator[asyncio.Event]:
        """While the block runs, every wanted event sets the `asyncio.Event` that is given.

        So does one that is committed but not read by the feed yet: who clears it first and then looks at the
        database sees all that has set it before.
        """
        flag = _Flag(wanted)
        self._readers.add(flag)
        try:
            yield flag.raised
        finally:
            self._readers.discard(flag)
