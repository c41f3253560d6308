"""What all kinds of effects have in common: how they follow from events, and how they end."""

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
    """An effect that an event is to have. With a delay, somebody else has so long to do it first.

    `counterpart` names the service outside that it needs, such as a gateway. Those that need the same one share its
    turns and, if it fails again and again, its pause.
    """

    subject: str = ""
    target: str = ""
    delay: timedelta = timedelta()
    counterpart: str = ""


class GivenUp(Exception):
    """Trying again would not help, or could do something twice: a person must look at it. The message says why."""


class TryAgain(Exception):
    """The other side has asked to be tried again after this time. The message says in which words."""

    def __init__(self, message: str, after: timedelta) -> None:
        super().__init__(message)
        self.after = after


class CounterpartFailed(Exception):
    """The service outside is at fault, not this effect: it is down, overloaded or silent, so that others fail, too.

    An error that is a `GivenUp` besides is not tried again, and counts against the service all the same.
    """


class EffectsOfKind(Protocol):
    """One kind of effects. Whatever is written must be as good when it is written twice."""

    kind: ClassVar[EffectKind]

    async def plan(self, events: Sequence[OrderEvent]) -> list[tuple[OrderEvent, Planned]]:
        """The effects of these events, each with its event.

        It may query the database, must not change it, and must be quick.
        """
        ...

    async def carry_out(self, effect: Effect) -> None:
        """Does it, and calls `finish`. Raises `GivenUp`; any other error means that it is tried again later.

        `TryAgain` says when. `CounterpartFailed` says that the service outside is at fault: after several of these it
        is paused.

        It may be called again at any time, also after it has been killed anywhere in the middle: `effect.data` is what
        it has written down with `remember` by then.
        """
        ...

    async def give_up(self, effect: Effect, reason: str) -> None:
        """Called once when the effect is given up, after `GivenUp` or a day of attempts: tell it on the timeline."""
        ...


async def remember(effect: Effect, **data: Any) -> None:
    """Writes down, for good, what the next attempt must know."""
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
    """The effect has come to its end, once: the events are recorded in the same transaction, unless it had before.

    `data` replaces what attempts have left, by default it stays.

    Raises `NotFound` where the actor does not see the order.
    """
    async with change(actor) as work:
        order = await work.lock_order(Target(effect.order_id))
        left = {} if data is None else {"data": data}
        ended = await Effect.filter(id=effect.id, state=EffectState.WAITING).update(
            state=state, error=error, finished_at=datetime.now(UTC), leased_until=None, **left
        )
        for happening in happenings if ended else ():
            work.record(order, happening)
