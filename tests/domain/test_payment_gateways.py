"""Money that a gateway holds: asked for, counted as used until it is settled, and settled once."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from domain.actors import Actor, Forbidden, Scope
from domain.change import Idempotency
from domain.errors import ErrorCode
from domain.orders.commands import cancel_order
from domain.orders.placing import NewPayment
from domain.payments.commands import Amount, capture_payment, record_payment, refund_payment, void_payment
from domain.payments.queries import failures_of
from domain.payments.settling import Declined, Settled, settle
from models import Order, Transaction
from models.enums import ActorKind, CancelReason, PaymentStatus, TransactionKind, TransactionStatus
from tests.domain.shop import (
    ADA,
    SOCKS,
    authorized,
    last_event,
    nothing_changes,
    on,
    once,
    paid,
    place,
    refused,
    staff,
    stored,
    transactions_of,
    types_of,
)

pytestmark = pytest.mark.usefixtures("database")

STRIPE = frozenset({"stripe"})
GATEWAY = Actor(kind=ActorKind.AUTOMATION, id=None, name="stripe", scopes=frozenset())
PENDING, SUCCEEDED, FAILED = TransactionStatus.PENDING, TransactionStatus.SUCCEEDED, TransactionStatus.FAILED
DONE = Settled("pi_1")


def held(amount: str, reference: str = "pi_1") -> NewPayment:
    return NewPayment(TransactionKind.AUTHORIZATION, Decimal(amount), "stripe", reference)


def sold(amount: str, reference: str | None = "pi_1") -> NewPayment:
    return NewPayment(TransactionKind.SALE, Decimal(amount), "stripe", reference)


async def capture(order: Order, amount: str | None = None, **given: Any) -> list[Transaction]:
    """What is pending afterwards."""
    wanted = None if amount is None else Amount(Decimal(amount))
    await capture_payment(actor=ADA, target=on(order), amount=wanted, gateways=STRIPE, **given)
    return await pending(order)


async def refund(order: Order, amount: str | None = None, **given: Any) -> list[Transaction]:
    wanted = None if amount is None else Amount(Decimal(amount))
    await refund_payment(actor=ADA, target=on(order), amount=wanted, gateways=STRIPE, **given)
    return await pending(order)


async def pending(order: Order) -> list[Transaction]:
    return [each for each in await transactions_of(order) if each.status is PENDING]


async def ends(transaction: Transaction, outcome: Settled | Declined = DONE) -> Transaction:
    await settle(actor=GATEWAY, transaction_id=transaction.id, outcome=outcome)
    return await Transaction.get(id=transaction.id)


async def money(order: Order) -> tuple[PaymentStatus, int, int, int]:
    """Status, authorized, paid, refunded."""
    row = await stored(order)
    return row.payment_status, row.authorized_total, row.paid_total, row.refunded_total


async def test_a_capture_is_asked_for_and_settled() -> None:
    order = await place(payments=[held("39.80")])
    [authorization] = await transactions_of(order)
    [asked] = await capture(order)
    assert (asked.kind, asked.amount, asked.gateway) == (TransactionKind.CAPTURE, 3980, "stripe")
    assert (asked.parent_id, asked.reference, asked.failure) == (authorization.id, None, None)
    assert await money(order) == (PaymentStatus.AUTHORIZED, 3980, 0, 0)
    event = await last_event(order)
    assert (event.type, event.actor_name) == ("PAYMENT_PENDING", "Ada")
    assert event.message == "stripe is asked for a CAPTURE of 39.80 CHF."
    assert event.data == {
        "transactionId": str(asked.id),
        "amount": {"amount": "39.80", "currencyCode": "CHF"},
        "gateway": "stripe",
        "reference": None,
        "kind": "CAPTURE",
    }

    done = await ends(asked, Settled("pi_1", nothing_left=True))
    assert (done.status, done.reference, done.processed_at) == (SUCCEEDED, "pi_1", asked.processed_at)
    assert await money(order) == (PaymentStatus.PAID, 0, 3980, 0)
    event = await last_event(order)
    assert (event.type, event.actor_kind, event.actor_name) == ("PAYMENT_CAPTURED", "AUTOMATION", "stripe")
    assert (event.to_payment_status, event.data["reference"]) == (PaymentStatus.PAID, "pi_1")


async def test_what_is_settled_stays_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    order = await place(payments=[held("39.80")])
    [asked] = await capture(order)
    await ends(asked)
    async with nothing_changes():
        await ends(asked)
        await ends(asked, Settled("pi_2"))
        await ends(asked, Declined("Too late."))
    assert [record.getMessage() for record in caplog.records] == [
        f"transaction {asked.id} has succeeded, and is now said to have failed: Too late."
    ]


async def test_a_gateway_that_refuses() -> None:
    order = await place(payments=[held("39.80")])
    [asked] = await capture(order)
    failed = await ends(asked, Declined("No. " * 300))
    assert (failed.status, failed.failure) == (FAILED, ("No. " * 300)[:900])
    assert await money(order) == (PaymentStatus.AUTHORIZED, 3980, 0, 0)
    event = await last_event(order)
    assert (event.type, event.data["kind"], event.data["reason"]) == ("PAYMENT_FAILED", "CAPTURE", failed.failure)
    async with nothing_changes():
        await ends(asked, Declined("Still not."))
    assert len(await capture(order)) == 1  # another attempt is another transaction


async def test_a_success_that_is_told_after_a_failure_counts_where_it_is_possible() -> None:
    order = await place(payments=[held("39.80")])
    [first] = await capture(order)
    await ends(first, Declined("No."))
    assert (await ends(first)).status is SUCCEEDED
    assert await money(order) == (PaymentStatus.PAID, 0, 3980, 0)

    other = await place(payments=[held("39.80")])
    [first] = await capture(other)
    await ends(first, Declined("No."))
    [second] = await capture(other)
    async with nothing_changes():
        await ends(first)  # the second one may take the same money
    await ends(second)
    async with nothing_changes():
        await ends(first)
    assert await money(other) == (PaymentStatus.PAID, 0, 3980, 0)


async def test_captures_in_parts() -> None:
    order = await place(payments=[held("10", "pi_1"), held("20", "pi_2")])
    first, second = await capture(order, "15")
    assert [first.amount, second.amount] == [1000, 500]
    async with nothing_changes():
        await capture(order, "15")
        await capture(order)
    async with refused(ErrorCode.INVALID_INPUT, "amount", "amount") as refusal:
        await capture(order, "15.01")
    assert refusal.error.message == "15.01 CHF is more than is open: 15.00 CHF."
    await ends(first)
    async with nothing_changes():
        await capture(order, "15")  # the same request, of which a part is still under way
    await ends(second, Settled("pi_2", nothing_left=True))
    assert await money(order) == (PaymentStatus.PARTIALLY_PAID, 0, 1500, 0)
    assert (await types_of(order))[-2:] == ["PAYMENT_CAPTURED", "PAYMENT_VOIDED"]  # the rest of the second
    rest = (await transactions_of(order))[-1]
    assert (rest.kind, rest.amount, rest.gateway, rest.reference) == (TransactionKind.VOID, 1500, "stripe", "pi_2")


async def test_what_is_under_way_is_not_taken_twice() -> None:
    order = await place(payments=[held("39.80")])
    await capture(order, "30")
    async with refused(ErrorCode.INVALID_INPUT, "amount", "amount"):
        await capture(order, "9.81")
    async with refused(ErrorCode.INVALID_INPUT, "amount", "amount"):
        await record_payment(actor=ADA, target=on(order), amount=Amount(Decimal("9.81")))
    await record_payment(actor=ADA, target=on(order))
    assert await money(order) == (PaymentStatus.PARTIALLY_PAID, 3980, 980, 0)
    async with nothing_changes():
        await record_payment(actor=ADA, target=on(order))


async def test_by_hand_at_once_and_by_the_gateway_when_it_has_answered() -> None:
    order = await place(payments=[authorized("10"), held("29.80")])
    [asked] = await capture(order)
    assert asked.amount == 2980
    assert await money(order) == (PaymentStatus.PARTIALLY_PAID, 2980, 1000, 0)
    await ends(asked)
    assert await money(order) == (PaymentStatus.PAID, 0, 3980, 0)

    [back] = await refund(order, "35", reference="R-1")  # the newest first: all of the card's, and 5.20 by hand
    assert (back.amount, back.parent_id) == (2980, asked.id)
    assert await money(order) == (PaymentStatus.PARTIALLY_REFUNDED, 0, 3980, 520)
    [by_hand] = [each for each in await transactions_of(order) if each.kind is TransactionKind.REFUND and each != back]
    assert (by_hand.gateway, by_hand.reference, by_hand.status) == ("manual", "R-1", SUCCEEDED)
    async with nothing_changes():
        await refund(order)
        await refund(order, "35")
    async with refused(ErrorCode.INVALID_INPUT, "amount", "amount") as refusal:
        await refund(order, "4.81")
    assert refusal.error.message == "4.81 CHF is more than is left to refund: 4.80 CHF."
    await ends(back, Settled("re_1"))
    assert await money(order) == (PaymentStatus.PARTIALLY_REFUNDED, 0, 3980, 3500)
    assert await refund(order) == []
    assert await money(order) == (PaymentStatus.REFUNDED, 0, 3980, 3980)


async def test_refunds_in_parts_of_several_payments() -> None:
    order = await place(payments=[sold("10", "pi_1"), sold("20", "pi_2")])
    first, second = await transactions_of(order)
    [back] = await refund(order, "5")
    assert (back.parent_id, back.amount) == (second.id, 500)
    await ends(back, Settled("re_1"))
    newer, older = await refund(order, "20")
    assert [(newer.parent_id, newer.amount), (older.parent_id, older.amount)] == [(second.id, 1500), (first.id, 500)]
    await ends(newer, Declined("No."))
    await ends(older, Settled("re_2"))
    assert await money(order) == (PaymentStatus.PARTIALLY_REFUNDED, 0, 3000, 1000)
    assert [each.amount for each in await refund(order)] == [1500, 500]


async def test_what_no_gateway_can_return_is_handed_back_by_hand() -> None:
    order = await place(payments=[sold("20", None)])
    assert await refund(order, "5") == []
    assert await money(order) == (PaymentStatus.PARTIALLY_REFUNDED, 0, 2000, 500)
    other = await place(payments=[sold("20")])
    await refund_payment(actor=ADA, target=on(other), amount=Amount(Decimal(5)))  # Stripe is not set up
    assert await money(other) == (PaymentStatus.PARTIALLY_REFUNDED, 0, 2000, 500)
    assert [each.amount for each in await refund(other)] == [1500]  # now it is


async def test_what_is_handed_back_by_hand_counts_against_what_came_by_hand_first() -> None:
    order = await place(lines=[replace(SOCKS, unit_price=Decimal(40))], payments=[sold("50")])
    await record_payment(actor=ADA, target=on(order), amount=Amount(Decimal(30)))  # cash, after the card
    assert await refund(order, "20") == []
    assert await refund(order, "10") == []  # the rest of the cash
    [back] = await refund(order)
    assert (back.gateway, back.amount) == ("stripe", 5000)


async def test_what_is_handed_back_by_hand_beyond_that_counts_against_the_rest() -> None:
    order = await place(lines=[replace(SOCKS, unit_price=Decimal(40))], payments=[sold("50")])
    await record_payment(actor=ADA, target=on(order), amount=Amount(Decimal(30)))
    await refund_payment(actor=ADA, target=on(order), amount=Amount(Decimal(40)))  # Stripe is not set up
    [back] = await refund(order)
    assert (back.gateway, back.amount) == ("stripe", 4000)


async def test_giving_up_what_is_authorized() -> None:
    order = await place(payments=[authorized("10"), held("29.80")])
    await void_payment(actor=ADA, target=on(order), gateways=STRIPE)
    [asked] = await pending(order)
    assert (asked.kind, asked.amount) == (TransactionKind.VOID, 2980)
    assert await money(order) == (PaymentStatus.AUTHORIZED, 2980, 0, 0)
    async with nothing_changes():
        await void_payment(actor=ADA, target=on(order), gateways=STRIPE)
    await ends(asked)
    assert await money(order) == (PaymentStatus.VOIDED, 0, 0, 0)
    assert (await types_of(order))[-3:] == ["PAYMENT_VOIDED", "PAYMENT_PENDING", "PAYMENT_VOIDED"]
    async with nothing_changes():
        await void_payment(actor=ADA, target=on(order))


async def test_nothing_can_be_given_up() -> None:
    order = await place(payments=[paid("10")])
    async with refused(ErrorCode.NOTHING_TO_VOID):
        await void_payment(actor=ADA, target=on(order), gateways=STRIPE)
    other = await place(payments=[authorized("10"), held("20")])
    async with refused(ErrorCode.UNKNOWN_GATEWAY) as refusal:
        await void_payment(actor=ADA, target=on(other), gateways={"adyen"})
    assert refusal.error.message == "No gateway stripe is set up to give the authorization up."
    async with refused(ErrorCode.UNKNOWN_GATEWAY):
        await capture_payment(actor=ADA, target=on(other), gateways={"adyen"})


async def test_cancelling_gives_up_what_is_authorized_and_refunds_if_that_is_asked() -> None:
    cancel: dict[str, Any] = {"actor": ADA, "reason": CancelReason.CUSTOMER}
    payments = [held("10", "pi_1"), sold("20", "pi_2"), paid("9.80")]
    kept = await place(payments=payments)
    await cancel_order(target=on(kept), gateways=STRIPE, **cancel)
    assert [(each.kind, each.amount) for each in await pending(kept)] == [(TransactionKind.VOID, 1000)]

    order = await place(payments=payments)
    await cancel_order(target=on(order), gateways=STRIPE, refund=True, **cancel)
    void, back = await pending(order)
    assert [(void.kind, void.amount), (back.kind, back.amount)] == [
        (TransactionKind.VOID, 1000),
        (TransactionKind.REFUND, 2000),
    ]
    assert await money(order) == (PaymentStatus.PARTIALLY_REFUNDED, 1000, 2980, 980)
    async with nothing_changes():
        await cancel_order(target=on(order), gateways=STRIPE, refund=True, **cancel)
    await ends(void)
    await ends(back, Settled("re_1"))
    assert await money(order) == (PaymentStatus.REFUNDED, 0, 2980, 2980)

    unknown = await place(payments=[held("10")])
    await cancel_order(target=on(unknown), **cancel)
    assert await money(unknown) == (PaymentStatus.AUTHORIZED, 1000, 0, 0)  # left as it is


async def test_nothing_is_refunded_with_the_cancellation_while_a_capture_is_under_way() -> None:
    order = await place(payments=[held("39.80")])
    [asked] = await capture(order, "30")
    cancel: dict[str, Any] = {"actor": ADA, "reason": CancelReason.CUSTOMER, "gateways": STRIPE}
    async with refused(ErrorCode.INVALID_TRANSITION):
        await cancel_order(target=on(order), refund=True, **cancel)
    await cancel_order(target=on(order), **cancel)
    await ends(asked)
    assert await money(order) == (PaymentStatus.PARTIALLY_PAID, 980, 3000, 0)


async def test_refunding_with_the_cancellation_needs_the_scope_of_payments() -> None:
    order = await place(payments=[sold("20")])
    async with nothing_changes():
        with pytest.raises(Forbidden):
            await cancel_order(
                actor=staff("Bob", Scope.ORDERS_WRITE), target=on(order), reason=CancelReason.STAFF, refund=True
            )


async def test_what_an_act_came_to_is_found_by_its_key() -> None:
    order = await place(payments=[held("10", "pi_1"), held("20", "pi_2")])
    key = once("k")
    await capture_payment(actor=ADA, target=on(order, idempotency=key), gateways=STRIPE)
    first, second = await pending(order)
    assert await failures_of(ADA, key) == []
    await ends(first)
    await ends(second, Declined("No."))
    assert await failures_of(ADA, key) == [second]
    assert await failures_of(ADA, Idempotency("other", "same input")) == []
    assert await failures_of(staff("Bob"), key) == []
