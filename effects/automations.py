"""The rules that act by themselves because of an event, and never against a rule that holds for people."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
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

# What an automation acts on. Each looks whether there is something to do when its turn comes.
_TYPES: Final[Mapping[AutomationKind, Collection[OrderEventType]]] = {
    AutomationKind.CONFIRM_ON_ARRIVAL: (OrderEventType.ORDER_PLACED,),
    AutomationKind.CAPTURE_ON_ARRIVAL: (OrderEventType.ORDER_PLACED,),
    AutomationKind.CAPTURE_ON_SHIPPING: (OrderEventType.ORDER_SHIPPED,),
    AutomationKind.FULFILL_ON_PAYMENT: (OrderEventType.ORDER_CONFIRMED,),
    AutomationKind.ARCHIVE_WHEN_DONE: (OrderEventType.ORDER_SHIPPED,),
}
_ON_PAYMENT: Final = (AutomationKind.FULFILL_ON_PAYMENT, AutomationKind.ARCHIVE_WHEN_DONE)


def triggered(event: OrderEvent) -> set[AutomationKind]:
    """The automations that look at an order because of this event, whatever happened before it."""
    kinds = {kind for kind, types in _TYPES.items() if event.type in types}
    return kinds.union(_ON_PAYMENT) if event.to_payment_status is PaymentStatus.PAID else kinds


class Automations:
    """Acts as `AUTOMATION`, with the event that caused it as its id and its kind as its name."""

    kind: ClassVar[EffectKind] = EffectKind.AUTOMATION

    def __init__(self, payments: Payments) -> None:
        self._payments = payments
        self._acts: dict[AutomationKind, Callable[[Actor, Order], Awaitable[None]]] = {
            AutomationKind.CONFIRM_ON_ARRIVAL: _confirm,
            AutomationKind.CAPTURE_ON_ARRIVAL: self._capture,
            AutomationKind.CAPTURE_ON_SHIPPING: self._capture_shipped,
            AutomationKind.FULFILL_ON_PAYMENT: _fulfill,
            AutomationKind.ARCHIVE_WHEN_DONE: _archive,
        }

    async def plan(self, events: Sequence[OrderEvent]) -> list[tuple[OrderEvent, Planned]]:
        triggering = [(event, kinds) for event in events if (kinds := triggered(event) or await _missed(event))]
        if not triggering:
            return []
        enabled = await enabled_automations()
        return [
            (event, Planned(subject=kind))
            for event, kinds in triggering
            for kind in sorted(kinds & enabled(event.channel_id))
        ]

    async def carry_out(self, effect: Effect) -> None:
        """An order that is held is left alone. What a rule refuses is told on the timeline, and not tried again."""
        kind = AutomationKind(effect.subject)
        actor = _actor(effect)
        order = await Order.get(id=effect.order_id)
        refused = []
        if order.held_at is None:
            try:
                await self._acts[kind](actor, order)
            except DomainError as refusal:
                refused = [AutomationRefused(automation=kind, code=refusal.code.name, reason=refusal.message)]
        await finish(effect, actor, *refused)

    async def give_up(self, effect: Effect, reason: str) -> None:
        kind = stored_word(AutomationKind, effect.subject)
        refused = AutomationRefused(automation=kind, code="INTERNAL", reason=reason)
        await finish(effect, _actor(effect), refused, state=EffectState.FAILED, error=reason)

    async def _capture(self, actor: Actor, order: Order) -> None:
        """Takes what was authorized; what nobody has promised is not for a machine to write down as paid.

        Gateways are asked by an effect of their own, which waits for nobody's answer but theirs.
        """
        if order.authorized_total and order.outstanding:
            await capture_payment(actor=actor, target=Target(order.id), gateways=self._payments.gateways)

    async def _capture_shipped(self, actor: Actor, order: Order) -> None:
        if order.status is OrderStatus.SHIPPED:
            await self._capture(actor, order)


async def _missed(event: OrderEvent) -> set[AutomationKind]:
    """Return the automations that may catch up because the order was released: all that it has ever triggered.

    Events without effects do not count, so an imported order is not confirmed because somebody had put it on hold.
    """
    if event.type is not OrderEventType.ORDER_RELEASED:
        return set()
    before = await OrderEvent.filter(order_id=event.order_id, id__lt=event.id, has_effects=True)
    return set().union(*map(triggered, before))


def _actor(effect: Effect) -> Actor:
    return Actor(kind=ActorKind.AUTOMATION, id=str(effect.event_id), name=effect.subject, scopes=frozenset(Scope))


async def _confirm(actor: Actor, order: Order) -> None:
    if order.status is OrderStatus.PENDING:
        await confirm_order(actor=actor, target=Target(order.id))


async def _fulfill(actor: Actor, order: Order) -> None:
    """Digital lines are released, and those of fulfillment services are requested from them."""
    if order.payment_status is not PaymentStatus.PAID or order.status not in rules.REQUESTABLE:
        return
    lines = await OrderLine.filter(order_id=order.id, fulfillable_quantity__gt=0)
    if any(line.service_id for line in lines):
        await request_fulfillments(actor=actor, target=Target(order.id))
    if digital := [line for line in lines if not line.requires_shipping and not line.service_id]:
        units = [LineQuantity(line.id, line.fulfillable_quantity) for line in digital]
        await mark_shipped(actor=actor, target=Target(order.id), lines=units)


async def _archive(actor: Actor, order: Order) -> None:
    done = order.status is OrderStatus.SHIPPED and rules.archive_refusal(order.status, order.outstanding) is None
    if done and order.archived_at is None:
        await archive_order(actor=actor, target=Target(order.id))
