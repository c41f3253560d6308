"""Pages of the order list: each order exactly once, in either direction, whatever else happens meanwhile."""

import asyncio
from typing import Any

import pytest

from tests.clients import Server

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


async def place(server: Server, index: int) -> int:
    order = await server.place(
        placedAt=f"2026-01-01T00:00:{index // 4:02}Z",
        lines=[{"title": "Thing", "quantity": 1, "unitPrice": str(index // 3)}],
        tags=["even" if index % 2 == 0 else "odd"],
    )
    return int(order["number"])


@pytest.fixture
async def many(server: Server) -> Server:
    for index in range(COUNT):
        await place(server, index)
    return server


async def test_the_pages_make_up_the_whole_list(many: Server) -> None:
    """For every sort, in both directions of reading, with pages that end within and between ties."""
    for sort in SORTS:
        whole = numbers(await page(many, sort=sort, first=100))
        assert sorted(whole) == list(range(1001, 1001 + COUNT))
        for size in (1, 4, 5, COUNT - 1, COUNT, COUNT + 1):
            assert await forwards(many, size, sort=sort) == whole, (sort, size)
            assert await backwards(many, size, sort=sort) == whole, (sort, size)


async def test_a_list_and_its_reverse_are_the_same_list(many: Server) -> None:
    """Ties are broken the same way in both directions."""
    for up, down in zip(SORTS[::2], SORTS[1::2], strict=True):
        rising = await forwards(many, 7, sort=up)
        assert await forwards(many, 7, sort=down) == rising[::-1]
    assert await forwards(many, 7, sort={"field": "TOTAL", "direction": "ASC"}) == list(range(1001, 1001 + COUNT))


async def test_the_pages_of_a_filtered_list(many: Server) -> None:
    for sort in SORTS:
        whole = numbers(await page(many, sort=sort, filter={"tags": ["odd"]}))
        assert sorted(whole) == list(range(1002, 1001 + COUNT, 2))
        assert await forwards(many, 3, sort=sort, filter={"tags": ["odd"]}) == whole
        assert await backwards(many, 3, sort=sort, filter={"tags": ["odd"]}) == whole


async def test_after_and_before_together_are_a_window(many: Server) -> None:
    sort = {"field": "NUMBER", "direction": "ASC"}
    cursors = [edge["cursor"] for edge in (await page(many, sort=sort))["edges"]]
    found = await page(many, sort=sort, after=cursors[2], before=cursors[9])
    assert numbers(found) == list(range(1004, 1010))
    assert numbers(await page(many, sort=sort, after=cursors[2], before=cursors[9], first=2)) == [1004, 1005]
    assert numbers(await page(many, sort=sort, after=cursors[2], before=cursors[9], last=2)) == [1008, 1009]
    empty = (await many.ask(PAGE, {"sort": sort, "after": cursors[2], "before": cursors[3]}))["orders"]
    assert empty["nodes"] == []
    assert (empty["pageInfo"]["startCursor"], empty["pageInfo"]["endCursor"]) == (None, None)


async def test_the_default_page_has_fifty_orders(server: Server) -> None:
    for index in range(52):
        await place(server, index)
    found = await page(server, sort={"field": "NUMBER", "direction": "ASC"})
    assert numbers(found) == list(range(1001, 1051))
    assert found["pageInfo"]["hasNextPage"] is True


@pytest.mark.parametrize("sort", SORTS, ids=lambda sort: f"{sort['field']} {sort['direction']}")
async def test_orders_that_come_in_meanwhile_move_no_other(many: Server, sort: dict[str, str]) -> None:
    """Whoever pages through while orders are placed sees each order that was there at first exactly once."""
    before = numbers(await page(many, sort=sort, first=100))

    async def keep_placing() -> None:
        for index in range(COUNT):
            await place(many, index)

    placing = asyncio.create_task(keep_placing())
    seen = await forwards(many, 2, sort=sort)
    seen_backwards = await backwards(many, 2, sort=sort)
    await placing
    for pages in (seen, seen_backwards):
        assert len(set(pages)) == len(pages)
        assert [number for number in pages if number in set(before)] == before


@pytest.mark.parametrize("window", [("first", "after"), ("last", "before")])
async def test_a_cursor_of_another_sort_is_refused(many: Server, window: tuple[str, str]) -> None:
    size, side = window
    for own in SORTS:
        cursor = (await page(many, sort=own, **{size: 2}))["pageInfo"]["endCursor"]
        for other in SORTS:
            answer = await many.send(PAGE, {"sort": other, side: cursor, size: 2})
            if other == own:
                assert "errors" not in answer
                continue
            [error] = answer["errors"]
            assert error["message"] == "This cursor belongs to another sort order."
            assert error["extensions"] == {"code": "BAD_USER_INPUT", "field": [side]}


async def test_a_cursor_outlives_its_order_and_works_with_other_filters(many: Server) -> None:
    """A cursor is a place in the sorted list, whether or not its order is still among those that are meant."""
    sort = {"field": "NUMBER", "direction": "ASC"}
    cursor = (await page(many, sort=sort, first=4))["pageInfo"]["endCursor"]
    found = await page(many, sort=sort, first=2, after=cursor, filter={"tags": ["even"]})
    assert numbers(found) == [1005, 1007]
