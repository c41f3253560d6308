"""Importing orders in Shopify's JSON: what an order becomes, and what happens to one that cannot be read."""

import copy
import json
import random
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tortoise.models import Model
from typer.testing import CliRunner

from api.commands.import_orders import app
from domain.errors import DomainError
from domain.imports import shopify
from domain.imports.running import Outcome, Result, import_orders
from models import (
    Address,
    Channel,
    Customer,
    Fulfillment,
    FulfillmentLine,
    Order,
    OrderEvent,
    OrderLine,
    OrderTag,
    Tracking,
    Transaction,
)
from models.enums import (
    ActorKind,
    AddressKind,
    CancelReason,
    FulfillmentState,
    FulfillmentStatus,
    OrderEventType,
    OrderSource,
    OrderStatus,
    PaymentStatus,
    TransactionKind,
)

PLACED = "2024-03-01T09:00:00+01:00"
TABLES = (
    Order,
    OrderLine,
    OrderEvent,
    OrderTag,
    Address,
    Customer,
    Fulfillment,
    FulfillmentLine,
    Tracking,
    Transaction,
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def bag(amount: str, shown: str = "0.00") -> dict[str, Any]:
    return {
        "shop_money": {"amount": amount, "currency_code": "CHF"},
        "presentment_money": {"amount": shown, "currency_code": "EUR"},
    }


def shopify_order(**changes: Any) -> dict[str, Any]:
    """Two lines, 3 units, a discount of 10 %, two taxes, shipping: 81.00 + 9.00 shipping + 7.29 tax = 97.29 CHF."""
    order = {
        "id": 5001,
        "admin_graphql_api_id": "gid://shopify/Order/5001",
        "name": "#1001",
        "email": "Anna.Muster@example.com",
        "created_at": "2024-03-01T09:00:05+01:00",
        "processed_at": PLACED,
        "updated_at": "2024-03-09T10:00:00+01:00",
        "closed_at": None,
        "cancelled_at": None,
        "cancel_reason": None,
        "currency": "CHF",
        "presentment_currency": "EUR",
        "financial_status": "paid",
        "fulfillment_status": None,
        "source_name": "web",
        "customer_locale": "de-CH",
        "tags": "fragile, vip , ",
        "note": "Please ring twice.",
        "test": False,
        "taxes_included": False,
        "gateway": "shopify_payments",
        "payment_gateway_names": ["shopify_payments"],
        "subtotal_price": "81.00",
        "subtotal_price_set": bag("81.00"),
        "total_line_items_price": "90.00",
        "total_discounts": "9.00",
        "total_shipping_price_set": bag("9.00"),
        "total_tax": "7.29",
        "total_price": "97.29",
        "total_price_set": bag("97.29", "99.10"),
        "total_outstanding": "0.00",
        "discount_codes": [{"code": "TEN", "amount": "9.00", "type": "percentage"}],
        "discount_applications": [{"type": "discount_code", "value": "10.0", "value_type": "percentage"}],
        "line_items": [
            {
                "id": 71,
                "title": "Mug",
                "name": "Mug - Blue",
                "variant_title": "Blue",
                "sku": "MUG-B",
                "quantity": 2,
                "price": "20.00",
                "price_set": bag("20.00"),
                "total_discount": "0.00",
                "discount_allocations": [{"amount": "3.50", "discount_application_index": 0}, {"amount": "0.50"}],
                "tax_lines": [{"title": "MwSt", "price": "2.00"}, {"title": "City", "price": "1.24"}],
                "requires_shipping": True,
            },
            {
                "id": 72,
                "title": "Teapot",
                "variant_title": "Default Title",
                "sku": "",
                "quantity": 1,
                "price": "50.00",
                "discount_allocations": [{"amount": "5.00", "discount_application_index": 0}],
                "tax_lines": [{"title": "MwSt", "price": "4.05"}],
            },
        ],
        "shipping_lines": [{"title": "Post", "price": "9.00", "discount_allocations": []}],
        "shipping_address": {
            "first_name": "Anna",
            "last_name": "Muster",
            "name": "Anna Muster",
            "address1": "Seestrasse 1",
            "zip": "8002",
            "city": "Zürich",
            "province": "Zürich",
            "country": "Switzerland",
            "country_code": "CH",
            "phone": None,
        },
        "billing_address": None,
        "customer": {"id": 9, "email": "anna@example.com", "first_name": "Anna", "last_name": "Muster", "phone": None},
        "fulfillments": [],
        "refunds": [],
    }
    return order | changes


def without(order: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in order.items() if key not in keys}


def parcel(*units: tuple[int, int], at: str = "2024-03-02T10:00:00Z", **changes: Any) -> dict[str, Any]:
    return {
        "id": 31,
        "status": "success",
        "created_at": at,
        "line_items": [{"id": line, "quantity": quantity} for line, quantity in units],
        "tracking_company": None,
        "tracking_number": None,
        "tracking_numbers": [],
        "tracking_url": None,
        "tracking_urls": [],
    } | changes


def transaction(number: int, kind: str, amount: Any, **changes: Any) -> dict[str, Any]:
    return {
        "id": number,
        "kind": kind,
        "status": "success",
        "amount": amount,
        "currency": "CHF",
        "gateway": "shopify_payments",
        "processed_at": "2024-03-01T08:30:00Z",
    } | changes


async def run(document: Any) -> list[Outcome]:
    documents = shopify.read_documents(json.dumps(document).encode())
    return [outcome async for outcome in import_orders("web", documents, shopify.read_order)]


async def imported(document: Any, *warnings: str) -> Order:
    """The order that the document became. Its warnings must contain these, and be no others."""
    (outcome,) = await run(document)
    assert outcome.result is Result.IMPORTED, outcome.messages
    assert len(outcome.messages) == len(warnings), outcome.messages
    for message, part in zip(outcome.messages, warnings, strict=True):
        assert part in message
    return await Order.get()


async def row_counts() -> list[int]:
    return [await table.all().count() for table in TABLES]


async def column(table: type[Model], name: str) -> list[Any]:
    """All values of the column, sorted."""
    return sorted(getattr(row, name) for row in await table.all())


async def events(order: Order) -> list[tuple[str, datetime]]:
    found = await OrderEvent.filter(order_id=order.id).order_by("order_version")
    return [(event.type.value, event.occurred_at) for event in found]


def statuses(order: Order) -> tuple[OrderStatus, PaymentStatus, FulfillmentStatus]:
    return order.status, order.payment_status, order.fulfillment_status


async def test_an_open_paid_order(database: str) -> None:
    order = await imported(shopify_order())
    assert (order.subtotal, order.discount_total, order.shipping_total) == (8100, 900, 900)
    assert (order.tax_total, order.total, order.currency) == (729, 9729, "CHF")
    assert statuses(order) == (OrderStatus.PENDING, PaymentStatus.PAID, FulfillmentStatus.UNFULFILLED)
    assert order.placed_at == at("2024-03-01T08:00:00")
    assert (order.external_reference, order.external_number) == ("5001", "#1001")
    assert (order.source, order.locale, order.note) == (OrderSource.ONLINE, "de-CH", "Please ring twice.")
    assert not order.taxes_included
    assert await column(OrderTag, "tag") == ["fragile", "vip"]
    assert (await Channel.get()).code == "web"


async def test_lines_with_discounts_and_several_taxes(database: str) -> None:
    await imported(shopify_order())
    mug, teapot = await OrderLine.all().order_by("position")
    assert (mug.title, mug.variant_title, mug.sku, mug.quantity) == ("Mug", "Blue", "MUG-B", 2)
    assert (mug.unit_price, mug.discount_total, mug.tax_total, mug.total) == (2000, 400, 324, 3600)
    assert (teapot.variant_title, teapot.sku, teapot.requires_shipping) == (None, None, True)
    assert (teapot.unit_price, teapot.discount_total, teapot.tax_total, teapot.total) == (5000, 500, 405, 4500)


async def test_people_and_addresses(database: str) -> None:
    await imported(shopify_order())
    customer = await Customer.get()
    assert (customer.email, customer.name, customer.phone) == ("anna.muster@example.com", "Anna Muster", None)
    address = await Address.get()
    assert (address.kind, address.name, address.address1) == (AddressKind.SHIPPING, "Anna Muster", "Seestrasse 1")
    assert (address.postal_code, address.city, address.country_code) == ("8002", "Zürich", "CH")


async def test_each_event_is_the_channels_at_its_time(database: str) -> None:
    order = await imported(
        shopify_order(
            fulfillment_status="fulfilled",
            closed_at="2024-03-05T12:00:00Z",
            fulfillments=[
                parcel((71, 1), at="2024-03-02T10:00:00Z", tracking_number="LX1", tracking_company="Post"),
                parcel((71, 1), (72, 1), at="2024-03-03T10:00:00Z"),
            ],
        )
    )
    assert statuses(order) == (OrderStatus.SHIPPED, PaymentStatus.PAID, FulfillmentStatus.FULFILLED)
    assert order.confirmed_at == at("2024-03-02T10:00:00")
    assert order.shipped_at == at("2024-03-03T10:00:00")
    assert order.archived_at == order.updated_at == at("2024-03-05T12:00:00")
    assert await events(order) == [
        ("ORDER_PLACED", at("2024-03-01T08:00:00")),
        ("PAYMENT_RECORDED", at("2024-03-01T08:00:00")),
        ("ORDER_CONFIRMED", at("2024-03-02T10:00:00")),
        ("TRACKING_ADDED", at("2024-03-02T10:00:00")),
        ("FULFILLMENT_SHIPPED", at("2024-03-02T10:00:00")),
        ("ORDER_SHIPPED", at("2024-03-03T10:00:00")),
        ("ORDER_ARCHIVED", at("2024-03-05T12:00:00")),
    ]
    actors = {(event.actor_kind, event.actor_id) for event in await OrderEvent.all()}
    assert actors == {(ActorKind.CHANNEL, "web")}


async def test_a_second_run_changes_nothing(database: str) -> None:
    document = {"orders": [shopify_order(fulfillments=[parcel((71, 1))]), shopify_order(id=5002, name="#1002")]}
    assert [outcome.result for outcome in await run(document)] == [Result.IMPORTED] * 2
    before = await row_counts()
    assert [outcome.result for outcome in await run(document)] == [Result.ALREADY_THERE] * 2
    assert await row_counts() == before
    assert await Channel.all().count() == 1


@pytest.mark.parametrize(
    ("document", "place"),
    [
        (shopify_order(), "order"),
        ({"order": shopify_order()}, "order"),
        ([shopify_order()], "orders[0]"),
        ([{"order": shopify_order()}], "orders[0]"),
        ({"orders": [shopify_order()]}, "orders[0]"),
        ({"orders": shopify_order()}, "order"),
    ],
    ids=["order", "wrapped", "list", "list of wrapped", "wrapped list", "one under orders"],
)
async def test_every_wrapping(database: str, document: Any, place: str) -> None:
    assert await run(document) == [Outcome(place, Result.IMPORTED)]


async def test_bad_orders_leave_nothing_and_do_not_stop_the_rest(database: str) -> None:
    bad_line = copy.deepcopy(shopify_order(id=6, name="#6")["line_items"])
    bad_line[1]["price"] = "-50.00"
    unpriced = copy.deepcopy(shopify_order()["line_items"])
    del unpriced[0]["price"], unpriced[0]["price_set"]
    refused_late = shopify_order(id=9, financial_status="paid", fulfillments=[parcel((71, 1))], closed_at="yesterday")
    document = [
        shopify_order(id=1, name="#1"),
        without(shopify_order(id=2, name="#2"), "total_price", "total_price_set"),
        "no order",
        shopify_order(id=4, name="#4", currency="XYZ"),
        shopify_order(id=5, name="#5", total_tax=-1),
        shopify_order(id=6, name="#6", line_items=bad_line),
        shopify_order(id=7, line_items=unpriced),
        shopify_order(id=8, line_items={}),
        refused_late,
        shopify_order(id=10, total_price="97.291"),
        shopify_order(id=1, name="#1 again"),
        without(shopify_order(), "id", "admin_graphql_api_id", "name"),
        None,
        shopify_order(id=11, name="#11"),
    ]
    outcomes = await run(document)
    failed = {outcome.place: outcome.messages[0] for outcome in outcomes if outcome.result is Result.FAILED}
    assert failed == {
        "orders[1]": "total_price: This is missing.",
        "orders[2]": "This must be an object.",
        "orders[3]": "currency: This is not the code of a currency (ISO 4217), such as CHF.",
        "orders[4]": "total_tax: An amount must not be negative.",
        "orders[5]": "line_items[1].price: An amount must not be negative.",
        "orders[6]": "line_items[0].price: This is missing.",
        "orders[7]": "line_items: This must be a list.",
        "orders[8]": "closed_at: This is not a time (ISO 8601), such as 2024-01-31T10:00:00Z.",
        "orders[9]": "total_price: CHF has 2 decimals; this has more.",
        "orders[10]": "the file has this order twice: see orders[0]",
        "orders[11]": "id: This is missing, and so are name and token.",
        "orders[12]": "This must be an object.",
    }
    assert [outcome.place for outcome in outcomes if outcome.result is Result.IMPORTED] == ["orders[0]", "orders[13]"]
    assert await column(Order, "external_reference") == ["1", "11"]
    assert await OrderLine.all().count() == 4
    assert await OrderEvent.all().count() == 4


async def test_an_order_that_the_domain_refuses_leaves_nothing(database: str) -> None:
    lines = copy.deepcopy(shopify_order()["line_items"])
    lines[1]["discount_allocations"] = [{"amount": "50.01"}]
    (outcome,) = await run(shopify_order(line_items=lines))
    assert outcome.result is Result.FAILED
    assert outcome.messages == ("lines[1].discount: A line's discount cannot be above its price.",)
    assert await row_counts() == [0] * len(TABLES)
    assert await Channel.all().count() == 0


async def test_a_step_refused_after_the_placing_takes_the_order_back(database: str) -> None:
    moved = [transaction(10**300, "refund", "1.00")]
    (outcome,) = await run(
        shopify_order(financial_status="partially_refunded", refunds=[refund(amount=None, transactions=moved)])
    )
    assert outcome.result is Result.FAILED
    assert outcome.messages == ("reference: This is 301 characters long; 255 are allowed.",)
    assert await row_counts() == [0] * len(TABLES)


async def test_an_order_of_the_future_is_refused(database: str) -> None:
    (outcome,) = await run(shopify_order(processed_at="2990-01-01T00:00:00Z"))
    assert outcome.messages == ("placed_at: An order cannot be placed in the future.",)
    assert await Order.all().count() == 0


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


async def test_the_oldest_form(database: str) -> None:
    """As of 2008: no sets, no allocations, no refunds, no statuses; only what an order cannot do without."""
    order = await imported(
        {
            "token": "b1946ac9",
            "order_number": 1007,
            "created_at": "2008-01-10T11:00:00-05:00",
            "currency": "USD",
            "total_price": "409.94",
            "total_discounts": "10.00",
            "subtotal_price": 388,
            "total_tax": "11.94",
            "discount_codes": [{"code": "TENOFF", "amount": "10.00"}],
            "line_items": [{"title": "iPod", "quantity": "2", "price": "199.00", "total_discount": "10.00"}],
            "shipping_lines": [{"title": "Free Shipping", "price": "10.00"}],
        }
    )
    assert (order.external_reference, order.external_number) == ("b1946ac9", "#1007")
    assert (order.subtotal, order.discount_total, order.shipping_total) == (38800, 1000, 1000)
    assert (order.tax_total, order.total) == (1194, 40994)
    assert statuses(order) == (OrderStatus.PENDING, PaymentStatus.PENDING, FulfillmentStatus.UNFULFILLED)
    assert order.placed_at == at("2008-01-10T16:00:00")
    assert order.customer_id is None
    assert (await OrderLine.get()).discount_total == 1000


@pytest.mark.parametrize(
    ("missing", "reference"),
    [((), "5001"), (("id",), "5001"), (("id", "admin_graphql_api_id"), "#1001")],
)
async def test_the_reference(database: str, missing: tuple[str, ...], reference: str) -> None:
    order = await imported(without(shopify_order(), *missing))
    assert order.external_reference == reference


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


async def test_an_order_without_line_items_that_was_fulfilled_keeps_its_tracking(database: str) -> None:
    order = await imported(
        without(
            shopify_order(
                fulfillment_status="fulfilled",
                fulfillments=[parcel((1, 1), tracking_number="A"), parcel((2, 5), tracking_number="B")],
            ),
            "line_items",
        ),
        "lists no line_items",
    )
    assert statuses(order) == (OrderStatus.SHIPPED, PaymentStatus.PAID, FulfillmentStatus.FULFILLED)
    assert await column(Tracking, "number") == ["A", "B"]


async def test_an_order_without_line_items_that_has_left_in_part(database: str) -> None:
    order = await imported(
        without(shopify_order(fulfillment_status="partial", fulfillments=[parcel((1, 1))]), "line_items"),
        "lists no line_items",
        "cannot be said what has",
        "fulfillment status was PARTIALLY_FULFILLED",
    )
    assert order.status is OrderStatus.PENDING


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


async def test_a_point_of_sale_order_has_no_addresses(database: str) -> None:
    order = await imported(
        shopify_order(
            source_name="pos",
            shipping_address=None,
            customer=None,
            email="",
            customer_locale=None,
            tags=None,
            fulfillment_status="fulfilled",
            fulfillments=[parcel((71, 2), (72, 1), at="2024-03-01T08:00:00Z")],
            transactions=[transaction(1, "sale", "100.00", gateway="cash"), transaction(2, "change", "2.71")],
        )
    )
    assert order.source is OrderSource.POS
    assert order.customer_id is None
    assert await Address.all().count() == 0
    assert statuses(order) == (OrderStatus.SHIPPED, PaymentStatus.PAID, FulfillmentStatus.FULFILLED)
    assert order.paid_total == 9729
    assert (await Transaction.get()).gateway == "cash"


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("shopify_draft_order", OrderSource.MANUAL),
        ("580111", OrderSource.ONLINE),
        (None, OrderSource.ONLINE),
        ("amazon-us", OrderSource.MARKETPLACE),
    ],
)
async def test_sources(database: str, name: str | None, source: OrderSource) -> None:
    assert (await imported(shopify_order(source_name=name))).source is source


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


