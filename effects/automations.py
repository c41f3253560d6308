"""Automations: rules that act by themselves because of an event. They can do no more than people can."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from domain import rules
from domain.actors import Actor, Scope
from domain.automations import enabled_automations
from domain.change import Target
from domain.errors import DomainError
from domain.events import AutomationRefused
from domain.fulfillments.commands import mark_shipped
from domain.fulfillments.packing import LineQuantity
from domain.fulfillments.requests import request_fulfillments
from domain.orders.commands import archive_order, confirm_order
from domain.payments.commands import capture_payment
from effects.effect import Planned, finish
from effects.payments.payments import Payments
from models import Effect, Order, OrderEvent, OrderLine
from models.enums import (
    ActorKind,
    AutomationKind,
    EffectKind,
    EffectState,
    OrderEventType,
    OrderStatus,
    PaymentStatus,
)
from models.vocabularies import stored_word


@dataclass(frozen=True, slots=True)
class Rule:
    """What one automation does. When its turn comes, it checks whether there still is something to do.

    It acts after an event of one of these types, and if `on_payment`, also after the one that made the order PAID.
    """

    act: Callable[[Actor, Order, Payments], Awaitable[None]]
    after: Collection[OrderEventType]
    on_payment: bool = False


def automations_after(event: OrderEvent) -> set[AutomationKind]:
    """Return the automations that act on an order because of this event, whatever happened before it."""
    paid = event.to_payment_status is PaymentStatus.PAID
    return {kind for kind, rule in RULES.items() if event.type in rule.after or (paid and rule.on_payment)}


class Automations:
    """Acts as `AUTOMATION`, with the id of the event and the name of the automation."""

    kind: ClassVar[EffectKind] = EffectKind.AUTOMATION

    def __init__(self, payments: Payments) -> None:
        self._payments = payments

    async def plan(self, events: Sequence[OrderEvent]) -> list[tuple[OrderEvent, Planned]]:
        triggering = [
            (event, kinds)
            for event in events
            if (kinds := automations_after(event) or await _automations_missed_by(event))
        ]
        if not triggering:
            return []
        enabled = await enabled_automations()
        return [
            (event, Planned(subject=kind))
            for event, kinds in triggering
            for kind in sorted(kinds & enabled(event.channel_id))
        ]

    async def carry_out(self, effect: Effect) -> None:
        """Leave an order on hold alone. If a rule refuses, record that on the timeline, and do not try again."""
        kind = AutomationKind(effect.subject)
        actor = _actor(effect)
        order = await Order.get(id=effect.order_id)
        refused = []
        if order.held_at is None:
            try:
                await RULES[kind].act(actor, order, self._payments)
            except DomainError as refusal:
                refused = [AutomationRefused(automation=kind, code=refusal.code.name, reason=refusal.message)]
        await finish(effect, actor, *refused)

    async def give_up(self, effect: Effect, reason: str) -> None:
        kind = stored_word(AutomationKind, effect.subject)
        refused = AutomationRefused(automation=kind, code="INTERNAL", reason=reason)
        await finish(effect, _actor(effect), refused, state=EffectState.FAILED, error=reason)


async def _automations_missed_by(event: OrderEvent) -> set[AutomationKind]:
    """Return the automations that may catch up because the order was released: all that it has ever triggered.

    Events without effects do not count, so an imported order is not confirmed because it had been put on hold.
    """
    if event.type is not OrderEventType.ORDER_RELEASED:
        return set()
    before = await OrderEvent.filter(order_id=event.order_id, id__lt=event.id, has_effects=True)
    return set().union(*map(automations_after, before))


def _actor(effect: Effect) -> Actor:
    return Actor(kind=ActorKind.AUTOMATION, id=str(effect.event_id), name=effect.subject, scopes=frozenset(Scope))


async def _confirm(actor: Actor, order: Order, payments: Payments) -> None:
    if order.status is OrderStatus.PENDING:
        await confirm_order(actor=actor, target=Target(order.id))


async def _capture(actor: Actor, order: Order, payments: Payments) -> None:
    """Capture what was authorized. A machine must not record as paid what nobody has promised.

    The gateway is called by an effect of its own.
    """
    if order.authorized_total and order.outstanding:
        await capture_payment(actor=actor, target=Target(order.id), gateways=payments.gateways)


async def _capture_shipped(actor: Actor, order: Order, payments: Payments) -> None:
    if order.status is OrderStatus.SHIPPED:
        await _capture(actor, order, payments)


async def _fulfill(actor: Actor, order: Order, payments: Payments) -> None:
    """Release digital lines, and request those of fulfillment services from them."""
    if order.payment_status is not PaymentStatus.PAID or order.status not in rules.REQUESTABLE:
        return
    lines = await OrderLine.filter(order_id=order.id, fulfillable_quantity__gt=0)
    if any(line.service_id for line in lines):
        await request_fulfillments(actor=actor, target=Target(order.id))
    if digital := [line for line in lines if not line.requires_shipping and not line.service_id]:
        units = [LineQuantity(line.id, line.fulfillable_quantity) for line in digital]
        await mark_shipped(actor=actor, target=Target(order.id), lines=units)


async def _archive(actor: Actor, order: Order, payments: Payments) -> None:
    done = order.status is OrderStatus.SHIPPED and rules.archive_refusal(order.status, order.outstanding) is None
    if done and order.archived_at is None:
        await archive_order(actor=actor, target=Target(order.id))


RULES: Final[Mapping[AutomationKind, Rule]] = {
    AutomationKind.CONFIRM_ON_ARRIVAL: Rule(_confirm, after=(OrderEventType.ORDER_PLACED,)),
    AutomationKind.CAPTURE_ON_ARRIVAL: Rule(_capture, after=(OrderEventType.ORDER_PLACED,)),
    AutomationKind.CAPTURE_ON_SHIPPING: Rule(_capture_shipped, after=(OrderEventType.ORDER_SHIPPED,)),
    AutomationKind.FULFILL_ON_PAYMENT: Rule(_fulfill, after=(OrderEventType.ORDER_CONFIRMED,), on_payment=True),
    AutomationKind.ARCHIVE_WHEN_DONE: Rule(_archive, after=(OrderEventType.ORDER_SHIPPED,), on_payment=True),
}
