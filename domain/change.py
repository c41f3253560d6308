"""The one way to change orders: a transaction that locks, changes, records events, and rings the bell."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import update_wrapper, wraps
from typing import Any, Final, Generic, ParamSpec, TypeVar, cast
from uuid import UUID

from tortoise.exceptions import IntegrityError
from tortoise.transactions import in_transaction

from domain.actors import Actor, Scope
from domain.errors import DomainError, ErrorCode, NotFound
from domain.events import Happening, asides
from domain.stream import bell, event_log
from models import Fulfillment, IdempotencyRecord, Order, OrderEvent
from models.engine.errors import DatabaseUnavailable, TransactionConflict
from models.engine.fields import new_key
from models.engine.rows import load
from models.engine.statements import Write, insert, update, write
from models.enums import ActorKind

ATTEMPTS: Final = 4
_LONGEST_PAUSE: Final = 0.02  # seconds before the second attempt; doubled for each after it

_LONGEST_MESSAGE: Final = 1024  # characters

_COLUMNS = sorted(Order._meta.db_fields)

P = ParamSpec("P")
T = TypeVar("T")


class VersionConflict(DomainError):
    """The caller has not seen something that happened to the order. Asides need not be seen: see `Happening`."""

    code = ErrorCode.VERSION_CONFLICT

    def __init__(self, current: int) -> None:
        super().__init__(f"The order has changed: it is at version {current} now.", "expected_version")
        self.current_version = current


class IdempotencyConflict(DomainError):
    code = ErrorCode.IDEMPOTENCY_CONFLICT


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A caller's key for one act. `fingerprint` is the same for the same command with the same input."""

    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Target:
    """The order that a command is to change, and under which conditions."""

    order_id: UUID
    expected_version: int | None = None
    idempotency: Idempotency | None = None


class _AlreadyDone(Exception):
    """This act was carried out before under the same idempotency key."""


class UnitOfWork:
    """A change under way. `order` is the order that it is about; `now` is the time that its events carry.

    Its events have effects only if `has_effects` is set and the actor is not `SYSTEM`. `result_id` is the key of what
    the command's answer if that is not the order: sending the same idempotency key again gives the same answer.
    """

    order: Order
    result_id: UUID | None = None

    def __init__(self, actor: Actor, has_effects: bool) -> None:
        self.actor = actor
        self._has_effects = has_effects and actor.kind is not ActorKind.SYSTEM
        self.now = datetime.now(UTC)
        self._stored: dict[UUID, dict[str, Any]] = {}
        self._statuses: dict[UUID, tuple[Any, ...]] = {}
        self._orders: dict[UUID, Order] = {}
        self._events: list[dict[str, Any]] = []
        self._idempotency: Idempotency | None = None

    async def lock_order(self, target: Target) -> Order:
        """Return the order, locked until this transaction ends.

        Raise `NotFound`, `VersionConflict` and `IdempotencyConflict`. If the same key has acted before, the
        rest of the `change` block is skipped, and `order` is the order that it acted on.
        """
        order = await self._load(target.order_id)
        await self.act_once(target.idempotency)
        expected = target.expected_version
        if expected is not None and expected != order.version and not await _has_only_asides(order, expected):
            raise VersionConflict(order.version)
        return order

    async def act_once(self, idempotency: Idempotency | None) -> None:
        """Claim the key for this transaction, or end the `change` block if it has acted before."""
        if idempotency is None:
            return
        record = await load(IdempotencyRecord, actor_id=self.actor.id or "", key=idempotency.key)
        if record is None:
            self._idempotency = idempotency
            return
        if record.fingerprint != idempotency.fingerprint:
            raise IdempotencyConflict("This key was used for another input.", "idempotency_key")
        await self._load(record.order_id)
        self.result_id = record.result_id
        raise _AlreadyDone

    async def _load(self, order_id: UUID) -> Order:
        order = self._orders.get(order_id)
        if order is None:
            order = await load(Order, lock=True, id=order_id)
            self.now = datetime.now(UTC)  # a transaction that held the lock until now acted before
        if order is None or not self.actor.sees(order.channel_id) or not await self._may_change(order):
            raise NotFound("There is no such order.", "order_id")
        self._track(order)
        return order

    async def _may_change(self, order: Order) -> bool:
        """Return whether the actor may change the order. A service may only if it is asked to ship something of it."""
        service_id = self.actor.service_id
        return service_id is None or await Fulfillment.exists(order_id=order.id, service_id=service_id)

    async def insert_order(self, order: Order, *parts: Write) -> None:
        """Insert a new order together with its parts."""
        await write(insert(Order, [vars(order)]), *parts)
        order._saved_in_db = True
        self._track(order)
        self._statuses[order.id] = (None, None, None)

    def _track(self, order: Order) -> None:
        self.order = order
        if order.id not in self._orders:
            self._orders[order.id] = order
            self._stored[order.id] = dict(vars(order))
            self._statuses[order.id] = _statuses(order)

    def record(self, order: Order, happening: Happening) -> None:
        """Add an event to the log. The order must be in the state after it."""
        before, after = self._statuses[order.id], _statuses(order)
        order.version += 1
        event: dict[str, Any] = {
            "order_id": order.id,
            "channel_id": order.channel_id,
            "order_version": order.version,
            "type": happening.type,
            "occurred_at": self.now,
            "actor_kind": self.actor.kind,
            "actor_id": self.actor.id,
            "actor_name": self.actor.name,
            "message": _sentence(happening),
            "data": happening.data(),
            "has_effects": self._has_effects,
        }
        for axis, old, new in zip(("status", "payment_status", "fulfillment_status"), before, after, strict=True):
            if old is not new:
                event[f"from_{axis}"], event[f"to_{axis}"] = old, new
        self._statuses[order.id] = after
        self._events.append(event)

    async def write(self) -> bool:
        """Save the changed orders and the events. Return whether there are events."""
        writes = [
            self._update_order(self._orders[order_id])
            for order_id in dict.fromkeys(each["order_id"] for each in self._events)
        ]
        if self._idempotency is not None:
            writes.append(insert(IdempotencyRecord, [self._record_of(self._idempotency)]))
        if self._events:
            writes.append(event_log.appending(self._events))
        await write(*writes)
        return bool(self._events)

    def _update_order(self, order: Order) -> Write:
        """Return the statement that saves the order's changed columns."""
        order.updated_at = self.now
        stored, columns = self._stored[order.id], vars(order)
        return update(order, [name for name in _COLUMNS if columns[name] != stored[name]])

    def _record_of(self, idempotency: Idempotency) -> dict[str, Any]:
        return {
            "id": new_key(),
            "actor_id": self.actor.id or "",
            "key": idempotency.key,
            "fingerprint": idempotency.fingerprint,
            "order_id": self.order.id,
            "result_id": self.result_id,
            "created_at": datetime.now(UTC),
        }


