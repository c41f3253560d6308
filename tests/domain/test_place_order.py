"""Taking orders in: sums, parts, payments that were made already, and what is refused."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from domain.actors import Forbidden, Scope
from domain.errors import ErrorCode
from domain.orders.placing import NewAddress, NewCustomer, NewLine, NewPayment, NewTotals
from models import Address, Channel, Customer, Order, OrderTag, SearchTerm
from models.enums import AddressKind, FulfillmentStatus, OrderSource, OrderStatus, PaymentStatus, TransactionKind
from tests.domain.shop import (
    ADA,
    HAT,
    SOCKS,
    authorized,
    lines_of,
    log_of,
    nothing_changes,
    paid,
    place,
    refused,
    staff,
    stored,
    transactions_of,
    types_of,
)

pytestmark = pytest.mark.usefixtures("database")
D = Decimal


def sums(order: Order) -> tuple[int, int, int, int, int]:
    return order.subtotal, order.discount_total, order.shipping_total, order.tax_total, order.total


async def test_an_order_as_it_is_placed() -> None:
    placed_at = datetime(2024, 3, 1, 10, 0, tzinfo=timezone(timedelta(hours=1)))
    order = await stored(await place(external_reference=" A-1 ", placed_at=placed_at, locale="de-CH", note=" Ring! "))
    assert (order.number, order.version, order.external_reference) == (1001, 1, "A-1")
    assert (order.status, order.payment_status) == (OrderStatus.PENDING, PaymentStatus.PENDING)
    assert order.fulfillment_status is FulfillmentStatus.UNFULFILLED
    assert (order.source, order.currency, order.locale, order.note) == (OrderSource.ONLINE, "CHF", "de-CH", "Ring!")
    assert order.placed_at == datetime(2024, 3, 1, 9, 0, tzinfo=UTC)
    assert sums(order) == (3980, 0, 0, 0, 3980)
    assert order.outstanding == 3980
    socks, hat = await lines_of(order)
    assert (socks.position, socks.sku, socks.title, socks.quantity, socks.unit_price) == (0, "SOCK-1", "Socks", 2, 990)
    assert (socks.total, socks.fulfillable_quantity, socks.shipped_quantity) == (1980, 2, 0)
    assert (hat.position, hat.quantity, hat.total, hat.requires_shipping) == (1, 1, 2000, True)
    assert (await place()).number == 1002


async def test_what_is_sold_at_a_till_is_taken_along() -> None:
    order = await stored(await place(source=OrderSource.POS, payments=[paid("39.80")]))
    assert (order.status, order.payment_status, order.fulfillment_status) == (
        OrderStatus.SHIPPED,
        PaymentStatus.PAID,
        FulfillmentStatus.FULFILLED,
    )
    assert order.confirmed_at == order.shipped_at
    assert await types_of(order) == ["ORDER_PLACED", "PAYMENT_RECORDED", "ORDER_CONFIRMED", "ORDER_SHIPPED"]
    assert [line.shipped_quantity for line in await lines_of(order)] == [2, 1]


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"source": OrderSource.POS, "handed_over": False}, OrderStatus.PENDING),
        ({"source": OrderSource.POS, "shipping_address": NewAddress(city="Bern")}, OrderStatus.PENDING),
        ({"source": OrderSource.ONLINE}, OrderStatus.PENDING),
        ({"source": OrderSource.ONLINE, "handed_over": True}, OrderStatus.SHIPPED),
        ({"source": OrderSource.POS, "payments": [paid("10")]}, OrderStatus.SHIPPED),
        ({"source": OrderSource.POS, "lines": [replace(HAT, removed_quantity=1)]}, OrderStatus.PENDING),
    ],
)
async def test_what_is_taken_along(given: dict[str, Any], status: OrderStatus) -> None:
    assert (await stored(await place(**given))).status is status


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"download_url": "file:///etc/passwd", "requires_shipping": False}, "download_url"),
        ({"download_url": "https://files.example/x"}, "download_url"),
        ({"weight_grams": -1}, "weight_grams"),
        ({"service": "nobody"}, "service"),
    ],
)
async def test_a_line_that_cannot_be_fulfilled(given: dict[str, Any], field: str) -> None:
    async with refused(ErrorCode.INVALID_INPUT, "lines", 0, field):
        await place(lines=[replace(HAT, **given)])


async def test_the_event_of_an_order_placed() -> None:
    order = await place(source=OrderSource.POS, handed_over=False)
    [event] = await log_of(order)
    assert (event.type, event.actor_kind, event.actor_id, event.actor_name) == (
        "ORDER_PLACED",
        "TOKEN",
        "token-Ada",
        "Ada",
    )
    assert (event.from_status, event.to_status) == (None, OrderStatus.PENDING)
    assert (event.from_payment_status, event.to_payment_status) == (None, PaymentStatus.PENDING)
    assert (event.from_fulfillment_status, event.to_fulfillment_status) == (None, FulfillmentStatus.UNFULFILLED)
    assert event.message == "Order 1001 was placed in web: 3 units, 39.80 CHF."
    assert event.channel_id == order.channel_id
    assert event.data["total"] == {"amount": "39.80", "currencyCode": "CHF"}
    assert [line["quantity"] for line in event.data["lines"]] == [2, 1]
    assert [line["lineId"] for line in event.data["lines"]] == [str(line.id) for line in await lines_of(order)]


DISCOUNTED = replace(SOCKS, discount=D("1.80"), tax=D("1.40"))  # 18.00


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"lines": (DISCOUNTED, HAT)}, (3800, 180, 0, 140, 3940)),
        ({"lines": (DISCOUNTED, HAT), "taxes_included": True}, (3800, 180, 0, 140, 3800)),
        (
            {"lines": (DISCOUNTED, HAT), "order_discount": D(8), "shipping_price": D("7.5")},
            (3000, 980, 750, 140, 3890),
        ),
        ({"order_discount": D("39.80")}, (0, 3980, 0, 0, 0)),
        (
            {"totals": NewTotals(D("35"), D("45.55"), D("4.80"), D("8"), D("2.55"))},
            (3500, 480, 800, 255, 4555),
        ),
        ({"currency": "JPY", "lines": (NewLine("Tea", 3, D("1200")),)}, (3600, 0, 0, 0, 3600)),
        ({"currency": "jpy ", "lines": (NewLine("Tea", 3, D("1200.0")),)}, (3600, 0, 0, 0, 3600)),
        ({"currency": "KWD", "lines": (NewLine("Oud", 2, D("1.255")),)}, (2510, 0, 0, 0, 2510)),
    ],
)
async def test_the_sums_of_an_order(given: dict[str, Any], expected: tuple[int, ...]) -> None:
    assert sums(await stored(await place(**given))) == expected


async def test_an_order_that_costs_nothing_is_paid() -> None:
    order = await place(lines=(NewLine("Sample", 1, D(0)),))
    assert (order.payment_status, order.outstanding) == (PaymentStatus.PAID, 0)
    assert (await log_of(order))[0].to_payment_status is PaymentStatus.PAID


async def test_units_that_were_removed_will_never_ship() -> None:
    order = await place(lines=(replace(SOCKS, removed_quantity=1), HAT))
    assert [line.fulfillable_quantity for line in await lines_of(order)] == [1, 1]


@pytest.mark.parametrize(
    ("payments", "status", "authorized_total", "paid_total", "types"),
    [
        ([authorized("39.80")], PaymentStatus.AUTHORIZED, 3980, 0, ["PAYMENT_AUTHORIZED"]),
        ([paid("39.80")], PaymentStatus.PAID, 0, 3980, ["PAYMENT_RECORDED"]),
        ([paid("10"), authorized("29.80", "stripe")], PaymentStatus.PARTIALLY_PAID, 2980, 1000,
         ["PAYMENT_RECORDED", "PAYMENT_AUTHORIZED"]),
        ([paid("50")], PaymentStatus.PAID, 0, 5000, ["PAYMENT_RECORDED"]),
    ],
)  # fmt: skip
async def test_payments_that_the_shop_has_taken(
    payments: list[NewPayment], status: PaymentStatus, authorized_total: int, paid_total: int, types: list[str]
) -> None:
    order = await stored(await place(payments=payments))
    assert (order.payment_status, order.authorized_total, order.paid_total) == (status, authorized_total, paid_total)
    assert await types_of(order) == ["ORDER_PLACED", *types]
    assert [each.gateway for each in await transactions_of(order)] == [each.gateway for each in payments]
    events = await log_of(order)
    assert (events[0].to_payment_status, events[1].from_payment_status) == (PaymentStatus.PENDING,) * 2


async def test_the_parts_of_an_order() -> None:
    shipping = NewAddress(name="Ada Byron", address1=" Gasse 1 ", postal_code="8001", city="Zürich", country_code="ch")
    customer = NewCustomer(email="Ada@Example.com", name="Ada Byron", phone="+41")
    order = await place(
        shipping_address=shipping, billing_address=NewAddress(city=" "), customer=customer, tags=("vip", " gift", "vip")
    )
    [address] = await Address.filter(order_id=order.id)
    assert (address.kind, address.address1, address.country_code) == (AddressKind.SHIPPING, "Gasse 1", "CH")
    assert [row.tag for row in await OrderTag.filter(order_id=order.id).order_by("tag")] == ["gift", "vip"]
    assert order.customer_id is not None
    found = await Customer.get(id=order.customer_id)
    assert (found.email, found.name, found.phone) == ("ada@example.com", "Ada Byron", "+41")
    terms = {row.term for row in await SearchTerm.filter(order_id=order.id)}
    assert terms == {"1001", "sock-1", "hat-1", "ada@example.com", "ada byron", "byron"}


async def test_a_customer_is_known_again_by_channel_and_email() -> None:
    first = await place(customer=NewCustomer(email="a@b.ch", name="A"))
    again = await place(customer=NewCustomer(email="A@B.ch", phone="1"))
    elsewhere = await place(channel="shop", customer=NewCustomer(email="a@b.ch"))
    nameless = await place(customer=NewCustomer(phone="2"))
    assert first.customer_id == again.customer_id
    assert len({first.customer_id, elsewhere.customer_id, nameless.customer_id}) == 3
    customer = await Customer.get(id=first.customer_id)
    assert (customer.name, customer.phone) == ("A", "1")
    assert (await place(customer=NewCustomer(email=" "))).customer_id is None


async def test_a_reference_stands_once_in_a_channel() -> None:
    await place(external_reference="A-1")
    async with refused(ErrorCode.DUPLICATE_REFERENCE, "external_reference") as refusal:
        await place(external_reference=" A-1")
    assert refusal.error.message == "The channel has an order of this reference: 1001."
    await place(external_reference="a-1")
    await place(external_reference="A-1", channel="shop")


async def test_a_caller_bound_to_channels_places_nowhere_else() -> None:
    shop = await place(channel="shop")
    bound = staff("Bob", channels=frozenset({shop.channel_id}))
    assert (await place(bound, channel="shop")).number == 1002
    await place(channel="web")
    for channel in ("web", "new"):
        async with refused(ErrorCode.INVALID_INPUT, "channel"):
            await place(bound, channel=channel)
    assert await Channel.filter(code="new").count() == 0


async def test_placing_needs_its_scope() -> None:
    async with nothing_changes():
        with pytest.raises(Forbidden):
            await place(staff("Eve", *(set(Scope) - {Scope.ORDERS_PLACE})))


LATER = datetime.now(UTC) + timedelta(days=2)


BAD_INPUT: list[tuple[dict[str, Any], str]] = [
    ({"channel": ""}, "channel"),
    ({"channel": "a b"}, "channel"),
    ({"channel": "x" * 65}, "channel"),
    ({"currency": "CHX"}, "currency"),
    ({"currency": "XAU"}, "currency"),
    ({"external_reference": "x" * 256}, "external_reference"),
    ({"external_reference": "a\x00b"}, "external_reference"),
    ({"external_number": "x" * 65}, "external_number"),
    ({"locale": "x" * 36}, "locale"),
    ({"locale": "de CH"}, "locale"),
    ({"note": "x" * 5001}, "note"),
    ({"note": "\ud800"}, "note"),
    ({"placed_at": LATER}, "placed_at"),
    ({"placed_at": datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))}, "placed_at"),
    ({"placed_at": datetime(1969, 12, 31)}, "placed_at"),  # noqa: DTZ001 - a caller may send one
    ({"tags": ("a", "x" * 65)}, "tags.1"),
    ({"tags": ("",)}, "tags.0"),
    ({"tags": tuple(map(str, range(101)))}, "tags"),
    ({"lines": ()}, "lines"),
    ({"lines": (HAT,) * 1001}, "lines"),
    ({"order_discount": D("39.81")}, "order_discount"),
    ({"order_discount": D("0.001")}, "order_discount"),
    ({"shipping_price": D("-0.01")}, "shipping_price"),
    ({"totals": NewTotals(D(1), D("-1"))}, "totals.total"),
    ({"totals": NewTotals(D("1.001"), D(1))}, "totals.subtotal"),
    ({"lines": (replace(HAT, unit_price=D(10) ** 13),), "shipping_price": D(1)}, "lines"),
    ({"customer": NewCustomer(email="nobody")}, "customer.email"),
    ({"customer": NewCustomer(email="a@" + "b" * 254)}, "customer.email"),
    ({"customer": NewCustomer(name="x" * 256)}, "customer.name"),
    ({"customer": NewCustomer(phone="x" * 65)}, "customer.phone"),
    ({"shipping_address": NewAddress(country_code="CHE")}, "shipping_address.country_code"),
    ({"shipping_address": NewAddress(country_code="ß")}, "shipping_address.country_code"),
    ({"billing_address": NewAddress(postal_code="x" * 33)}, "billing_address.postal_code"),
    ({"payments": (paid("0"),)}, "payments.0.amount"),
    ({"payments": (paid("1"), paid("0.001"))}, "payments.1.amount"),
    ({"payments": (NewPayment(TransactionKind.REFUND, D(1)),)}, "payments.0.kind"),
    ({"payments": (authorized("1", " "),)}, "payments.0.gateway"),
    ({"payments": (authorized("1", "x" * 65),)}, "payments.0.gateway"),
    ({"payments": (replace(paid("1"), reference="x" * 256),)}, "payments.0.reference"),
    ({"payments": (replace(paid("1"), processed_at=datetime(1, 1, 1)),)}, "payments.0.processed_at"),  # noqa: DTZ001
    ({"payments": (paid("1"),) * 101}, "payments"),
]


async def test_bad_input_names_its_field() -> None:
    for given, field in BAD_INPUT:
        async with refused(ErrorCode.INVALID_INPUT, *field.split(".")):
            await place(**given)


BAD_LINES: list[tuple[dict[str, Any], str]] = [
    ({"quantity": 0}, "quantity"),
    ({"quantity": -1}, "quantity"),
    ({"quantity": 1_000_001}, "quantity"),
    ({"removed_quantity": 2}, "removed_quantity"),
    ({"removed_quantity": -1}, "removed_quantity"),
    ({"unit_price": D("-1")}, "unit_price"),
    ({"unit_price": D("1.999")}, "unit_price"),
    ({"unit_price": D("NaN")}, "unit_price"),
    ({"unit_price": D("Infinity")}, "unit_price"),
    ({"unit_price": D("1E+1000000")}, "unit_price"),
    ({"unit_price": D("1E-1000000")}, "unit_price"),
    ({"unit_price": D("10." + "0" * 40 + "1")}, "unit_price"),
    ({"unit_price": D("9999999999999.99"), "quantity": 2}, "unit_price"),
    ({"discount": D("20.01")}, "discount"),
    ({"tax": D("-0.01")}, "tax"),
    ({"title": " "}, "title"),
    ({"title": "x" * 513}, "title"),
    ({"sku": "x" * 256}, "sku"),
    ({"variant_title": "x" * 256}, "variant_title"),
]


async def test_a_bad_line_names_its_field() -> None:
    for changes, field in BAD_LINES:
        async with refused(ErrorCode.INVALID_INPUT, "lines", 1, field):
            await place(lines=(SOCKS, replace(HAT, **changes)))


@pytest.mark.parametrize(("currency", "amount"), [("JPY", "1.5"), ("KWD", "1.2345"), ("CHF", "0.005")])
async def test_an_amount_has_no_more_decimals_than_its_currency(currency: str, amount: str) -> None:
    async with refused(ErrorCode.INVALID_INPUT, "lines", 0, "unit_price"):
        await place(currency=currency, lines=(NewLine("Tea", 1, D(amount)),))


async def test_the_largest_values_that_are_taken() -> None:
    order = await place(
        external_reference="x" * 255,
        note="x" * 5000,
        tags=tuple(f"{index:064}" for index in range(100)),
        lines=(NewLine("x" * 512, 1_000_000, D("9999999.99"), sku="x" * 255),),
        actor=ADA,
    )
    assert (await stored(order)).total == 999_999_999_000_000
