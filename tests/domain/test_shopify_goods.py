"""What the parcels, tracking numbers and removed units of an order in Shopify's JSON become, and its statuses."""

import pytest

from models import Fulfillment, FulfillmentLine, OrderLine, Tracking
from models.enums import CancelReason, FulfillmentState, FulfillmentStatus, OrderStatus, PaymentStatus
from tests.domain.shopify_orders import at, column, imported, parcel, refund, shopify_order, statuses, without


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