async def test_tracking_numbers_with_their_links(database: str) -> None:
    await imported(
        shopify_order(
            fulfillment_status="partial",
            fulfillments=[
                parcel(
                    (71, 1),
                    tracking_company="DHL",
                    tracking_number="A1",
                    tracking_numbers=["A1", "A2", "", "A3"],
                    tracking_url="https://example.com/A1",
                    tracking_urls=["https://example.com/A1", "https://example.com/A2", "", "javascript:alert(1)"],
                ),
                parcel((71, 1), status="cancelled", tracking_number="NEVER"),
                parcel((72, 1), status="failure", tracking_number="F1"),
            ],
        ),
        "fulfillments[0].tracking_url: left out",
        "fulfillments[2]: its status is failure: what is in it was not sent",
    )
    found = await Tracking.all().order_by("number")
    assert [(each.number, each.carrier, each.url) for each in found] == [
        ("A1", "DHL", "https://example.com/A1"),
        ("A2", "DHL", "https://example.com/A2"),
        ("A3", "DHL", None),
        ("F1", None, None),
    ]


async def test_what_failed_and_was_sent_again_keeps_the_number_that_it_left_with(database: str) -> None:
    order = await imported(
        shopify_order(
            fulfillment_status="fulfilled",
            fulfillments=[
                parcel((71, 2), (72, 1), status="failure", tracking_number="F1"),
                parcel((71, 2), (72, 1), tracking_number="A1"),
            ],
        ),
        "fulfillments[0]: its status is failure: what is in it was not sent",
    )
    assert order.status is OrderStatus.SHIPPED
    assert [each.number for each in await Tracking.all()] == ["A1"]


