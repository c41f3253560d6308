"""Money: captured, recorded and refunded, in whole or in part."""

from collections.abc import Callable, Coroutine
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from domain.errors import ErrorCode
from domain.orders.commands import cancel_order
from domain.orders.placing import NewLine
from domain.payments.commands import Amount, capture_payment, record_payment, refund_payment
from models import Order
from models.enums import CancelReason, PaymentStatus, TransactionKind
from tests.database import statements
from tests.domain.shop import (
    ADA,
    authorized,
    last_event,
    log_of,
    nothing_changes,
    on,
    paid,
    place,
    refused,
    staff,
    stored,
    transactions_of,
    types_of,
)

pytestmark = pytest.mark.usefixtures("database")
AUTHORIZED, PARTIALLY_PAID, PAID = PaymentStatus.AUTHORIZED, PaymentStatus.PARTIALLY_PAID, PaymentStatus.PAID
Command = Callable[..., Coroutine[Any, Any, Order]]


async def pay(command: Command, order: Order, amount: str | None = None, **given: Any) -> Order:
    given["amount"] = None if amount is None else Amount(Decimal(amount), given.pop("currency", None))
    await command(actor=ADA, target=on(order), **given)
    return await stored(order)


def money(order: Order) -> tuple[PaymentStatus, int, int, int, int]:
    """Status, authorized, paid, refunded, outstanding."""
    return order.payment_status, order.authorized_total, order.paid_total, order.refunded_total, order.outstanding


async def test_capturing_by_hand_where_nothing_was_authorized() -> None:
    order = await place()
    assert money(await pay(capture_payment, order, "10")) == (PARTIALLY_PAID, 0, 1000, 0, 2980)
    assert money(await pay(capture_payment, order)) == (PAID, 0, 3980, 0, 0)
    async with nothing_changes():
        await pay(capture_payment, order)
    assert [(each.kind, each.amount, each.parent_id) for each in await transactions_of(order)] == [
        (TransactionKind.CAPTURE, 1000, None),
        (TransactionKind.CAPTURE, 2980, None),
    ]


async def test_the_event_of_a_capture() -> None:
    order = await place()
    await capture_payment(actor=staff("Bob"), target=on(order), amount=Amount(Decimal("10.5"), "chf"))
    event, [transaction] = await last_event(order), await transactions_of(order)
    assert (event.type, event.actor_name, event.to_status) == ("PAYMENT_CAPTURED", "Bob", None)
    assert (event.from_payment_status, event.to_payment_status) == (PaymentStatus.PENDING, PARTIALLY_PAID)
    assert event.message == "A payment of 10.50 CHF was captured."
    assert event.data == {
        "transactionId": str(transaction.id),
        "amount": {"amount": "10.50", "currencyCode": "CHF"},
        "gateway": "manual",
        "reference": None,
    }
    assert transaction.processed_at == event.occurred_at


async def test_capturing_what_was_authorized() -> None:
    order = await place(payments=[authorized("10"), authorized("20")])
    first, second = await transactions_of(order)
    assert money(await stored(order)) == (AUTHORIZED, 3000, 0, 0, 3980)
    assert money(await pay(capture_payment, order, "15")) == (PARTIALLY_PAID, 1500, 1500, 0, 2480)
    captures = (await transactions_of(order))[2:]
    assert [(each.amount, each.parent_id) for each in captures] == [(1000, first.id), (500, second.id)]
    async with refused(ErrorCode.INVALID_INPUT, "amount", "amount") as refusal:
        await pay(capture_payment, order, "15.01")
    assert refusal.error.message == "15.01 CHF is more than is open: 15.00 CHF."
    assert money(await pay(capture_payment, order)) == (PARTIALLY_PAID, 0, 3000, 0, 980)
    assert money(await pay(capture_payment, order)) == (PAID, 0, 3980, 0, 0)  # by hand: no authorization is left


async def test_no_more_is_captured_than_is_outstanding() -> None:
    order = await place(payments=[authorized("100"), paid("9.80")])
    assert money(await stored(order)) == (PARTIALLY_PAID, 10000, 980, 0, 3000)
    async with refused(ErrorCode.INVALID_INPUT, "amount", "amount"):
        await pay(capture_payment, order, "30.01")
    assert money(await pay(capture_payment, order)) == (PAID, 7000, 3980, 0, 0)


async def test_what_another_gateway_has_authorized_is_not_captured_here() -> None:
    order = await place(payments=[authorized("10"), authorized("29.80", "stripe")])
    async with refused(ErrorCode.UNKNOWN_GATEWAY) as refusal:
        await pay(capture_payment, order)
    assert refusal.error.message == "No gateway stripe is set up to capture from."
    assert money(await pay(record_payment, order)) == (PAID, 3980, 3980, 0, 0)


async def test_recording_money_that_has_arrived() -> None:
    order = await place()
    assert money(await pay(record_payment, order, "9.80", reference=" R-1 ")) == (PARTIALLY_PAID, 0, 980, 0, 3000)
    assert (await last_event(order)).data["reference"] == "R-1"
    assert money(await pay(record_payment, order)) == (PAID, 0, 3980, 0, 0)
    assert await types_of(order) == ["ORDER_PLACED", "PAYMENT_RECORDED", "PAYMENT_RECORDED"]
    assert [each.kind for each in await transactions_of(order)] == [TransactionKind.SALE] * 2
    async with nothing_changes():
        await pay(record_payment, order)


