"""Leasing effects that are due, so that a slow external service does not delay effects that do not need it.

The effects of a kind that need the same counterpart are a lane. Each kind has a limit of effects that a process carries
out at the same time, and so has each lane within it. A lane of which nothing is running may always start one. Effects
that wait in one lane are not read for the others.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection
from datetime import UTC, datetime, timedelta
from typing import Final

from tortoise.expressions import Q

from domain.counterparts import FAILURES, begin_probe, counterpart_in, end_probe, is_paused, kind_of
from effects.attempts import LEASE, LONGEST_PAUSE
from models import Effect
from models.engine.lanes import Lane, find_lanes
from models.enums import EffectState

MOST_AT_ONCE: Final = 8  # effects of a kind that one process carries out at the same time
MOST_IN_LANE: Final = 6  # of those that need the same counterpart

SKEW: Final = timedelta(minutes=1)  # by which the clocks of two processes may differ


class LaneShares:
    """The number of effects that this process is carrying out, by lane."""

    def __init__(self) -> None:
        self._running: Counter[str] = Counter()

    def begin(self, lane: str) -> None:
        self._running[lane] += 1

    def end(self, lane: str) -> None:
        self._running[lane] -= 1
        if not self._running[lane]:
            del self._running[lane]

    def free(self, lane: str) -> int:
        """Return how many more effects of the lane may begin."""
        running = self._running[lane]
        of_kind = sum(number for name, number in self._running.items() if kind_of(name) is kind_of(lane))
        share = MOST_IN_LANE if counterpart_in(lane) else MOST_AT_ONCE
        return max(min(share - running, MOST_AT_ONCE - of_kind), 0 if running else 1)


async def load_lanes() -> list[Lane]:
    """Return the lanes in which effects wait, and those that are paused; the longest due first.

    An effect that is due later than the longest pause from now was planned while a clock was ahead. It is made due now.
    """
    now = datetime.now(UTC)
    lanes = await find_lanes(now, now + LEASE + SKEW)
    horizon = now + LONGEST_PAUSE + SKEW
    if not any(lane.last_due_at is not None and lane.last_due_at > horizon for lane in lanes):
        return lanes
    await Effect.filter(state=EffectState.WAITING, due_at__gt=horizon).update(due_at=now)
    return await find_lanes(now, now + LEASE + SKEW)


async def claim(lanes: Collection[Lane], shares: LaneShares) -> AsyncIterator[Effect]:
    """Lease effects that are due, as many as the shares have room for. No other process gets them until the lease ends.

    The caller must enter each into the shares before it asks for the next.
    """
    now = datetime.now(UTC)
    for lane in lanes:
        if lane.due_at is None or lane.due_at > now or is_paused(lane.failures, lane.paused_until, now):
            continue
        if (free := shares.free(lane.name)) > 0:
            taking = _probe(lane, now) if lane.failures >= FAILURES else _take(lane, now, free)
            async for effect in taking:
                yield effect


async def _take(lane: Lane, now: datetime, most: int) -> AsyncIterator[Effect]:
    for effect in await _due(lane, now, most):
        if await _lease(effect, now):
            yield effect


async def _probe(lane: Lane, now: datetime) -> AsyncIterator[Effect]:
    """Take one effect to try a counterpart whose pause is over, unless another process does so."""
    for effect in await _due(lane, now, 1):
        is_leased = False
        try:
            is_leased = await begin_probe(lane.name, effect.id) and await _lease(effect, now)
        finally:
            if not is_leased:  # also if the server ends just now
                await asyncio.shield(end_probe(lane.name, effect.id))
        if is_leased:
            yield effect


async def _due(lane: Lane, now: datetime, most: int) -> list[Effect]:
    """Return the effects of the lane that have been due for longest and that are not leased.

    A lease that ends later than a lease can last was taken while a clock was ahead, and is ignored.
    """
    free = Q(leased_until__isnull=True) | Q(leased_until__lt=now) | Q(leased_until__gt=now + LEASE + SKEW)
    due = Effect.filter(free, state=EffectState.WAITING, lane=lane.name, due_at__lte=now)
    return await due.order_by("due_at").limit(most)


async def _lease(effect: Effect, now: datetime) -> bool:
    """Lease an effect for another attempt. Return False if another process was quicker."""
    effect.attempts += 1
    effect.leased_until = now + LEASE
    free = Effect.filter(id=effect.id, state=EffectState.WAITING, attempts=effect.attempts - 1)
    return bool(await free.update(attempts=effect.attempts, leased_until=effect.leased_until))
