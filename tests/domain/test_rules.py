"""The rules of an order's life, without a database."""

from dataclasses import dataclass, replace
from uuid import UUID

import pytest

from domain.orders import rules
from domain.orders.rules import OrderAction, PaymentSummary, Situation
from models.enums import FulfillmentStatus, OrderStatus, PaymentStatus, TransactionKind, TransactionStatus

PENDING, CONFIRMED, READY_TO_SHIP, SHIPPED, CANCELLED = OrderStatus
ALLOWED = {
    (PENDING, CONFIRMED),
    (PENDING, CANCELLED),
    (CONFIRMED, READY_TO_SHIP),
    (CONFIRMED, SHIPPED),
    (CONFIRMED, CANCELLED),
    (READY_TO_SHIP, SHIPPED),
    (READY_TO_SHIP, CANCELLED),
}


@pytest.mark.parametrize("from_status", OrderStatus)
@pytest.mark.parametrize("to_status", OrderStatus)
def test_each_pair_of_states_is_a_step_or_is_refused(from_status: OrderStatus, to_status: OrderStatus) -> None:
    if (from_status, to_status) in ALLOWED:
        rules.require_transition(from_status, to_status)
        return
    with pytest.raises(rules.InvalidTransition) as caught:
        rules.require_transition(from_status, to_status)
    assert (caught.value.from_status, caught.value.to_status) == (from_status, to_status)
    assert caught.value.message == f"An order that is {from_status.value} cannot become {to_status.value}."


def test_every_state_can_be_reached_from_the_first() -> None:
    reached, found = set(), {PENDING}
    while found:
        reached |= found
        found = {to_status for status in found for to_status in rules.TRANSITIONS[status]} - reached
    assert reached == set(OrderStatus)
    assert set(rules.TRANSITIONS) == set(OrderStatus)


def test_a_step_that_needs_a_status_is_refused_in_another() -> None:
    rules.require_status(SHIPPED, rules.TRACKABLE, "be given a tracking number")
    with pytest.raises(rules.InvalidTransition) as caught:
        rules.require_status(PENDING, rules.TRACKABLE, "be given a tracking number")
    assert caught.value.message == "An order that is PENDING cannot be given a tracking number."
    assert (caught.value.from_status, caught.value.to_status) == (PENDING, None)


@dataclass
class Line:
    quantity: int
    removed_quantity: int
    fulfillable_quantity: int
    shipped_quantity: int


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([Line(2, 0, 2, 0)], FulfillmentStatus.UNFULFILLED),
        ([Line(2, 0, 0, 0)], FulfillmentStatus.UNFULFILLED),  # both lie in an open fulfillment
        ([Line(2, 0, 1, 1)], FulfillmentStatus.PARTIALLY_FULFILLED),
        ([Line(2, 0, 0, 2), Line(1, 0, 0, 0)], FulfillmentStatus.PARTIALLY_FULFILLED),
        ([Line(2, 0, 0, 2), Line(1, 0, 0, 1)], FulfillmentStatus.FULFILLED),
        ([Line(2, 1, 0, 1)], FulfillmentStatus.FULFILLED),  # the other unit was removed
        ([Line(2, 2, 0, 0)], FulfillmentStatus.UNFULFILLED),  # nothing is due and nothing has left
        ([Line(2, 2, 0, 0), Line(3, 0, 0, 3)], FulfillmentStatus.FULFILLED),
    ],
)
def test_the_fulfillment_status_follows_from_the_units(lines: list[Line], status: FulfillmentStatus) -> None:
    assert rules.fulfillment_status(lines) is status


@dataclass
class Moved:
    kind: TransactionKind
    amount: int
    parent_id: UUID | None = None
    status: TransactionStatus = TransactionStatus.SUCCEEDED


KEY = UUID(int=1)
AUTHORIZED = Moved(TransactionKind.AUTHORIZATION, 1000)


@pytest.mark.parametrize(
    ("transactions", "summary"),
    [
        ([], PaymentSummary(0, 0, 0, 0)),
        ([AUTHORIZED], PaymentSummary(1000, 0, 0, 0)),
        ([AUTHORIZED, Moved(TransactionKind.CAPTURE, 400, KEY)], PaymentSummary(600, 400, 0, 0)),
        ([AUTHORIZED, Moved(TransactionKind.CAPTURE, 400)], PaymentSummary(1000, 400, 0, 0)),
        (
            [AUTHORIZED, Moved(TransactionKind.CAPTURE, 400, KEY), Moved(TransactionKind.VOID, 600, KEY)],
            PaymentSummary(0, 400, 0, 600),
        ),
        ([Moved(TransactionKind.SALE, 700), Moved(TransactionKind.REFUND, 200)], PaymentSummary(0, 700, 200, 0)),
        ([replace(AUTHORIZED, status=TransactionStatus.FAILED)], PaymentSummary(0, 0, 0, 0)),
        ([replace(AUTHORIZED, status=TransactionStatus.PENDING)], PaymentSummary(0, 0, 0, 0)),
        (
            [AUTHORIZED, Moved(TransactionKind.CAPTURE, 400, KEY, TransactionStatus.FAILED)],
            PaymentSummary(1000, 0, 0, 0),
        ),
    ],
)
def test_transactions_add_up(transactions: list[Moved], summary: PaymentSummary) -> None:
    assert rules.summarize(transactions) == summary


