"""How many statements a list takes, and that those which run often are answered from an index."""

import asyncio
import re
from dataclasses import replace
from typing import Any

import pytest
from tortoise.transactions import in_transaction

from domain.fulfillments.commands import TrackingInfo, mark_ready_to_ship, mark_shipped
from domain.orders.commands import confirm_order
from domain.orders.placing import NewAddress, NewCustomer
from tests.clients import Server
from tests.conftest import Fill
from tests.database import Statement, run_sql, statements
from tests.domain.shop import ADA, on, paid, place, units

EVERYTHING = """query ($first: Int) { orders(first: $first) { nodes {
    number total { amount } outstanding { amount currencyCode }
    channel { code } customer { name } shippingAddress { city } billingAddress { city } tags
    lines { sku total { amount } } transactions { kind amount { amount } } tracking { number }
    deliveryNotes { number replaces { number } }
    fulfillments {
        state tracking { number } deliveryNote { url } lines { quantity line { sku total { currencyCode } } }
    }
    availableActions { action available }
} pageInfo { hasNextPage endCursor } } }"""


async def sixty_orders() -> None:
    """Orders of two channels, half of them half shipped and half paid."""
    for index in range(60):
        address = NewAddress(name=f"Buyer {index}", city="Bern")
        order = await place(
            channel=f"shop-{index % 2}",
            customer=NewCustomer(name=f"Buyer {index}", email=f"buyer{index}@example.com"),
            shipping_address=address,
            billing_address=address,
            tags=("one", f"t{index}"),
            payments=(paid("1.00"),),
        )
        if index % 2:
            await confirm_order(actor=ADA, target=on(order))
            tracking = [TrackingInfo(f"T-{index}")]
            await mark_shipped(actor=ADA, target=on(order), lines=await units(order, 1), tracking=tracking)
            await mark_ready_to_ship(actor=ADA, target=on(order))


async def counted(server: Server, query: str, **variables: Any) -> tuple[dict[str, Any], list[Statement]]:
    """The answer, and the statements that the request took, whether or not the token was known already."""
    beside = asyncio.all_tasks()  # which read for themselves, as the feed does: a request has a task of its own
    with statements() as seen:
        data = await server.ask(query, variables)
    return data, [each for each in seen if each.task not in beside and '"api_tokens"' not in each.sql]


@pytest.fixture
def fill() -> Fill:
    return sixty_orders


async def test_a_list_with_everything_takes_eleven_statements_however_long_it_is(server: Server) -> None:
    """The orders, and one for each kind of part: 11."""
    for size in (5, 50):
        data, seen = await counted(server, EVERYTHING, first=size)
        nodes = data["orders"]["nodes"]
        assert len(nodes) == size
        assert {len(node["fulfillments"]) for node in nodes} == {0, 2}
        assert {len(node["transactions"]) for node in nodes} == {1}
        tables = [re.findall(r'FROM "(\w+)"', statement.sql)[0] for statement in seen]
        assert sorted(tables) == [
            "addresses",
            "channels",
            "customers",
            "delivery_notes",
            "fulfillment_lines",
            "fulfillments",
            "order_lines",
            "order_tags",
            "orders",
            "tracking",
            "transactions",
        ]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("query ($first: Int) { orders(first: $first) { nodes { number status total { amount } } } }", 1),
        ("query ($first: Int) { orders(first: $first) { nodes { lines { sku } } } }", 2),
        ("query ($first: Int) { orders(first: $first) { nodes { events(first: 2) { nodes { type } } } } }", 2),
        ("query ($first: Int) { orders(first: $first) { nodes { events { nodes { order { tags } } } } } }", 3),
        ("query ($first: Int) { orderEvents(first: $first) { nodes { type data } } }", 1),
        ("query ($first: Int) { orderEvents(first: $first) { nodes { order { channel { code } tags } } } }", 4),
        ("query ($first: Int) { orders(first: $first) { nodes { availableActions { action } } } }", 6),
    ],
)
async def test_lists_take_the_same_statements_however_long_they_are(
    server: Server, query: str, expected: int, engine: str
) -> None:
    """On PostgreSQL, who reads the log asks first how far it is settled."""
    expected += engine == "postgres" and "vents" in query
    for size in (5, 50):
        data, seen = await counted(server, query, first=size)
        assert len(next(iter(data.values()))["nodes"]) == size
        assert len(seen) == expected, seen