async def test_part_of_an_order_has_left(database: str) -> None:
    order = await imported(shopify_order(fulfillment_status="partial", fulfillments=[parcel((71, 1))]))
    assert statuses(order) == (OrderStatus.CONFIRMED, PaymentStatus.PAID, FulfillmentStatus.PARTIALLY_FULFILLED)
    assert order.shipped_at is None
    assert [line.fulfillable_quantity for line in await OrderLine.all().order_by("position")] == [1, 1]


async def test_a_parcel_that_waits_is_an_open_fulfillment(database: str) -> None:
    order = await imported(
        shopify_order(
            fulfillment_status="partial",
            fulfillments=[
                parcel((72, 1), status="open", tracking_number="W1", at="2024-03-02T10:00:00Z"),
                parcel((71, 1), at="2024-03-03T10:00:00Z"),
            ],
        )
    )
    assert statuses(order) == (OrderStatus.READY_TO_SHIP, PaymentStatus.PAID, FulfillmentStatus.PARTIALLY_FULFILLED)
    waiting = await Fulfillment.get(state=FulfillmentState.OPEN)
    assert (await Tracking.get()).fulfillment_id == waiting.id
    assert (await FulfillmentLine.get(fulfillment_id=waiting.id)).quantity == 1


async def test_parcels_without_lines_and_with_too_many_units(database: str) -> None:
    order = await imported(
        shopify_order(
            fulfillment_status="fulfilled",
            fulfillments=[
                parcel((71, 9), (999, 1), at="2024-03-02T10:00:00Z"),
                without(parcel(at="2024-03-03T10:00:00Z", tracking_number="L"), "line_items", "status"),
            ],
        ),
        "fulfillments[0].line_items[1]: left out: the order has no line of this id",
        "more units were sent",
    )
    assert statuses(order) == (OrderStatus.SHIPPED, PaymentStatus.PAID, FulfillmentStatus.FULFILLED)
    assert [line.shipped_quantity for line in await OrderLine.all().order_by("position")] == [2, 1]