@pytest.mark.parametrize(
    ("total", "authorized", "paid_amount", "refunded", "voided", "status"),
    [
        (1000, 0, 0, 0, 0, PaymentStatus.PENDING),
        (1000, 1, 0, 0, 0, PaymentStatus.AUTHORIZED),
        (1000, 400, 0, 0, 600, PaymentStatus.AUTHORIZED),
        (1000, 999, 1, 0, 0, PaymentStatus.PARTIALLY_PAID),
        (1000, 0, 999, 0, 0, PaymentStatus.PARTIALLY_PAID),
        (1000, 0, 1000, 0, 0, PaymentStatus.PAID),
        (1000, 0, 1001, 0, 0, PaymentStatus.PAID),
        (1000, 0, 1000, 1, 0, PaymentStatus.PARTIALLY_REFUNDED),
        (1000, 0, 400, 399, 0, PaymentStatus.PARTIALLY_REFUNDED),
        (1000, 0, 400, 400, 0, PaymentStatus.REFUNDED),
        (1000, 0, 0, 0, 1000, PaymentStatus.VOIDED),
        (1000, 0, 400, 0, 600, PaymentStatus.PARTIALLY_PAID),
        (0, 0, 0, 0, 0, PaymentStatus.PAID),
    ],
)
def test_the_payment_status_follows_from_the_sums(
    total: int, authorized: int, paid_amount: int, refunded: int, voided: int, status: PaymentStatus
) -> None:
    assert rules.payment_status(total, PaymentSummary(authorized, paid_amount, refunded, voided)) is status


@pytest.mark.parametrize(
    ("status", "outstanding", "refusal"),
    [
        (CANCELLED, 0, None),
        (SHIPPED, 0, None),
        (SHIPPED, 1, "An order that is not paid in full cannot be archived."),
        (PENDING, 0, "An order that is PENDING cannot be archived: it must be SHIPPED or CANCELLED."),
        (CONFIRMED, 0, "An order that is CONFIRMED cannot be archived: it must be SHIPPED or CANCELLED."),
        (READY_TO_SHIP, 1, "An order that is READY_TO_SHIP cannot be archived: it must be SHIPPED or CANCELLED."),
    ],
)
def test_what_can_be_archived(status: OrderStatus, outstanding: int, refusal: str | None) -> None:
    assert rules.archive_refusal(status, outstanding) == refusal


FRESH = Situation(
    status=PENDING,
    archived=False,
    held=False,
    outstanding=3980,
    refundable=0,
    fulfillable_units=3,
    requestable_units=0,
    open_units=0,
    tracking_numbers=0,
    fulfillments_without_note=0,
)
DONE = replace(FRESH, status=SHIPPED, fulfillable_units=0, outstanding=0, refundable=3980, tracking_numbers=1)
GONE = replace(FRESH, status=CANCELLED, fulfillable_units=0, outstanding=0)
PAYING = "CAPTURE_PAYMENT RECORD_PAYMENT"
CORRECTING = "UPDATE_TRACKING REMOVE_TRACKING"


