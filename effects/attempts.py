"""One attempt at an effect: under a lease, within a time limit, and with its outcome recorded."""

import asyncio
import logging
import time
from datetime import UTC, datetime, timedelta
from typing import Final

from domain.counterparts import counterpart_in
from effects.effect import CounterpartFailed, EffectsOfKind, GivenUp, TryAgain, remember
from models import Effect
from models.effects import LONGEST_ERROR
from models.engine.errors import DatabaseUnavailable
from models.enums import EffectState

log = logging.getLogger(__name__)

ATTEMPT_SECONDS: Final = 60.0  # for one attempt
LEASE: Final = timedelta(seconds=10)  # after which another process takes an effect over; it is renewed
RENEWALS: Final = 3  # in the time of one lease
GRACE_SECONDS: Final = 5.0  # for an attempt that is cancelled to end
FIRST_PAUSE: Final = timedelta(seconds=5)  # after the first attempt; doubled after each that follows
LONGEST_PAUSE: Final = timedelta(hours=1)
SHORTEST_PAUSE: Final = timedelta(seconds=1)  # even if the other side asks to be tried sooner
MOST_ATTEMPTS: Final = 33  # which last for a day
LONGEST_WAIT: Final = timedelta(days=1)  # for a service that asks again and again to be tried later

_LEAST_SECONDS: Final = 1.0  # to renew a lease that has ended, if no other process has taken it


class LeaseLost(Exception):
    """Another process may work on the effect by now, so this one must stop."""


def pause_after(attempts: int) -> timedelta:
    """Return how long to wait after so many attempts, 1 or more."""
    pause: timedelta = FIRST_PAUSE * 2 ** min(attempts - 1, 20)
    return min(pause, LONGEST_PAUSE)


async def attempt(kind: EffectsOfKind, effect: Effect) -> BaseException | None:
    """Attempt an effect that is leased, and record the outcome. Return the error, None if there was none."""
    try:
        await _carry_out(kind, effect)
    except GivenUp as refusal:
        await kind.give_up(effect, _text(refusal))
        return refusal
    except asyncio.CancelledError:  # the server ends: another process may start at once
        await asyncio.shield(_again(effect, datetime.now(UTC), "the server was stopped"))
        raise
    except LeaseLost as error:
        log.warning("%s was left to another process: %s", _name(effect), error)
        return error
    except Exception as error:
        if not isinstance(error, DatabaseUnavailable):
            log.warning("attempt %s at %s failed: %r", effect.attempts, _name(effect), error)
        pause = await _pause_after_error(effect, error)
        if pause is None:
            await kind.give_up(effect, _text(error, f"after {effect.attempts} attempts: "))
        else:
            await _again(effect, datetime.now(UTC) + pause, _text(error))
        return error
    return None


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


async def _carry_out(kind: EffectsOfKind, effect: Effect) -> None:
    """Carry it out in a task of its own. If the task does not end when it is cancelled, leave it behind.

    Raise its error, CounterpartFailed or TimeoutError if it takes too long, and LeaseLost.
    """
    work = asyncio.create_task(kind.carry_out(effect))
    # Otherwise asyncio complains if nothing awaits it.
    work.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    renewing = asyncio.create_task(_renew(effect))
    try:
        await asyncio.wait({work, renewing}, timeout=ATTEMPT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            if renewing.done():
                renewing.result()
            late = CounterpartFailed if counterpart_in(effect.lane) else TimeoutError
            raise late(f"it was not done within {ATTEMPT_SECONDS:g} seconds")
    finally:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
        if not work.done():
            await _end(work, effect)
    work.result()


async def _end(work: asyncio.Task[None], effect: Effect) -> None:
    """Cancel the task, and wait for a while until it has ended."""
    for _ in range(2):  # a library may swallow the first cancellation
        work.cancel()
        done, _ = await asyncio.wait({work}, timeout=GRACE_SECONDS)
        if done:
            break
    else:
        log.error("what is done for %s does not end when it is cancelled, and is left behind", _name(effect))


async def _renew(effect: Effect) -> None:
    """Renew the lease while this process works on the effect.

    Raise LeaseLost if another process has the effect, or if the lease ends because the database cannot be reached.
    """
    ends = time.monotonic() + LEASE.total_seconds()
    while True:
        await asyncio.sleep(LEASE.total_seconds() / RENEWALS)
        begun = time.monotonic()
        try:
            async with asyncio.timeout(max(ends - begun, _LEAST_SECONDS)):
                if not await _extend(effect):
                    raise LeaseLost("its lease is another's")
            ends = begun + LEASE.total_seconds()
        except (DatabaseUnavailable, TimeoutError) as error:
            if time.monotonic() >= ends:
                raise LeaseLost(f"its lease could not be renewed: {_text(error)}") from error


async def _extend(effect: Effect) -> bool:
    """Renew the lease. Return False if another process has begun an attempt of its own."""
    mine = Effect.filter(id=effect.id, attempts=effect.attempts)
    renewed = await mine.filter(state=EffectState.WAITING).update(leased_until=datetime.now(UTC) + LEASE)
    return bool(renewed) or await mine.exists()  # it may just have been finished


async def _again(effect: Effect, due_at: datetime, error: str) -> None:
    await Effect.filter(id=effect.id, state=EffectState.WAITING, attempts=effect.attempts).update(
        due_at=due_at, leased_until=None, error=error
    )


def _name(effect: Effect) -> str:
    return f"effect {effect.id} ({effect.kind} {effect.subject})"


def _text(error: BaseException, before: str = "") -> str:
    """Return the error's text, shortened to what fits into an effect's row."""
    return f"{before}{str(error) or type(error).__name__}"[:LONGEST_ERROR]