@pytest.mark.parametrize(
    ("nodes", "table", "columns"),
    [
        ("lines { id sku total { amount } }", "order_lines", {"id", "sku", "total", "order_id"}),
        ("shippingAddress { city __typename }", "addresses", {"city", "kind", "order_id"}),
        ("tags", "order_tags", {"tag", "order_id"}),
        ("channel { ...on Channel { name } }", "channels", {"id", "name"}),
    ],
)
async def test_parts_are_read_with_what_is_selected_of_them(
    server: Server, nodes: str, table: str, columns: set[str]
) -> None:
    _, seen = await counted(server, f"{{ orders(first: 5) {{ nodes {{ {nodes} }} }} }}")
    [selected] = [found[1] for each in seen if (found := re.match(rf'SELECT (.*) FROM "{table}"', each.sql))]
    assert set(re.findall(r'"(\w+)"', selected)) == columns


async def plans(server: Server, query: str, **variables: Any) -> list[str]:
    """How SQLite answers each statement of the request, in its own words."""
    _, seen = await counted(server, query, **variables)
    found = []
    for statement in seen:
        steps = await run_sql(f"EXPLAIN QUERY PLAN {statement.sql}", *statement.values)
        found.append("; ".join(step["detail"] for step in steps))
    return found


LIST = (
    "query ($filter: OrderFilter, $sort: OrderSort, $search: String, $after: String, $before: String, $last: Int)"
    + (
        " { orders(filter: $filter, sort: $sort, search: $search, after: $after, before: $before, last: $last)"
        " { nodes { id } pageInfo { endCursor startCursor } } }"
    )
)


SORTED_BY = {"PLACED_AT": "placed_at", "UPDATED_AT": "updated_at", "TOTAL": "total"}


@pytest.mark.sqlite
@pytest.mark.parametrize("direction", ["ASC", "DESC"])
@pytest.mark.parametrize("by", ["PLACED_AT", "UPDATED_AT", "NUMBER", "TOTAL"])
async def test_a_sorted_list_walks_an_index(server: Server, by: str, direction: str) -> None:
    """The first page, the next one and the one before: an index in the right order, and no sorting."""
    sort = {"field": by, "direction": direction}
    page = (await server.ask(LIST, {"sort": sort}))["orders"]["pageInfo"]
    [first] = await plans(server, LIST, sort=sort)
    [following] = await plans(server, LIST, sort=sort, after=page["endCursor"])
    [preceding] = await plans(server, LIST, sort=sort, before=page["endCursor"], last=10)
    for plan in (first, following, preceding):
        assert "TEMP B-TREE FOR ORDER BY" not in plan.replace("LAST TERM OF ", ""), plan
    assert re.fullmatch(r"SCAN orders USING INDEX \w+", first), first
    for plan in (following, preceding):
        assert re.fullmatch(r"SEARCH orders USING INDEX \w+ \(\w+[<>]\?\)", plan), plan


ORDER_TERMS = re.compile(r"USE TEMP B-TREE FOR ORDER BY")


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("filter", "index_on"),
    [
        ({"status": ["PENDING"]}, "status=?"),
        ({"paymentStatus": ["PAID"]}, "payment_status=?"),
        ({"fulfillmentStatus": ["PARTIALLY_FULFILLED"]}, "fulfillment_status=?"),
        ({"channels": ["shop-0"]}, "channel_id=?"),
        ({"placedFrom": "2026-01-01T00:00:00Z"}, "placed_at>?"),
    ],
)
async def test_the_tabs_of_a_dashboard_walk_an_index(server: Server, filter: dict[str, Any], index_on: str) -> None:
    """Newest first within one status or channel: found and sorted by one index, on every page."""
    cursor = (await server.ask(LIST, {"filter": filter}))["orders"]["pageInfo"]["startCursor"]
    for after in (None, cursor):
        plan = (await plans(server, LIST, filter=filter, after=after))[-1]
        assert plan.startswith("SEARCH orders USING INDEX"), plan
        assert index_on in plan, plan
        assert not ORDER_TERMS.search(plan), plan


@pytest.mark.sqlite
async def test_a_list_of_a_bound_tokens_channel_walks_an_index(server: Server) -> None:
    bound = replace(server, token=await server.new_token(channels=("shop-1",)))
    [plan] = await plans(bound, LIST)
    assert re.fullmatch(r"SEARCH orders USING INDEX \w+ \(channel_id=\?\)", plan), plan


