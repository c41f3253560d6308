"""The search of a list: the beginning of a number, reference, name, e-mail, SKU or tracking number."""

from typing import Any

import pytest

from tests.clients import Server

LIST = "query ($search: String) { orders(search: $search, sort: {field: NUMBER, direction: ASC}) { nodes { number } } }"

ANNA: dict[str, Any] = {
    "externalReference": "shop/7001-Ü",
    "externalNumber": "#W-77",
    "customer": {"name": "Anna Maria  von Müller", "email": "Anna.M@Example.com"},
    "lines": [{"title": "Cup", "sku": "CUP_100%", "quantity": 1, "unitPrice": "1.00"}],
}
BOB: dict[str, Any] = {
    "externalReference": "shop/7002",
    "customer": {"name": "Bob Norman", "email": "bob@example.com"},
    "shippingAddress": {"name": "Zoë Straße", "city": "Bern"},
    "lines": [
        {"title": "Cup", "sku": "CUPX100X", "quantity": 1, "unitPrice": "1.00"},
        {"title": "Party", "sku": "🎉-1", "quantity": 1, "unitPrice": "1.00"},
    ],
}


async def found(server: Server, search: str | None) -> list[str]:
    data = await server.ask(LIST, {"search": search})
    return [node["number"] for node in data["orders"]["nodes"]]


@pytest.fixture
async def two(server: Server) -> Server:
    """Anna's order is 1001; Bob's is 1002 and has the tracking number 99.00.Bob_1."""
    await server.place(**ANNA)
    bob = await server.place(**BOB)
    await server.do("confirmOrder", {"orderId": bob["id"]})
    await server.do("addTracking", {"orderId": bob["id"], "number": "99.00.Bob_1"})
    return server


FIRST, SECOND, BOTH, NONE = ["1001"], ["1002"], ["1001", "1002"], list[str]()

SEARCHES: list[tuple[str | None, list[str]]] = [
    (None, BOTH),
    ("", BOTH),
    ("  ", BOTH),
    ("1001", FIRST),
    ("#1001", FIRST),
    ("# 1001", FIRST),
    (" #1001 ", FIRST),
    ("100", BOTH),
    ("10011", NONE),
    ("001", NONE),
    ("shop/", BOTH),
    ("shop/7002", SECOND),
    ("SHOP/7001-ü", FIRST),
    ("shop/7001-u\u0308", FIRST),
    ("W-7", FIRST),
    ("#w-77", FIRST),
    ("anna", FIRST),
    ("ANNA MARIA", FIRST),
    ("anna   maria", FIRST),
    ("maria von", FIRST),
    ("müll", FIRST),
    ("MÜLLER", FIRST),
    ("nna", NONE),
    ("norman", SECOND),
    ("bob n", SECOND),
    ("zoë", SECOND),
    ("STRASSE", SECOND),
    ("anna.m@example.com", FIRST),
    ("BOB@", SECOND),
    ("example.com", NONE),
    ("cup", BOTH),
    ("cup_", FIRST),
    ("CUP_100%", FIRST),
    ("cupx", SECOND),
    ("🎉", SECOND),
    ("99.00", SECOND),
    ("99.00.bob_1", SECOND),
    ("%", NONE),
    ("_", NONE),
    ("#", NONE),
    ("*", NONE),
    ("'", NONE),
    ("\\", NONE),
    ("\U0010ffff", NONE),
    ("x" * 255, NONE),
]


async def test_searches(two: Server) -> None:
    answers = [(search, await found(two, search)) for search, _ in SEARCHES]
    assert answers == SEARCHES


@pytest.mark.parametrize("search", ["\x00", "10\x0001", "x" * 256, "x" * 300, "😀" * 300, " " * 300 + "x"])
async def test_what_cannot_be_searched_for_is_refused(server: Server, search: str) -> None:
    answer = await server.send(LIST, {"search": search})
    [error] = answer["errors"]
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "field": ["search"]}


async def test_the_longest_texts_are_found(server: Server) -> None:
    """Also those that are longer once they are in lower case: ß becomes ss."""
    await server.place(externalReference="R" * 255)
    await server.place(externalReference="ß" * 255)
    assert await found(server, "r" * 255) == ["1001"]
    assert await found(server, "ß" * 255) == ["1002"]
    assert await found(server, "S" * 255) == ["1002"]


async def test_a_search_follows_the_tracking_number(two: Server) -> None:
    query = '{ orderByNumber(number: "1002") { id tracking { id } } }'
    order = (await two.ask(query))["orderByNumber"]
    on: dict[str, Any] = {"orderId": order["id"], "trackingId": order["tracking"][0]["id"]}
    await two.do("updateTracking", {**on, "number": "88.11"})
    assert (await found(two, "99.00"), await found(two, "88.11")) == (NONE, SECOND)
    await two.do("removeTracking", on)
    assert await found(two, "88.11") == NONE


async def test_a_removed_number_that_is_still_another_text_of_the_order_is_found(server: Server) -> None:
    """The tracking number happens to be the order's reference, too."""
    order = await server.place(externalReference="SAME-1")
    on = {"orderId": order["id"]}
    await server.do("confirmOrder", on)
    tracked = await server.do("addTracking", {**on, "number": "same-1"}, "tracking { id }")
    await server.do("removeTracking", {**on, "trackingId": tracked["tracking"][0]["id"]})
    assert await found(server, "same-1") == ["1001"]


async def test_an_order_is_found_by_the_name_that_it_was_given_with(server: Server) -> None:
    """The customer's name may change with a later order: the papers of the first still say the old one."""
    await server.place(customer={"email": "kim@example.com", "name": "Kim Old"})
    await server.place(customer={"email": "kim@example.com", "name": "Kim New"})
    assert await found(server, "kim") == BOTH
    assert await found(server, "kim old") == FIRST
    assert await found(server, "kim new") == SECOND


async def test_a_search_is_combined_with_a_filter_and_a_page(two: Server) -> None:
    query = """query ($filter: OrderFilter, $after: String) {
        orders(search: "cup", filter: $filter, first: 1, after: $after, sort: {field: NUMBER, direction: ASC}) {
            nodes { number } pageInfo { hasNextPage endCursor }
        }
    }"""
    first = (await two.ask(query))["orders"]
    assert first["nodes"] == [{"number": "1001"}]
    assert first["pageInfo"]["hasNextPage"] is True
    second = (await two.ask(query, {"after": first["pageInfo"]["endCursor"]}))["orders"]
    assert second["nodes"] == [{"number": "1002"}]
    assert second["pageInfo"]["hasNextPage"] is False
    filtered = (await two.ask(query, {"filter": {"status": ["PENDING"]}}))["orders"]
    assert filtered["nodes"] == [{"number": "1001"}]
    assert filtered["pageInfo"]["hasNextPage"] is False
