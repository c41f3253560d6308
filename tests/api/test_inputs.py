"""Values that mutations do not take: each refused with the path of the field, and nothing changed."""

import json
from typing import Any

import pytest

from api.schema import ids
from models.engine.fields import new_key
from tests.clients import Server, an_order
from tests.database import all_rows

pytestmark = pytest.mark.wire


async def refused(server: Server, name: str, given: dict[str, Any]) -> tuple[str, str]:
    """Code and dotted field of the one refusal; nothing was changed by it."""
    before = await all_rows()
    payload = await server.mutate(name, given)
    assert (payload["order"] or {}).get("id") == given.get("orderId")
    [error] = payload["userErrors"]
    assert error["message"]
    assert await all_rows() == before
    return error["code"], ".".join(error["field"] or ())


LINE: dict[str, Any] = {"title": "Cup", "quantity": 1, "unitPrice": "10.00"}


def with_line(**given: Any) -> dict[str, Any]:
    return {"lines": [LINE, {**LINE, **given}]}


def with_payment(**given: Any) -> dict[str, Any]:
    return {"payments": [{"kind": "SALE", "amount": "1", **given}]}


TOTALS = {"subtotal": "1", "total": "1"}

PLACING: list[tuple[dict[str, Any], str]] = [
    ({"channel": ""}, "channel"),
    ({"channel": "two words"}, "channel"),
    ({"channel": "x" * 65}, "channel"),
    ({"channel": "web\x00"}, "channel"),
    ({"currency": ""}, "currency"),
    ({"currency": "XXL"}, "currency"),
    ({"currency": "CHF\x00"}, "currency"),
    ({"lines": []}, "lines"),
    ({"lines": [LINE] * 1001}, "lines"),
    (with_line(quantity=0), "lines.1.quantity"),
    (with_line(quantity=-1), "lines.1.quantity"),
    (with_line(quantity=1_000_001), "lines.1.quantity"),
    (with_line(title=""), "lines.1.title"),
    (with_line(title=" "), "lines.1.title"),
    (with_line(title="x" * 513), "lines.1.title"),
    (with_line(title="a\x00b"), "lines.1.title"),
    (with_line(sku="x" * 256), "lines.1.sku"),
    (with_line(variantTitle="x" * 256), "lines.1.variantTitle"),
    (with_line(unitPrice="-0.01"), "lines.1.unitPrice"),
    (with_line(unitPrice="0.001"), "lines.1.unitPrice"),
    (with_line(unitPrice="1.0000000000000000000000000000000000000001"), "lines.1.unitPrice"),
    (with_line(unitPrice="NaN"), "lines.1.unitPrice"),
    (with_line(unitPrice="Infinity"), "lines.1.unitPrice"),
    (with_line(unitPrice="1e30"), "lines.1.unitPrice"),
    (with_line(unitPrice="1e-999999"), "lines.1.unitPrice"),
    (with_line(unitPrice="9999999999999", quantity=1_000_000), "lines.1.unitPrice"),
    (with_line(discount="10.01"), "lines.1.discount"),
    (with_line(discount="-1"), "lines.1.discount"),
    (with_line(tax="-1"), "lines.1.tax"),
    ({"orderDiscount": "1000"}, "orderDiscount"),
    ({"orderDiscount": "-1"}, "orderDiscount"),
    ({"shippingPrice": "-1"}, "shippingPrice"),
    ({"shippingPrice": "0.005"}, "shippingPrice"),
    ({"totals": {**TOTALS, "subtotal": "-1"}}, "totals.subtotal"),
    ({"totals": {**TOTALS, "total": "-1"}}, "totals.total"),
    ({"totals": {**TOTALS, "taxTotal": "0.001"}}, "totals.taxTotal"),
    ({"externalReference": "x" * 256}, "externalReference"),
    ({"externalReference": "\x00"}, "externalReference"),
    ({"externalNumber": "x" * 65}, "externalNumber"),
    ({"customer": {"email": "nobody"}}, "customer.email"),
    ({"customer": {"email": "a b@example.com"}}, "customer.email"),
    ({"customer": {"email": "x" * 250 + "@x.com"}}, "customer.email"),
    ({"customer": {"name": "x" * 256}}, "customer.name"),
    ({"customer": {"phone": "1" * 65}}, "customer.phone"),
    ({"shippingAddress": {"city": "x" * 256}}, "shippingAddress.city"),
    ({"shippingAddress": {"postalCode": "x" * 33}}, "shippingAddress.postalCode"),
    ({"shippingAddress": {"countryCode": "CHE"}}, "shippingAddress.countryCode"),
    ({"shippingAddress": {"countryCode": "1"}}, "shippingAddress.countryCode"),
    ({"billingAddress": {"address1": "\x00"}}, "billingAddress.address1"),
    ({"locale": "x"}, "locale"),
    ({"locale": "de_CH; DROP"}, "locale"),
    ({"note": "x" * 5001}, "note"),
    ({"note": "\x00"}, "note"),
    ({"tags": [""]}, "tags.0"),
    ({"tags": ["a", "x" * 65]}, "tags.1"),
    ({"tags": ["a", "\x00"]}, "tags.1"),
    ({"tags": [f"t{index}" for index in range(101)]}, "tags"),
    ({"placedAt": "1969-12-31T23:59:59Z"}, "placedAt"),
    ({"placedAt": "2999-01-01T00:00:00Z"}, "placedAt"),
    ({"placedAt": "0001-01-01T00:00:00+14:00"}, "placedAt"),
    ({"placedAt": "9999-12-31T23:59:59-14:00"}, "placedAt"),
    (with_payment(kind="REFUND"), "payments.0.kind"),
    (with_payment(kind="CAPTURE"), "payments.0.kind"),
    (with_payment(amount="0"), "payments.0.amount"),
    (with_payment(amount="-1"), "payments.0.amount"),
    (with_payment(amount="0.001"), "payments.0.amount"),
    (with_payment(gateway=""), "payments.0.gateway"),
    (with_payment(gateway="x" * 65), "payments.0.gateway"),
    (with_payment(reference="x" * 256), "payments.0.reference"),
    (with_payment(processedAt="9999-12-31T23:59:59-14:00"), "payments.0.processedAt"),
    ({"payments": [{"kind": "SALE", "amount": "0.01"}] * 101}, "payments"),
]


