"""The steps of an order's life that are neither a shipment nor a payment."""

from collections.abc import Collection

from domain import rules
from domain.actors import Actor, Scope
from domain.change import Target, change, command
from domain.events import (
    NoteAdded,
    OrderArchived,
    OrderCancelled,
    OrderConfirmed,
    OrderHeld,
    OrderReleased,
    OrderUnarchived,
)
from domain.orders.placing import LONGEST_NOTE
from domain.payments.ledger import give_back, require_no_capture
from domain.validation import required_text
from models import Order
from models.engine.statements import Write, write
from models.enums import CancelReason, FulfillmentState, OrderStatus

LONGEST_HOLD_REASON = 1_000  # characters


@command(Scope.ORDERS_WRITE)
async def confirm_order(*, actor: Actor, target: Target) -> Order:
    """Accept an order that has come in."""
    async with change(actor) as work:
        order = await work.lock_order(target)
        if order.status is OrderStatus.CONFIRMED:
            return order
        rules.require_transition(order.status, OrderStatus.CONFIRMED)
        order.status = OrderStatus.CONFIRMED
        order.confirmed_at = work.now
        work.record(order, OrderConfirmed())
    return work.order


@command(Scope.ORDERS_WRITE)
async def cancel_order(
    *, actor: Actor, target: Target, reason: CancelReason, refund: bool = False, gateways: Collection[str] = ()
) -> Order:
    """Cancel an order that has not shipped. What was only authorized is voided, by hand and at these gateways.

    What was paid stays paid, or is refunded the way it came; that needs `payments:write`, too.
    """
    if refund:
        actor.require(Scope.PAYMENTS_WRITE)
    async with change(actor) as work:
        order = await work.lock_order(target)
        if order.status is OrderStatus.CANCELLED:
            return order
        rules.require_transition(order.status, OrderStatus.CANCELLED)
        if refund:
            await require_no_capture(work, order)
        await write(
            Write(
                'UPDATE "fulfillments" SET "state" = ? WHERE "order_id" = ? AND "state" = ?',
                [FulfillmentState.CANCELLED, str(order.id), FulfillmentState.OPEN],
            ),
            Write('UPDATE "order_lines" SET "fulfillable_quantity" = 0 WHERE "order_id" = ?', [str(order.id)]),
        )
        order.status = OrderStatus.CANCELLED
        order.cancelled_at = work.now
        order.cancel_reason = reason
        work.record(order, OrderCancelled(reason=reason))
        await give_back(work, order, gateways=gateways, refund=refund)
    return work.order


@command(Scope.ORDERS_WRITE)
async def archive_order(*, actor: Actor, target: Target) -> Order:
    """Put away an order that is cancelled, or shipped and paid in full."""
    async with change(actor) as work:
        order = await work.lock_order(target)
        if order.archived_at is not None:
            return order
        if refusal := rules.archive_refusal(order.status, order.outstanding):
            raise rules.InvalidTransition(refusal, order.status)
        order.archived_at = work.now
        work.record(order, OrderArchived())
    return work.order


@command(Scope.ORDERS_WRITE)
async def unarchive_order(*, actor: Actor, target: Target) -> Order:
    """Take an order out of the archive."""
    async with change(actor) as work:
        order = await work.lock_order(target)
        if order.archived_at is None:
            return order
        order.archived_at = None
        work.record(order, OrderUnarchived())
    return work.order


@command(Scope.ORDERS_WRITE)
async def hold_order(*, actor: Actor, target: Target, reason: str) -> Order:
    """Keep automations away from an order until it is released. What people do with it is not affected."""
    reason = required_text(reason, "reason", longest=LONGEST_HOLD_REASON)
    async with change(actor) as work:
        order = await work.lock_order(target)
        if order.held_at is not None:
            return order
        order.held_at, order.hold_reason = work.now, reason
        work.record(order, OrderHeld(reason=reason))
    return work.order


@command(Scope.ORDERS_WRITE)
async def release_order(*, actor: Actor, target: Target) -> Order:
    """Let automations have an order again: those that were kept away catch up."""
    async with change(actor) as work:
        order = await work.lock_order(target)
        if order.held_at is None:
            return order
        order.held_at = order.hold_reason = None
        work.record(order, OrderReleased())
    return work.order


@command(Scope.ORDERS_WRITE)
async def add_order_note(*, actor: Actor, target: Target, note: str) -> Order:
    """Write below the order's note, and onto its timeline."""
    note = required_text(note, "note", longest=LONGEST_NOTE)
    async with change(actor) as work:
        order = await work.lock_order(target)
        order.note = f"{order.note}\n{note}" if order.note else note
        work.record(order, NoteAdded(note=note))
    return work.order
