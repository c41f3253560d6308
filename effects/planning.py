"""Planning: which effects the events of the log have.

An event that cannot be planned never stops the events behind it. It gets a failed effect of the kind `PLANNING` that
says why, so that a person can have it planned again.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Final

from tortoise.transactions import in_transaction

from domain.actors import system
from domain.counterparts import lane_of
from domain.stream import event_log
from effects.effect import EffectsOfKind, GivenUp, Planned, finish
from models import Effect, EffectPosition, OrderEvent
from models.effects import LONGEST_ERROR
from models.engine.errors import DatabaseUnavailable, TransactionConflict
from models.enums import EffectKind, EffectState, OrderEventType
from models.vocabularies import is_known

log = logging.getLogger(__name__)

PAGE: Final = 100  # events that are planned in one transaction

KNOWN_AGAIN: Final = timedelta(days=1)  # in which an event of an unknown type is planned if another version knows it

UNKNOWN_TYPE: Final = "unknown_type"
ERROR: Final = "error"

_POSITION: Final = "effects"
_PLANNER: Final = system("effects")

Kinds = Sequence[EffectsOfKind]
Count = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Failure:
    """An event whose effects of one kind, or of all kinds, cannot be planned."""

    event: OrderEvent
    kind: EffectKind | None
    reason: str
    error: Exception | None = None

    @classmethod
    def of_type(cls, event: OrderEvent) -> "_Failure":
        return cls(event, None, f"This version does not know events of the type {event.type}.")

    @classmethod
    def of_error(cls, event: OrderEvent, kind: EffectKind, error: Exception) -> "_Failure":
        reason = repr(error) if isinstance(event.data, dict) else "the event's data is not a JSON object"
        return cls(event, kind, f"The effects of {event.type} could not be worked out: {reason}", error)

    def effect(self) -> Effect:
        now = datetime.now(UTC)
        effect = _effect(self.event, EffectKind.PLANNING, Planned(subject=self.kind or ""))
        effect.state, effect.finished_at = EffectState.FAILED, now
        effect.error = self.reason.replace("\0", "")[:LONGEST_ERROR]  # PostgreSQL takes no NUL
        return effect

    def report(self, count: Count) -> None:
        log.error("event %s was left out by effects: %s", self.event.id, self.reason, exc_info=self.error)
        count(UNKNOWN_TYPE if self.error is None else ERROR)


async def begin() -> int:
    """Return the position in the log after which effects are planned.

    On the first start, begin at the end of the log: old events have no effects.
    """
    row = await EffectPosition.get_or_none(name=_POSITION)
    if row is None:
        new = EffectPosition(name=_POSITION, position=(await event_log.last_place()).position)
        await EffectPosition.bulk_create([new], ignore_conflicts=True)
        row = await EffectPosition.get(name=_POSITION)
    position: int = row.position
    return position


async def plan_page(kinds: Iterable[EffectsOfKind], count: Count = lambda reason: None) -> int:
    """Plan the effects of the next events of the log. Return of how many events, at most `PAGE`.

    `count` is called for each event that cannot be planned, with `UNKNOWN_TYPE` or `ERROR`.
    """
    if not await event_log.read_on(after=await begin(), limit=1):
        return 0
    kinds = tuple(kinds)
    try:
        planned, failures = await _plan_next(kinds, _plan_together)
    except (DatabaseUnavailable, TransactionConflict):
        raise
    except Exception:  # find out for which event, and plan for the others
        planned, failures = await _plan_next(kinds, _plan_apart)
    for failure in failures:
        failure.report(count)
    return planned


async def plan_known_again() -> None:
    """Have events planned again that another version has skipped because it did not know their type.

    After a day, a person must do that.
    """
    now = datetime.now(UTC)
    skipped = Effect.filter(
        state=EffectState.FAILED,
        kind=EffectKind.PLANNING,
        subject="",
        attempts=0,  # not tried again yet
        created_at__gt=now - KNOWN_AGAIN,
        event__type__in=list(OrderEventType),
    )
    if ids := await skipped.values_list("id", flat=True):
        await Effect.filter(id__in=list(ids), state=EffectState.FAILED).update(
            state=EffectState.WAITING, due_at=now, error=None, finished_at=None
        )


async def _plan_next(
    kinds: Kinds, plan: Callable[[Kinds, Sequence[OrderEvent]], Awaitable[list[_Failure]]]
) -> tuple[int, list[_Failure]]:
    async with in_transaction():
        row = await EffectPosition.filter(name=_POSITION).select_for_update().get()
        events = await event_log.read_on(after=row.position, limit=PAGE)
        if not events:
            return 0, []
        unknown = [_Failure.of_type(event) for event in events if not is_known(event.type)]
        failures = await plan(kinds, [event for event in events if event.has_effects and is_known(event.type)])
        await Effect.bulk_create([each.effect() for each in (*unknown, *failures) if each.event.has_effects])
        await EffectPosition.filter(name=_POSITION).update(position=events[-1].id)
    return len(events), [*unknown, *failures]


async def _plan_together(kinds: Kinds, events: Sequence[OrderEvent]) -> list[_Failure]:
    """Plan for all events at once, in the order of the events, so that effects are due in that order."""
    planned = [(event, each.kind, plan) for each in kinds for event, plan in await each.plan(events)]
    planned.sort(key=lambda each: each[0].id)
    await Effect.bulk_create([_effect(event, kind, plan) for event, kind, plan in planned])
    return []


async def _plan_apart(kinds: Kinds, events: Sequence[OrderEvent]) -> list[_Failure]:
    """Plan for one event and one kind at a time, and return the failures."""
    failures = []
    for event in events:
        for kind in kinds:
            try:
                async with in_transaction():  # a savepoint
                    await _plan_together([kind], [event])
            except (DatabaseUnavailable, TransactionConflict):
                raise
            except Exception as error:
                failures.append(_Failure.of_error(event, kind.kind, error))
    return failures


def _effect(event: OrderEvent, kind: EffectKind, planned: Planned) -> Effect:
    now = datetime.now(UTC)
    return Effect(
        event_id=event.id,
        order_id=event.order_id,
        channel_id=event.channel_id,
        kind=kind,
        subject=planned.subject,
        target=planned.target,
        lane=lane_of(kind, planned.counterpart),
        due_at=now + planned.delay,
        created_at=now,
    )


class Planning:
    """Plans effects again after it has failed, if a person asks for it, such as after an upgrade.

    `subject` of the effect is the kind of the missing effects; if it is empty, all are missing.
    """

    kind: ClassVar[EffectKind] = EffectKind.PLANNING

    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds

    async def plan(self, events: Sequence[OrderEvent]) -> list[tuple[OrderEvent, Planned]]:
        return []

    async def carry_out(self, effect: Effect) -> None:
        """Raise `GivenUp` if this version does not know the event's type either."""
        event = await OrderEvent.get(id=effect.event_id)
        if not is_known(event.type):
            raise GivenUp(_Failure.of_type(event).reason)
        for kind in self._kinds:
            if effect.subject in ("", kind.kind):
                planned = [_effect(event, kind.kind, plan) for _, plan in await kind.plan([event])]
                await Effect.bulk_create(planned, ignore_conflicts=True)
        await finish(effect, _PLANNER)

    async def give_up(self, effect: Effect, reason: str) -> None:
        await finish(effect, _PLANNER, state=EffectState.FAILED, error=reason)