async def test_an_order_that_cannot_be_placed(server: Server) -> None:
    for given, field in PLACING:
        assert await refused(server, "placeOrder", an_order(**given)) == ("INVALID_INPUT", field)


async def test_the_longest_texts_can_be_stored(server: Server) -> None:
    """Up to each column's length, counted in characters whatever their size in bytes."""
    letter = "é"
    address = dict.fromkeys(("name", "company", "address1", "address2", "city", "province"), letter * 255)
    address |= {"postalCode": letter * 32, "phone": letter * 64, "countryCode": "ch"}
    fields = """number externalReference externalNumber note tags customer { name phone }
        lines { title sku variantTitle }
        shippingAddress { name company address1 address2 city province postalCode phone countryCode }"""
    order = await server.place(
        fields=fields,
        externalReference="😀" * 255,
        externalNumber=letter * 64,
        note=letter * 5000,
        tags=[letter * 64],
        customer={"name": letter * 255, "phone": letter * 64, "email": "x" * 249 + "@x.com"},
        shippingAddress=address,
        lines=[{**LINE, "title": letter * 512, "sku": letter * 255, "variantTitle": letter * 255}],
    )
    assert order["shippingAddress"] == {**address, "countryCode": "CH"}
    assert order["externalReference"] == "😀" * 255
    assert (order["note"], order["tags"]) == (letter * 5000, [letter * 64])
    assert order["lines"] == [{"title": letter * 512, "sku": letter * 255, "variantTitle": letter * 255}]


PAYING: list[tuple[str, dict[str, Any], str, str]] = [
    (name, {"amount": amount}, "INVALID_INPUT", f"amount.{field}")
    for name in ("capturePayment", "recordPayment", "refundPayment")
    for amount, field in (
        ({"amount": "0"}, "amount"),
        ({"amount": "-1"}, "amount"),
        ({"amount": "0.001"}, "amount"),
        ({"amount": "NaN"}, "amount"),
        ({"amount": "1e25"}, "amount"),
        ({"amount": "20.01"}, "amount"),
        ({"amount": "1.00", "currencyCode": "EUR"}, "currencyCode"),
        ({"amount": "1.00", "currencyCode": ""}, "currencyCode"),
        ({"amount": "1.00", "currencyCode": "\x00"}, "currencyCode"),
    )
]
PAYING += [
    ("recordPayment", {"reference": "x" * 256}, "INVALID_INPUT", "reference"),
    ("recordPayment", {"reference": "\x00"}, "INVALID_INPUT", "reference"),
    ("refundPayment", {"reference": "x" * 256}, "INVALID_INPUT", "reference"),
]


