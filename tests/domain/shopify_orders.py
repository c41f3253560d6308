"""Orders in Shopify's JSON for the tests of the import, and what they became."""

import json
from datetime import UTC, datetime
from typing import Any

from tortoise.models import Model

from domain.imports import shopify
from domain.imports.running import ImportReport, Result, import_orders
from models import (
    Address,
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
from models.enums import FulfillmentStatus, OrderStatus, PaymentStatus

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


async def run(document: Any) -> list[ImportReport]:
    entries = shopify.read_entries(json.dumps(document).encode())
    return [outcome async for outcome in import_orders("web", entries, shopify.read_order)]


async def imported(document: Any, *warnings: str) -> Order:
    """The order that the document became. Its warnings must contain these, and be no others."""
    (outcome,) = await run(document)
    assert outcome.result is Result.IMPORTED, outcome.messages
    assert len(outcome.messages) == len(warnings), outcome.messages
    for message, part in zip(outcome.messages, warnings, strict=True):
        assert part in message, message
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
