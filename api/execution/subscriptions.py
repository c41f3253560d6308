"""Subscriptions. Those that ask the same with the same rights are one: each answer is worked out and encoded once.

The same means: the same operation, the same events, and the same variables as far as they shape the answer. With the
same rights means: the same scopes and channels, whoever has them; the work is done for nobody in particular
(`Context.nameless`), so that nothing of one caller can reach another.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Hashable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar
from weakref import WeakValueDictionary

import orjson
from graphql import GraphQLError, OperationType, VariableValues

from api.callers.open_counts import OpenCounts, TooManyOpen
from api.execution.audiences import Audience, Sink, Slot, Teller, events_of, subscribe
from api.execution.context import Context
from api.execution.execution import (
    ANY,
    SUCCESS,
    Answer,
    OperationNotAllowed,
    answers_of,
    not_executed,
    prepare,
    refusal,
    run,
    source_of,
    understand,
)
from api.execution.loaders import Loaders
from api.execution.operations import Operation, Operations
from api.execution.requests import Request
from api.metrics import Metrics
from domain.stream.event_log import EventFilter
from domain.stream.feed import Feed
from models import OrderEvent
from models.engine.errors import DatabaseUnavailable

FRESH_SECONDS: Final = 0.05  # for which what was loaded for one answer is good for others of the same moment
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EventSource(Generic[T]):
    """What a subscription to events resolves to: which ones, after which cursor, and as what each is shown."""

    feed: Feed
    wanted: EventFilter
    after: str | None
    shown_as: Callable[[OrderEvent], T]

    async def __aiter__(self) -> AsyncIterator[T]:
        async with aclosing(events_of(self.feed, self.wanted, self.after)) as events:
            async for event in events:
                yield self.shown_as(event)


class Subscription(Protocol):
    """One caller's."""

    def flush(self) -> None:
        """Its sink is no longer full."""

    def close(self) -> None:
        """Nothing more is told."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A subscription as a caller has asked for it. The variables are coerced once, not for each event."""

    operation: Operation
    request: Request
    variables: VariableValues
    context: Context

    async def answers(self, root_values: list[Any], loaders: Loaders) -> list[Answer]:
        """Return what is sent for each of the events.

        Raise `DatabaseUnavailable` if one of them cannot be worked out. Clients must not be sent that as an answer:
        they would take it for the event, and resume after it.
        """
        context = self.context.with_loaders(loaders)
        context.budget = context.budget.times(len(root_values))
        answers = await answers_of(self.operation, self.variables, context, root_values)
        if any(answer.unavailable for answer in answers):
            raise DatabaseUnavailable("an answer could not be worked out")
        if context.budget.is_long:
            for answer in answers:
                await answer.encode_in_turns()
        return answers


class _Moment:
    """What is loaded for all audiences at a moment, which begins when the feed has reached a position."""

    def __init__(self, position: int | None = None, since: float = 0.0) -> None:
        self.position = position
        self.since = since
        self.loaders = Loaders()


