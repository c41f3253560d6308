"""What each subscription tells, and what it does not, over real WebSockets."""

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Any

import pytest

from api.schema.orders.subscriptions import COUNTS_SECONDS
from domain.stream.event_log import _cursor, cursor_at, last_place
from models import OrderEvent
from tests.clients import WAIT, Live, Server, live, until

START = cursor_at(0)
EXPIRED = "The event log does not have this cursor's event, or all that came after it. Read the orders anew."


async def end_of_log() -> str:
    return (await last_place()).cursor


def events_of(fields: str, name: str = "orderEvents") -> str:
    return f"""subscription ($after: String, $filter: OrderEventFilter) {{
        {name}(after: $after, filter: $filter) {{ {fields} }}
    }}"""


async def a_whole_life(server: Server) -> dict[str, Any]:
    """An order to which everything happens that can happen to one that is sent."""
    order = await server.place(payments=[{"kind": "AUTHORIZATION", "amount": "39.80"}])
    about = {"orderId": order["id"]}
    await server.do("addOrderNote", {**about, "note": "hello"})
    await server.do("confirmOrder", about)
    await server.do("capturePayment", {**about, "amount": {"amount": "9.80"}})
    await server.do("capturePayment", {**about, "amount": {"amount": "10.00"}})
    await server.do("markReadyToShip", about)
    tracked = await server.do("addTracking", {**about, "number": "T1"}, "tracking { id }")
    about_tracking = {**about, "trackingId": tracked["tracking"][0]["id"]}
    await server.do("updateTracking", {**about_tracking, "number": "T2"})
    await server.do("removeTracking", about_tracking)
    await server.do("markShipped", about)
    await server.do("capturePayment", about)
    await server.do("archiveOrder", about)
    await server.do("unarchiveOrder", about)
    await server.do("refundPayment", {**about, "amount": {"amount": "1.00"}})
    await server.do("refundPayment", {**about, "amount": {"amount": "1.00"}})
    await server.do("refundPayment", about)
    return order


NONE = [None, None, None]
EVERYTHING = [
    ("ORDER_PLACED", ["PENDING", "PENDING", "UNFULFILLED"]),
    ("PAYMENT_AUTHORIZED", [None, "AUTHORIZED", None]),
    ("NOTE_ADDED", NONE),
    ("ORDER_CONFIRMED", ["CONFIRMED", None, None]),
    ("PAYMENT_CAPTURED", [None, "PARTIALLY_PAID", None]),
    ("PAYMENT_CAPTURED", NONE),
    ("ORDER_READY_TO_SHIP", ["READY_TO_SHIP", None, None]),
    ("TRACKING_ADDED", NONE),
    ("TRACKING_UPDATED", NONE),
    ("TRACKING_REMOVED", NONE),
    ("ORDER_SHIPPED", ["SHIPPED", None, "FULFILLED"]),
    ("PAYMENT_CAPTURED", [None, "PAID", None]),
    ("ORDER_ARCHIVED", NONE),
    ("ORDER_UNARCHIVED", NONE),
    ("PAYMENT_REFUNDED", [None, "PARTIALLY_REFUNDED", None]),
    ("PAYMENT_REFUNDED", NONE),
    ("PAYMENT_REFUNDED", [None, "REFUNDED", None]),
]
STATUS_CHANGES = [
    (kind, changes) for kind, changes in EVERYTHING if changes != NONE or kind in ("ORDER_ARCHIVED", "ORDER_UNARCHIVED")
]


@pytest.mark.parametrize(("name", "told"), [("orderEvents", EVERYTHING), ("orderStatusChanged", STATUS_CHANGES)])
async def test_what_is_told_of_a_whole_life(server: Server, name: str, told: list[Any]) -> None:
    fields = "type toStatus toPaymentStatus toFulfillmentStatus"
    async with live(server) as before, live(server) as after:
        await before.subscribe(events_of(fields, name), {"after": START})
        await a_whole_life(server)
        await after.subscribe(events_of(fields, name), {"after": START})
        for client in (before, after):
            answers = [(await client.next())[name] for _ in told]
            assert [
                (answer["type"], [answer["toStatus"], answer["toPaymentStatus"], answer["toFulfillmentStatus"]])
                for answer in answers
            ] == told