async def test_a_payment_that_cannot_be(server: Server) -> None:
    """Of 40.00, 20.00 are paid: so 20.00 can be paid, and 20.00 refunded."""
    order = await server.place(lines=[{**LINE, "quantity": 4}], payments=[{"kind": "SALE", "amount": "20.00"}])
    for name, given, code, field in PAYING:
        assert await refused(server, name, {"orderId": order["id"], **given}) == (code, field)


async def test_payments_at_their_limits(server: Server) -> None:
    order = await server.place()
    on = {"orderId": order["id"]}
    assert (await refused(server, "refundPayment", on))[0] == "NOTHING_TO_REFUND"
    whole = {"amount": {"amount": "39.80", "currencyCode": "chf"}}
    paid = await server.do("recordPayment", {**on, **whole}, "paymentStatus")
    assert paid["paymentStatus"] == "PAID"
    one = {"amount": {"amount": "0.01"}}
    assert await refused(server, "capturePayment", {**on, **one}) == ("INVALID_INPUT", "amount.amount")
    refunded = await server.do("refundPayment", {**on, **whole}, "paymentStatus")
    assert refunded["paymentStatus"] == "REFUNDED"
    assert await refused(server, "refundPayment", {**on, **one}) == ("INVALID_INPUT", "amount.amount")


async def test_money_at_a_gateway_that_is_not_set_up(server: Server) -> None:
    order = await server.place(payments=[{"kind": "AUTHORIZATION", "amount": "39.80", "gateway": "stripe"}])
    assert (await refused(server, "capturePayment", {"orderId": order["id"]}))[0] == "UNKNOWN_GATEWAY"


@pytest.mark.parametrize("name", ["markReadyToShip", "markShipped"])
async def test_units_that_cannot_leave(server: Server, name: str) -> None:
    """Two socks and a hat are due."""
    order = await server.place()
    other = await server.place()
    on = {"orderId": order["id"]}
    await server.do("confirmOrder", on)
    [socks, hat] = [line["id"] for line in order["lines"]]

    async def answer(*lines: tuple[str, int]) -> tuple[str, str]:
        given = {**on, "lines": [{"lineId": line, "quantity": quantity} for line, quantity in lines]}
        return await refused(server, name, given)

    assert await answer() == ("INVALID_INPUT", "lines")
    assert await answer((socks, 3)) == ("INVALID_INPUT", "lines.0.quantity")
    assert await answer((socks, 2), (hat, 2)) == ("INVALID_INPUT", "lines.1.quantity")
    for quantity in (0, -1, 1_000_001, 2**31 - 1):
        assert await answer((hat, 1), (socks, quantity)) == ("INVALID_INPUT", "lines.1.quantity")
    assert await answer((socks, 1), (socks, 1)) == ("INVALID_INPUT", "lines.1.lineId")
    assert await answer((other["lines"][0]["id"], 1)) == ("INVALID_INPUT", "lines.0.lineId")
    assert await answer((str(ids.encode("OrderLine", new_key())), 1)) == ("INVALID_INPUT", "lines.0.lineId")
    for malformed in ("", "x", order["id"], "\x00"):
        assert await answer((malformed, 1)) == ("INVALID_INPUT", "lines.0.lineId")
    await server.do("markShipped", {**on, "lines": [{"lineId": socks, "quantity": 1}]})
    assert await answer((socks, 2)) == ("INVALID_INPUT", "lines.0.quantity")


async def test_fulfillments_that_are_none_of_the_orders(server: Server) -> None:
    order, other = await server.place(), await server.place()
    for each in (order, other):
        await server.do("confirmOrder", {"orderId": each["id"]})
    packed = await server.do("markReadyToShip", {"orderId": other["id"]}, "fulfillments { id }")
    foreign = packed["fulfillments"][0]["id"]
    for name, given in (("markShipped", {}), ("addTracking", {"number": "T"})):
        on = {"orderId": order["id"], **given}
        assert await refused(server, name, {**on, "fulfillmentId": foreign}) == ("NOT_FOUND", "fulfillmentId")
        unknown = ids.encode("Fulfillment", new_key())
        assert await refused(server, name, {**on, "fulfillmentId": unknown}) == ("NOT_FOUND", "fulfillmentId")
        for malformed in ("", "x", order["id"]):
            answer = await refused(server, name, {**on, "fulfillmentId": malformed})
            assert answer == ("INVALID_INPUT", "fulfillmentId")