async def test_fulfilled_without_any_parcel_in_the_file(database: str) -> None:
    order = await imported(without(shopify_order(fulfillment_status="fulfilled"), "fulfillments"), "has no parcel")
    assert order.status is OrderStatus.SHIPPED
    assert order.shipped_at == at("2024-03-09T09:00:00")


def refund(*units: tuple[int, int, str], amount: str | None, **changes: Any) -> dict[str, Any]:
    moved = [transaction(90, "refund", amount, processed_at="2024-03-04T10:00:00Z")] if amount else []
    return {
        "id": 41,
        "processed_at": "2024-03-04T10:00:00Z",
        "refund_line_items": [
            {"line_item_id": line, "quantity": quantity, "restock_type": kind, "subtotal": 18.0, "total_tax": 1.62}
            for line, quantity, kind in units
        ],
        "transactions": moved,
        "order_adjustments": [],
    } | changes


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


@pytest.mark.parametrize(
    ("restock", "sent", "fulfillable", "removed"),
    [
        ("cancel", 1, None, 1),
        ("return", 2, None, 0),
        ("return", 1, None, 0),
        ("return", 1, 0, 0),
        ("no_restock", 0, None, 1),
        ("no_restock", 2, None, 0),
        ("no_restock", 1, None, 0),
        ("no_restock", 1, 0, 1),
        ("legacy_restock", 0, 1, 1),
        ("legacy_restock", 0, 2, 0),
        ("cancel", 2, None, 0),
    ],
)
async def test_which_refunded_units_will_never_ship(
    database: str, restock: str, sent: int, fulfillable: int | None, removed: int
) -> None:
    lines = shopify_order()["line_items"]
    lines[0]["fulfillable_quantity"] = fulfillable
    document = without(
        shopify_order(
            line_items=lines,
            financial_status="partially_refunded",
            refunds=[refund((71, 1, restock), amount="19.62")],
            fulfillments=[parcel((71, sent))] if sent else [],
        ),
        "fulfillment_status",
    )
    await imported(document)
    line = await OrderLine.get(position=0)
    assert (line.removed_quantity, line.shipped_quantity) == (removed, sent)
    assert line.fulfillable_quantity == 2 - removed - sent