async def orders_in_two_channels(server: Server) -> list[str]:
    """Everything happens to two orders at once; the last event is the first order's cancellation."""
    first, second = await server.place(channel="web"), await server.place(channel="pos")
    for order in (first, second):
        await server.do("addOrderNote", {"orderId": order["id"], "note": "hello"})
        await server.do("confirmOrder", {"orderId": order["id"]})
    for order in (second, first):
        await server.do("cancelOrder", {"orderId": order["id"], "reason": "CUSTOMER"})
    return [first["id"], second["id"]]


PLACED, NOTED, CONFIRMED, CANCELLED = "ORDER_PLACED", "NOTE_ADDED", "ORDER_CONFIRMED", "ORDER_CANCELLED"
OF_ONE = [PLACED, NOTED, CONFIRMED, CANCELLED]
OF_BOTH = [PLACED, PLACED, NOTED, CONFIRMED, NOTED, CONFIRMED, CANCELLED, CANCELLED]


@pytest.mark.parametrize(
    ("wanted", "types"),
    [
        (None, OF_BOTH),
        ({}, OF_BOTH),
        ({"channels": ["web"]}, OF_ONE),
        ({"channels": ["web", "pos", "unknown"]}, OF_BOTH),
        ({"types": ["ORDER_CANCELLED", "NOTE_ADDED"]}, [NOTED, NOTED, CANCELLED, CANCELLED]),
        ({"toStatus": ["CONFIRMED", "CANCELLED"]}, [CONFIRMED, CONFIRMED, CANCELLED, CANCELLED]),
        ({"channels": ["web"], "toStatus": ["CANCELLED"]}, [CANCELLED]),
        ({"types": ["ORDER_CANCELLED", "ORDER_PLACED"], "toStatus": ["CANCELLED"]}, [CANCELLED, CANCELLED]),
    ],
)
async def test_a_filter_lets_through_what_it_means_live_and_from_the_log(
    server: Server, wanted: dict[str, Any] | None, types: list[str]
) -> None:
    for channel in ("web", "pos"):
        await server.place(channel=channel)
    start, query = await end_of_log(), events_of("type cursor")
    async with live(server) as before, live(server) as after:
        await before.subscribe(query, {"after": start, "filter": wanted})
        await orders_in_two_channels(server)
        await after.subscribe(query, {"after": start, "filter": wanted})
        for client in (before, after):
            seen = [(await client.next())["orderEvents"] for _ in types]
            assert [event["type"] for event in seen] == types
            assert seen[-1]["cursor"] == await end_of_log()


async def test_a_filter_by_order_ids(server: Server) -> None:
    own, other = await server.place(), await server.place()
    start = await end_of_log()
    async with live(server) as client:
        await client.subscribe(events_of("type order { id }"), {"after": start, "filter": {"orderIds": [own["id"]]}})
        for name in ("confirmOrder", "markShipped"):
            for order in (other, own):
                await server.do(name, {"orderId": order["id"]})
        seen = [(await client.next())["orderEvents"] for _ in range(2)]
    assert seen == [{"type": each, "order": {"id": own["id"]}} for each in ("ORDER_CONFIRMED", "ORDER_SHIPPED")]


@pytest.mark.parametrize("wanted", [{"orderIds": []}, {"channels": []}, {"types": []}, {"channels": ["unknown"]}])
async def test_a_filter_that_nothing_passes(server: Server, wanted: dict[str, Any]) -> None:
    async with live(server) as client:
        query = events_of("type")
        await client.subscribe(query, {"after": START, "filter": wanted}, operation_id="nothing")
        await client.subscribe(query, {"after": START, "filter": {"types": ["ORDER_ARCHIVED"]}}, operation_id="end")
        order = await server.place()
        await server.do("cancelOrder", {"orderId": order["id"], "reason": "CUSTOMER"})
        await server.do("archiveOrder", {"orderId": order["id"]})
        assert await client.next("end") == {"orderEvents": {"type": "ORDER_ARCHIVED"}}
        for operation_id in ("nothing", "end"):
            await client.send({"id": operation_id, "type": "complete"})
        await client.subscribe("{ viewer { name } }", operation_id="probe")
        assert (await client.receive())["id"] == "probe"


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"orderIds": ["nonsense"]}, ["filter", "orderIds", "0"]),
        ({"orderIds": ["T3JkZXI6MQ=="] * 201}, ["filter", "orderIds"]),
        ({"channels": [str(number) for number in range(201)]}, ["filter", "channels"]),
    ],
)
async def test_a_filter_that_is_refused(server: Server, wanted: dict[str, Any], field: list[str]) -> None:
    async with live(server) as client:
        await client.subscribe(events_of("type"), {"filter": wanted})
        message = await client.receive()
    [error] = message["payload"]["errors"] if message["type"] == "next" else message["payload"]
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "field": field}


