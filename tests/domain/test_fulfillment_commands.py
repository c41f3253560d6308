"""Packing and shipping, whole or in parts."""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from domain.change import Target
from domain.errors import ErrorCode
from domain.fulfillments.commands import TrackingInfo, add_tracking, mark_ready_to_ship, mark_shipped
from domain.fulfillments.packing import LineQuantity
from domain.orders.commands import confirm_order
from models import Order
from models.enums import FulfillmentStatus, OrderStatus
from tests.database import statements
from tests.domain.shop import (
    ADA,
    HAT,
    SOCKS,
    contents,
    free_units,
    fulfillments_of,
    last_event,
    lines_of,
    log_of,
    nothing_changes,
    numbers_of,
    on,
    place,
    refused,
    types_of,
    units,
)

pytestmark = pytest.mark.usefixtures("database")
NOBODY = UUID(int=0)
Command = Callable[..., Coroutine[Any, Any, Order]]


async def confirmed(*quantities: int) -> Order:
    """A confirmed order of 4 Socks and 2 Hats, or so many."""
    socks, hats = quantities or (4, 2)
    order = await place(lines=(replace(SOCKS, quantity=socks), replace(HAT, quantity=hats)))
    return await confirm_order(actor=ADA, target=on(order))


async def pack(order: Order, *counts: int) -> Order:
    return await mark_ready_to_ship(actor=ADA, target=on(order), lines=await units(order, *counts) or None)


async def ship(
    order: Order, *counts: int, fulfillment: int | None = None, tracking: Sequence[TrackingInfo] = ()
) -> Order:
    """Ships so many units, or of the fulfillment with that index."""
    fulfillment_id = None if fulfillment is None else (await fulfillments_of(order))[fulfillment].id
    return await mark_shipped(
        actor=ADA,
        target=on(order),
        lines=await units(order, *counts) or None,
        fulfillment_id=fulfillment_id,
        tracking=tracking,
    )


async def test_making_an_order_ready_packs_all_that_is_left() -> None:
    order = await confirmed()
    row = await pack(order)
    assert (row.status, row.fulfillment_status) == (OrderStatus.READY_TO_SHIP, FulfillmentStatus.UNFULFILLED)
    assert await contents(order) == [("OPEN", [4, 2])]
    assert await free_units(order) == [0, 0]
    event, [fulfillment] = await last_event(order), await fulfillments_of(order)
    assert (event.type, event.from_status, event.to_status) == (
        "ORDER_READY_TO_SHIP",
        OrderStatus.CONFIRMED,
        OrderStatus.READY_TO_SHIP,
    )
    socks, hats = await lines_of(order)
    assert event.data == {
        "fulfillmentId": str(fulfillment.id),
        "lines": [{"lineId": str(socks.id), "quantity": 4}, {"lineId": str(hats.id), "quantity": 2}],
    }


async def test_packing_some_lines_and_then_the_rest() -> None:
    order = await confirmed()
    await pack(order, 1, 2)
    assert await free_units(order) == [3, 0]
    await pack(order, 2)
    await pack(order)
    assert await contents(order) == [("OPEN", [1, 2]), ("OPEN", [2, 0]), ("OPEN", [1, 0])]
    assert (await types_of(order))[2:] == ["ORDER_READY_TO_SHIP", "FULFILLMENT_OPENED", "FULFILLMENT_OPENED"]
    assert (await last_event(order)).to_status is None
    async with nothing_changes():
        await pack(order)


async def test_packing_again_what_lies_packed_just_so_changes_nothing() -> None:
    order = await confirmed()
    await pack(order, 3, 1)
    async with nothing_changes():
        await pack(order, 3, 1)
    async with refused(ErrorCode.INVALID_INPUT, "lines", 0, "quantity"):
        await pack(order, 3)


@pytest.mark.parametrize("counts", [(), (4, 2)])
async def test_units_that_were_packed_for_their_tracking_number_only_become_ready(counts: tuple[int, ...]) -> None:
    order = await confirmed()
    await add_tracking(actor=ADA, target=on(order), info=TrackingInfo("T-1"))
    assert (await types_of(order))[2:] == ["FULFILLMENT_OPENED", "TRACKING_ADDED"]
    row = await pack(order, *counts)
    assert row.status is OrderStatus.READY_TO_SHIP
    assert await contents(order) == [("OPEN", [4, 2])]
    assert (await last_event(order)).data == {"fulfillmentId": None, "lines": []}


