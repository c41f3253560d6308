"""What the payments, refunds and voids of an order in Shopify's JSON become."""

import pytest

from models import OrderLine, Transaction
from models.enums import CancelReason, FulfillmentStatus, OrderStatus, PaymentStatus, TransactionKind
from tests.domain.shopify_orders import (
    at,
    events,
    imported,
    parcel,
    refund,
    shopify_order,
    statuses,
    transaction,
    without,
)


@pytest.mark.parametrize(
    ("status", "outstanding", "authorized", "paid", "derived"),
    [
        ("pending", None, 0, 0, PaymentStatus.PENDING),
        ("authorized", "97.29", 9729, 0, PaymentStatus.AUTHORIZED),
        ("partially_paid", "57.29", 0, 4000, PaymentStatus.PARTIALLY_PAID),
        ("paid", "0.00", 0, 9729, PaymentStatus.PAID),
        ("voided", None, 0, 0, PaymentStatus.VOIDED),
        (None, None, 0, 0, PaymentStatus.PENDING),
        ("expired", None, 0, 0, PaymentStatus.PENDING),
    ],
)
async def test_payments_from_the_financial_status_alone(
    database: str, status: str | None, outstanding: str | None, authorized: int, paid: int, derived: PaymentStatus
) -> None:
    order = await imported(shopify_order(financial_status=status, total_outstanding=outstanding))
    assert (order.authorized_total, order.paid_total, order.payment_status) == (authorized, paid, derived)


async def test_partly_paid_of_unknown_amount(database: str) -> None:
    order = await imported(
        shopify_order(financial_status="partially_paid", total_outstanding=None),
        "does not say how much was paid",
        "payment status was PARTIALLY_PAID",
    )
    assert order.paid_total == 0


async def test_transactions_are_counted_once_and_only_if_they_succeeded(database: str) -> None:
    order = await imported(
        shopify_order(
            financial_status="partially_refunded",
            transactions=[
                transaction(1, "authorization", "97.29"),
                transaction(2, "capture", "97.29", parent_id=1),
                transaction(3, "sale", "50.00", status="failure"),
                transaction(90, "refund", "10.00", processed_at="2024-03-04T10:00:00Z"),
            ],
            refunds=[refund(amount="10.00")],
        )
    )
    assert (order.authorized_total, order.paid_total, order.refunded_total) == (0, 9729, 1000)
    kinds = await Transaction.all().order_by("processed_at").values_list("kind", "amount", "reference")
    assert kinds == [(TransactionKind.SALE, 9729, "2"), (TransactionKind.REFUND, 1000, "90")]


async def test_an_authorization_captured_in_part(database: str) -> None:
    order = await imported(
        shopify_order(
            financial_status="partially_paid",
            transactions=[
                transaction(1, "authorization", "97.29"),
                transaction(2, "capture", "40.00", parent_id=1, processed_at="2024-03-02T08:00:00Z"),
            ],
        )
    )
    assert (order.authorized_total, order.paid_total) == (5729, 4000)
    assert order.payment_status is PaymentStatus.PARTIALLY_PAID


async def test_transactions_in_the_customers_currency(database: str) -> None:
    foreign = refund((71, 1, "cancel"), amount="20.00")
    foreign["transactions"][0]["currency"] = "EUR"
    order = await imported(
        shopify_order(
            financial_status="partially_refunded",
            transactions=[transaction(1, "sale", "99.10", currency="EUR")],
            refunds=[foreign],
        ),
        "another currency",
    )
    assert (order.paid_total, order.refunded_total) == (9729, 1962)


async def test_a_partial_refund_of_units_that_never_left(database: str) -> None:
    order = await imported(
        shopify_order(
            financial_status="partially_refunded",
            fulfillment_status="fulfilled",
            refunds=[refund((71, 1, "cancel"), amount="19.62")],
            fulfillments=[parcel((71, 1), (72, 1), at="2024-03-05T10:00:00Z")],
            closed_at="2024-03-06T10:00:00Z",
        )
    )
    assert (order.total, order.paid_total, order.refunded_total) == (9729, 9729, 1962)
    assert statuses(order) == (OrderStatus.SHIPPED, PaymentStatus.PARTIALLY_REFUNDED, FulfillmentStatus.FULFILLED)
    assert order.archived_at == at("2024-03-06T10:00:00")
    mug = await OrderLine.get(position=0)
    assert (mug.quantity, mug.removed_quantity, mug.shipped_quantity, mug.fulfillable_quantity) == (2, 1, 1, 0)
    returned = await Transaction.get(kind=TransactionKind.REFUND)
    assert (returned.amount, returned.reference, returned.processed_at) == (1962, "90", at("2024-03-04T10:00:00"))


async def test_a_refund_without_transactions_is_goods_tax_and_shipping(database: str) -> None:
    adjustments = [
        {"kind": "shipping_refund", "amount": "-9.00", "tax_amount": "-0.50"},
        {"kind": "refund_discrepancy", "amount": "2.00", "tax_amount": "0.00"},
    ]
    told = refund((71, 1, "return"), amount=None, order_adjustments=adjustments)
    order = await imported(
        shopify_order(
            financial_status="partially_refunded",
            fulfillment_status="partial",
            fulfillments=[parcel((71, 1))],
            refunds=[without(told, "transactions")],
        )
    )
    assert order.refunded_total == 1962 + 950 - 200


async def test_more_refunded_than_paid_is_told_and_cut(database: str) -> None:
    order = await imported(
        shopify_order(financial_status="refunded", refunds=[refund(amount="100.00")]), "100.00 CHF were refunded"
    )
    assert (order.paid_total, order.refunded_total) == (9729, 9729)
    assert order.payment_status is PaymentStatus.REFUNDED


async def test_refunded_whole_without_a_refund_in_the_file(database: str) -> None:
    order = await imported(shopify_order(financial_status="refunded"), "no refund of this refunded order")
    assert (order.refunded_total, order.payment_status) == (9729, PaymentStatus.REFUNDED)


async def test_a_void_inside_a_cancellations_refund(database: str) -> None:
    voided = refund((71, 2, "cancel"), (72, 1, "cancel"), amount=None)
    voided["transactions"] = [transaction(2, "void", "0.00", parent_id=1, processed_at="2024-03-04T10:00:00Z")]
    order = await imported(
        shopify_order(
            financial_status="voided",
            cancelled_at="2024-03-04T10:00:00Z",
            cancel_reason="fraud",
            closed_at="2024-03-04T09:59:00Z",
            transactions=[transaction(1, "authorization", "97.29")],
            refunds=[voided],
        )
    )
    assert statuses(order) == (OrderStatus.CANCELLED, PaymentStatus.VOIDED, FulfillmentStatus.UNFULFILLED)
    assert (order.cancel_reason, order.cancelled_at) == (CancelReason.FRAUD, at("2024-03-04T10:00:00"))
    assert order.archived_at == at("2024-03-04T10:00:00")
    assert [line.fulfillable_quantity for line in await OrderLine.all()] == [0, 0]
    assert [name for name, _ in await events(order)] == [
        "ORDER_PLACED",
        "PAYMENT_AUTHORIZED",
        "ORDER_CANCELLED",
        "PAYMENT_VOIDED",
        "ORDER_ARCHIVED",
    ]
