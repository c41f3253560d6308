"""What the totals, taxes, discounts and lines of an order in Shopify's JSON become."""

from decimal import Decimal

from domain.imports import shopify
from models import OrderLine
from models.enums import FulfillmentStatus, OrderStatus, PaymentStatus
from tests.domain.shopify_orders import PLACED, bag, imported, parcel, shopify_order, statuses, without


async def test_lines_with_discounts_and_several_taxes(database: str) -> None:
    await imported(shopify_order())
    mug, teapot = await OrderLine.all().order_by("position")
    assert (mug.title, mug.variant_title, mug.sku, mug.quantity) == ("Mug", "Blue", "MUG-B", 2)
    assert (mug.unit_price, mug.discount_total, mug.tax_total, mug.total) == (2000, 400, 324, 3600)
    assert (teapot.variant_title, teapot.sku, teapot.requires_shipping) == (None, None, True)
    assert (teapot.unit_price, teapot.discount_total, teapot.tax_total, teapot.total) == (5000, 500, 405, 4500)


def test_amounts_keep_every_digit() -> None:
    ((_, document),) = shopify.read_entries(b'\xef\xbb\xbf{"total_price": 90071992547409.93}')
    assert document["total_price"] == Decimal("90071992547409.93")


async def test_numbers_and_money_bags_count_like_text(database: str) -> None:
    document = without(
        shopify_order(total_price=97.29, total_tax=7.290000000000001), "subtotal_price", "total_discounts", "currency"
    )
    document["line_items"][0] = without(document["line_items"][0], "price")
    order = await imported(document | {"total_discounts_set": bag("9.00")})
    assert (order.total, order.tax_total, order.subtotal, order.discount_total) == (9729, 729, 8100, 900)
    assert (await OrderLine.get(position=0)).unit_price == 2000
    assert order.currency == "CHF"


async def test_missing_sums_are_added_up_from_the_parts(database: str) -> None:
    document = without(
        shopify_order(shipping_lines=[{"price": "12.00", "discount_allocations": [{"amount": "3.00"}]}]),
        *("subtotal_price", "subtotal_price_set", "total_discounts", "total_tax", "total_shipping_price_set"),
    )
    order = await imported(document)
    assert (order.subtotal, order.tax_total, order.shipping_total) == (8100, 729, 900)
    assert order.discount_total == 1200
    assert order.total == 9729


async def test_the_order_s_own_tax_lines_go_before_those_of_its_parts(database: str) -> None:
    taxes = [{"price": "5.00", "rate": 0.05}, {"price": "2.29", "rate": 0.02}]
    order = await imported(without(shopify_order(tax_lines=taxes), "total_tax"))
    assert order.tax_total == 729


async def test_tax_included_and_a_currency_without_cents(database: str) -> None:
    order = await imported(
        {
            "id": 1,
            "currency": "JPY",
            "created_at": PLACED,
            "taxes_included": True,
            "total_price": "1100",
            "subtotal_price": "1100.00",
            "total_tax": 100,
            "line_items": [{"title": "茶", "quantity": 1, "price": "1100"}],
        }
    )
    assert (order.total, order.subtotal, order.tax_total, order.taxes_included) == (1100, 1100, 100, True)


async def test_an_order_without_line_items_gets_one_line(database: str) -> None:
    order = await imported(
        without(shopify_order(financial_status="partially_refunded"), "line_items"),
        "lists no line_items",
        "does not say how much",
    )
    line = await OrderLine.get()
    assert (line.quantity, line.unit_price, line.discount_total, line.total) == (1, 9000, 900, 8100)
    assert (order.total, order.paid_total, order.refunded_total) == (9729, 9729, 0)
    assert statuses(order) == (OrderStatus.PENDING, PaymentStatus.PAID, FulfillmentStatus.UNFULFILLED)


async def test_a_tip_is_a_line_that_is_never_sent(database: str) -> None:
    tip = {"id": 73, "title": "Tip", "quantity": 1, "price": "5.00", "tip_payment_gateway": "shopify_payments"}
    lines = [*shopify_order()["line_items"], tip]
    order = await imported(
        shopify_order(
            line_items=lines,
            total_price="102.29",
            total_tip_received="5.00",
            fulfillment_status="fulfilled",
            fulfillments=[parcel((71, 2), (72, 1))],
        )
    )
    assert (order.total, order.subtotal) == (10229, 8100)
    assert order.status is OrderStatus.SHIPPED
    assert (await OrderLine.get(title="Tip")).removed_quantity == 1


async def test_a_tip_without_a_line_and_a_test_order_are_told(database: str) -> None:
    order = await imported(
        shopify_order(test=True, total_price="102.29", total_tip_received=5), "test order", "a tip is part of the total"
    )
    assert order.total == 10229