async def test_shipping_all_at_once() -> None:
    order = await confirmed()
    row = await ship(order)
    assert (row.status, row.fulfillment_status) == (OrderStatus.SHIPPED, FulfillmentStatus.FULFILLED)
    assert await contents(order) == [("SHIPPED", [4, 2])]
    assert [line.shipped_quantity for line in await lines_of(order)] == [4, 2]
    event, [fulfillment] = await last_event(order), await fulfillments_of(order)
    assert (event.type, event.data["fulfillmentId"]) == ("ORDER_SHIPPED", str(fulfillment.id))
    assert (event.from_status, event.to_status) == (OrderStatus.CONFIRMED, OrderStatus.SHIPPED)
    assert (event.from_fulfillment_status, event.to_fulfillment_status) == (
        FulfillmentStatus.UNFULFILLED,
        FulfillmentStatus.FULFILLED,
    )
    assert row.shipped_at == fulfillment.shipped_at == event.occurred_at
    async with nothing_changes():
        await ship(order)
        await ship(order, 4, 2)
        await ship(order, fulfillment=0)


async def test_shipping_some_lines_and_then_the_rest() -> None:
    order = await confirmed()
    row = await ship(order, 4)
    assert (row.status, row.fulfillment_status) == (OrderStatus.CONFIRMED, FulfillmentStatus.PARTIALLY_FULFILLED)
    assert (row.shipped_at, await free_units(order)) == (None, [0, 2])
    event = await last_event(order)
    assert (event.type, event.to_status) == ("FULFILLMENT_SHIPPED", None)
    assert event.to_fulfillment_status is FulfillmentStatus.PARTIALLY_FULFILLED
    async with nothing_changes():
        await ship(order, 4)  # all Socks have left just so: this is a repetition
    row = await ship(order, 0, 1)
    assert row.status is OrderStatus.CONFIRMED
    assert (await last_event(order)).to_fulfillment_status is None
    row = await ship(order, 0, 1)  # one Hat was left, so this one leaves too
    assert (row.status, row.fulfillment_status) == (OrderStatus.SHIPPED, FulfillmentStatus.FULFILLED)
    assert await contents(order) == [("SHIPPED", [4, 0]), ("SHIPPED", [0, 1]), ("SHIPPED", [0, 1])]


async def test_an_open_fulfillment_leaves_with_the_units_named_and_frees_the_others() -> None:
    order = await confirmed()
    await pack(order)
    row = await ship(order, 3)
    assert (row.status, row.fulfillment_status) == (OrderStatus.READY_TO_SHIP, FulfillmentStatus.PARTIALLY_FULFILLED)
    assert await contents(order) == [("SHIPPED", [3, 0])]
    assert await free_units(order) == [1, 2]
    await pack(order)
    assert (await last_event(order)).type == "FULFILLMENT_OPENED"
    await ship(order)
    assert await contents(order) == [("SHIPPED", [3, 0]), ("SHIPPED", [1, 2])]


async def test_an_open_fulfillment_can_take_free_units_along() -> None:
    order = await confirmed()
    await pack(order, 1, 1)
    await ship(order, 4, 1)
    assert await contents(order) == [("SHIPPED", [4, 1])]
    assert await free_units(order) == [0, 1]


async def test_units_that_lie_packed_just_so_leave_rather_than_free_ones() -> None:
    order = await confirmed()
    await pack(order, 2, 0)
    await ship(order, 2, 0)
    assert await contents(order) == [("SHIPPED", [2, 0])]
    assert await free_units(order) == [2, 2]


async def test_units_that_are_free_leave_in_a_fulfillment_of_their_own() -> None:
    order = await confirmed()
    await pack(order, 2, 0)
    await ship(order, 1, 1)
    assert await contents(order) == [("OPEN", [2, 0]), ("SHIPPED", [1, 1])]


