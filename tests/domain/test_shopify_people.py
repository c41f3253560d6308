"""What the customer, addresses, texts and source of an order in Shopify's JSON become."""

import pytest

from models import Address, Customer, OrderTag, Transaction
from models.enums import AddressKind, FulfillmentStatus, OrderSource, OrderStatus, PaymentStatus
from tests.domain.shopify_orders import column, imported, parcel, shopify_order, statuses, transaction


async def test_people_and_addresses(database: str) -> None:
    await imported(shopify_order())
    customer = await Customer.get()
    assert (customer.email, customer.name, customer.phone) == ("anna.muster@example.com", "Anna Muster", None)
    address = await Address.get()
    assert (address.kind, address.name, address.address1) == (AddressKind.SHIPPING, "Anna Muster", "Seestrasse 1")
    assert (address.postal_code, address.city, address.country_code) == ("8002", "Zürich", "CH")


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