@pytest.mark.parametrize(
    ("after", "code", "text"),
    [
        ("nonsense", "BAD_USER_INPUT", "This is not a cursor of this list."),
        *((after, "CURSOR_EXPIRED", EXPIRED) for after in (cursor_at(1), cursor_at(999), _cursor(3, 3), _cursor(2, 2))),
    ],
)
@pytest.mark.parametrize("name", ["orderEvents", "orderStatusChanged"])
async def test_a_cursor_that_is_refused(server: Server, name: str, after: str, code: str, text: str) -> None:
    for _ in range(3):
        await server.place()
    await OrderEvent.filter(id__lte=2).delete()
    async with live(server) as client:
        await client.subscribe(events_of("type", name), {"after": after})
        message = await client.receive()
        [error] = message["payload"]["errors"] if message["type"] == "next" else message["payload"]
        assert (error["message"], error["extensions"]) == (text, {"code": code, "field": ["after"]})
        await client.subscribe(events_of("type", name), {"after": cursor_at(2)}, operation_id="good")
        while (message := await client.receive())["id"] != "good":
            assert message == {"id": "1", "type": "complete"}
        assert message["payload"] == {"data": {name: {"type": "ORDER_PLACED"}}}


async def test_the_order_in_an_event_is_read_anew_for_each_event(server: Server) -> None:
    order = await server.place()
    about = {"orderId": order["id"]}
    start = await end_of_log()
    fields = """orderVersion order {
        version status note paidTotal { amount } tracking { number } fulfillments { state } transactions { kind }
    }"""
    seen: list[dict[str, Any]] = []
    async with live(server) as client:
        await client.subscribe(events_of(fields), {"after": start})
        for name, given in (
            ("addOrderNote", {"note": "hello"}),
            ("confirmOrder", {}),
            ("recordPayment", {"amount": {"amount": "1.00"}}),
            ("addTracking", {"number": "T1"}),
            ("addTracking", {"number": "T2"}),
            ("markShipped", {}),
        ):
            version = (await server.do(name, {**about, **given}))["version"]
            while not seen or seen[-1]["orderVersion"] < version:
                seen.append((await client.next())["orderEvents"])
            now = (await server.ask("query ($id: ID!) { node(id: $id) { ... on Order { version } } }", order))["node"]
            assert seen[-1]["order"]["version"] == seen[-1]["orderVersion"] == now["version"]
    assert [event["orderVersion"] for event in seen] == list(range(2, len(seen) + 2))
    assert seen[0]["order"] == {
        "version": 2,
        "status": "PENDING",
        "note": "hello",
        "paidTotal": {"amount": "0.00"},
        "tracking": [],
        "fulfillments": [],
        "transactions": [],
    }
    assert seen[-1]["order"] == {
        "version": len(seen) + 1,
        "status": "SHIPPED",
        "note": "hello",
        "paidTotal": {"amount": "1.00"},
        "tracking": [{"number": "T1"}, {"number": "T2"}],
        "fulfillments": [{"state": "SHIPPED"}],
        "transactions": [{"kind": "SALE"}],
    }