async def test_all_open_fulfillments_leave_together() -> None:
    order = await confirmed()
    await pack(order, 4, 0)
    await pack(order)
    row = await ship(order)
    assert row.status is OrderStatus.SHIPPED
    assert (await types_of(order))[-2:] == ["FULFILLMENT_SHIPPED", "ORDER_SHIPPED"]
    [first, last] = (await log_of(order))[-2:]
    assert (first.to_fulfillment_status, last.to_fulfillment_status) == (
        FulfillmentStatus.PARTIALLY_FULFILLED,
        FulfillmentStatus.FULFILLED,
    )


async def test_one_of_several_open_fulfillments() -> None:
    order = await confirmed()
    await pack(order, 2, 1)
    await pack(order)
    async with refused(ErrorCode.INVALID_INPUT, "fulfillment_id"):
        await ship(order, 1, 1)  # could come out of either
    async with refused(ErrorCode.INVALID_INPUT, "fulfillment_id"):
        await ship(order, tracking=[TrackingInfo("T-1")])
    async with refused(ErrorCode.INVALID_INPUT, "lines", 0, "quantity"):
        await ship(order, 3, fulfillment=1)
    await ship(order, 1, 1, fulfillment=1)
    assert await contents(order) == [("OPEN", [2, 1]), ("SHIPPED", [1, 1])]
    await ship(order, fulfillment=0)
    assert await contents(order) == [("SHIPPED", [2, 1]), ("SHIPPED", [1, 1])]
    assert await free_units(order) == [1, 0]
    async with nothing_changes():
        await ship(order, fulfillment=0)
        await ship(order, 1, 1, fulfillment=1)
    async with refused(ErrorCode.INVALID_TRANSITION):
        await ship(order, 1, fulfillment=1)


async def test_two_shipments_of_the_same_units_are_told_apart() -> None:
    order = await confirmed(2, 1)
    await ship(order, 1)
    await ship(order, 1)
    async with nothing_changes():
        await ship(order, 1, fulfillment=0)
        await ship(order, 1, fulfillment=1)


async def test_a_shipment_told_again_brings_no_new_number_where_two_have_the_same() -> None:
    order = await confirmed()
    same, other = TrackingInfo("T-1"), TrackingInfo("T-2")
    await ship(order, 3, tracking=[same])
    await ship(order, 1, 2, tracking=[same])
    async with refused(ErrorCode.INVALID_TRANSITION):
        await ship(order, fulfillment=0, tracking=[same, other])
    async with nothing_changes():
        await ship(order, fulfillment=0, tracking=[same])


@pytest.mark.parametrize(("packed", "shipped"), [((5, 0), None), ((4, 3), None), (None, (5, 0)), (None, (1, 3))])
async def test_more_units_than_are_left(packed: tuple[int, ...] | None, shipped: tuple[int, ...] | None) -> None:
    order = await confirmed()
    index = 0 if (packed or shipped or ())[0] == 5 else 1
    async with refused(ErrorCode.INVALID_INPUT, "lines", index, "quantity") as refusal:
        await (pack(order, *packed) if packed else ship(order, *shipped or ()))
    assert refusal.error.message == f"Only {(4, 2)[index]} of this line are left."


async def test_more_units_than_are_left_after_others_have_left() -> None:
    order = await confirmed()
    await ship(order, 3)
    for call in (pack, ship):
        async with refused(ErrorCode.INVALID_INPUT, "lines", 0, "quantity"):
            await call(order, 2)
    await ship(order)
    async with refused(ErrorCode.INVALID_INPUT, "lines", 0, "quantity"):
        await ship(order, 1, 1)


@pytest.mark.parametrize("quantity", [0, -1, 1_000_001])
@pytest.mark.parametrize("command", [mark_ready_to_ship, mark_shipped])
async def test_a_quantity_must_be_sound(command: Command, quantity: int) -> None:
    order = await confirmed()
    socks, hats = await lines_of(order)
    wanted = [LineQuantity(hats.id, 1), LineQuantity(socks.id, quantity)]
    async with refused(ErrorCode.INVALID_INPUT, "lines", 1, "quantity"):
        await command(actor=ADA, target=on(order), lines=wanted)