async def test_refunding_a_part_and_then_the_rest() -> None:
    order = await place(payments=[paid("39.80")])
    row = await pay(refund_payment, order, "9.80", reference="R-2")
    assert money(row) == (PaymentStatus.PARTIALLY_REFUNDED, 0, 3980, 980, 0)
    event = await last_event(order)
    assert (event.type, event.message) == ("PAYMENT_REFUNDED", "9.80 CHF were refunded.")
    assert (event.from_payment_status, event.to_payment_status) == (PAID, PaymentStatus.PARTIALLY_REFUNDED)
    async with refused(ErrorCode.INVALID_INPUT, "amount", "amount") as refusal:
        await pay(refund_payment, order, "30.01")
    assert refusal.error.message == "30.01 CHF is more than is left to refund: 30.00 CHF."
    assert money(await pay(refund_payment, order)) == (PaymentStatus.REFUNDED, 0, 3980, 3980, 0)
    async with nothing_changes():
        await pay(refund_payment, order)


async def test_refunding_a_part_of_a_part() -> None:
    order = await place(payments=[paid("20")])
    assert money(await pay(refund_payment, order)) == (PaymentStatus.REFUNDED, 0, 2000, 2000, 1980)
    row = await pay(record_payment, order)
    assert money(row) == (PaymentStatus.PARTIALLY_REFUNDED, 0, 3980, 2000, 0)


async def test_what_was_paid_for_a_cancelled_order_can_be_refunded() -> None:
    order = await place(payments=[paid("20")])
    await cancel_order(actor=ADA, target=on(order), reason=CancelReason.CUSTOMER)
    assert money(await pay(refund_payment, order)) == (PaymentStatus.REFUNDED, 0, 2000, 2000, 0)


async def test_nothing_was_paid_that_could_be_refunded() -> None:
    order = await place(payments=[authorized("39.80")])
    async with refused(ErrorCode.NOTHING_TO_REFUND):
        await pay(refund_payment, order)
    async with refused(ErrorCode.INVALID_INPUT, "amount", "amount"):
        await pay(refund_payment, order, "1")


@pytest.mark.parametrize(
    ("currency", "price", "part", "minor", "text"),
    [
        ("JPY", "1200", "500", 500, "500 JPY"),
        ("JPY", "1200", "500.00", 500, "500 JPY"),
        ("KWD", "1.255", "0.005", 5, "0.005 KWD"),
        ("CHF", "12.55", "0.5", 50, "0.50 CHF"),
    ],
)
async def test_amounts_have_the_decimals_of_their_currency(
    currency: str, price: str, part: str, minor: int, text: str
) -> None:
    order = await place(currency=currency, lines=(NewLine("Tea", 1, Decimal(price)),))
    assert (await pay(capture_payment, order, part)).paid_total == minor
    assert (await last_event(order)).message == f"A payment of {text} was captured."


BAD_AMOUNTS: list[tuple[dict[str, str], str]] = [
    ({"amount": "0"}, "amount"),
    ({"amount": "-0.0"}, "amount"),
    ({"amount": "-1"}, "amount"),
    ({"amount": "0.001"}, "amount"),
    ({"amount": "1." + "0" * 50 + "1"}, "amount"),
    ({"amount": "29.81"}, "amount"),
    ({"amount": "1E+30"}, "amount"),
    ({"amount": "NaN"}, "amount"),
    ({"amount": "-Infinity"}, "amount"),
    ({"amount": "1", "currency": "EUR"}, "currency_code"),
    ({"amount": "1", "currency": ""}, "currency_code"),
]


async def test_bad_amounts_name_their_field() -> None:
    commands: list[Command] = [capture_payment, record_payment, refund_payment]
    for command in commands:
        payment = paid("29.80") if command is refund_payment else paid("10")
        order = await place(payments=[payment])
        for given, field in BAD_AMOUNTS:
            async with refused(ErrorCode.INVALID_INPUT, "amount", field):
                await pay(command, order, **given)


@pytest.mark.parametrize("command", [record_payment, refund_payment])
async def test_a_reference_must_fit(command: Command) -> None:
    order = await place(payments=[paid("10")])
    async with refused(ErrorCode.INVALID_INPUT, "reference"):
        await pay(command, order, reference="x" * 256)


async def test_each_event_says_how_the_payment_status_went_on() -> None:
    order = await place(payments=[authorized("30")])
    await pay(capture_payment, order, "10")
    await pay(capture_payment, order)
    await pay(record_payment, order)
    await pay(refund_payment, order)
    steps = [(event.from_payment_status, event.to_payment_status) for event in await log_of(order)]
    assert steps == [
        (None, PaymentStatus.PENDING),
        (PaymentStatus.PENDING, AUTHORIZED),
        (AUTHORIZED, PARTIALLY_PAID),
        (None, None),
        (PARTIALLY_PAID, PAID),
        (PAID, PaymentStatus.REFUNDED),
    ]


async def test_a_payment_of_an_earlier_day_keeps_its_day() -> None:
    order = await place()
    earlier = order.placed_at.replace(year=order.placed_at.year - 1)
    other = await place(payments=[replace(paid("1"), processed_at=earlier)])
    [transaction] = await transactions_of(other)
    assert transaction.processed_at == earlier


async def test_how_many_statements_a_payment_takes(engine: str) -> None:
    order = await place(payments=[authorized("39.80")])
    with statements() as run:
        await capture_payment(actor=ADA, target=on(order))
    assert len(run) == {"sqlite": 5, "postgres": 4}[engine], run
