"""Effects that people look at: those that were given up, and those that they want once more."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from tortoise.expressions import Q

from domain import cursors
from domain.actors import Actor, Scope
from domain.change import Target, change, command
from domain.counterparts import end_pause
from domain.errors import NotFound
from domain.paging import PageRequest
from models import Effect
from models.engine.rows import reload, save
from models.enums import EffectKind, EffectState

# What attempts have left is gone when an effect is tried anew, except for the body of a call: the service may have got
# it already, and knows it again by its id.
KEPT: Final = ("body",)

_CURSOR: Final = "effect"


@dataclass(frozen=True, slots=True)
class EffectPage:
    effects: Sequence[Effect]
    has_next_page: bool


def cursor_of(effect: Effect) -> str:
    return cursors.encode(_CURSOR, str(effect.id))


async def failed_effects(actor: Actor, *, request: PageRequest) -> EffectPage:
    """Return a page of the effects that were given up, oldest first. Raise `InvalidInput`."""
    actor.require(Scope.ORDERS_READ)
    size = request.size
    query = Effect.filter(_visible(actor), state=EffectState.FAILED)
    if request.after is not None:
        query = query.filter(id__gt=cursors.decode_key(request.after, _CURSOR, "after"))
    found = await query.order_by("id").limit(size + 1)
    return EffectPage(found[:size], len(found) > size)


def _visible(actor: Actor) -> Q:
    return Q() if actor.channel_ids is None else Q(channel_id__in=list(actor.channel_ids))


@command(Scope.ORDERS_WRITE)
async def retry_effect(*, actor: Actor, effect_id: UUID) -> Effect:
    """Have an effect that was given up tried again, from the beginning; one that was not given up stays as it is.

    A paused counterpart is tried at once, also if the effect only waits for it.
    """
    return await _anew(actor, effect_id, EffectState.FAILED)


@command(Scope.ORDERS_WRITE)
async def resend_email(*, actor: Actor, effect_id: UUID) -> Effect:
    """Have an e-mail sent once more, whatever became of it. Raise `NotFound` for an effect that is none."""
    return await _anew(actor, effect_id, EffectState.FAILED, EffectState.DONE, kind=EffectKind.EMAIL)


async def _anew(actor: Actor, effect_id: UUID, *ended: EffectState, **conditions: Any) -> Effect:
    effect = await Effect.get_or_none(_visible(actor), id=effect_id, **conditions)
    if effect is None:
        raise NotFound("There is no such effect.", "effect_id")
    async with change(actor) as work:
        await work.lock_order(Target(effect.order_id))
        await reload(effect)
        if effect.state in ended:
            effect.state, effect.attempts, effect.error = EffectState.WAITING, 0, None
            effect.due_at, effect.finished_at = await _before_the_others(effect), None
            kept = {name: effect.data[name] for name in KEPT if name in effect.data}
            effect.data = {**kept, "round": effect.data.get("round", 0) + 1}
            await save(effect)
        if effect.state is EffectState.WAITING:
            await end_pause(effect.lane)
    return effect


async def _before_the_others(effect: Effect) -> datetime:
    """Return a moment at which it is due before all that wait in its lane: somebody is watching."""
    now = datetime.now(UTC)
    first = await Effect.filter(lane=effect.lane, state=EffectState.WAITING).order_by("due_at").first().only("due_at")
    return now if first is None else min(now, first.due_at - timedelta(milliseconds=1))