@pytest.mark.parametrize("command", [mark_ready_to_ship, mark_shipped])
async def test_lines_that_are_not_the_orders(command: Command) -> None:
    order = await confirmed()
    [foreign, *_], [own, *_] = await units(await confirmed(), 1), await units(order, 1)
    for wanted, *field in (([own, foreign], "lines", 1, "line_id"), ([own, own], "lines", 1, "line_id"), ([], "lines")):
        async with refused(ErrorCode.INVALID_INPUT, *field):
            await command(actor=ADA, target=on(order), lines=wanted)


async def test_a_fulfillment_that_is_not_the_orders() -> None:
    order, other = await confirmed(), await confirmed()
    await pack(other)
    [foreign] = await fulfillments_of(other)
    for key in (NOBODY, foreign.id):
        async with refused(ErrorCode.NOT_FOUND, "fulfillment_id"):
            await mark_shipped(actor=ADA, target=Target(order.id), fulfillment_id=key)


async def test_an_order_of_which_nothing_is_due_has_nothing_to_ship() -> None:
    order = await place(lines=(replace(HAT, removed_quantity=1),))
    await confirm_order(actor=ADA, target=on(order))
    for call in (pack, ship):
        async with refused(ErrorCode.NOTHING_TO_SHIP):
            await call(order)
    async with refused(ErrorCode.NOTHING_TO_SHIP):
        await add_tracking(actor=ADA, target=on(order), info=TrackingInfo("T"))


async def test_removed_units_need_not_leave() -> None:
    order = await place(lines=(replace(SOCKS, removed_quantity=1), replace(HAT, removed_quantity=1)))
    await confirm_order(actor=ADA, target=on(order))
    assert (await ship(order, 1)).status is OrderStatus.SHIPPED


async def test_a_shipment_with_its_tracking_numbers() -> None:
    order = await confirmed()
    await pack(order)
    tracking = [TrackingInfo("T-1", "Post"), TrackingInfo("T-2"), TrackingInfo("T-1", "Post")]
    await ship(order, tracking=tracking)
    assert (await types_of(order))[3:] == ["TRACKING_ADDED", "TRACKING_ADDED", "ORDER_SHIPPED"]
    assert [row.number for row in await numbers_of(order)] == ["T-1", "T-2"]
    async with nothing_changes():
        await ship(order, tracking=tracking)
    async with refused(ErrorCode.INVALID_TRANSITION):
        await ship(order, tracking=[*tracking, TrackingInfo("T-3")])


async def test_a_refused_shipment_leaves_no_tracking_number_behind() -> None:
    order = await confirmed()
    bad = TrackingInfo(" ", field=("tracking", "1"))
    async with refused(ErrorCode.INVALID_INPUT, "tracking", 1, "number"):
        await ship(order, tracking=[TrackingInfo("T-1"), bad])
    twice = [TrackingInfo("T-1", "Post"), TrackingInfo("T-1", "DHL", field=("tracking", "1"))]
    async with refused(ErrorCode.INVALID_INPUT, "tracking", 1, "number"):
        await ship(order, tracking=twice)


# Confirming, packing and shipping. On PostgreSQL what is written at a time is one statement.
STEPS = {"sqlite": [3, 8, 8], "postgres": [2, 5, 6]}


@pytest.mark.parametrize("line_count", [1, 60])
async def test_how_many_statements_the_steps_take(line_count: int, engine: str) -> None:
    order = await place(lines=(SOCKS,) * line_count)
    counts = []
    for command in (confirm_order, mark_ready_to_ship, mark_shipped):
        with statements() as run:
            await command(actor=ADA, target=on(order))
        counts.append(len(run))
    assert counts == STEPS[engine]


async def test_how_many_statements_a_shipment_takes_at_most(engine: str) -> None:
    order = await confirmed()
    await pack(order)
    tracking = [TrackingInfo("T-1"), TrackingInfo("T-2")]
    counts = await units(order, 2, 1)
    with statements() as shipping:
        await mark_shipped(actor=ADA, target=on(order), lines=counts, tracking=tracking)
    assert await contents(order) == [("SHIPPED", [2, 1])]
    assert len(shipping) == {"sqlite": 13, "postgres": 10}[engine], shipping