async def test_units_edited_away_without_refunds_in_the_file(database: str) -> None:
    lines = shopify_order()["line_items"]
    lines[0]["current_quantity"] = 1
    await imported(without(shopify_order(line_items=lines), "refunds"))
    assert (await OrderLine.get(position=0)).removed_quantity == 1


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


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("customer", CancelReason.CUSTOMER),
        ("inventory", CancelReason.INVENTORY),
        ("declined", CancelReason.DECLINED),
        ("staff", CancelReason.STAFF),
        ("other", CancelReason.OTHER),
        ("sunspots", CancelReason.OTHER),
        (None, CancelReason.OTHER),
    ],
)
async def test_cancel_reasons(database: str, word: str | None, reason: CancelReason) -> None:
    order = await imported(shopify_order(cancelled_at="2024-03-04T10:00:00Z", cancel_reason=word))
    assert (order.status, order.cancel_reason) == (OrderStatus.CANCELLED, reason)


async def test_cancelled_after_a_part_had_left(database: str) -> None:
    order = await imported(
        shopify_order(
            financial_status="partially_refunded",
            fulfillment_status="partial",
            fulfillments=[parcel((71, 2))],
            refunds=[refund((72, 1, "cancel"), amount="48.60")],
            cancelled_at="2024-03-04T10:00:00Z",
        )
    )
    assert statuses(order) == (
        OrderStatus.CANCELLED,
        PaymentStatus.PARTIALLY_REFUNDED,
        FulfillmentStatus.PARTIALLY_FULFILLED,
    )


