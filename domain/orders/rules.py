"""The life of an order as pure rules: what may follow what, and what the parts make of the whole.

Nothing here queries or looks at a clock.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from domain.errors import DomainError, ErrorCode
from models.enums import (
    FulfillmentStatus,
    OrderStatus,
    PaymentStatus,
    TransactionKind,
    TransactionStatus,
)

TRANSITIONS: dict[OrderStatus, frozenset[OrderStatus]] = {
    OrderStatus.PENDING: frozenset({OrderStatus.CONFIRMED, OrderStatus.CANCELLED}),
    OrderStatus.CONFIRMED: frozenset({OrderStatus.READY_TO_SHIP, OrderStatus.SHIPPED, OrderStatus.CANCELLED}),
    OrderStatus.READY_TO_SHIP: frozenset({OrderStatus.SHIPPED, OrderStatus.CANCELLED}),
    OrderStatus.SHIPPED: frozenset(),
    OrderStatus.CANCELLED: frozenset(),
}


class InvalidTransition(DomainError):
    """The order's status does not allow this step. `to_status` is where the step would have led, if anywhere."""

    code = ErrorCode.INVALID_TRANSITION

    def __init__(self, message: str, from_status: OrderStatus, to_status: OrderStatus | None = None) -> None:
        super().__init__(message)
        self.from_status = from_status
        self.to_status = to_status


class NothingToShip(DomainError):
    code = ErrorCode.NOTHING_TO_SHIP


def require_transition(from_status: OrderStatus, to_status: OrderStatus) -> None:
    """Raises `InvalidTransition` where the table has no such step."""
    if to_status not in TRANSITIONS.get(from_status, ()):
        raise InvalidTransition(f"An order that is {from_status} cannot become {to_status}.", from_status, to_status)


def require_status(status: OrderStatus, allowed: Iterable[OrderStatus], step: str) -> None:
    """Raises `InvalidTransition` for a step that changes no status but needs one of some."""
    if status not in allowed:
        raise InvalidTransition(f"An order that is {status} cannot {step}.", status)


TRACKABLE = frozenset({OrderStatus.CONFIRMED, OrderStatus.READY_TO_SHIP, OrderStatus.SHIPPED})
REQUESTABLE = frozenset({OrderStatus.CONFIRMED, OrderStatus.READY_TO_SHIP})
PAYABLE = frozenset(OrderStatus) - {OrderStatus.CANCELLED}


class LineUnits(Protocol):
    """How many units of a line are where. Those in an open fulfillment are what the other numbers leave over."""

    quantity: int
    removed_quantity: int
    fulfillable_quantity: int
    shipped_quantity: int


def fulfillment_status(lines: Iterable[LineUnits]) -> FulfillmentStatus:
    """From the units that are due (ordered, less removed) and those that have left."""
    due = shipped = 0
    for line in lines:
        due += line.quantity - line.removed_quantity
        shipped += line.shipped_quantity
    if shipped == 0:
        return FulfillmentStatus.UNFULFILLED
    return FulfillmentStatus.FULFILLED if shipped >= due else FulfillmentStatus.PARTIALLY_FULFILLED


class Movement(Protocol):
    """A transaction, as far as these rules look at it."""

    kind: TransactionKind
    status: TransactionStatus
    amount: int
    parent_id: UUID | None


@dataclass(frozen=True, slots=True)
class PaymentSummary:
    """Sums in minor units. `authorized` is what can still be captured."""

    authorized: int
    paid: int
    refunded: int
    voided: int


def summarize(transactions: Iterable[Movement]) -> PaymentSummary:
    """The sums of the transactions that succeeded. A capture or a void uses up its parent, an authorization."""
    sums = dict.fromkeys(TransactionKind, 0)
    used = 0
    for transaction in transactions:
        if transaction.status is TransactionStatus.SUCCEEDED:
            sums[transaction.kind] += transaction.amount
            if transaction.parent_id and transaction.kind in (TransactionKind.CAPTURE, TransactionKind.VOID):
                used += transaction.amount
    return PaymentSummary(
        authorized=max(sums[TransactionKind.AUTHORIZATION] - used, 0),
        paid=sums[TransactionKind.CAPTURE] + sums[TransactionKind.SALE],
        refunded=sums[TransactionKind.REFUND],
        voided=sums[TransactionKind.VOID],
    )


