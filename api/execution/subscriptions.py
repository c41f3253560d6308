"""Subscriptions. Those that ask the same with the same rights share each answer, which is computed and encoded once.

They ask the same if operation, events, and the variables that shape the answer are equal. They have the same rights if
scopes and channels are equal, whoever the callers are. The answer is computed for a caller without a name
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
from api.execution.answers import SUCCESS, Answer, not_executed, refusal
from api.execution.context import Context
from api.execution.execution import ANY, OperationNotAllowed, answers_of, run, understand
from api.execution.executor import prepare, source_of
from api.execution.groups import Dispatcher, FetchedOutbox, Group, Outbox, events_of, subscribe
from api.execution.loaders import Loaders
from api.execution.operations import Operation, Operations
from api.execution.requests import Request
from api.metrics import Metrics
from domain.stream.event_log import EventFilter, cursor_of
from domain.stream.feed import Feed
from models import OrderEvent
from models.engine.errors import DatabaseUnavailable

FRESH_SECONDS: Final = 0.05  # for which rows loaded for one answer are good for others of the same moment
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EventSource(Generic[T]):
    """What a subscription to events resolves to: a filter, a cursor, and the GraphQL object that shows an event."""

    feed: Feed
    wanted: EventFilter
    after: str | None
    shown_as: Callable[[OrderEvent], T]

    async def __aiter__(self) -> AsyncIterator[T]:
        async with aclosing(events_of(self.feed, self.wanted, self.after)) as events:
            async for event in events:
                yield self.shown_as(event)


class Subscription(Protocol):
    """A subscription of one client, which sends its answers to an outbox."""

    def flush(self) -> None:
        """Go on: the outbox has room again."""

    def close(self) -> None:
        """Send nothing more."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A subscription as a client has asked for it. The variables are coerced once, not for each event."""

    operation: Operation
    request: Request
    variables: VariableValues
    context: Context

    async def answers(self, root_values: list[Any], loaders: Loaders) -> list[Answer]:
        """Return what is sent for each of the events.

        Raise `DatabaseUnavailable` if one of them cannot be worked out. Clients must not be sent that as an answer:
        they would take it for the event, and resume after it.
        """
        answers = await answers_of(self.operation, self.variables, self.context.with_loaders(loaders), root_values)
        if any(answer.unavailable for answer in answers):
            raise DatabaseUnavailable("an answer could not be worked out")
        return answers


class _Moment:
    """The rows loaded for all groups at one moment. A moment begins when the feed reaches a position."""

    def __init__(self, position: int | None = None, since: float = 0.0) -> None:
        self.position = position
        self.since = since
        self.loaders = Loaders()