class Live:
    """The subscriptions of a process."""

    def __init__(self, feed: Feed, operations: Operations, metrics: Metrics, open_counts: OpenCounts) -> None:
        self._open_counts = open_counts
        self._callers: dict[Subscription, str] = {}
        self._feed = feed
        self._operations = operations
        self._metrics = metrics
        self.delivered = metrics.delivered  # to be called when an answer of a subscription is on its way
        self._audiences: WeakValueDictionary[Hashable, Audience[Answer]] = WeakValueDictionary()
        self._tellers: WeakValueDictionary[Hashable, Teller[Answer]] = WeakValueDictionary()
        self._shows: WeakValueDictionary[Hashable, _Show] = WeakValueDictionary()
        self._moment = _Moment()

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._callers)

    async def subscribe(
        self, operation: Operation, request: Request, context: Context, sink: Sink[Answer]
    ) -> Subscription | Answer:
        """The answers go to the sink, until `unsubscribe` is called. An answer where nothing can be followed."""
        subscription = await self._subscribe_if_allowed(operation, request, context, sink)
        if isinstance(subscription, Answer):
            self._metrics.operation(context.operation_kind, subscription.outcome)
        else:
            self._callers[subscription] = context.caller
            self._metrics.subscriptions(1)
        return subscription

    def unsubscribe(self, subscription: Subscription, outcome: str) -> None:
        """`outcome` is that of its last answer."""
        subscription.close()
        self._open_counts.remove_subscription(self._callers.pop(subscription))
        self._metrics.subscriptions(-1)
        self._metrics.operation(OperationType.SUBSCRIPTION.value, outcome)

    async def _subscribe_if_allowed(
        self, operation: Operation, request: Request, context: Context, sink: Sink[Answer]
    ) -> Subscription | Answer:
        """A subscription is counted with the caller's before it is begun: many may be at the same time."""
        try:
            self._open_counts.add_subscription(context.caller)
        except TooManyOpen as error:
            return failure(error)
        subscription: Subscription | Answer | None = None
        try:
            subscription = await self._subscribe(operation, request, context.nameless(), sink)
        finally:
            if subscription is None or isinstance(subscription, Answer):
                self._open_counts.remove_subscription(context.caller)
        return subscription

    async def _subscribe(
        self, operation: Operation, request: Request, context: Context, sink: Sink[Answer]
    ) -> Subscription | Answer:
        try:
            variables = operation.variables(request.variables, hide_suggestions=not context.introspection)
        except GraphQLError as error:
            return not_executed([error])
        source = await source_of(prepare(operation, variables, context))
        if isinstance(source, Answer):
            return source
        asked = _Asked(operation, request, variables, context)
        if not isinstance(source, EventSource):
            return await self._look_on(asked, source, sink)
        try:
            audience = self._audience(asked, source)
            return await subscribe(audience, self._feed, sink, source.after)
        except Exception as error:
            return failure(error)

    def _audience(self, asked: "_Asked", source: EventSource[Any]) -> Audience[Answer]:
        given = asked.request.variables or {}
        shaping = {name: given[name] for name in asked.operation.shaping_variables if name in given}
        shape = (asked.operation, asked.context.rights, source.shown_as, _as_key(shaping))
        audience = self._audiences.get((shape, source.wanted))
        if audience is None:
            teller = self._teller(shape, asked, source)
            audience = self._audiences[shape, source.wanted] = Audience(self._feed, source.wanted, teller)
        return audience

    def _teller(self, shape: Hashable, asked: "_Asked", source: EventSource[Any]) -> Teller[Answer]:
        """One for all audiences of this shape: they differ in which events they want."""
        teller = self._tellers.get(shape)
        if teller is None:

            async def work_out(events: list[OrderEvent]) -> list[Answer]:
                try:
                    return await asked.answers(list(map(source.shown_as, events)), self._now().loaders)
                except DatabaseUnavailable:
                    self._moment = _Moment()  # this one would give the same error to who tries again
                    raise

            teller = self._tellers[shape] = Teller(work_out)
        return teller

    def _now(self) -> "_Moment":
        """For as long as the feed has not read on, nothing that is loaded can be older than an event that is told."""
        now = time.monotonic()
        if self._moment.position != self._feed.position or now - self._moment.since > FRESH_SECONDS:
            self._moment = _Moment(self._feed.position, now)
        return self._moment

    async def _look_on(self, asked: "_Asked", source: AsyncGenerator[Any, None], sink: Sink[Answer]) -> Subscription:
        key = (asked.operation, asked.context.rights, _as_key(asked.request.variables or {}))
        show = self._shows.get(key)
        if show is None or show.over:
            show = self._shows[key] = _Show(_answers(asked, source))
        else:
            await source.aclose()  # it has not begun
        return _Onlooker(show, sink)

    async def stream(
        self, request: Request, context: Context, allowed: frozenset[OperationType] = ANY
    ) -> AsyncGenerator[Answer, None]:
        """Run any operation: as many answers as it has. One that was not executed is the last one."""
        try:
            operation = await understand(self._operations, request, context, allowed)
        except OperationNotAllowed as error:
            yield refusal(str(error))
            return
        if isinstance(operation, Answer):
            yield operation
            return
        if operation.kind is not OperationType.SUBSCRIPTION:
            yield await run(operation, request, context)
            return
        slot: Slot[Answer] = Slot()
        subscription = await self.subscribe(operation, request, context, slot)
        if isinstance(subscription, Answer):
            yield subscription
            return
        outcome = SUCCESS
        try:
            while (answer := await slot.fetch()) is not None:
                outcome = answer.outcome
                yield answer
                self.delivered()
                subscription.flush()
        except Exception as error:
            answer = failure(error)
            outcome = answer.outcome
            yield answer
        finally:
            self.unsubscribe(subscription, outcome)


class _Show:
    """A state that is told whenever it changes, to all who look on; who comes later begins with the latest."""

    def __init__(self, answers: AsyncGenerator[Answer, None]) -> None:
        self.latest: Answer | None = None
        self.over = False
        self._onlookers: dict[_Onlooker, None] = {}
        self._running = asyncio.create_task(self._run(answers))

    async def _run(self, answers: AsyncGenerator[Answer, None]) -> None:
        end: Exception | None = None
        try:
            async with aclosing(answers):
                async for self.latest in answers:
                    for onlooker in list(self._onlookers):
                        onlooker.tell()
        except Exception as error:
            end = error
        self.over = True
        for onlooker in list(self._onlookers):
            onlooker.end(end)

    def add(self, onlooker: "_Onlooker") -> None:
        self._onlookers[onlooker] = None

    def remove(self, onlooker: "_Onlooker") -> None:
        self._onlookers.pop(onlooker, None)
        if not self._onlookers:
            self.over = True
            self._running.cancel()


class _Onlooker:
    """While its sink is full, what changes is passed over: the state of then will be told, not those before it."""

    __slots__ = ("_show", "_sink", "_told")

    def __init__(self, show: _Show, sink: Sink[Answer]) -> None:
        self._show = show
        self._sink = sink
        self._told: Answer | None = None
        show.add(self)
        self.tell()

    def tell(self) -> None:
        latest = self._show.latest
        if latest is not None and latest is not self._told and not self._sink.full:
            self._told = latest
            self._sink.next(latest)

    def flush(self) -> None:
        self.tell()

    def end(self, error: Exception | None) -> None:
        self._sink.end(error)

    def close(self) -> None:
        self._show.remove(self)


async def _answers(asked: _Asked, source: AsyncGenerator[Any, None]) -> AsyncGenerator[Answer, None]:
    async with aclosing(source):
        async for state in source:
            [answer] = await asked.answers([state], Loaders())
            yield answer


def failure(error: Exception) -> Answer:
    """What is answered where a subscription cannot be begun, or not go on."""
    return not_executed([GraphQLError(str(error), original_error=error)])


def _as_key(variables: dict[str, Any]) -> Hashable:
    """Equal for equal variables. What cannot be written down is equal to nothing else."""
    try:
        return orjson.dumps(variables, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return object()
