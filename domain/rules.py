"""The life of an order as pure rules: what may follow what, and what the parts make of the whole.

Nothing here queries or looks at a clock.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
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
    """Raise `InvalidTransition` if the table has no such step."""
    if to_status not in TRANSITIONS.get(from_status, ()):
        raise InvalidTransition(f"An order that is {from_status} cannot become {to_status}.", from_status, to_status)


def require_status(status: OrderStatus, allowed: Iterable[OrderStatus], step: str) -> None:
    """Raise `InvalidTransition` if a step that changes no status is not possible in this one."""
    if status not in allowed:
        raise InvalidTransition(f"An order that is {status} cannot {step}.", status)


TRACKABLE = frozenset({OrderStatus.CONFIRMED, OrderStatus.READY_TO_SHIP, OrderStatus.SHIPPED})
REQUESTABLE = frozenset({OrderStatus.CONFIRMED, OrderStatus.READY_TO_SHIP})
PAYABLE = frozenset(OrderStatus) - {OrderStatus.CANCELLED}


class LineUnits(Protocol):
    """Where the units of a line are. The rest of the quantity is in open fulfillments."""

    quantity: int
    removed_quantity: int
    fulfillable_quantity: int
    shipped_quantity: int


def fulfillment_status(lines: Iterable[LineUnits]) -> FulfillmentStatus:
    """Return the status from the units that are due (ordered, less removed) and those that have left."""
    due = shipped = 0
    for line in lines:
        due += line.quantity - line.removed_quantity
        shipped += line.shipped_quantity
    if shipped == 0:
        return FulfillmentStatus.UNFULFILLED
    return FulfillmentStatus.FULFILLED if shipped >= due else FulfillmentStatus.PARTIALLY_FULFILLED


class Movement(Protocol):
    """The attributes of a transaction that these rules read."""

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
    """Return the sums of the transactions that succeeded. A capture or a void uses up its parent, an authorization."""
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
    """Return the payment status of an order with this total, in minor units."""
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
    """Return why an order with authorizations at these gateways, which are not set up, cannot be captured."""
    if not unknown_gateways:
        return None
    return f"No gateway {', '.join(sorted(unknown_gateways))} is set up to capture from."


def void_refusal(unknown_gateways: Collection[str]) -> str | None:
    """Return why authorizations at these gateways, which are not set up, cannot be voided. None if there are none."""
    if not unknown_gateways:
        return None
    return f"No gateway {', '.join(sorted(unknown_gateways))} is set up to give the authorization up."


def archive_refusal(status: OrderStatus, outstanding: int) -> str | None:
    """Return why an order cannot be archived, or None if it is cancelled, or shipped and paid in full."""
    if status is OrderStatus.CANCELLED:
        return None
    if status is not OrderStatus.SHIPPED:
        return f"An order that is {status} cannot be archived: it must be SHIPPED or CANCELLED."
    if outstanding > 0:
        return "An order that is not paid in full cannot be archived."
    return None