async def _has_only_asides(order: Order, since: int) -> bool:
    """Return whether only asides have happened to the order since this version."""
    missed = await OrderEvent.filter(order_id=order.id, order_version__gt=since).only("type")
    types = [event.type for event in missed]
    return len(types) == order.version - since and asides().issuperset(types)


def _sentence(happening: Happening) -> str:
    """Return the event's sentence, cut to what a row holds. The event's data has the whole reason."""
    message = happening.message()
    return message if len(message) <= _LONGEST_MESSAGE else f"{message[: _LONGEST_MESSAGE - 1]}…"


def _statuses(order: Order) -> tuple[Any, ...]:
    return (order.status, order.payment_status, order.fulfillment_status)


_current: ContextVar[UnitOfWork | None] = ContextVar("work", default=None)


def retry_conflicts(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Make the function run again if another change of the same moment was in its way.

    That is a deadlock, a serialization failure, or a row with the same key, reference or code that was not there yet
    when this one looked: the next attempt finds it. Nothing of a failed attempt remains. The function raises
    `DatabaseUnavailable` if every attempt fails.
    """

    @wraps(function)
    async def run(*args: P.args, **kwargs: P.kwargs) -> T:
        if _current.get() is not None:
            return await function(*args, **kwargs)  # only the outermost can start anew
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await function(*args, **kwargs)
            except TransactionConflict as error:
                if attempt == ATTEMPTS:
                    raise DatabaseUnavailable("too many changes at the same time") from error
            except IntegrityError:
                if attempt == ATTEMPTS:
                    raise
            await asyncio.sleep(random.uniform(0, _LONGEST_PAUSE * 2 ** (attempt - 1)))  # noqa: S311
        raise AssertionError

    return run


class Command(Generic[P, T]):
    """A function that changes something for callers who have the `scope`: see `command`."""

    def __init__(self, function: Callable[P, Coroutine[Any, Any, T]], scope: Scope, services_too: bool) -> None:
        update_wrapper(self, function)
        self.name = function.__name__
        self.scope = scope
        self.services_too = services_too
        self._run = retry_conflicts(function)

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        actor = cast(Actor, kwargs["actor"])
        actor.require(self.scope, services_too=self.services_too)
        return await self._run(*args, **kwargs)


def command(
    scope: Scope, *, services_too: bool = False
) -> Callable[[Callable[P, Coroutine[Any, Any, T]]], Command[P, T]]:
    """Declare a command: a function with keyword arguments only, one of them the `actor`.

    Calling it raises `Forbidden` if the actor lacks the scope. Fulfillment services may call it only if
    `services_too`. Conflicts are retried, see `retry_conflicts`. This is where a scope is said: mutations and the
    actions of an order read it from the command.
    """

    def declare(function: Callable[P, Coroutine[Any, Any, T]]) -> Command[P, T]:
        return Command(function, scope, services_too)

    return declare


@asynccontextmanager
async def change(actor: Actor, *, has_effects: bool = True) -> AsyncIterator[UnitOfWork]:
    """Run the block in one transaction: all of it is written, or none. The bell rings after the commit.

    If the task is cancelled during the commit, it may be either. Commands that are called inside
    a `change` block join it: their events have effects only if the block's have.
    """
    outer = _current.get()
    if outer is not None:
        yield outer
        return
    recorded = False
    try:
        async with in_transaction():
            work = UnitOfWork(actor, has_effects)
            token = _current.set(work)
            try:
                yield work
            finally:
                _current.reset(token)
            recorded = await work.write()
    except _AlreadyDone:
        pass
    finally:
        if recorded:  # even if the task was cancelled meanwhile: what is being committed may be there
            bell.ring()