@pytest.mark.parametrize(
    ("situation", "available"),
    [
        (FRESH, f"CONFIRM CANCEL ADD_NOTE HOLD {PAYING}"),
        (
            replace(FRESH, status=CONFIRMED),
            f"CANCEL MARK_READY_TO_SHIP CREATE_DELIVERY_NOTE MARK_SHIPPED ADD_TRACKING ADD_NOTE HOLD {PAYING}",
        ),
        (
            replace(FRESH, status=CONFIRMED, fulfillable_units=0, open_units=3, fulfillments_without_note=1),
            f"CANCEL MARK_READY_TO_SHIP CREATE_DELIVERY_NOTE MARK_SHIPPED ADD_TRACKING ADD_NOTE HOLD {PAYING}",
        ),
        (
            replace(FRESH, status=CONFIRMED, fulfillable_units=0, open_units=3),
            f"CANCEL MARK_READY_TO_SHIP MARK_SHIPPED ADD_TRACKING ADD_NOTE HOLD {PAYING}",
        ),
        (
            replace(FRESH, status=READY_TO_SHIP, fulfillable_units=1, open_units=2, tracking_numbers=1),
            "CANCEL MARK_READY_TO_SHIP CREATE_DELIVERY_NOTE MARK_SHIPPED ADD_TRACKING"
            f" {CORRECTING} ADD_NOTE HOLD {PAYING}",
        ),
        (
            replace(FRESH, status=READY_TO_SHIP, fulfillable_units=0, open_units=3),
            f"CANCEL MARK_SHIPPED ADD_TRACKING ADD_NOTE HOLD {PAYING}",
        ),
        (replace(FRESH, unknown_gateways=frozenset({"stripe"})), "CONFIRM CANCEL ADD_NOTE HOLD RECORD_PAYMENT"),
        (DONE, "ADD_TRACKING UPDATE_TRACKING REMOVE_TRACKING ARCHIVE ADD_NOTE HOLD REFUND_PAYMENT"),
        (replace(DONE, archived=True), f"ADD_TRACKING {CORRECTING} UNARCHIVE ADD_NOTE HOLD REFUND_PAYMENT"),
        (replace(DONE, outstanding=1, refundable=0, tracking_numbers=0), f"ADD_TRACKING ADD_NOTE HOLD {PAYING}"),
        (GONE, "ARCHIVE ADD_NOTE HOLD"),
        (replace(GONE, held=True), "ARCHIVE ADD_NOTE RELEASE"),
        (
            replace(FRESH, status=CONFIRMED, requestable_units=1),
            "CANCEL MARK_READY_TO_SHIP CREATE_DELIVERY_NOTE REQUEST_FULFILLMENT MARK_SHIPPED ADD_TRACKING"
            f" ADD_NOTE HOLD {PAYING}",
        ),
        (replace(GONE, refundable=100, tracking_numbers=1), f"{CORRECTING} ARCHIVE ADD_NOTE HOLD REFUND_PAYMENT"),
    ],
)
def test_what_can_be_done(situation: Situation, available: str) -> None:
    actions = rules.available_actions(situation)
    assert [each.action for each in actions] == list(OrderAction)
    assert " ".join(each.action.value for each in actions if each.available) == available
    assert all((each.reason is None) == each.available for each in actions)


@pytest.mark.parametrize(
    ("situation", "action", "reason"),
    [
        (replace(FRESH, status=CONFIRMED), OrderAction.CONFIRM, "The order is CONFIRMED already."),
        (DONE, OrderAction.CANCEL, "An order that is SHIPPED cannot become CANCELLED."),
        (GONE, OrderAction.CANCEL, "The order is CANCELLED already."),
        (FRESH, OrderAction.MARK_READY_TO_SHIP, "An order that is PENDING cannot become READY_TO_SHIP."),
        (
            replace(FRESH, status=READY_TO_SHIP, fulfillable_units=0, open_units=3),
            OrderAction.MARK_READY_TO_SHIP,
            "Nothing is left to make ready.",
        ),
        (DONE, OrderAction.MARK_SHIPPED, "The order is SHIPPED already."),
        (replace(FRESH, status=CONFIRMED, fulfillable_units=0), OrderAction.MARK_SHIPPED, "Nothing is left to ship."),
        (DONE, OrderAction.CREATE_DELIVERY_NOTE, "Every fulfillment has its delivery note."),
        (FRESH, OrderAction.CREATE_DELIVERY_NOTE, "An order that is PENDING cannot be given a delivery note."),
        (GONE, OrderAction.ADD_TRACKING, "An order that is CANCELLED cannot be given a tracking number."),
        (FRESH, OrderAction.REMOVE_TRACKING, "The order has no tracking number."),
        (replace(DONE, archived=True), OrderAction.ARCHIVE, "The order is archived already."),
        (DONE, OrderAction.UNARCHIVE, "The order is not archived."),
        (DONE, OrderAction.CAPTURE_PAYMENT, "Nothing is left to pay."),
        (GONE, OrderAction.RECORD_PAYMENT, "An order that is CANCELLED cannot be paid."),
        (
            replace(FRESH, unknown_gateways=frozenset({"stripe", "adyen"})),
            OrderAction.CAPTURE_PAYMENT,
            "No gateway adyen, stripe is set up to capture from.",
        ),
        (FRESH, OrderAction.RELEASE, "The order is not on hold."),
        (replace(FRESH, held=True), OrderAction.HOLD, "The order is on hold already."),
        (DONE, OrderAction.REQUEST_FULFILLMENT, "An order that is SHIPPED cannot be given to a fulfillment service."),
        (
            replace(FRESH, status=CONFIRMED),
            OrderAction.REQUEST_FULFILLMENT,
            "No line is left that a fulfillment service ships.",
        ),
        (FRESH, OrderAction.REFUND_PAYMENT, "Nothing is left to refund."),
    ],
)
def test_why_something_cannot_be_done(situation: Situation, action: OrderAction, reason: str) -> None:
    [found] = [each for each in rules.available_actions(situation) if each.action is action]
    assert (found.available, found.reason) == (False, reason)
