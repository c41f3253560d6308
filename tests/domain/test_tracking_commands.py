"""Tracking numbers: added, corrected, taken away, before a shipment or after it."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from domain.errors import ErrorCode
from domain.fulfillments.commands import (
    TrackingInfo,
    add_tracking,
    mark_ready_to_ship,
    mark_shipped,
    remove_tracking,
    update_tracking,
)
from domain.orders.commands import cancel_order, confirm_order
from models import Order, SearchTerm
from models.enums import CancelReason
from tests.domain.shop import (
    ADA,
    contents,
    fulfillments_of,
    last_event,
    nothing_changes,
    numbers_of,
    on,
    place,
    refused,
    staff,
    types_of,
    units,
)

pytestmark = pytest.mark.usefixtures("database")
POST = "https://post.example/T-1"


async def confirmed(**given: Any) -> Order:
    return await confirm_order(actor=ADA, target=on(await place(**given)))


async def add(order: Order, number: str, carrier: str | None = None, url: str | None = None, at: int = -1) -> UUID:
    """Adds the number, to the fulfillment of that index if one is given, and returns its key."""
    fulfillment_id = None if at < 0 else (await fulfillments_of(order))[at].id
    info = TrackingInfo(number, carrier, url)
    await add_tracking(actor=ADA, target=on(order), info=info, fulfillment_id=fulfillment_id)
    return next(row.id for row in await numbers_of(order) if row.number == number.strip())


async def found_by(order: Order, text: str) -> bool:
    return await SearchTerm.filter(order_id=order.id, term=text).exists()


async def test_a_number_before_anything_was_packed_opens_a_fulfillment() -> None:
    order = await confirmed()
    key = await add(order, " T-1 ", "Post", POST)
    assert await contents(order) == [("OPEN", [2, 1])]
    assert (await types_of(order))[2:] == ["FULFILLMENT_OPENED", "TRACKING_ADDED"]
    [fulfillment] = await fulfillments_of(order)
    assert (await last_event(order)).data == {
        "trackingId": str(key),
        "fulfillmentId": str(fulfillment.id),
        "number": "T-1",
        "carrier": "Post",
        "url": POST,
    }
    assert await found_by(order, "t-1")


async def test_adding_a_number_again_changes_nothing() -> None:
    order = await confirmed()
    await add(order, "T-1", "Post", POST)
    async with nothing_changes():
        await add(order, "T-1", "Post", POST)
        await add(order, "T-1")
    async with refused(ErrorCode.INVALID_INPUT, "number"):
        await add(order, "T-1", "DHL")


async def test_numbers_of_several_fulfillments() -> None:
    order = await confirmed()
    await mark_ready_to_ship(actor=ADA, target=on(order), lines=await units(order, 1))
    await mark_ready_to_ship(actor=ADA, target=on(order))
    async with refused(ErrorCode.INVALID_INPUT, "fulfillment_id"):
        await add(order, "T-1")
    await add(order, "T-1", at=1)
    await add(order, "T-2", at=0)
    first, second = await fulfillments_of(order)
    assert {row.number: row.fulfillment_id for row in await numbers_of(order)} == {"T-1": second.id, "T-2": first.id}
    await mark_shipped(actor=ADA, target=on(order), fulfillment_id=first.id)
    await add(order, "T-3")  # only one is open now
    assert (await last_event(order)).data["fulfillmentId"] == str(second.id)


async def test_a_number_after_the_shipment() -> None:
    order = await confirmed()
    await mark_shipped(actor=ADA, target=on(order))
    await add(order, "T-1")
    assert (await types_of(order))[2:] == ["ORDER_SHIPPED", "TRACKING_ADDED"]


async def test_correcting_a_number() -> None:
    order = await confirmed()
    key = await add(order, "T-1", "Post", POST)
    bob = staff("Bob")
    row = await update_tracking(actor=bob, target=on(order), tracking_id=key, number=" T-9 ", url=None)
    [tracking] = await numbers_of(order)
    assert (tracking.number, tracking.carrier, tracking.url) == ("T-9", "Post", None)
    assert tracking.updated_at == row.updated_at > tracking.created_at
    event = await last_event(order)
    assert (event.type, event.actor_name) == ("TRACKING_UPDATED", "Bob")
    assert event.message == "Tracking number T-1 was changed to T-9."
    assert (event.data["previousNumber"], event.data["number"], event.data["url"]) == ("T-1", "T-9", None)
    assert (await found_by(order, "t-1"), await found_by(order, "t-9")) == (False, True)
    async with nothing_changes():
        await update_tracking(actor=bob, target=on(order), tracking_id=key, number="T-9")
        await update_tracking(actor=bob, target=on(order), tracking_id=key)
    await update_tracking(actor=bob, target=on(order), tracking_id=key, carrier="DHL")
    assert (await last_event(order)).message == "Tracking number T-9 was corrected."


async def test_a_fulfillment_has_a_number_once() -> None:
    order = await confirmed()
    await add(order, "T-1")
    key = await add(order, "T-2")
    async with refused(ErrorCode.INVALID_INPUT, "number"):
        await update_tracking(actor=ADA, target=on(order), tracking_id=key, number="T-1")


async def test_taking_a_number_away() -> None:
    order = await confirmed()
    key = await add(order, "T-1")
    await mark_shipped(actor=ADA, target=on(order))
    await remove_tracking(actor=ADA, target=on(order), tracking_id=key)
    assert await numbers_of(order) == []
    event, [fulfillment] = await last_event(order), await fulfillments_of(order)
    assert (event.type, event.message) == ("TRACKING_REMOVED", "Tracking number T-1 was removed.")
    assert event.data == {"trackingId": str(key), "fulfillmentId": str(fulfillment.id), "number": "T-1"}
    assert not await found_by(order, "t-1")
    async with nothing_changes():
        await remove_tracking(actor=ADA, target=on(order), tracking_id=key)
    async with refused(ErrorCode.NOT_FOUND, "tracking_id"):
        await update_tracking(actor=ADA, target=on(order), tracking_id=key, number="T-2")
    assert await add(order, "T-1") != key


async def test_a_number_of_a_cancelled_order_can_still_be_taken_away() -> None:
    order = await confirmed()
    key = await add(order, "T-1")
    await cancel_order(actor=ADA, target=on(order), reason=CancelReason.OTHER)
    await remove_tracking(actor=ADA, target=on(order), tracking_id=key)
    assert await numbers_of(order) == []


async def test_an_order_stays_found_by_a_text_that_something_else_of_it_has() -> None:
    order = await confirmed(external_reference="ref-1")
    await add(order, "hat-1")
    [fulfillment] = await fulfillments_of(order)
    keys = {number: await add(order, number) for number in ("HAT-1", "REF-1", "1001", "T-1", "t-1")}
    assert len(await numbers_of(order)) == 6
    for key in keys.values():
        await remove_tracking(actor=ADA, target=on(order), tracking_id=key)
    assert [row.fulfillment_id for row in await numbers_of(order)] == [fulfillment.id]
    assert [await found_by(order, text) for text in ("hat-1", "ref-1", "1001", "t-1")] == [True, True, True, False]


async def test_the_number_of_another_order() -> None:
    order, other = await confirmed(), await confirmed()
    await add(order, "T-1")
    foreign = await add(other, "T-2")
    for key in (foreign, UUID(int=0)):
        async with refused(ErrorCode.NOT_FOUND, "tracking_id"):
            await update_tracking(actor=ADA, target=on(order), tracking_id=key, number="T-3")
        async with refused(ErrorCode.NOT_FOUND, "tracking_id"):
            await remove_tracking(actor=ADA, target=on(order), tracking_id=key)
    [fulfillment] = await fulfillments_of(other)
    async with refused(ErrorCode.NOT_FOUND, "fulfillment_id"):
        info = TrackingInfo("T-4")
        await add_tracking(actor=ADA, target=on(order), info=info, fulfillment_id=fulfillment.id)


BAD = [
    ({"number": ""}, "number"),
    ({"number": " \t"}, "number"),
    ({"number": "x" * 129}, "number"),
    ({"number": "a\x00"}, "number"),
    ({"carrier": "x" * 65}, "carrier"),
    ({"url": "javascript:alert(1)"}, "url"),
    ({"url": "https://a b"}, "url"),
    ({"url": "http://" + "x" * 2048}, "url"),
]


@pytest.mark.parametrize(("given", "field"), BAD)
async def test_bad_input_names_its_field(given: dict[str, Any], field: str) -> None:
    order = await confirmed()
    key = await add(order, "T-1")
    async with refused(ErrorCode.INVALID_INPUT, field):
        await add_tracking(actor=ADA, target=on(order), info=replace(TrackingInfo("T"), **given))
    async with refused(ErrorCode.INVALID_INPUT, field):
        await update_tracking(actor=ADA, target=on(order), tracking_id=key, **given)
    async with refused(ErrorCode.INVALID_INPUT, "tracking", 0, field):
        info = replace(TrackingInfo("T", field=("tracking", "0")), **given)
        await mark_shipped(actor=ADA, target=on(order), tracking=[info])


async def test_the_longest_values_that_are_taken() -> None:
    order = await confirmed()
    await add(order, "x" * 128, "x" * 64, "https://" + "x" * 2040)
    key = (await numbers_of(order))[0].id
    await update_tracking(actor=ADA, target=on(order), tracking_id=key, number="y" * 128)
    assert len((await last_event(order)).message) == 289