TRACKING: list[tuple[dict[str, Any], str]] = [
    ({"number": ""}, "number"),
    ({"number": "  "}, "number"),
    ({"number": "x" * 129}, "number"),
    ({"number": "a\x00b"}, "number"),
    ({"number": "A", "carrier": "x" * 65}, "carrier"),
    ({"number": "A", "carrier": "\x00"}, "carrier"),
    ({"number": "A", "url": "javascript:alert(1)"}, "url"),
    ({"number": "A", "url": "https://"}, "url"),
    ({"number": "A", "url": "https://x.example/a b"}, "url"),
    ({"number": "A", "url": "https://x.example/" + "x" * 2048}, "url"),
]


async def test_tracking_that_cannot_be(server: Server) -> None:
    for given, field in TRACKING:
        order = await server.place()
        on = {"orderId": order["id"]}
        await server.do("confirmOrder", on)
        assert await refused(server, "addTracking", {**on, **given}) == ("INVALID_INPUT", field)
        shipping = {**on, "tracking": [{"number": "fine"}, given]}
        assert await refused(server, "markShipped", shipping) == ("INVALID_INPUT", f"tracking.1.{field}")
        tracked = await server.do("addTracking", {**on, "number": "T-1"}, "tracking { id }")
        correction = {**on, "trackingId": tracked["tracking"][0]["id"], **given}
        assert await refused(server, "updateTracking", correction) == ("INVALID_INPUT", field)


async def test_tracking_that_there_is_not_or_is_twice(server: Server) -> None:
    order, other = await server.place(), await server.place()
    for each in (order, other):
        await server.do("confirmOrder", {"orderId": each["id"]})
    foreign = await server.do("addTracking", {"orderId": other["id"], "number": "T-9"}, "tracking { id }")
    on = {"orderId": order["id"]}
    await server.do("addTracking", {**on, "number": "T-1", "carrier": "Post"})
    second = await server.do("addTracking", {**on, "number": "T-2"}, "tracking { id number }")
    own = next(each["id"] for each in second["tracking"] if each["number"] == "T-2")
    for name, given in (("updateTracking", {"number": "N"}), ("removeTracking", {})):
        for unknown in (foreign["tracking"][0]["id"], str(ids.encode("Tracking", new_key()))):
            assert await refused(server, name, {**on, "trackingId": unknown, **given}) == ("NOT_FOUND", "trackingId")
        for malformed in ("", "x", order["id"]):
            answer = await refused(server, name, {**on, "trackingId": malformed, **given})
            assert answer == ("INVALID_INPUT", "trackingId")
    taken = {**on, "trackingId": own, "number": "T-1"}
    assert await refused(server, "updateTracking", taken) == ("INVALID_INPUT", "number")
    assert await refused(server, "updateTracking", {**taken, "number": None}) == ("INVALID_INPUT", "number")
    again = {**on, "number": "T-1", "carrier": "DHL"}
    assert await refused(server, "addTracking", again) == ("INVALID_INPUT", "number")


@pytest.mark.parametrize("note", ["", " \n ", "x" * 5001, "\x00", "a\x00b"])
async def test_a_note_that_cannot_be(server: Server, note: str) -> None:
    order = await server.place()
    given = {"orderId": order["id"], "note": note}
    assert await refused(server, "addOrderNote", given) == ("INVALID_INPUT", "note")


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"orderId": None},
        {"orderId": "x", "expectedVersion": "1"},
        {"orderId": "x", "expectedVersion": 2**31},
        {"orderId": "x", "nothing": 1},
        {"orderId": ["x"]},
        {"orderId": "x", "idempotencyKey": 7},
        "x",
        None,
    ],
)
async def test_an_input_of_another_shape(server: Server, given: Any) -> None:
    """It does not even reach the command."""
    before = await all_rows()
    query = "mutation ($input: ConfirmOrderInput!) { confirmOrder(input: $input) { userErrors { code } } }"
    answer = await server.send(query, {"input": given})
    assert not answer.get("data")
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"BAD_USER_INPUT"}
    assert "Traceback" not in json.dumps(answer)
    assert await all_rows() == before
