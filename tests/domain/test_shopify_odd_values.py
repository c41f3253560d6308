"""Orders in Shopify's JSON with odd values anywhere: each is imported whole or refused, and nothing worse."""

import copy
import json
import random
from typing import Any

import pytest

from domain.errors import DomainError
from domain.imports import shopify
from domain.imports.running import Result
from models import Order, OrderEvent, OrderLine
from models.enums import OrderEventType
from tests.domain.shopify_orders import parcel, refund, run, shopify_order, transaction

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


@pytest.mark.slow
def test_no_odd_value_anywhere_is_more_than_a_refusal() -> None:
    base, read, refused = _full_order(), 0, list[DomainError]()
    for path in _paths(base)[1:]:
        for odd in ODD_VALUES:
            text = json.dumps(_broken(base, path, odd)).encode()
            ((_, document),) = shopify.read_entries(text)
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
