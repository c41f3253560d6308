"""The live feed: the process's one reader of the event log, and those who wait for what it reads."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Protocol

from domain import event_log
from domain.bell import Bell
from domain.event_log import EventFilter
from models import OrderEvent

log = logging.getLogger(__name__)

PAGE = 500  # events read from the log at a time
MAILBOX = 1_000  # events that wait for one subscriber before it is sent back to the log


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
    """Follows the log for as long as `running` lasts: woken by the bell, and once every `poll_seconds` anyway."""

    def __init__(self, bell: Bell, poll_seconds: float) -> None:
        self._bell = bell
        self._poll_seconds = poll_seconds
        self._position = 0
        self._readers: set[_Reader] = set()
        self._rung = asyncio.Event()

    @property
    def readers(self) -> int:
        """How many follow or watch the feed now."""
        return len(self._readers)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self._position = await event_log.last_position()
        async with self._bell.connected() as rings:
            tasks = [asyncio.create_task(self._listen(rings)), asyncio.create_task(self._follow_log())]
            for task in tasks:
                task.add_done_callback(_report_end)
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen(self, rings: AsyncIterator[None]) -> None:
        async for _ in rings:
            self._rung.set()

    async def _follow_log(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._poll_seconds):
                    await self._rung.wait()
            self._rung.clear()
            try:
                while await self._deliver_page() == PAGE:
                    pass
            except Exception:
                log.exception("the event log could not be read; trying again in a moment")
                await asyncio.sleep(self._poll_seconds)
                self._rung.set()

    async def _deliver_page(self) -> int:
        events = await event_log.read(None, after=self._position, limit=PAGE)
        for event in events:
            for reader in self._readers:
                reader.put(event)
            self._position = event.id
        return len(events)

    async def follow(self, wanted: EventFilter, after: str | None = None) -> AsyncGenerator[OrderEvent, None]:
        """The wanted events after the cursor, each once and in the log's order, and then those to come.

        Without a cursor: those after this moment. Raises `InvalidInput` for a cursor that is none, and
        `CursorExpired` for one that the log does not reach back to: as a rule before the first event, later where
        the log's beginning overtakes a reader that is far behind.
        """
        mailbox = _Mailbox(wanted, since=self._position)
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


def _report_end(task: asyncio.Task[None]) -> None:
    """The feed's tasks run until they are cancelled: any other end would leave subscribers waiting without a word."""
    if not task.cancelled():
        log.critical("a task of the live feed has ended", exc_info=task.exception())
