"""The steps of an order's life that are neither a shipment nor a payment."""

from domain.actors import Actor, Scope
from domain.change import Target, change, command
from domain.orders import rules
from domain.orders.events import NoteAdded, OrderArchived, OrderCancelled, OrderConfirmed, OrderUnarchived
from domain.orders.placing import LONGEST_NOTE
from domain.payments.ledger import void_authorizations
from domain.validation import required_text
from models import Fulfillment, Order, OrderLine
from models.enums import CancelReason, FulfillmentState, OrderStatus


@command
async def confirm_order(*, actor: Actor, target: Target) -> Order:
    """Accept an order that has come in."""
    actor.require(Scope.ORDERS_WRITE)
    async with change(actor) as unit:
        order = await unit.lock_order(target)
        if order.status is OrderStatus.CONFIRMED:
            return order
        rules.require_transition(order.status, OrderStatus.CONFIRMED)
        order.status = OrderStatus.CONFIRMED
        order.confirmed_at = unit.now
        unit.record(order, OrderConfirmed())
    return unit.order


@command
async def cancel_order(*, actor: Actor, target: Target, reason: CancelReason) -> Order:
    """Cancel an order that has not shipped. What was only authorized by hand is voided; what was paid stays paid."""
    actor.require(Scope.ORDERS_WRITE)
    async with change(actor) as unit:
        order = await unit.lock_order(target)
        if order.status is OrderStatus.CANCELLED:
            return order
        rules.require_transition(order.status, OrderStatus.CANCELLED)
        await Fulfillment.filter(order_id=order.id, state=FulfillmentState.OPEN).update(
            state=FulfillmentState.CANCELLED
        )
        await OrderLine.filter(order_id=order.id).update(fulfillable_quantity=0)
        order.status = OrderStatus.CANCELLED
        order.cancelled_at = unit.now
        order.cancel_reason = reason
        unit.record(order, OrderCancelled(reason=reason))
        await void_authorizations(unit, order)
    return unit.order


@command
async def archive_order(*, actor: Actor, target: Target) -> Order:
    """Put away an order that is cancelled, or shipped and paid in full."""
    actor.require(Scope.ORDERS_WRITE)
    async with change(actor) as unit:
        order = await unit.lock_order(target)
        if order.archived_at is not None:
            return order
        if refusal := rules.archive_refusal(order.status, order.outstanding):
            raise rules.InvalidTransition(refusal, order.status)
        order.archived_at = unit.now
        unit.record(order, OrderArchived())
    return unit.order


@command
async def unarchive_order(*, actor: Actor, target: Target) -> Order:
    """Take an order out of the archive."""
    actor.require(Scope.ORDERS_WRITE)
    async with change(actor) as unit:
        order = await unit.lock_order(target)
        if order.archived_at is None:
            return order
        order.archived_at = None
        unit.record(order, OrderUnarchived())
    return unit.order


@command
async def add_order_note(*, actor: Actor, target: Target, note: str) -> Order:
    """Write below the order's note, and onto its timeline."""
    actor.require(Scope.ORDERS_WRITE)
    note = required_text(note, "note", longest=LONGEST_NOTE)
    async with change(actor) as unit:
        order = await unit.lock_order(target)
        order.note = f"{order.note}\n{note}" if order.note else note
        unit.record(order, NoteAdded(note=note))
    return unit.order
