"""Audiences: those who are told the same of the same events, and how each of them gets all of it, once and in order.

What is to be told of an event is worked out once for an audience, and that work never waits for one of its
subscribers. Each has a sink that takes an answer at once or is full. Then its answers wait; where too many do, and
where it begins with a cursor of the past, it reads the log for itself until it has caught up.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextvars import copy_context
from typing import Generic, Protocol, TypeVar

from api.lru import LRUCache
from domain.stream import event_log
from domain.stream.event_log import EventFilter
from domain.stream.feed import PAGE, Feed
from models import OrderEvent
from models.engine.errors import DatabaseUnavailable

BACKLOG = 1_000  # answers that wait for one subscriber before it is sent back to the log
READ_BACK = 50  # events that a subscriber reads from the log at a time, and holds while its sink is full
REMEMBERED = 500  # answers that those who read back at the same time share
MOST_WAITING = 2_000  # events whose answers are not worked out yet, before their subscribers are sent back to the log
TURN = 2_000  # answers that are handed out before something else of the process has a turn

_END = 2**63  # behind every place in the log

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

Answering = Callable[[list[OrderEvent]], Awaitable[Sequence[T]]]


class Sink(Protocol[T_contra]):
    """Where a subscriber's answers go. Once it is no longer full, it calls the subscriber's `flush`."""

    @property
    def full(self) -> bool:
        """Whether the next answer must wait."""

    def next(self, answer: T_contra) -> None:
        """Takes an answer. Must neither wait nor raise."""

    def end(self, error: Exception | None) -> None:
        """No answer follows: because of the error, or because all is said. Must not raise."""


class Teller(Generic[T]):
    """Tells audiences that are told the same of the same event: of each page of the feed in one go.

    `answers` gives what is to be told of some events, one for each; where it raises, that ends those who wait for them.
    A page takes one task, however many audiences it concerns: with one for each, an event that one socket of 500 is
    told of took a quarter more CPU time.
    """

    def __init__(self, answers: Answering[T]) -> None:
        self.answers = answers
        self._waiting: list[tuple[OrderEvent, list[Audience[T]]]] = []
        self._next: asyncio.Task[None] | None = None  # which has not begun
        self._last: asyncio.Task[None] | None = None
        self._context = copy_context()  # the work counts for the caller who was the first to ask for it

    def take(self, audience: "Audience[T]", event: OrderEvent) -> asyncio.Task[None]:
        """The same task for a whole page of the feed. If the one for the page before is not done, it waits for that."""
        if self._next is None:
            self._next = self._last = asyncio.create_task(self._tell(self._last), context=self._context)
        waiting = self._waiting
        if waiting and waiting[-1][0] is event:
            waiting[-1][1].append(audience)
        else:
            waiting.append((event, [audience]))
        return self._next

    async def _tell(self, before: asyncio.Task[None] | None) -> None:
        if before is not None and not before.done():
            await asyncio.wait((before,))
        waiting, self._waiting = self._waiting, []
        self._next = None
        if len(waiting) > MOST_WAITING:
            self._end(waiting, DatabaseUnavailable("answers to events take longer than there is time between them"))
            return
        for start in range(0, len(waiting), PAGE):
            await self._tell_page(waiting[start : start + PAGE])

    def _end(self, waiting: Sequence[tuple[OrderEvent, "list[Audience[T]]"]], error: Exception) -> None:
        for audience in {audience for _, audiences in waiting for audience in audiences}:
            audience.end(error)

    async def _tell_page(self, waiting: Sequence[tuple[OrderEvent, "list[Audience[T]]"]]) -> None:
        try:
            answers = await self.answers([event for event, _ in waiting])
        except Exception as error:
            self._end(waiting, error)
            return
        since_pause = 0
        for (event, audiences), answer in zip(waiting, answers, strict=True):
            place = event.id
            for audience in audiences:
                for subscriber in audience.to_be_told(place, answer):
                    if since_pause == TURN:
                        since_pause = 0
                        await asyncio.sleep(0)
                    since_pause += 1
                    subscriber.tell(place, answer)


class Audience(Generic[T]):
    """A reader of the feed for as long as it has a subscriber."""

    def __init__(self, feed: Feed, wanted: EventFilter, teller: Teller[T]) -> None:
        self.wanted = wanted
        self._feed = feed
        self._teller = teller
        self._subscribers: dict[Subscriber[T], None] = {}
        self._behind = 0  # how many read back
        self._remembered: LRUCache[int, T] = LRUCache(REMEMBERED)  # only while a subscriber reads back
        self._reading_back = asyncio.Lock()
        self._working: set[asyncio.Task[list[T]]] = set()

    @property
    def position(self) -> int:
        """Whoever joins reads what is wanted up to this place from the log, also what the others are yet to be told."""
        assert self._feed.position is not None
        return self._feed.position

    def add(self, subscriber: "Subscriber[T]") -> None:
        if not self._subscribers:
            self._feed.add(self)
        self._subscribers[subscriber] = None

    def remove(self, subscriber: "Subscriber[T]") -> None:
        self._subscribers.pop(subscriber, None)
        if not self._subscribers:
            self._feed.remove(self)

    def take(self, event: OrderEvent) -> asyncio.Future[None]:
        return self._teller.take(self, event)

    def to_be_told(self, place: int, answer: T) -> "list[Subscriber[T]]":
        """Who is to be told what is said of the event at this place."""
        self._remember(place, answer)
        return list(self._subscribers)

    def end(self, error: Exception) -> None:
        """It cannot be told what there was."""
        for subscriber in list(self._subscribers):
            subscriber.end(error)

    async def answers_to(self, events: Sequence[OrderEvent]) -> list[T]:
        """The same for all who read back: after an interruption, many come again at once, with the same gap.

        The work goes on where who waits for it is cancelled: others may wait for it, or for what it loads.
        """
        working = asyncio.create_task(self._answer_once(events))
        self._working.add(working)
        working.add_done_callback(self._working.discard)
        return await asyncio.shield(working)

    async def _answer_once(self, events: Sequence[OrderEvent]) -> list[T]:
        async with self._reading_back:
            remembered = ((event.id, self._remembered.get(event.id)) for event in events)
            known = {place: answer for place, answer in remembered if answer is not None}
            missing = [event for event in events if event.id not in known]
            for event, answer in zip(missing, await self._teller.answers(missing), strict=True):
                known[event.id] = answer
                self._remember(event.id, answer)
        return [known[event.id] for event in events]

    def _remember(self, place: int, answer: T) -> None:
        if self._behind:
            self._remembered.put(place, answer)

    def reads_back(self, task: asyncio.Task[None]) -> None:
        """A subscriber does, until the task is over."""
        self._behind += 1
        task.add_done_callback(self._has_caught_up)

    def _has_caught_up(self, task: asyncio.Task[None]) -> None:
        self._behind -= 1
        if not self._behind:
            self._remembered.clear()


class Subscriber(Generic[T]):
    """One of an audience. Its sink has been given all that is wanted up to `_position`.

    What lies between there and `_since` must be read from the log; what comes after `_since` waits in the backlog.
    """

    __slots__ = (
        *("__weakref__", "_audience", "_backlog", "_context"),
        *("_position", "_reading_back", "_room", "_since", "_sink"),
    )

    def __init__(self, audience: Audience[T], sink: Sink[T], position: int) -> None:
        self._audience = audience
        self._context = copy_context()  # what it reads from the log counts for the caller who subscribes
        self._sink = sink
        self._position = position
        self._since = audience.position
        self._backlog: deque[tuple[int, T]] | None = None
        self._reading_back: asyncio.Task[None] | None = None
        self._room: asyncio.Event | None = None
        audience.add(self)
        if self._position < self._since:
            self._read_back()

    def close(self) -> None:
        """It is told nothing more."""
        self._audience.remove(self)
        self._position = _END
        self._backlog = None
        if self._reading_back is not None:
            self._reading_back.cancel()

    def end(self, error: Exception) -> None:
        """Its audience cannot go on."""
        self._sink.end(error)

    def tell(self, place: int, answer: T) -> None:
        """What its audience is told of the event at this place."""
        if place <= self._position:
            return  # it began with a cursor that the feed had not reached yet
        if self._backlog is None and self._reading_back is None and not self._sink.full:
            self._position = place
            self._sink.next(answer)
            return
        if self._backlog is None:
            self._backlog = deque()
        if len(self._backlog) < BACKLOG:
            self._backlog.append((place, answer))
        else:
            self._backlog.clear()
            self._since = place

    def flush(self) -> None:
        """The sink has room again."""
        if self._room is not None:
            self._room.set()
        if self._reading_back is not None or self._sink.full:
            return
        if self._position < self._since:
            self._read_back()
        elif self._backlog is not None:
            self._flush(self._backlog)

    def _flush(self, backlog: deque[tuple[int, T]]) -> None:
        while backlog and not self._sink.full:
            place, answer = backlog.popleft()
            if place > self._position:
                self._position = place
                self._sink.next(answer)
        if not backlog:
            self._backlog = None

    def _read_back(self) -> None:
        self._reading_back = asyncio.create_task(self._catch_up(), context=self._context)
        self._audience.reads_back(self._reading_back)

    async def _catch_up(self) -> None:
        try:
            while True:
                while self._position < self._since:
                    await self._read_page(self._since)
                if self._backlog is not None:
                    self._flush(self._backlog)
                if self._backlog is None:
                    break
                await self._wait_for_room()
        except Exception as error:
            self._sink.end(error)
        self._reading_back = self._room = None

    async def _read_page(self, up_to: int) -> None:
        wanted = self._audience.wanted
        events = await event_log.read(wanted, after=self._position, limit=READ_BACK, up_to=up_to)
        await event_log.require_kept(self._position)
        meant = [event for event in events if wanted.matches(event)]
        answers = await self._audience.answers_to(meant) if meant else []
        for event, answer in zip(meant, answers, strict=True):
            await self._wait_for_room()
            self._position = event.id
            self._sink.next(answer)
        self._position = events[-1].id if len(events) == READ_BACK else up_to

    async def _wait_for_room(self) -> None:
        while self._sink.full:
            self._room = asyncio.Event()
            await self._room.wait()


async def subscribe(audience: Audience[T], feed: Feed, sink: Sink[T], after: str | None) -> Subscriber[T]:
    """To what comes after the cursor, or after this moment.

    Raises `InvalidInput` for a cursor that is none, `CursorExpired` for one that the log does not reach back to
    (where its beginning overtakes a subscriber that is far behind, the sink is told later), and `DatabaseUnavailable`.
    """
    if feed.position is None:
        raise DatabaseUnavailable("the event log has not been read yet")
    if after is None:
        position = await event_log.last_position()
    else:
        position = event_log.position_of(after)
        await event_log.require_reachable(position)
    return Subscriber(audience, sink, position)


class Slot(Generic[T]):
    """A sink with room for one answer, for who fetches them one by one."""

    def __init__(self) -> None:
        self._answers: deque[T] = deque()
        self._ended = False
        self._error: Exception | None = None
        self._changed = asyncio.Event()

    @property
    def full(self) -> bool:
        return bool(self._answers)

    def next(self, answer: T) -> None:
        self._answers.append(answer)
        self._changed.set()

    def end(self, error: Exception | None) -> None:
        self._ended, self._error = True, error
        self._changed.set()

    async def fetch(self) -> T | None:
        """The next answer, for which there is room again; `None` once all is said. Raises what stands in the way."""
        while not self._answers:
            if self._error is not None:
                raise self._error
            if self._ended:
                return None
            self._changed.clear()
            await self._changed.wait()
        return self._answers.popleft()


async def follow(audience: Audience[T], feed: Feed, after: str | None = None) -> AsyncGenerator[T, None]:
    """The answers one by one, each when it is asked for. Raises as `subscribe` does, at any time."""
    slot: Slot[T] = Slot()
    subscriber = await subscribe(audience, feed, slot, after)
    try:
        while (answer := await slot.fetch()) is not None:
            yield answer
            subscriber.flush()
    finally:
        subscriber.close()


def events_of(feed: Feed, wanted: EventFilter, after: str | None = None) -> AsyncGenerator[OrderEvent, None]:
    """The events themselves, for one who follows alone."""
    return follow(Audience(feed, wanted, Teller(_themselves)), feed, after)


async def _themselves(events: list[OrderEvent]) -> Sequence[OrderEvent]:
    return events
