"""Groups of subscriptions that get the same answers to the same events, and how each of them gets all answers in order.

The answer to an event is computed once for a group, and that work never waits for one of its subscriptions. Each
subscription has an outbox, which takes an answer at once or is full. If it is full, answers wait in a backlog. If too
many wait, or if the subscription begins with a cursor of the past, it reads the log on its own until it has caught up.

docs/architecture.md defines the words; docs/decisions/0006-groups-of-subscribers.md has the figures.
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

BACKLOG = 1_000  # answers that wait for one subscription before it is sent back to the log
READ_BACK = 50  # events that a subscription reads from the log at a time, and holds while its outbox is full
REMEMBERED = 500  # answers that subscriptions share that catch up at the same time
MOST_WAITING = 2_000  # events without an answer yet, before their subscriptions end and have to resume
TURN = 2_000  # answers that are delivered before other tasks of the process get a turn

_END = 2**63  # behind every position in the log

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

Answering = Callable[[list[OrderEvent]], Awaitable[Sequence[T]]]


class Outbox(Protocol[T_contra]):
    """Where a subscription's answers go. When it has room again, its owner calls the subscription's `flush`."""

    @property
    def full(self) -> bool:
        """Whether the next answer must wait."""

    def send(self, answer: T_contra) -> None:
        """Take an answer. Must neither wait nor raise."""

    def end(self, error: Exception | None) -> None:
        """End the subscription, because of the error or because there are no more answers. Must not raise."""


class Dispatcher(Generic[T]):
    """Computes the answers to each page of the feed once, and delivers them to all groups that share them.

    `answers` returns one answer for each event. If it raises, the subscriptions that wait for these answers end.

    All groups share one task for each page. One task for each group costs more: see the decision on groups.
    """

    def __init__(self, answers: Answering[T]) -> None:
        self.answers = answers
        self._waiting: list[tuple[OrderEvent, list[Group[T]]]] = []
        self._next: asyncio.Task[None] | None = None  # which has not begun
        self._last: asyncio.Task[None] | None = None
        self._context = copy_context()  # the work counts for the caller who was the first to ask for it

    def add(self, group: "Group[T]", event: OrderEvent) -> asyncio.Task[None]:
        """Have the event answered for the group. Return the task that does it, the same one for a page of the feed."""
        if self._next is None:
            self._next = self._last = asyncio.create_task(self._run(self._last), context=self._context)
        waiting = self._waiting
        if waiting and waiting[-1][0] is event:
            waiting[-1][1].append(group)
        else:
            waiting.append((event, [group]))
        return self._next

    async def _run(self, before: asyncio.Task[None] | None) -> None:
        """Deliver what waits, once the task for the page before is done."""
        if before is not None and not before.done():
            await asyncio.wait((before,))
        waiting, self._waiting = self._waiting, []
        self._next = None
        if len(waiting) > MOST_WAITING:
            self._end(waiting, DatabaseUnavailable("answers to events take longer than there is time between them"))
            return
        for start in range(0, len(waiting), PAGE):
            await self._deliver_page(waiting[start : start + PAGE])

    def _end(self, waiting: Sequence[tuple[OrderEvent, "list[Group[T]]"]], error: Exception) -> None:
        for group in {group for _, groups in waiting for group in groups}:
            group.end(error)

    async def _deliver_page(self, waiting: Sequence[tuple[OrderEvent, "list[Group[T]]"]]) -> None:
        try:
            answers = await self.answers([event for event, _ in waiting])
        except Exception as error:
            self._end(waiting, error)
            return
        since_pause = 0
        for (event, groups), answer in zip(waiting, answers, strict=True):
            position = event.id
            for group in groups:
                group.remember(position, answer)
                for subscription in group.subscriptions():
                    if since_pause == TURN:
                        since_pause = 0
                        await asyncio.sleep(0)
                    since_pause += 1
                    subscription.deliver(position, answer)


class Group(Generic[T]):
    """The subscriptions that get the same answers to the same events: a subscriber of the feed while there is one."""

    def __init__(self, feed: Feed, wanted: EventFilter, dispatcher: Dispatcher[T]) -> None:
        self.wanted = wanted
        self._feed = feed
        self._dispatcher = dispatcher
        self._subscriptions: dict[EventSubscription[T], None] = {}
        self._catching_up = 0  # how many subscriptions read the log on their own
        self._remembered: LRUCache[int, T] = LRUCache(REMEMBERED)  # only while a subscription catches up
        self._answering = asyncio.Lock()
        self._working: set[asyncio.Task[list[T]]] = set()

    @property
    def position(self) -> int:
        """The feed's position. A new subscription reads the log up to here, also what the others have yet to get."""
        assert self._feed.position is not None
        return self._feed.position

    def subscriptions(self) -> "list[EventSubscription[T]]":
        """Return those that there are now."""
        return list(self._subscriptions)

    def add(self, subscription: "EventSubscription[T]") -> None:
        if not self._subscriptions:
            self._feed.add(self)
        self._subscriptions[subscription] = None

    def remove(self, subscription: "EventSubscription[T]") -> None:
        self._subscriptions.pop(subscription, None)
        if not self._subscriptions:
            self._feed.remove(self)

    def receive(self, event: OrderEvent) -> asyncio.Future[None]:
        return self._dispatcher.add(self, event)

    def remember(self, position: int, answer: T) -> None:
        """Keep the answer for subscriptions that catch up, if there are any."""
        if self._catching_up:
            self._remembered.put(position, answer)

    def end(self, error: Exception) -> None:
        """End every subscription with this error, so that clients resume from their last cursor."""
        self._remembered.clear()  # other events may have the same ids from now on
        for subscription in list(self._subscriptions):
            subscription.end(error)

    async def answers_to(self, events: Sequence[OrderEvent]) -> list[T]:
        """Return the answers, computed once for all subscriptions that catch up.

        After an interruption, many come back at once with the same gap. The work goes on if the caller is cancelled,
        because others may wait for it or for what it loads.
        """
        working = asyncio.create_task(self._answer_once(events))
        self._working.add(working)
        working.add_done_callback(self._working.discard)
        return await asyncio.shield(working)

    async def _answer_once(self, events: Sequence[OrderEvent]) -> list[T]:
        async with self._answering:
            remembered = ((event.id, self._remembered.get(event.id)) for event in events)
            known = {position: answer for position, answer in remembered if answer is not None}
            missing = [event for event in events if event.id not in known]
            for event, answer in zip(missing, await self._dispatcher.answers(missing), strict=True):
                known[event.id] = answer
                self.remember(event.id, answer)
        return [known[event.id] for event in events]

    def catch_up(self, task: asyncio.Task[None]) -> None:
        """Count a subscription as catching up until the task is done."""
        self._catching_up += 1
        task.add_done_callback(self._has_caught_up)

    def _has_caught_up(self, task: asyncio.Task[None]) -> None:
        self._catching_up -= 1
        if not self._catching_up:
            self._remembered.clear()