def payment_status(total: int, summary: PaymentSummary) -> PaymentStatus:
    """The payment axis of an order of that total, in minor units."""
    if summary.refunded > 0:
        fully = summary.refunded >= summary.paid
        return PaymentStatus.REFUNDED if fully else PaymentStatus.PARTIALLY_REFUNDED
    if summary.paid >= total:
        return PaymentStatus.PAID
    if summary.paid > 0:
        return PaymentStatus.PARTIALLY_PAID
    if summary.authorized > 0:
        return PaymentStatus.AUTHORIZED
    return PaymentStatus.VOIDED if summary.voided > 0 else PaymentStatus.PENDING


NOTHING_TO_REQUEST = "No line is left that a fulfillment service ships."
NOTHING_TO_VOID = "Nothing is authorized."


def capture_refusal(unknown_gateways: Collection[str]) -> str | None:
    """Why an order cannot be captured that has open authorizations of these, which are not set up; `None` for none."""
    if not unknown_gateways:
        return None
    return f"No gateway {', '.join(sorted(unknown_gateways))} is set up to capture from."


def void_refusal(unknown_gateways: Collection[str]) -> str | None:
    """Why open authorizations of these gateways, which are not set up, cannot be given up; `None` for none."""
    if not unknown_gateways:
        return None
    return f"No gateway {', '.join(sorted(unknown_gateways))} is set up to give the authorization up."


def archive_refusal(status: OrderStatus, outstanding: int) -> str | None:
    """Why an order cannot be archived, or `None`: it is cancelled, or shipped and paid in full."""
    if status is OrderStatus.CANCELLED:
        return None
    if status is not OrderStatus.SHIPPED:
        return f"An order that is {status} cannot be archived: it must be SHIPPED or CANCELLED."
    if outstanding > 0:
        return "An order that is not paid in full cannot be archived."
    return None


class OrderAction(StrEnum):
    """What can be done with an order, named after the mutation that does it."""

    CONFIRM = "CONFIRM"
    CANCEL = "CANCEL"
    MARK_READY_TO_SHIP = "MARK_READY_TO_SHIP"
    CREATE_DELIVERY_NOTE = "CREATE_DELIVERY_NOTE"
    REQUEST_FULFILLMENT = "REQUEST_FULFILLMENT"
    MARK_SHIPPED = "MARK_SHIPPED"
    ADD_TRACKING = "ADD_TRACKING"
    UPDATE_TRACKING = "UPDATE_TRACKING"
    REMOVE_TRACKING = "REMOVE_TRACKING"
    ARCHIVE = "ARCHIVE"
    UNARCHIVE = "UNARCHIVE"
    ADD_NOTE = "ADD_NOTE"
    HOLD = "HOLD"
    RELEASE = "RELEASE"
    CAPTURE_PAYMENT = "CAPTURE_PAYMENT"
    RECORD_PAYMENT = "RECORD_PAYMENT"
    REFUND_PAYMENT = "REFUND_PAYMENT"
    VOID_PAYMENT = "VOID_PAYMENT"


@dataclass(frozen=True, slots=True)
class Situation:
    """What decides on an order's actions. Amounts in minor units, the rest in units and pieces.

    `requestable_units` are those of the fulfillable ones that a fulfillment service ships.
    `fulfillments_without_note` are those that are not cancelled and have no delivery note.
    `authorized` is what can still be captured, `capturing` and `refunding` what gateways are being asked for.
    `unknown_gateways` are those that hold an authorization not captured yet and are not set up.
    """

    status: OrderStatus
    archived: bool
    held: bool
    outstanding: int
    refundable: int
    fulfillable_units: int
    requestable_units: int
    open_units: int
    tracking_numbers: int
    fulfillments_without_note: int
    authorized: int = 0
    capturing: int = 0
    refunding: int = 0
    unknown_gateways: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class AvailableAction:
    action: OrderAction
    available: bool
    reason: str | None


