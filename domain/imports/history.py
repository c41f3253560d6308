"""The history of an order from another system, and its replay through the commands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from domain import rules
from domain.actors import Actor
from domain.change import Target, UnitOfWork, change, retry_conflicts
from domain.errors import InvalidInput
from domain.fulfillments.commands import TrackingInfo, add_tracking, mark_ready_to_ship, mark_shipped
from domain.fulfillments.packing import LineQuantity
from domain.money import Money, to_decimal, to_minor
from domain.orders.commands import archive_order, cancel_order, confirm_order
from domain.orders.placing import NewOrder, place_order
from domain.payments.commands import Amount, refund_payment
from domain.payments.ledger import Ledger
from models import Fulfillment, Order, OrderLine
from models.enums import CancelReason, FulfillmentStatus, OrderStatus, PaymentStatus, TransactionKind


@dataclass(frozen=True, slots=True)
class Confirm:
    at: datetime


@dataclass(frozen=True, slots=True)
class Parcel:
    """Units by the position of their line, from zero. If it has not `left`, it is packed and waits."""

    at: datetime
    units: Mapping[int, int]
    tracking: Sequence[TrackingInfo]
    left: bool


@dataclass(frozen=True, slots=True)
class Refund:
    """A refund. If `amount` is None, it is of all that was paid and not refunded yet."""

    at: datetime
    amount: Decimal | None
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Void:
    """The rest of the authorization of that reference is voided; without a reference, of all authorizations."""

    at: datetime
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    at: datetime
    reason: CancelReason


@dataclass(frozen=True, slots=True)
class Archive:
    at: datetime


Step = Confirm | Parcel | Refund | Void | Cancel | Archive


@dataclass(frozen=True, slots=True)
class History:
    """An order and what happened to it since, each step no earlier than the one before.

    The two statuses are those of the file, None if it has none that can be trusted. They are only compared with the
    result of the steps. `warnings` says what could not be read.
    """

    new: NewOrder
    placed_at: datetime
    steps: Sequence[Step]
    payment_status: PaymentStatus | None = None
    fulfillment_status: FulfillmentStatus | None = None
    warnings: Sequence[str] = ()


@retry_conflicts
async def replay(*, actor: Actor, history: History, with_effects: bool = False) -> list[str]:
    """Place the order and take its steps in one transaction, each event at the time when it happened.

    The events have no effects unless `with_effects` is set, because customers heard of them years ago.

    Return what could not be taken over. Raise DomainError, with nothing written, such as DuplicateReference if the
    channel has the order already.
    """
    if history.placed_at > datetime.now(UTC) + timedelta(days=1):
        raise InvalidInput("An order cannot be placed in the future.", "placed_at")
    warnings = list(history.warnings)
    async with change(actor, has_effects=with_effects) as work:
        work.now = history.placed_at
        order = await place_order(actor=actor, new=history.new)
        for step in history.steps:
            work.now = step.at
            warning = await _take(work, order, step)
            if warning:
                warnings.append(warning)
    return warnings + _differences(order, history)


async def _take(work: UnitOfWork, order: Order, step: Step) -> str | None:
    """Take the step, as far as the rules allow it. Return what they did not allow."""
    actor, target = work.actor, Target(order.id)
    match step:
        case Confirm():
            await confirm_order(actor=actor, target=target)
        case Parcel():
            await _pack_or_ship(actor, target, step)
        case Refund():
            return await _refund(actor, order, step)
        case Void():
            await _void(work, order, step)
        case Cancel():
            if order.status is OrderStatus.SHIPPED:
                return "it was cancelled after everything had left; it stays SHIPPED"
            await cancel_order(actor=actor, target=target, reason=step.reason)
        case Archive():
            if refusal := rules.archive_refusal(order.status, order.outstanding):
                return f"it is closed, but was not archived: {refusal}"
            await archive_order(actor=actor, target=target)
    return None


async def _pack_or_ship(actor: Actor, target: Target, parcel: Parcel) -> None:
    rows = await OrderLine.filter(order_id=target.order_id).order_by("position").only("id")
    units = [LineQuantity(rows[position].id, count) for position, count in parcel.units.items()]
    if parcel.left:
        await mark_shipped(actor=actor, target=target, lines=units, tracking=parcel.tracking)
        return
    await mark_ready_to_ship(actor=actor, target=target, lines=units)
    packed = await Fulfillment.filter(order_id=target.order_id).order_by("-position").first()
    assert packed is not None
    for info in parcel.tracking:
        await add_tracking(actor=actor, target=target, info=info, fulfillment_id=packed.id)


async def _refund(actor: Actor, order: Order, refund: Refund) -> str | None:
    left = order.paid_total - order.refunded_total
    wanted = left if refund.amount is None else to_minor(refund.amount, order.currency)
    possible = min(wanted, left)
    if possible:
        amount = Amount(to_decimal(possible, order.currency))
        await refund_payment(actor=actor, target=Target(order.id), amount=amount, reference=refund.reference)
    if possible == wanted:
        return None
    return (
        f"{Money(wanted, order.currency)} were refunded, more than was paid and not refunded before;"
        f" {Money(possible, order.currency)} were recorded"
    )


async def _void(work: UnitOfWork, order: Order, void: Void) -> None:
    ledger = await Ledger.open(work, order)
    for authorization in ledger.authorizations():
        given = authorization.transaction
        if void.reference in (None, given.reference):
            await ledger.post(TransactionKind.VOID, authorization.amount, gateway=given.gateway, parent=given)


def _differences(order: Order, history: History) -> list[str]:
    compared = (
        ("payment", history.payment_status, order.payment_status),
        ("fulfillment", history.fulfillment_status, order.fulfillment_status),
    )
    return [
        f"its {axis} status was {said}, but what the file tells of it comes to {derived}"
        for axis, said, derived in compared
        if said not in (None, derived)
    ]