class EventSubscription(Generic[T]):
    """One client's subscription to events. Its outbox has got every answer up to `_position`.

    Answers between `_position` and `_since` must be read from the log. Answers after `_since` wait in the backlog.
    """

    __slots__ = (
        *("__weakref__", "_backlog", "_catching_up", "_context"),
        *("_group", "_outbox", "_position", "_room", "_since"),
    )

    def __init__(self, group: Group[T], outbox: Outbox[T], position: int) -> None:
        self._group = group
        self._context = copy_context()  # what it reads from the log counts for the caller who subscribes
        self._outbox = outbox
        self._position = position
        self._since = group.position
        self._backlog: deque[tuple[int, T]] | None = None
        self._catching_up: asyncio.Task[None] | None = None
        self._room: asyncio.Event | None = None
        group.add(self)
        if self._position < self._since:
            self._begin_to_catch_up()

    def close(self) -> None:
        """Send nothing more."""
        self._group.remove(self)
        self._position = _END
        self._backlog = None
        if self._catching_up is not None:
            self._catching_up.cancel()

    def end(self, error: Exception) -> None:
        """End with this error. Send nothing later: the client resumes from its last cursor."""
        self.close()
        self._outbox.end(error)

    def deliver(self, position: int, answer: T) -> None:
        """Send the answer to the event at this position, or keep it until the outbox has room."""
        if position <= self._position:
            return  # it began with a cursor that the feed had not reached yet
        if self._backlog is None and self._catching_up is None and not self._outbox.full:
            self._position = position
            self._outbox.send(answer)
            return
        if self._backlog is None:
            self._backlog = deque()
        if len(self._backlog) < BACKLOG:
            self._backlog.append((position, answer))
        else:
            self._backlog.clear()
            self._since = position

    def flush(self) -> None:
        """Go on: the outbox has room again."""
        if self._room is not None:
            self._room.set()
        if self._catching_up is not None or self._outbox.full:
            return
        if self._position < self._since:
            self._begin_to_catch_up()
        elif self._backlog is not None:
            self._flush(self._backlog)

    def _flush(self, backlog: deque[tuple[int, T]]) -> None:
        while backlog and not self._outbox.full:
            position, answer = backlog.popleft()
            if position > self._position:
                self._position = position
                self._outbox.send(answer)
        if not backlog:
            self._backlog = None

    def _begin_to_catch_up(self) -> None:
        self._catching_up = asyncio.create_task(self._catch_up(), context=self._context)
        self._group.catch_up(self._catching_up)

    async def _catch_up(self) -> None:
        try:
            while True:
                while self._position < self._since:
                    await self._send_page(self._since)
                if self._backlog is not None:
                    self._flush(self._backlog)
                if self._backlog is None:
                    break
                await self._wait_for_room()
        except Exception as error:
            self._catching_up = None
            self.end(error)
        self._catching_up = self._room = None

    async def _send_page(self, up_to: int) -> None:
        wanted = self._group.wanted
        events = await event_log.read(wanted, after=self._position, limit=READ_BACK, up_to=up_to)
        await event_log.require_kept(self._position)
        meant = [event for event in events if wanted.matches(event)]
        answers = await self._group.answers_to(meant) if meant else []
        for event, answer in zip(meant, answers, strict=True):
            await self._wait_for_room()
            self._position = event.id
            self._outbox.send(answer)
        self._position = events[-1].id if len(events) == READ_BACK else up_to

    async def _wait_for_room(self) -> None:
        while self._outbox.full:
            self._room = asyncio.Event()
            await self._room.wait()