class Subscriptions:
    """All subscriptions of the process."""

    def __init__(self, feed: Feed, operations: Operations, metrics: Metrics, open_counts: OpenCounts) -> None:
        self._open_counts = open_counts
        self._callers: dict[Subscription, str] = {}
        self._feed = feed
        self._operations = operations
        self._metrics = metrics
        self.count_delivery = metrics.count_delivery  # call it when an answer of a subscription is on its way
        self._groups: WeakValueDictionary[Hashable, Group[Answer]] = WeakValueDictionary()
        self._dispatchers: WeakValueDictionary[Hashable, Dispatcher[Answer]] = WeakValueDictionary()
        self._states: WeakValueDictionary[Hashable, _SharedState] = WeakValueDictionary()
        self._moment = _Moment()

    @property
    def count(self) -> int:
        return len(self._callers)

    async def subscribe(
        self, operation: Operation, request: Request, context: Context, outbox: Outbox[Answer]
    ) -> Subscription | Answer:
        """Send the answers to the outbox until `unsubscribe` is called. Return an answer if this cannot begin."""
        subscription = await self._subscribe_if_allowed(operation, request, context, outbox)
        if isinstance(subscription, Answer):
            self._metrics.count_operation(context.operation_kind, subscription.outcome)
        else:
            self._callers[subscription] = context.caller
            self._metrics.add_subscriptions(1)
        return subscription

    def unsubscribe(self, subscription: Subscription, outcome: str) -> None:
        """End a subscription, whose last answer had this outcome."""
        subscription.close()
        self._open_counts.remove_subscription(self._callers.pop(subscription))
        self._metrics.add_subscriptions(-1)
        self._metrics.count_operation(OperationType.SUBSCRIPTION.value, outcome)

    async def _subscribe_if_allowed(
        self, operation: Operation, request: Request, context: Context, outbox: Outbox[Answer]
    ) -> Subscription | Answer:
        """Subscribe if the caller may have one more. It is counted first, because many may begin at the same time."""
        try:
            self._open_counts.add_subscription(context.caller)
        except TooManyOpen as error:
            return failure(error)
        subscription: Subscription | Answer | None = None
        try:
            subscription = await self._subscribe(operation, request, context.nameless(), outbox)
        finally:
            if subscription is None or isinstance(subscription, Answer):
                self._open_counts.remove_subscription(context.caller)
        return subscription

    async def _subscribe(
        self, operation: Operation, request: Request, context: Context, outbox: Outbox[Answer]
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
            return await self._subscribe_to_state(asked, source, outbox)
        try:
            return await subscribe(self._group(asked, source), self._feed, outbox, source.after)
        except Exception as error:
            return failure(error)

    def _group(self, asked: "_Asked", source: EventSource[Any]) -> Group[Answer]:
        given = asked.request.variables or {}
        shaping = {name: given[name] for name in asked.operation.shaping_variables if name in given}
        shape = (asked.operation, asked.context.rights, source.shown_as, _as_key(shaping))
        group = self._groups.get((shape, source.wanted))
        if group is None:
            dispatcher = self._dispatcher(shape, asked, source)
            group = self._groups[shape, source.wanted] = Group(self._feed, source.wanted, dispatcher)
        return group

    def _dispatcher(self, shape: Hashable, asked: "_Asked", source: EventSource[Any]) -> Dispatcher[Answer]:
        """Return the dispatcher of all groups of this shape, which differ only in the events that they want."""
        dispatcher = self._dispatchers.get(shape)
        if dispatcher is None:

            async def answer(events: list[OrderEvent]) -> list[Answer]:
                try:
                    answers = await asked.answers(list(map(source.shown_as, events)), self._now().loaders)
                except DatabaseUnavailable:
                    self._moment = _Moment()  # this one would give the same error to a client that tries again
                    raise
                return [
                    answer if answer.outcome == SUCCESS else answer.with_cursor(cursor_of(event))
                    for event, answer in zip(events, answers, strict=True)
                ]

            dispatcher = self._dispatchers[shape] = Dispatcher(answer)
        return dispatcher

    def _now(self) -> "_Moment":
        """Return the moment that loaded rows belong to.

        Rows loaded before the feed's next read are as new as the events that are being answered.
        """
        now = time.monotonic()
        if self._moment.position != self._feed.position or now - self._moment.since > FRESH_SECONDS:
            self._moment = _Moment(self._feed.position, now)
        return self._moment

    async def _subscribe_to_state(
        self, asked: "_Asked", source: AsyncGenerator[Any, None], outbox: Outbox[Answer]
    ) -> Subscription:
        key = (asked.operation, asked.context.rights, _as_key(asked.request.variables or {}))
        state = self._states.get(key)
        if state is None or state.over:
            state = self._states[key] = _SharedState(_answers(asked, source))
        else:
            await source.aclose()  # it has not begun
        return _StateSubscription(state, outbox)

    async def stream(
        self, request: Request, context: Context, allowed: frozenset[OperationType] = ANY
    ) -> AsyncGenerator[Answer, None]:
        """Run any operation and yield its answers. An answer that was not executed is the last one."""
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
        outbox: FetchedOutbox[Answer] = FetchedOutbox()
        subscription = await self.subscribe(operation, request, context, outbox)
        if isinstance(subscription, Answer):
            yield subscription
            return
        outcome = SUCCESS
        try:
            while (answer := await outbox.fetch()) is not None:
                outcome = answer.outcome
                yield answer
                self.count_delivery()
                subscription.flush()
        except Exception as error:
            answer = failure(error)
            outcome = answer.outcome
            yield answer
        finally:
            self.unsubscribe(subscription, outcome)


class _SharedState:
    """A state whose changes go to all its subscriptions. A new one begins with the latest answer."""

    def __init__(self, answers: AsyncGenerator[Answer, None]) -> None:
        self.latest: Answer | None = None
        self.over = False
        self._subscriptions: dict[_StateSubscription, None] = {}
        self._running = asyncio.create_task(self._run(answers))

    async def _run(self, answers: AsyncGenerator[Answer, None]) -> None:
        end: Exception | None = None
        try:
            async with aclosing(answers):
                async for self.latest in answers:
                    for subscription in list(self._subscriptions):
                        subscription.flush()
        except Exception as error:
            end = error
        self.over = True
        for subscription in list(self._subscriptions):
            subscription.end(end)

    def add(self, subscription: "_StateSubscription") -> None:
        self._subscriptions[subscription] = None

    def remove(self, subscription: "_StateSubscription") -> None:
        self._subscriptions.pop(subscription, None)
        if not self._subscriptions:
            self.over = True
            self._running.cancel()


class _StateSubscription:
    """One client's subscription to a state. While its outbox is full it skips changes, and sends the latest then."""

    __slots__ = ("_outbox", "_sent", "_state")

    def __init__(self, state: _SharedState, outbox: Outbox[Answer]) -> None:
        self._state = state
        self._outbox = outbox
        self._sent: Answer | None = None
        state.add(self)
        self.flush()

    def flush(self) -> None:
        """Send the latest answer, if it was not sent yet and the outbox has room."""
        latest = self._state.latest
        if latest is not None and latest is not self._sent and not self._outbox.full:
            self._sent = latest
            self._outbox.send(latest)

    def end(self, error: Exception | None) -> None:
        self._outbox.end(error)

    def close(self) -> None:
        self._state.remove(self)


async def _answers(asked: _Asked, source: AsyncGenerator[Any, None]) -> AsyncGenerator[Answer, None]:
    async with aclosing(source):
        async for state in source:
            [answer] = await asked.answers([state], Loaders())
            yield answer


def failure(error: Exception) -> Answer:
    """Return the answer of a subscription that cannot begin, or cannot go on."""
    return not_executed([GraphQLError(str(error), original_error=error)])


def _as_key(variables: dict[str, Any]) -> Hashable:
    """Return a key that is equal for equal variables. Variables that cannot be encoded are equal to nothing else."""
    try:
        return orjson.dumps(variables, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return object()