async def test_cancelled_after_everything_had_left(database: str) -> None:
    order = await imported(
        shopify_order(
            fulfillment_status="fulfilled",
            fulfillments=[parcel((71, 2), (72, 1))],
            cancelled_at="2024-03-04T10:00:00Z",
        ),
        "it stays SHIPPED",
    )
    assert (order.status, order.cancelled_at) == (OrderStatus.SHIPPED, None)


async def test_a_closed_order_that_may_not_be_archived_is_told(database: str) -> None:
    order = await imported(shopify_order(closed_at="2024-03-04T10:00:00Z"), "was not archived")
    assert order.archived_at is None


async def test_what_does_not_fit_is_shortened_or_left_out_with_a_warning(database: str) -> None:
    order = await imported(
        shopify_order(
            email="not an address",
            customer_locale="!!",
            tags=["x" * 65, "ok"],
            shipping_address={"first_name": "Bo", "country": "Kosovo", "country_code": "XKX", "zip": "8" * 40},
        ),
        "email: left out",
        "shipping_address.country_code: left out",
        "shipping_address.zip: shortened to 32",
        "customer_locale: left out",
        "tags: shortened to 64",
    )
    assert order.locale is None
    assert await column(OrderTag, "tag") == ["ok", "x" * 64]
    assert (await Address.get()).name == "Bo"
    assert (await Customer.get()).email is None