async def subscribe(group: Group[T], feed: Feed, outbox: Outbox[T], after: str | None) -> EventSubscription[T]:
    """Subscribe to what comes after the cursor, or after this moment.

    Raise `InvalidInput` for a cursor that is none, `CursorExpired` for one that the log does not reach back to, and
    `DatabaseUnavailable`. If the log's beginning overtakes a subscription that is far behind, its outbox ends later.
    """
    if feed.position is None:
        raise DatabaseUnavailable("the event log has not been read yet")
    place = await event_log.find_place(event_log.NOW if after is None else after)
    return EventSubscription(group, outbox, place.position)


class FetchedOutbox(Generic[T]):
    """An outbox with room for one answer, for a client that fetches answers one by one."""

    def __init__(self) -> None:
        self._answers: deque[T] = deque()
        self._ended = False
        self._error: Exception | None = None
        self._changed = asyncio.Event()

    @property
    def full(self) -> bool:
        return bool(self._answers)

    def send(self, answer: T) -> None:
        self._answers.append(answer)
        self._changed.set()

    def end(self, error: Exception | None) -> None:
        self._ended, self._error = True, error
        self._changed.set()

    async def fetch(self) -> T | None:
        """Wait for the next answer and take it out. Return None at the end, or raise the error that ended it."""
        while not self._answers:
            if self._error is not None:
                raise self._error
            if self._ended:
                return None
            self._changed.clear()
            await self._changed.wait()
        return self._answers.popleft()


async def follow(group: Group[T], feed: Feed, after: str | None = None) -> AsyncGenerator[T, None]:
    """Yield the answers one by one as they are asked for. Raise at any time what `subscribe` raises."""
    outbox: FetchedOutbox[T] = FetchedOutbox()
    subscription = await subscribe(group, feed, outbox, after)
    try:
        while (answer := await outbox.fetch()) is not None:
            yield answer
            subscription.flush()
    finally:
        subscription.close()


def events_of(feed: Feed, wanted: EventFilter, after: str | None = None) -> AsyncGenerator[OrderEvent, None]:
    """Yield the events themselves, to a group of one."""
    return follow(Group(feed, wanted, Dispatcher(_themselves)), feed, after)


async def _themselves(events: list[OrderEvent]) -> Sequence[OrderEvent]:
    return events