@pytest.mark.sqlite
async def test_a_search_begins_at_its_index(server: Server) -> None:
    [plan] = await plans(server, LIST, search="buyer 1")
    assert "SEARCH search_terms USING COVERING INDEX" in plan
    assert "(term>? AND term<?)" in plan
    assert "SEARCH orders USING" in plan
    assert "SCAN" not in plan, plan


@pytest.mark.sqlite
async def test_an_order_is_looked_up_by_index(server: Server) -> None:
    order = (await server.ask('{ orderByReference(channel: "x", externalReference: "x") { id } }'))["orderByReference"]
    assert order is None
    [plan] = await plans(server, '{ orderByNumber(number: "1001") { id } }')
    assert re.fullmatch(r"SEARCH orders USING INDEX \w+ \(number=\?\)", plan), plan
    query = '{ orderByReference(channel: "shop-0", externalReference: "x") { id } }'
    plan = (await plans(server, query))[-1]
    assert re.fullmatch(r"SEARCH orders USING INDEX \w+ \(channel_id=\? AND external_reference=\?\)", plan), plan


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        (None, "SEARCH order_events USING INTEGER PRIMARY KEY (rowid>?)"),
        ({"types": ["ORDER_CONFIRMED"]}, "(type=? AND id>?)"),
        ({"channels": ["shop-1"]}, "(channel_id=? AND id>?)"),
    ],
)
async def test_the_event_log_is_read_by_index(server: Server, filter: dict[str, Any] | None, expected: str) -> None:
    query = "query ($filter: OrderEventFilter) { orderEvents(filter: $filter) { nodes { id } } }"
    plan = (await plans(server, query, filter=filter))[-1]
    assert expected in plan
    assert "SCAN" not in plan
    assert not ORDER_TERMS.search(plan), plan


@pytest.mark.sqlite
async def test_timelines_read_only_the_orders_that_they_are_of(server: Server) -> None:
    query = "{ orders(first: 5) { nodes { events(first: 2) { nodes { id } } } } }"
    plan = (await plans(server, query))[-1]
    assert re.search(r"SEARCH order_events USING INDEX \w+ \(order_id=\?", plan), plan
    assert "SCAN order_events" not in plan


# What each list reads, and the index that finds its rows and sorts them.
PLANS_ON_POSTGRES: list[tuple[str, dict[str, Any], list[str]]] = [
    *((LIST, {"sort": {"field": by, "direction": "DESC"}}, [column, "id"]) for by, column in SORTED_BY.items()),
    (LIST, {"filter": {"status": ["PENDING"]}}, ["status", "placed_at", "id"]),
    (LIST, {"filter": {"paymentStatus": ["PAID"]}}, ["payment_status", "placed_at", "id"]),
    (LIST, {"filter": {"fulfillmentStatus": ["UNFULFILLED"]}}, ["fulfillment_status", "placed_at", "id"]),
    (LIST, {"filter": {"channels": ["shop-0"]}}, ["channel_id", "placed_at", "id"]),
    ('{ orderByNumber(number: "1001") { id } }', {}, ["number"]),
    ("{ orderEvents { nodes { id } } }", {}, ["id"]),
]


@pytest.mark.postgres
@pytest.mark.parametrize(("query", "variables", "columns"), PLANS_ON_POSTGRES)
async def test_postgres_reads_by_index(
    server: Server, query: str, variables: dict[str, Any], columns: list[str]
) -> None:
    """Where tables are too large to be read whole, an index finds the rows in their order: nothing is sorted."""
    _, seen = await counted(server, query, **variables)
    plan = await postgres_plan(seen[-1])
    [index] = re.findall(r"Index(?: Only)? Scan(?: Backward)? using \"?(\w+)\"? on", plan)
    [row] = await run_sql("SELECT indexdef FROM pg_indexes WHERE indexname = $1", index)
    assert re.search(r"\((.*)\)", row["indexdef"])[1].replace('"', "").split(", ") == columns, plan  # type: ignore[index]
    assert "Sort" not in plan, plan


async def postgres_plan(statement: Statement) -> str:
    async with in_transaction() as transaction:
        await transaction.execute_script("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
        _, rows = await transaction.execute_query(f"EXPLAIN {statement.sql}", statement.values)
        return "\n".join(row["QUERY PLAN"] for row in rows)
