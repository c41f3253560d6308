"""The rules of an order's life, without a database."""

from dataclasses import dataclass, replace
from uuid import UUID

import pytest

from domain import rules
from domain.actors import Scope, system
from domain.orders.actions import ActionRefusalCode, OrderAction, Situation, available_actions
from domain.rules import PaymentSummary
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


ROOT = system("tests")
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
    actions = available_actions(situation, ROOT)
    assert [each.action for each in actions] == list(OrderAction)
    assert " ".join(each.action.value for each in actions if each.available) == available
    assert all((each.reason is None) == (each.code is None) == each.available for each in actions)


@pytest.mark.parametrize(
    ("situation", "action", "reason", "code"),
    [
        (
            replace(FRESH, status=CONFIRMED),
            OrderAction.CONFIRM,
            "The order is CONFIRMED already.",
            ActionRefusalCode.ALREADY_DONE,
        ),
        (DONE, OrderAction.CANCEL, "An order that is SHIPPED cannot become CANCELLED.", ActionRefusalCode.WRONG_STATUS),
        (GONE, OrderAction.CANCEL, "The order is CANCELLED already.", ActionRefusalCode.ALREADY_DONE),
        (
            FRESH,
            OrderAction.MARK_READY_TO_SHIP,
            "An order that is PENDING cannot become READY_TO_SHIP.",
            ActionRefusalCode.WRONG_STATUS,
        ),
        (
            replace(FRESH, status=READY_TO_SHIP, fulfillable_units=0, open_units=3),
            OrderAction.MARK_READY_TO_SHIP,
            "Nothing is left to make ready.",
            ActionRefusalCode.NOTHING_TO_PACK,
        ),
        (DONE, OrderAction.MARK_SHIPPED, "The order is SHIPPED already.", ActionRefusalCode.ALREADY_DONE),
        (
            replace(FRESH, status=CONFIRMED, fulfillable_units=0),
            OrderAction.MARK_SHIPPED,
            "Nothing is left to ship.",
            ActionRefusalCode.NOTHING_TO_SHIP,
        ),
        (
            DONE,
            OrderAction.CREATE_DELIVERY_NOTE,
            "Every fulfillment has its delivery note.",
            ActionRefusalCode.HAS_DELIVERY_NOTE,
        ),
        (
            FRESH,
            OrderAction.CREATE_DELIVERY_NOTE,
            "An order that is PENDING cannot be given a delivery note.",
            ActionRefusalCode.WRONG_STATUS,
        ),
        (
            GONE,
            OrderAction.ADD_TRACKING,
            "An order that is CANCELLED cannot be given a tracking number.",
            ActionRefusalCode.WRONG_STATUS,
        ),
        (FRESH, OrderAction.REMOVE_TRACKING, "The order has no tracking number.", ActionRefusalCode.NO_TRACKING),
        (
            replace(DONE, archived=True),
            OrderAction.ARCHIVE,
            "The order is archived already.",
            ActionRefusalCode.ARCHIVED,
        ),
        (DONE, OrderAction.UNARCHIVE, "The order is not archived.", ActionRefusalCode.NOT_ARCHIVED),
        (DONE, OrderAction.CAPTURE_PAYMENT, "Nothing is left to pay.", ActionRefusalCode.NOTHING_TO_PAY),
        (
            GONE,
            OrderAction.RECORD_PAYMENT,
            "An order that is CANCELLED cannot be paid.",
            ActionRefusalCode.WRONG_STATUS,
        ),
        (
            replace(FRESH, unknown_gateways=frozenset({"stripe", "adyen"})),
            OrderAction.CAPTURE_PAYMENT,
            "No gateway adyen, stripe is set up to capture from.",
            ActionRefusalCode.UNKNOWN_GATEWAY,
        ),
        (FRESH, OrderAction.RELEASE, "The order is not on hold.", ActionRefusalCode.NOT_ON_HOLD),
        (replace(FRESH, held=True), OrderAction.HOLD, "The order is on hold already.", ActionRefusalCode.ON_HOLD),
        (
            DONE,
            OrderAction.REQUEST_FULFILLMENT,
            "An order that is SHIPPED cannot be given to a fulfillment service.",
            ActionRefusalCode.WRONG_STATUS,
        ),
        (
            replace(FRESH, status=CONFIRMED),
            OrderAction.REQUEST_FULFILLMENT,
            "No line is left that a fulfillment service ships.",
            ActionRefusalCode.NOTHING_TO_REQUEST,
        ),
        (
            replace(DONE, outstanding=1),
            OrderAction.ARCHIVE,
            "An order that is not paid in full cannot be archived.",
            ActionRefusalCode.NOT_PAID_IN_FULL,
        ),
        (
            replace(FRESH, capturing=1),
            OrderAction.CAPTURE_PAYMENT,
            "A capture is under way.",
            ActionRefusalCode.CAPTURE_UNDER_WAY,
        ),
        (
            replace(DONE, refunding=1),
            OrderAction.REFUND_PAYMENT,
            "A refund is under way.",
            ActionRefusalCode.REFUND_UNDER_WAY,
        ),
        (FRESH, OrderAction.VOID_PAYMENT, "Nothing is authorized.", ActionRefusalCode.NOTHING_TO_VOID),
        (FRESH, OrderAction.REFUND_PAYMENT, "Nothing is left to refund.", ActionRefusalCode.NOTHING_TO_REFUND),
    ],
)
def test_why_something_cannot_be_done(
    situation: Situation, action: OrderAction, reason: str, code: ActionRefusalCode
) -> None:
    [found] = [each for each in available_actions(situation, ROOT) if each.action is action]
    assert (found.available, found.reason, found.code) == (False, reason, code)


