"""Pages of the order list: each order exactly once, in either direction, whatever else happens meanwhile."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from domain.orders.placing import NewLine
from tests.clients import Server
from tests.conftest import Fill
from tests.domain.shop import place

PAGE = """query ($sort: OrderSort, $first: Int, $after: String, $last: Int, $before: String, $filter: OrderFilter) {
    orders(sort: $sort, first: $first, after: $after, last: $last, before: $before, filter: $filter) {
        nodes { number } edges { cursor node { number } }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    }
}"""

# Many ties: of 23 orders, groups of four are placed in the same second and groups of three have the same total.
COUNT = 23
MOST = 3 * COUNT
SORTS = [
    {"field": by, "direction": direction}
    for by in ("PLACED_AT", "UPDATED_AT", "NUMBER", "TOTAL")
    for direction in ("ASC", "DESC")
]


async def page(server: Server, **window: Any) -> dict[str, Any]:
    found: dict[str, Any] = (await server.ask(PAGE, window))["orders"]
    assert [edge["node"] for edge in found["edges"]] == found["nodes"]
    cursors = [edge["cursor"] for edge in found["edges"]]
    assert (found["pageInfo"]["startCursor"], found["pageInfo"]["endCursor"]) == (cursors[0], cursors[-1])
    return found


def numbers(found: dict[str, Any]) -> list[int]:
    return [int(node["number"]) for node in found["nodes"]]


async def forwards(server: Server, size: int, **window: Any) -> list[int]:
    seen: list[int] = []
    found = await page(server, first=size, **window)
    assert found["pageInfo"]["hasPreviousPage"] is False
    while True:
        seen += numbers(found)
        if not found["pageInfo"]["hasNextPage"]:
            return seen
        assert len(found["nodes"]) == size
        assert len(seen) <= MOST, "the pages go round in a circle"
        found = await page(server, first=size, after=found["pageInfo"]["endCursor"], **window)
        assert found["pageInfo"]["hasPreviousPage"] is True


async def backwards(server: Server, size: int, **window: Any) -> list[int]:
    seen: list[int] = []
    found = await page(server, last=size, **window)
    assert found["pageInfo"]["hasNextPage"] is False
    while True:
        seen = numbers(found) + seen
        if not found["pageInfo"]["hasPreviousPage"]:
            return seen
        assert len(found["nodes"]) == size
        assert len(seen) <= MOST, "the pages go round in a circle"
        found = await page(server, last=size, before=found["pageInfo"]["startCursor"], **window)
        assert found["pageInfo"]["hasNextPage"] is True


async def place_one(index: int) -> None:
    await place(
        placed_at=datetime(2026, 1, 1, 0, 0, index // 4, tzinfo=UTC),
        lines=(NewLine(title="Thing", quantity=1, unit_price=Decimal(index // 3)),),
        tags=("even" if index % 2 == 0 else "odd",),
    )


async def place_many() -> None:
    for index in range(COUNT):
        await place_one(index)


@pytest.fixture
def fill() -> Fill:
    return place_many


async def test_the_pages_make_up_the_whole_list(server: Server) -> None:
    """For every sort, in both directions of reading, with pages that end within and between ties."""
    for number, sort in enumerate(SORTS):
        whole = numbers(await page(server, sort=sort, first=100))
        assert sorted(whole) == list(range(1001, 1001 + COUNT))
        for size in (2, 5) if number else (1, 2, 4, 5, COUNT - 1, COUNT, COUNT + 1):
            assert await forwards(server, size, sort=sort) == whole, (sort, size)
            assert await backwards(server, size, sort=sort) == whole, (sort, size)


async def test_a_list_and_its_reverse_are_the_same_list(server: Server) -> None:
    """Ties are broken the same way in both directions."""
    for up, down in zip(SORTS[::2], SORTS[1::2], strict=True):
        rising = await forwards(server, 7, sort=up)
        assert await forwards(server, 7, sort=down) == rising[::-1]
    assert await forwards(server, 7, sort={"field": "TOTAL", "direction": "ASC"}) == list(range(1001, 1001 + COUNT))


async def test_the_pages_of_a_filtered_list(server: Server) -> None:
    for sort in SORTS:
        whole = numbers(await page(server, sort=sort, filter={"tags": ["odd"]}))
        assert sorted(whole) == list(range(1002, 1001 + COUNT, 2))
        assert await forwards(server, 3, sort=sort, filter={"tags": ["odd"]}) == whole
        assert await backwards(server, 3, sort=sort, filter={"tags": ["odd"]}) == whole


async def test_after_and_before_together_are_a_window(server: Server) -> None:
    sort = {"field": "NUMBER", "direction": "ASC"}
    cursors = [edge["cursor"] for edge in (await page(server, sort=sort))["edges"]]
    found = await page(server, sort=sort, after=cursors[2], before=cursors[9])
    assert numbers(found) == list(range(1004, 1010))
    assert numbers(await page(server, sort=sort, after=cursors[2], before=cursors[9], first=2)) == [1004, 1005]
    assert numbers(await page(server, sort=sort, after=cursors[2], before=cursors[9], last=2)) == [1008, 1009]
    empty = (await server.ask(PAGE, {"sort": sort, "after": cursors[2], "before": cursors[3]}))["orders"]
    assert empty["nodes"] == []
    assert (empty["pageInfo"]["startCursor"], empty["pageInfo"]["endCursor"]) == (None, None)


async def test_the_default_page_has_fifty_orders(server: Server) -> None:
    for index in range(COUNT, 52):
        await place_one(index)
    found = await page(server, sort={"field": "NUMBER", "direction": "ASC"})
    assert numbers(found) == list(range(1001, 1051))
    assert found["pageInfo"]["hasNextPage"] is True


@pytest.mark.parametrize("sort", SORTS, ids=lambda sort: f"{sort['field']} {sort['direction']}")
async def test_orders_that_come_in_meanwhile_move_no_other(server: Server, sort: dict[str, str]) -> None:
    """Whoever pages through while orders are placed sees each order that was there at first exactly once."""
    before = numbers(await page(server, sort=sort, first=100))

    placing = asyncio.create_task(place_many())
    seen = await forwards(server, 4, sort=sort)
    seen_backwards = await backwards(server, 4, sort=sort)
    await placing
    for pages in (seen, seen_backwards):
        assert len(set(pages)) == len(pages)
        assert [number for number in pages if number in set(before)] == before


@pytest.mark.wire
@pytest.mark.parametrize("window", [("first", "after"), ("last", "before")])
async def test_a_cursor_of_another_sort_is_refused(server: Server, window: tuple[str, str]) -> None:
    size, side = window
    for own in SORTS:
        cursor = (await page(server, sort=own, **{size: 2}))["pageInfo"]["endCursor"]
        for other in SORTS:
            answer = await server.send(PAGE, {"sort": other, side: cursor, size: 2})
            if other == own:
                assert "errors" not in answer
                continue
            [error] = answer["errors"]
            assert error["message"] == "This cursor belongs to another sort order."
            assert error["extensions"] == {"code": "BAD_USER_INPUT", "field": [side]}


async def test_a_cursor_outlives_its_order_and_works_with_other_filters(server: Server) -> None:
    """A cursor is a place in the sorted list, whether or not its order is still among those that are meant."""
    sort = {"field": "NUMBER", "direction": "ASC"}
    cursor = (await page(server, sort=sort, first=4))["pageInfo"]["endCursor"]
    found = await page(server, sort=sort, first=2, after=cursor, filter={"tags": ["even"]})
    assert numbers(found) == [1005, 1007]
