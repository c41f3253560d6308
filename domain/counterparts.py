"""The services outside that effects need: which of them fail, and for how long nothing is asked of them.

A circuit breaker that all workers share. Closed: its failures in a row are counted. Open: after `FAILURES` of them,
nothing is asked of it until its pause ends. Half-open: then one effect tries it, and ends the trouble or makes the
pause longer.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from tortoise.expressions import Q
from tortoise.transactions import in_transaction

from domain.actors import Actor, Scope
from models import Effect, FailingCounterpart, FulfillmentService
from models.effects import LONGEST_ERROR
from models.engine.rows import save
from models.enums import EffectKind, EffectState

FAILURES: Final = 5  # in a row, after which it is paused
FIRST_PAUSE: Final = timedelta(seconds=15)  # doubled after each probe that fails
LONGEST_PAUSE: Final = timedelta(minutes=5)
PROBE: Final = timedelta(seconds=90)  # after which another one may try; more than an attempt may take


@dataclass(frozen=True, slots=True)
class Trouble:
    """A counterpart that fails. `waiting_since` is when the first effect that waits for it was due."""

    kind: EffectKind
    counterpart: str
    service: FulfillmentService | None
    row: FailingCounterpart
    waiting_since: datetime | None


def lane_of(kind: EffectKind, counterpart: str) -> str:
    """Return the lane of the effects of a kind that need this counterpart; an empty one means nobody outside."""
    return f"{kind}:{counterpart}"


def kind_of(lane: str) -> EffectKind | None:
    """Return the kind of a lane's effects, None for one that this version does not know."""
    name = lane.partition(":")[0]
    return EffectKind.__members__.get(name)


def counterpart_in(lane: str) -> str:
    """Return the counterpart of a lane, empty if there is none."""
    return lane.partition(":")[2]


def pause_after(failures: int) -> timedelta:
    """Return how long a counterpart is left alone after so many failures in a row."""
    if failures < FAILURES:
        return timedelta()
    pause: timedelta = FIRST_PAUSE * 2 ** min(failures - FAILURES, 20)
    return min(pause, LONGEST_PAUSE)


def is_paused(failures: int, paused_until: datetime | None, now: datetime) -> bool:
    """Return whether nothing may be asked of it now. A pause that a clock gone wrong has made too long is over."""
    return failures >= FAILURES and paused_until is not None and now < paused_until <= now + LONGEST_PAUSE


async def record_failure(lane: str, effect_id: UUID, error: str, *, at_least: timedelta = timedelta()) -> None:
    """Count a failure that is the counterpart's fault, and pause it after too many of them: `at_least` for so long.

    While it is paused, only its probe counts: the others were under way before.
    """
    now = datetime.now(UTC)
    new = FailingCounterpart(lane=lane, failures=0, failing_since=now, error="")
    await FailingCounterpart.bulk_create([new], ignore_conflicts=True)
    async with in_transaction():
        row = await FailingCounterpart.filter(lane=lane).select_for_update().get_or_none()
        if row is None:  # it has worked for somebody else meanwhile
            return
        row.error = error[:LONGEST_ERROR]
        if row.probe_id == effect_id or not is_paused(row.failures, row.paused_until, now):
            row.failures += 1
            pause = min(max(pause_after(row.failures), at_least), LONGEST_PAUSE)
            row.paused_until = now + pause if row.failures >= FAILURES else None
            row.probe_id = None
        await save(row)


async def record_success(lane: str) -> None:
    """End the trouble, if there is any: it works."""
    if await FailingCounterpart.exists(lane=lane):
        await FailingCounterpart.filter(lane=lane).delete()


async def begin_probe(lane: str, effect_id: UUID) -> bool:
    """Let this effect, and no other on any worker, try a counterpart whose pause is over."""
    now = datetime.now(UTC)
    is_over = Q(paused_until__lte=now) | Q(paused_until__gt=now + LONGEST_PAUSE)
    begun = FailingCounterpart.filter(is_over, lane=lane, failures__gte=FAILURES)
    return bool(await begun.update(paused_until=now + PROBE, probe_id=effect_id))


async def end_probe(lane: str, effect_id: UUID) -> None:
    """Let another effect try at once: this one has not found out whether it works."""
    probe = FailingCounterpart.filter(lane=lane, probe_id=effect_id)
    await probe.update(paused_until=datetime.now(UTC), probe_id=None)


async def end_pause(lane: str) -> None:
    """Have it tried now: a person asks for it."""
    now = datetime.now(UTC)
    await FailingCounterpart.filter(lane=lane, paused_until__gt=now).update(paused_until=now, probe_id=None)


async def failing_counterparts(actor: Actor) -> list[Trouble]:
    """Return the counterparts that have failed and not worked since, by kind."""
    actor.require(Scope.SETTINGS_WRITE)
    rows = await FailingCounterpart.all().order_by("lane")
    return [await _trouble(row) for row in rows if kind_of(row.lane) is not None]


async def _trouble(row: FailingCounterpart) -> Trouble:
    kind, counterpart = kind_of(row.lane), counterpart_in(row.lane)
    assert kind is not None
    is_service = kind is EffectKind.FULFILLMENT_REQUEST
    service = await FulfillmentService.get_or_none(code=counterpart) if is_service else None
    first = await Effect.filter(lane=row.lane, state=EffectState.WAITING).order_by("due_at").first().only("due_at")
    waiting_since = first.due_at if first is not None and first.due_at <= datetime.now(UTC) else None
    return Trouble(kind, counterpart, service, row, waiting_since)