WRITE, PAY, FULFILL = Scope.ORDERS_WRITE, Scope.PAYMENTS_WRITE, Scope.FULFILLMENT_WRITE
SERVICE = replace(system("lager"), scopes=frozenset({FULFILL}), service_id=UUID(int=1))
PACKED = replace(FRESH, status=CONFIRMED, fulfillable_units=0, open_units=1, tracking_numbers=1)


@pytest.mark.parametrize(
    ("situation", "scopes", "available"),
    [
        (FRESH, {Scope.ORDERS_READ}, ""),
        (FRESH, {WRITE}, "CONFIRM CANCEL ADD_NOTE HOLD"),
        (FRESH, {PAY}, PAYING),
        (PACKED, {FULFILL}, f"MARK_READY_TO_SHIP MARK_SHIPPED ADD_TRACKING {CORRECTING}"),
    ],
)
def test_a_caller_without_the_scope_can_do_nothing(situation: Situation, scopes: set[Scope], available: str) -> None:
    actions = available_actions(situation, replace(ROOT, scopes=frozenset(scopes)))
    assert " ".join(each.action.value for each in actions if each.available) == available
    lacking = {each.code for each in available_actions(situation, replace(ROOT, scopes=frozenset()))}
    assert lacking == {ActionRefusalCode.MISSING_SCOPE}


def test_a_service_ships_what_it_is_asked_to() -> None:
    found = {each.action: each.code for each in available_actions(PACKED, SERVICE)}
    own = [OrderAction.MARK_SHIPPED, OrderAction.ADD_TRACKING, OrderAction.UPDATE_TRACKING, OrderAction.REMOVE_TRACKING]
    assert [action for action, code in found.items() if code is None] == own
    assert found[OrderAction.CONFIRM] is ActionRefusalCode.MISSING_SCOPE
    assert found[OrderAction.MARK_READY_TO_SHIP] is ActionRefusalCode.NOT_FOR_SERVICES
    found = {each.action: each.code for each in available_actions(replace(PACKED, asked=False), SERVICE)}
    assert {found[action] for action in own} == {ActionRefusalCode.NOT_ASKED}
