"""What all kinds of effects have in common."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Protocol

from domain.actors import Actor
from domain.change import Target, change, retry_conflicts
from domain.events import Happening
from models import Effect, OrderEvent
from models.enums import EffectKind, EffectState


@dataclass(frozen=True, slots=True)
class Planned:
    """An effect that an event will have. The delay gives a request time to do it first.

    `counterpart` names the external service that it needs, such as a gateway. Effects that need the same one share its
    concurrency limit and, if it fails again and again, its pause.
    """

    subject: str = ""
    target: str = ""
    delay: timedelta = timedelta()
    counterpart: str = ""


class GivenUp(Exception):
    """Another attempt would not help, or could do something twice. A person must decide. The message says why."""


class CounterpartFailed(Exception):
    """The external service is down, overloaded or silent, so that other effects would fail, too.

    An error that is also a GivenUp is not tried again, but counts as a failure of the service.
    """


class TryAgain(CounterpartFailed):
    """The external service has asked to be tried again after this time. The message is for people."""

    def __init__(self, message: str, after: timedelta) -> None:
        super().__init__(message)
        self.after = after


class EffectsOfKind(Protocol):
    """One kind of effects. All that it writes must be idempotent."""

    kind: ClassVar[EffectKind]

    async def plan(self, events: Sequence[OrderEvent]) -> list[tuple[OrderEvent, Planned]]:
        """Return the effects of these events, each with its event.

        May query the database but not change it, and must be quick.
        """
        ...

    async def carry_out(self, effect: Effect) -> None:
        """Do it, and call `finish`. Raise GivenUp to end it; after any other error it is tried again later.

        TryAgain says when. CounterpartFailed says that the external service is at fault, which is paused after several
        of these.

        May be called again after a crash at any point. `effect.data` holds what earlier attempts saved with `remember`.
        """
        ...

    async def give_up(self, effect: Effect, reason: str) -> None:
        """Record on the timeline that the effect is given up. Called once, after GivenUp or a day of attempts."""
        ...


async def remember(effect: Effect, **data: Any) -> None:
    """Save data that the next attempt needs."""
    effect.data = {**effect.data, **data}
    await Effect.filter(id=effect.id).update(data=effect.data)


@retry_conflicts
async def finish(
    effect: Effect,
    actor: Actor,
    *happenings: Happening,
    state: EffectState = EffectState.DONE,
    error: str | None = None,
    data: dict[str, Any] | None = None,
) -> None:
    """End the effect and record the events in one transaction. Do nothing if it has ended before.

    `data` replaces what attempts have saved. Raise NotFound if the actor does not see the order.
    """
    async with change(actor) as work:
        order = await work.lock_order(Target(effect.order_id))
        left = {} if data is None else {"data": data}
        ended = await Effect.filter(id=effect.id, state=EffectState.WAITING).update(
            state=state, error=error, finished_at=datetime.now(UTC), leased_until=None, **left
        )
        for happening in happenings if ended else ():
            work.record(order, happening)
