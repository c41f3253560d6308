"""Carries out what events are to bring about: each effect planned once, tried until it works, and done once.

Any process with a database may run an engine, and as many as like at the same time: planning is a matter of who holds
the row of the position, and carrying out of who has leased the effect's row.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from tortoise.expressions import Q

from domain.event_log import EventFilter
from domain.live import Feed
from domain.pauses import apart, set_within
from effects.effect import EffectsOfKind, GivenUp, TryAgain, remember
from effects.planning import PAGE, Planning, begin, plan_known_again, plan_page
from models import Effect
from models.enums import EffectKind, EffectState
from models.errors import DatabaseUnavailable

log = logging.getLogger(__name__)

LOOK_AGAIN_SECONDS: Final = 60.0  # from one look for events that another version has skipped to the next
APART_SECONDS: Final = 0.05  # from one planning to the next, where there is always something new to plan for
ABREAST: Final = 8  # effects of one process that are carried out at the same time
ATTEMPT_SECONDS: Final = 60.0  # for one attempt
LEASE: Final = timedelta(seconds=10)  # after which another process takes an effect for abandoned; it is renewed
FIRST_PAUSE: Final = timedelta(seconds=5)  # after the first attempt; doubled after each that follows
LONGEST_PAUSE: Final = timedelta(hours=1)
SHORTEST_PAUSE: Final = timedelta(seconds=1)  # however soon the other side wants to be tried again
MOST_ATTEMPTS: Final = 33  # which last for a day
LONGEST_WAIT: Final = timedelta(days=1)  # for a service that asks again and again to be tried later

_LONGEST_ERROR: Final = 1024


def pause_after(attempts: int) -> timedelta:
    """How long to wait after so many attempts, 1 or more."""
    pause: timedelta = FIRST_PAUSE * 2 ** min(attempts - 1, 20)
    return min(pause, LONGEST_PAUSE)


class Engine:
    """Plans and carries out effects of these kinds while `running` lasts.

    Events of imports and of operators' commands are marked in the log (`has_effects`), and have none. `count` is called
    for each event that cannot be planned for: see `plan_page`. `last_planned` is when planning last worked
    (`time.monotonic`), None if it never has.
    """

    def __init__(
        self, feed: Feed, kinds: Sequence[EffectsOfKind], count: Callable[[str], None] = lambda reason: None
    ) -> None:
        self._feed = feed
        self._count = count
        self._kinds: dict[EffectKind, EffectsOfKind] = {each.kind: each for each in (*kinds, Planning(kinds))}
        self.last_planned: float | None = None
        self._attempts: set[asyncio.Task[None]] = set()
        self._to_do = asyncio.Event()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        with contextlib.suppress(DatabaseUnavailable):
            await begin()
        tasks = [asyncio.create_task(self._plan_on()), asyncio.create_task(self._carry_on())]
        try:
            yield
        finally:
            for task in (*tasks, *self._attempts):
                task.cancel()
            await asyncio.gather(*tasks, *self._attempts, return_exceptions=True)

    async def _plan_on(self) -> None:
        look_again = 0.0
        with self._feed.watching(EventFilter()) as heard:
            while True:
                begun = time.monotonic()
                heard.clear()
                try:
                    while await plan_page(self._kinds.values(), self._count) == PAGE:
                        self._to_do.set()
                    self._to_do.set()
                    self.last_planned = time.monotonic()
                    if begun >= look_again:
                        await plan_known_again()
                        look_again = begun + LOOK_AGAIN_SECONDS
                except Exception as error:
                    _report("effects could not be planned, trying again", error)
                    await asyncio.sleep(self._feed.poll_seconds)
                await set_within(heard, self._feed.poll_seconds)
                await apart(APART_SECONDS, begun)

    async def _carry_on(self) -> None:
        while True:
            self._to_do.clear()
            try:
                for effect in await claim(ABREAST - len(self._attempts)):
                    attempt = asyncio.create_task(self._attempt(effect))
                    self._attempts.add(attempt)
                    attempt.add_done_callback(self._end_attempt)
            except Exception as error:
                _report("effects could not be taken up, trying again", error)
                await asyncio.sleep(self._feed.poll_seconds)
            await set_within(self._to_do, self._feed.poll_seconds)

    def _end_attempt(self, attempt: asyncio.Task[None]) -> None:
        self._attempts.discard(attempt)
        self._to_do.set()
        if not attempt.cancelled() and (error := attempt.exception()) is not None:
            _report("what became of an effect could not be written down; it is tried again", error)

    async def _attempt(self, effect: Effect) -> None:
        await attempt(self._kinds[effect.kind], effect)


async def claim(most: int) -> list[Effect]:
    """Leases so many effects that are due: nobody else has them until the lease ends."""
    if most <= 0:
        return []
    now = datetime.now(UTC)
    due = Effect.filter(
        Q(leased_until__isnull=True) | Q(leased_until__lt=now), state=EffectState.WAITING, due_at__lte=now
    )
    claimed = []
    for effect in await due.order_by("due_at").limit(most):
        effect.attempts += 1
        effect.leased_until = now + LEASE
        mine = await Effect.filter(id=effect.id, state=EffectState.WAITING, attempts=effect.attempts - 1).update(
            attempts=effect.attempts, leased_until=effect.leased_until
        )
        if mine:  # otherwise another process was quicker
            claimed.append(effect)
    return claimed


async def attempt(kind: EffectsOfKind, effect: Effect) -> None:
    """One attempt at an effect that is leased, and writing down what became of it."""
    renewing = asyncio.create_task(_renew(effect))
    try:
        async with asyncio.timeout(ATTEMPT_SECONDS):
            await kind.carry_out(effect)
    except GivenUp as refusal:
        await kind.give_up(effect, _text(refusal))
    except asyncio.CancelledError:  # the server ends: another one need not wait for the lease to end
        await asyncio.shield(_again(effect, datetime.now(UTC), "the server was stopped"))
        raise
    except Exception as error:
        if not isinstance(error, DatabaseUnavailable):
            log.warning(
                "attempt %s at effect %s (%s %s) failed: %r",
                effect.attempts,
                effect.id,
                effect.kind,
                effect.subject,
                error,
            )
        pause = await _pause_after_error(effect, error)
        if pause is None:
            await kind.give_up(effect, _text(error, f"after {effect.attempts} attempts: "))
        else:
            await _again(effect, datetime.now(UTC) + pause, _text(error))
    finally:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)


async def _pause_after_error(effect: Effect, error: Exception) -> timedelta | None:
    """Return how long to wait before the next attempt, or None to give up.

    Attempts after which the other side said when to try again do not count among `MOST_ATTEMPTS`: thirty of them may
    be over within a minute.
    """
    waits: int = effect.data.get("waits", 0)
    if isinstance(error, TryAgain):
        if effect.attempts >= MOST_ATTEMPTS and datetime.now(UTC) - effect.created_at >= LONGEST_WAIT:
            return None
        await remember(effect, waits=waits + 1)
        return max(SHORTEST_PAUSE, min(error.after, LONGEST_PAUSE))
    counted = effect.attempts - waits
    return None if counted >= MOST_ATTEMPTS else pause_after(counted)


async def _renew(effect: Effect) -> None:
    """Keeps the lease for as long as this process works on the effect, and no longer: it may be killed."""
    while True:
        await asyncio.sleep(LEASE.total_seconds() / 3)
        with contextlib.suppress(DatabaseUnavailable):
            await Effect.filter(id=effect.id, state=EffectState.WAITING, attempts=effect.attempts).update(
                leased_until=datetime.now(UTC) + LEASE
            )


async def _again(effect: Effect, due_at: datetime, error: str) -> None:
    await Effect.filter(id=effect.id, state=EffectState.WAITING, attempts=effect.attempts).update(
        due_at=due_at, leased_until=None, error=error
    )


def _text(error: BaseException, before: str = "") -> str:
    """What was wrong, no longer than an effect's row has room for."""
    return f"{before}{str(error) or type(error).__name__}"[:_LONGEST_ERROR]


def _report(message: str, error: BaseException) -> None:
    if isinstance(error, DatabaseUnavailable):
        log.warning("%s: %s", message, error)
    else:
        log.error(message, exc_info=error)