async def test_times_before_the_order_move_to_it(database: str) -> None:
    early = refund(amount="10.00")
    early["transactions"][0]["processed_at"] = "2005-08-05T12:59:12-04:00"
    order = await imported(shopify_order(financial_status="partially_refunded", refunds=[early]))
    times = [time for _, time in await events(order)]
    assert times == sorted(times)
    assert times[0] == order.placed_at


ODD_VALUES: list[Any] = [
    *(None, "", "x", " 7 ", -1, 0, 10**30, 1.5, "1e400", True, [], [None], [[]], {}, {"a": 1}),
    *("\u0000", "\ud800", "9" * 400, "NaN", "-0.01", "٣"),
]


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(each for key, child in children for each in _paths(child, (*path, key)))]


def _full_order() -> dict[str, Any]:
    return shopify_order(
        financial_status="partially_refunded",
        fulfillment_status="partial",
        fulfillments=[parcel((71, 1), tracking_numbers=["A"], tracking_urls=["https://example.com"])],
        refunds=[refund((71, 1, "cancel"), amount="19.62", order_adjustments=[{"amount": "-1.00"}])],
        transactions=[transaction(1, "sale", "97.29")],
        customer={"first_name": "A", "last_name": "B", "phone": "1"},
        tax_lines=[{"price": "7.29"}],
    )


def _broken(base: dict[str, Any], path: tuple[Any, ...], odd: Any) -> dict[str, Any]:
    order = copy.deepcopy(base)
    holder: Any = order
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = odd
    return order