def available_actions(now: Situation) -> list[AvailableAction]:
    """Every action, in the order of an order's life, with the reason where it is not to be had.

    An action that would be answered as a repetition, which changes nothing, is not available.
    """
    return [
        AvailableAction(action, reason is None, reason)
        for action, reason in (
            (OrderAction.CONFIRM, _step(now, OrderStatus.CONFIRMED)),
            (OrderAction.CANCEL, _step(now, OrderStatus.CANCELLED)),
            (OrderAction.MARK_READY_TO_SHIP, _ready_refusal(now)),
            (OrderAction.CREATE_DELIVERY_NOTE, _delivery_note_refusal(now)),
            (OrderAction.REQUEST_FULFILLMENT, _request_refusal(now)),
            (OrderAction.MARK_SHIPPED, _shipping_refusal(now)),
            (OrderAction.ADD_TRACKING, _tracking_refusal(now, existing=False)),
            (OrderAction.UPDATE_TRACKING, _tracking_refusal(now, existing=True)),
            (OrderAction.REMOVE_TRACKING, _tracking_refusal(now, existing=True)),
            (OrderAction.ARCHIVE, _archiving_refusal(now)),
            (OrderAction.UNARCHIVE, None if now.archived else "The order is not archived."),
            (OrderAction.ADD_NOTE, None),
            (OrderAction.HOLD, "The order is on hold already." if now.held else None),
            (OrderAction.RELEASE, None if now.held else "The order is not on hold."),
            (OrderAction.CAPTURE_PAYMENT, _capture_refusal(now)),
            (OrderAction.RECORD_PAYMENT, _payment_refusal(now)),
            (OrderAction.REFUND_PAYMENT, _refund_refusal(now)),
            (OrderAction.VOID_PAYMENT, void_refusal(now.unknown_gateways) if now.authorized else NOTHING_TO_VOID),
        )
    ]


def _step(now: Situation, to_status: OrderStatus) -> str | None:
    if now.status is to_status:
        return f"The order is {to_status} already."
    try:
        require_transition(now.status, to_status)
    except InvalidTransition as refusal:
        return refusal.message
    return None


def _ready_refusal(now: Situation) -> str | None:
    if now.status is not OrderStatus.READY_TO_SHIP:
        refusal = _step(now, OrderStatus.READY_TO_SHIP)
        if refusal or now.fulfillable_units + now.open_units:
            return refusal
    return None if now.fulfillable_units else "Nothing is left to make ready."


def _shipping_refusal(now: Situation) -> str | None:
    refusal = _step(now, OrderStatus.SHIPPED)
    if refusal or now.fulfillable_units + now.open_units:
        return refusal
    return "Nothing is left to ship."


def _delivery_note_refusal(now: Situation) -> str | None:
    if now.status not in TRACKABLE:
        return f"An order that is {now.status} cannot be given a delivery note."
    if now.fulfillments_without_note or now.fulfillable_units:
        return None
    return "Every fulfillment has its delivery note."


def _request_refusal(now: Situation) -> str | None:
    if now.status not in REQUESTABLE:
        return f"An order that is {now.status} cannot be given to a fulfillment service."
    return None if now.requestable_units else NOTHING_TO_REQUEST


def _tracking_refusal(now: Situation, *, existing: bool) -> str | None:
    if existing:
        return None if now.tracking_numbers else "The order has no tracking number."
    if now.status in TRACKABLE:
        return None
    return f"An order that is {now.status} cannot be given a tracking number."


def _archiving_refusal(now: Situation) -> str | None:
    if now.archived:
        return "The order is archived already."
    return archive_refusal(now.status, now.outstanding)


def _payment_refusal(now: Situation) -> str | None:
    if now.status not in PAYABLE:
        return f"An order that is {now.status} cannot be paid."
    if not now.outstanding:
        return "Nothing is left to pay."
    return None if now.outstanding > now.capturing else "What is left to pay is being captured."


def _capture_refusal(now: Situation) -> str | None:
    refusal = _payment_refusal(now) or capture_refusal(now.unknown_gateways)
    if refusal is None and now.capturing:
        return "A capture is under way."
    return refusal


def _refund_refusal(now: Situation) -> str | None:
    if now.refunding:
        return "A refund is under way."
    return None if now.refundable else "Nothing is left to refund."