async def test_a_hundred_sockets_are_told_of_one_event(server: Server) -> None:
    order = await server.place()
    start = await end_of_log()
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(live(server)) for _ in range(100)]
        for client in clients:
            await client.subscribe(events_of("type order { id status }"), {"after": start})
        await server.do("confirmOrder", {"orderId": order["id"]})
        answers = await asyncio.gather(*(client.next() for client in clients))
        told = {"type": "ORDER_CONFIRMED", "order": {"id": order["id"], "status": "CONFIRMED"}}
        assert answers == [{"orderEvents": told}] * 100
        assert server.service.subscriptions.count == 100
    async with asyncio.timeout(WAIT):
        while server.service.subscriptions.count:  # noqa: ASYNC110 - it says nothing when one goes
            await asyncio.sleep(0.005)


async def test_resuming_gives_the_backlog_and_then_what_comes(server: Server) -> None:
    order = await server.place()
    for number in range(20):
        await server.do("addOrderNote", {"orderId": order["id"], "note": f"{number}"})
    async with live(server) as client:
        await client.subscribe(events_of("orderVersion data"), {"after": cursor_at(11)})
        noting = asyncio.create_task(_note(server, order["id"], range(20, 40)))
        seen = [(await client.next())["orderEvents"] for _ in range(30)]
        await noting
    assert [event["orderVersion"] for event in seen] == list(range(12, 42))
    assert [event["data"]["note"] for event in seen] == [str(number) for number in range(10, 40)]


async def _note(server: Server, order_id: str, numbers: range) -> None:
    for number in numbers:
        await server.do("addOrderNote", {"orderId": order_id, "note": f"{number}"})


COUNTS = (
    "subscription ($filter: OrderFilter) { orderCountsChanged(filter: $filter) { total byStatus { status count } } }"
)


async def next_counts(client: Live) -> tuple[int, dict[str, int]]:
    """The total, and the statuses that some order has."""
    counts = (await client.next())["orderCountsChanged"]
    return counts["total"], {row["status"]: row["count"] for row in counts["byStatus"] if row["count"]}


@pytest.mark.wire
async def test_counts_come_at_once_and_then_when_they_change_at_most_one_a_second(server: Server) -> None:
    orders = [await server.place() for _ in range(3)]
    async with live(server) as client:
        began = time.monotonic()
        await client.subscribe(COUNTS)
        assert await next_counts(client) == (3, {"PENDING": 3})
        for order in orders:  # three changes within a second are told once
            await server.do("confirmOrder", {"orderId": order["id"]})
        assert await next_counts(client) == (3, {"CONFIRMED": 3})
        assert time.monotonic() - began >= COUNTS_SECONDS
        await server.do("addOrderNote", {"orderId": orders[0]["id"], "note": "this changes no count"})
        await asyncio.sleep(1.2 * COUNTS_SECONDS)  # in which the counts were looked at for the note
        await server.place()
        assert await next_counts(client) == (4, {"CONFIRMED": 3, "PENDING": 1})


@pytest.mark.wire
async def test_counts_with_a_filter_change_with_its_orders_only(server: Server) -> None:
    own, other = await server.place(channel="web"), await server.place(channel="pos")
    async with live(server) as client:
        await client.subscribe(COUNTS, {"filter": {"channels": ["web"]}})
        assert await next_counts(client) == (1, {"PENDING": 1})
        await server.do("confirmOrder", {"orderId": other["id"]})
        await asyncio.sleep(1.2 * COUNTS_SECONDS)  # in which the counts were looked at for the other channel's order
        await server.do("confirmOrder", {"orderId": own["id"]})
        assert await next_counts(client) == (1, {"CONFIRMED": 1})


async def test_a_count_is_never_left_out_of_date(server: Server) -> None:
    """Orders come in while subscriptions begin: each ends with the last count, whatever it began with."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(live(server)) for _ in range(20)]
        for client in clients:
            await client.subscribe(COUNTS)
            await server.place()

        async def read_to_the_end(client: Live) -> None:
            while (await next_counts(client))[0] != 20:
                pass

        await asyncio.gather(*(read_to_the_end(client) for client in clients))


async def test_counts_leave_nothing_behind(server: Server) -> None:
    await until(lambda: server.service.feed.bell.state.connected)  # which has begun its own tasks by then
    before = len(asyncio.all_tasks())
    for _ in range(10):
        async with live(server) as client:
            await client.subscribe(COUNTS)
            await client.next()
    async with asyncio.timeout(WAIT):
        while server.service.subscriptions.count or len(asyncio.all_tasks()) > before:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.005)