def test_no_odd_value_anywhere_is_more_than_a_refusal() -> None:
    base, read, refused = _full_order(), 0, list[DomainError]()
    for path in _paths(base)[1:]:
        for odd in ODD_VALUES:
            text = json.dumps(_broken(base, path, odd)).encode()
            ((_, document),) = shopify.read_documents(text)
            try:
                shopify.read_order("web", document)
                read += 1
            except DomainError as refusal:
                refused.append(refusal)
    assert read > 1000
    assert len(refused) > 500
    assert all(refusal.field for refusal in refused)


async def test_orders_with_odd_values_are_imported_whole_or_not_at_all(database: str) -> None:
    rng, base = random.Random(2), _full_order()
    paths = _paths(base)[1:]
    orders = []
    for number in range(150):
        order = _broken(base, rng.choice(paths), rng.choice(ODD_VALUES))
        orders.append(order | {"id": number})
    outcomes = await run(orders)
    came_in = [outcome for outcome in outcomes if outcome.result is Result.IMPORTED]
    assert len(outcomes) == 150
    assert 0 < len(came_in) < 150
    assert await Order.all().count() == len(came_in)
    assert await OrderEvent.filter(type=OrderEventType.ORDER_PLACED).count() == len(came_in)
    assert await OrderLine.all().count() <= 2 * len(came_in)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"7", b'"x"', b"null", b"[" * 100_000])
def test_what_is_no_file_of_orders(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        shopify.read_documents(content)


def test_amounts_keep_every_digit() -> None:
    ((_, document),) = shopify.read_documents(b'\xef\xbb\xbf{"total_price": 90071992547409.93}')
    assert document["total_price"] == Decimal("90071992547409.93")


class TestCommandLine:
    """The command as people run it."""

    @pytest.fixture
    def arguments(self, tmp_path: Path) -> list[str]:
        return ["--channel", "web", "--format", "shopify", "--database-url", f"sqlite://{tmp_path / 'new.sqlite3'}"]

    def test_reports_and_counts(self, tmp_path: Path, arguments: list[str]) -> None:
        file = tmp_path / "orders.json"
        bad = without(shopify_order(id=2, name="#2"), "total_price", "total_price_set")
        file.write_text(json.dumps({"orders": [shopify_order(id=1), bad, shopify_order(id=3, test=True, name="#3")]}))
        first = CliRunner().invoke(app, [str(file), *arguments])
        assert first.stdout == "2 imported, 0 already there, 1 failed\n"
        assert first.stderr.splitlines() == [
            "orders[1] #2 (2): failed: total_price: This is missing.",
            "orders[2] #3 (3): warning: this is a test order",
        ]
        assert first.exit_code == 1
        second = CliRunner().invoke(app, [str(file), *arguments])
        assert second.stdout == "0 imported, 2 already there, 1 failed\n"
        assert second.stderr.splitlines() == ["orders[1] #2 (2): failed: total_price: This is missing."]

    def test_reads_stdin(self, arguments: list[str]) -> None:
        result = CliRunner().invoke(app, ["-", *arguments], input=json.dumps({"order": shopify_order()}))
        assert (result.stdout, result.stderr, result.exit_code) == ("1 imported, 0 already there, 0 failed\n", "", 0)

    def test_an_unreadable_file(self, tmp_path: Path, arguments: list[str]) -> None:
        missing = CliRunner().invoke(app, [str(tmp_path / "none.json"), *arguments])
        assert (missing.exit_code, missing.stdout) == (2, "")
        assert "none.json" in missing.stderr
        broken = CliRunner().invoke(app, ["-", *arguments], input="{")
        assert broken.exit_code == 2
        assert not (tmp_path / "new.sqlite3").exists()

    def test_a_code_that_no_channel_can_have(self, arguments: list[str]) -> None:
        arguments[1] = "no channel"
        result = CliRunner().invoke(app, ["-", *arguments], input=json.dumps(shopify_order()))
        assert result.exit_code == 2
        assert "letters, digits" in result.stderr

    def test_help(self) -> None:
        result = CliRunner().invoke(app, ["--help"])
        assert result.exit_code == 0
        assert "A second run imports nothing twice." in " ".join(result.stdout.split())
