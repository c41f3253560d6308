"""The engine of effects: each effect is planned once, tried until it works, and done once.

Several processes may run an engine at the same time. The one that locks the row of the position plans, and the one that
has leased an effect's row carries it out.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Final

from domain import counterparts
from domain.counterparts import counterpart_in, kind_of
from domain.stream.event_log import EventFilter
from domain.stream.feed import Feed
from domain.stream.pauses import apart, set_within
from effects.attempts import attempt
from effects.claims import LaneShares, claim, load_lanes
from effects.effect import CounterpartFailed, EffectsOfKind, TryAgain
from effects.planning import PAGE, Planning, begin, plan_known_again, plan_page
from models import Effect
from models.engine.errors import DatabaseUnavailable
from models.engine.lanes import Lane
from models.enums import EffectKind

log = logging.getLogger(__name__)

SEARCH_SECONDS: Final = 60.0  # between two searches for events that another version has skipped
APART_SECONDS: Final = 0.05  # between two plannings, if there is always something new
STOP_SECONDS: Final = 6.0  # for attempts to end when the server stops


class Engine:
    """Plans and carries out effects of these kinds while `running` lasts.

    Events of imports and of operators' commands are marked in the log (`has_effects`), and have none. `count` is called
    for each event that cannot be planned for: see `plan_page`. `last_planned` is when planning last worked
    (`time.monotonic`), None if it never has. At the end it waits
    `stop_seconds` for attempts to end.
    """

    def __init__(
        self,
        feed: Feed,
        kinds: Sequence[EffectsOfKind],
        count: Callable[[str], None] = lambda reason: None,
        *,
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        self._feed = feed
        self._stop_seconds = stop_seconds
        self._count = count
        self._kinds: dict[EffectKind, EffectsOfKind] = {each.kind: each for each in (*kinds, Planning(kinds))}
        self.last_planned: float | None = None
        self._shares = LaneShares()
        self._attempts: set[asyncio.Task[None]] = set()
        self._to_do = asyncio.Event()
        self.lanes: Sequence[Lane] = ()  # as they were when last loaded

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        with contextlib.suppress(DatabaseUnavailable):
            await begin()
        tasks = [asyncio.create_task(self._plan_on()), asyncio.create_task(self._carry_on())]
        try:
            yield
        finally:
            ending = {*tasks, *self._attempts}
            for task in ending:
                task.cancel()
            ended, _ = await asyncio.wait(ending, timeout=self._stop_seconds)
            await asyncio.gather(*ended, return_exceptions=True)

    async def _plan_on(self) -> None:
        search_again = 0.0
        with self._feed.watching(EventFilter()) as heard:
            while True:
                begun = time.monotonic()
                heard.clear()
                try:
                    while await plan_page(self._kinds.values(), self._count) == PAGE:
                        self._to_do.set()
                    self._to_do.set()
                    self.last_planned = time.monotonic()
                    if begun >= search_again:
                        await plan_known_again()
                        search_again = begun + SEARCH_SECONDS
                except Exception as error:
                    _report("effects could not be planned, trying again", error)
                    await asyncio.sleep(self._feed.poll_seconds)
                await set_within(heard, self._feed.poll_seconds)
                await apart(APART_SECONDS, begun)

    async def _carry_on(self) -> None:
        while True:
            self._to_do.clear()
            try:
                self.lanes = await load_lanes()
                # A kind that only a newer version knows is left to it; an older one has written no lane.
                ours = [lane for lane in self.lanes if not lane.name or kind_of(lane.name) in self._kinds]
                async for effect in claim(ours, self._shares):
                    self._begin_attempt(effect)
            except Exception as error:
                _report("effects could not be taken up, trying again", error)
                await asyncio.sleep(self._feed.poll_seconds)
            await set_within(self._to_do, self._feed.poll_seconds)

    def _begin_attempt(self, effect: Effect) -> None:
        self._shares.begin(effect.lane)
        attempt = asyncio.create_task(self._attempt(effect))
        self._attempts.add(attempt)
        attempt.add_done_callback(partial(self._end_attempt, effect))

    def _end_attempt(self, effect: Effect, attempt: asyncio.Task[None]) -> None:
        self._shares.end(effect.lane)
        self._attempts.discard(attempt)
        self._to_do.set()
        if not attempt.cancelled() and (error := attempt.exception()) is not None:
            _report("what became of an effect could not be written down; it is tried again", error)

    async def _attempt(self, effect: Effect) -> None:
        is_outside = bool(counterpart_in(effect.lane))
        try:
            error = await attempt(self._kinds[effect.kind], effect)
        except asyncio.CancelledError:  # the server ends: another one need not wait for this probe
            if is_outside:
                await asyncio.shield(counterparts.end_probe(effect.lane, effect.id))
            raise
        if is_outside:
            await _judge(effect, error)


async def _judge(effect: Effect, error: BaseException | None) -> None:
    """Write down what the attempt says about its counterpart. Nothing is written while all is well."""
    if isinstance(error, CounterpartFailed):
        after = error.after if isinstance(error, TryAgain) else timedelta()
        await counterparts.record_failure(effect.lane, effect.id, str(error), at_least=after)
    elif error is None:
        await counterparts.record_success(effect.lane)
    else:
        await counterparts.end_probe(effect.lane, effect.id)


def _report(message: str, error: BaseException) -> None:
    if isinstance(error, DatabaseUnavailable):
        log.warning("%s: %s", message, error)
    else:
        log.error(message, exc_info=error)
