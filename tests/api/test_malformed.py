"""Ids, cursors, page sizes and filters that are none: a clear error that names the field, and never a fault."""

import base64
import json
from typing import Any

import pytest

from tests.clients import Server

pytestmark = pytest.mark.wire


def b64(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


UUID_TEXT = "01890a5d-ac96-774b-bcce-b302099a8057"
GARBAGE = [
    "",
    " ",
    "x",
    "=",
    "====",
    "null",
    "1",
    "-1",
    "é",
    "😀",
    "\x00",
    "a" * 10_000,
    UUID_TEXT,
    "' OR 1=1 --",
    b64(""),
    b64("Order"),
    b64(":"),
    b64("Order:"),
    b64("Order:1"),
    b64("Order:\x00"),
    b64(f"Order:{UUID_TEXT}x"),
    b64(f"Order:{UUID_TEXT}:"),
    b64(b"\xff\xfe\x00"),
    b64(b"Order:\xff"),
    b64("null"),
    b64("[]"),
    b64("{}"),
    b64("[" * 2_000),
    b64('["order"]'),
    b64('["event"]'),
    b64('["order",1,2,3]'),
]

EVENT_CURSORS = [
    b64(json.dumps(parts))
    for parts in (
        ["event", None],
        ["event", "1"],
        ["event", 1.5],
        ["event", True],
        ["event", -1],
        ["event", 2**63],
        ["event", 10**400],
        ["event", [1]],
        ["event", {}],
        ["event", 1, -2],
        ["event", 1, 2**32],
        ["event", 1, True],
        ["event", 1, "2"],
        ["event", 1, 2, 3],
        ["order", 1],
    )
]

SOME_TIME = "2026-01-01T00:00:00+00:00"
ORDER_CURSORS = [
    b64(json.dumps(["order", *parts]))
    for parts in (
        ["PLACED_AT", "DESC", None, UUID_TEXT],
        ["PLACED_AT", "DESC", 1, UUID_TEXT],
        ["PLACED_AT", "DESC", "yesterday", UUID_TEXT],
        ["PLACED_AT", "DESC", "0001-01-01T00:00:00+14:00", UUID_TEXT],
        ["PLACED_AT", "DESC", "9999-12-31T23:59:59-14:00", UUID_TEXT],
        ["PLACED_AT", "DESC", "\x00", UUID_TEXT],
        ["PLACED_AT", "DESC", [SOME_TIME], UUID_TEXT],
        ["PLACED_AT", "DESC", SOME_TIME, None],
        ["PLACED_AT", "DESC", SOME_TIME, 7],
        ["PLACED_AT", "DESC", SOME_TIME, "7"],
        ["PLACED_AT", "DESC", SOME_TIME, [UUID_TEXT]],
        ["PLACED_AT", "DESC", SOME_TIME, {"id": UUID_TEXT}],
        ["PLACED_AT", "ASC", SOME_TIME, UUID_TEXT],
        ["UPDATED_AT", "DESC", SOME_TIME, UUID_TEXT],
        ["NUMBER", "DESC", 1001, UUID_TEXT],
        ["id; DROP TABLE orders", "DESC", 1001, UUID_TEXT],
        [["PLACED_AT"], {"DESC": 1}, SOME_TIME, UUID_TEXT],
        [None, None, None, None],
    )
]
NO_NUMBERS: list[Any] = [None, "1001", 1.5, True, -1, 2**63, 10**300, [], {}, float("inf"), float("nan")]
NUMBER_CURSORS = [
    b64(json.dumps(["order", by, "ASC", value, UUID_TEXT])) for by in ("NUMBER", "TOTAL") for value in NO_NUMBERS
]


async def refusal(server: Server, query: str, **variables: Any) -> list[str]:
    """The path of the field at fault; the answer is an error for the user and nothing else."""
    answer = await server.send(query, variables)
    [error] = answer["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT", error
    assert "Traceback" not in json.dumps(answer)
    field: list[str] = error["extensions"]["field"]
    return field


@pytest.fixture
async def asked(server: Server) -> Server:
    """A server with an order, so that what should not be found is not just missing."""
    await server.place()
    return server


@pytest.mark.parametrize("name", ["order", "node"])
async def test_malformed_ids(asked: Server, name: str) -> None:
    query = f"query ($id: ID!) {{ {name}(id: $id) {{ id }} }}"
    for garbage in GARBAGE + EVENT_CURSORS + ORDER_CURSORS:
        assert await refusal(asked, query, id=garbage) == ["id"], garbage


@pytest.mark.parametrize(
    "key", ["OrderEvent:-1", "OrderEvent:1.0", "OrderEvent:²", "OrderEvent:" + "9" * 30, "Fulfillment:1", "Channel:x"]
)
async def test_malformed_node_keys(asked: Server, key: str) -> None:
    assert await refusal(asked, "query ($id: ID!) { node(id: $id) { id } }", id=b64(key)) == ["id"]


@pytest.mark.parametrize("kind", ["Nothing", "order", "OrderLine", "Customer", "Query", "__Schema"])
async def test_an_id_of_a_kind_that_is_no_node_is_nothing(asked: Server, kind: str) -> None:
    data = await asked.ask("query ($id: ID!) { node(id: $id) { id } }", {"id": b64(f"{kind}:{UUID_TEXT}")})
    assert data == {"node": None}


@pytest.mark.parametrize("kind", ["Fulfillment", "Channel", "OrderEvent", "Customer"])
async def test_the_id_of_something_else_is_no_orders_id(asked: Server, kind: str) -> None:
    query = "query ($id: ID!) { order(id: $id) { id } }"
    assert await refusal(asked, query, id=b64(f"{kind}:{UUID_TEXT}")) == ["id"]


@pytest.mark.parametrize("name", ["after", "before"])
async def test_malformed_order_cursors(asked: Server, name: str) -> None:
    size = "first" if name == "after" else "last"
    query = (
        f"query ($c: String, $sort: OrderSort) {{ orders({name}: $c, {size}: 2, sort: $sort) {{ nodes {{ id }} }} }}"
    )
    for garbage in GARBAGE + EVENT_CURSORS + ORDER_CURSORS:
        assert await refusal(asked, query, c=garbage) == [name], garbage
    for garbage in NUMBER_CURSORS:
        by = json.loads(base64.b64decode(garbage))[1]
        sort = {"field": by, "direction": "ASC"}
        assert await refusal(asked, query, c=garbage, sort=sort) == [name], garbage


async def test_malformed_event_cursors(asked: Server) -> None:
    log = "query ($c: String) { orderEvents(after: $c) { nodes { id } } }"
    timeline = "query ($c: String) { orders { nodes { events(after: $c) { nodes { id } } } } }"
    for garbage in GARBAGE + EVENT_CURSORS + ORDER_CURSORS:
        assert await refusal(asked, log, c=garbage) == ["after"], garbage
        assert await refusal(asked, timeline, c=garbage) == ["after"], garbage


@pytest.mark.parametrize("size", [0, -1, 101, 1000, 2**31 - 1, -(2**31)])
async def test_page_sizes_out_of_range(asked: Server, size: int) -> None:
    assert await refusal(asked, "query ($n: Int) { orders(first: $n) { nodes { id } } }", n=size) == ["first"]
    assert await refusal(asked, "query ($n: Int) { orders(last: $n) { nodes { id } } }", n=size) == ["last"]
    assert await refusal(asked, "query ($n: Int) { orderEvents(first: $n) { nodes { id } } }", n=size) == ["first"]
    nested = "query ($n: Int) { orders { nodes { events(first: $n) { nodes { id } } } } }"
    assert await refusal(asked, nested, n=size) == ["first"]


@pytest.mark.parametrize("size", [1, 100])
async def test_page_sizes_in_range(asked: Server, size: int) -> None:
    data = await asked.ask("query ($n: Int) { orders(first: $n) { nodes { number } } }", {"n": size})
    assert data["orders"]["nodes"] == [{"number": "1001"}]


async def test_first_and_last_at_once(asked: Server) -> None:
    assert await refusal(asked, "{ orders(first: 1, last: 1) { nodes { id } } }") == ["last"]


def nested(depth: int) -> dict[str, Any]:
    return {} if depth == 1 else {"not": nested(depth - 1)}


REFUSED_FILTERS = [
    (nested(6), []),
    (nested(60), []),
    ({"and": [{"or": [{"and": [{"or": [{"and": [{}]}]}]}]}]}, []),
    ({"or": [{} for _ in range(101)]}, []),
    ({"tags": [f"t{index}" for index in range(101)]}, []),
    ({"and": [{"channels": ["a"] * 50}, {"tags": ["b"] * 50}]}, []),
    ({"placedFrom": "0001-01-01T00:00:00+14:00"}, ["placedFrom"]),
    ({"placedTo": "9999-12-31T23:59:59-14:00"}, ["placedTo"]),
    ({"totalFrom": "NaN"}, ["totalFrom"]),
    ({"totalTo": "Infinity"}, ["totalTo"]),
    ({"totalTo": "-Infinity"}, ["totalTo"]),
    ({"totalTo": "sNaN"}, ["totalTo"]),
    ({"totalFrom": "1e30"}, ["totalFrom"]),
    ({"totalFrom": "1e999999"}, ["totalFrom"]),
    ({"currency": "XYZ"}, ["currency"]),
    ({"currency": ""}, ["currency"]),
    ({"currency": "chf\x00"}, ["currency"]),
]


async def test_filters_that_are_refused(asked: Server) -> None:
    for filter, path in REFUSED_FILTERS:
        query = "query ($filter: OrderFilter) { orders(filter: $filter) { nodes { id } } }"
        assert await refusal(asked, query, filter=filter) == ["filter", *path]
        query = "query ($filter: OrderFilter) { orderCounts(filter: $filter) { total } }"
        assert await refusal(asked, query, filter=filter) == ["filter", *path]


async def test_an_event_filter_with_too_much_or_no_id_is_refused(asked: Server) -> None:
    query = "query ($filter: OrderEventFilter) { orderEvents(filter: $filter) { nodes { id } } }"
    many = [b64(f"Order:{UUID_TEXT}")] * 201
    assert await refusal(asked, query, filter={"orderIds": many}) == ["filter", "orderIds"]
    assert await refusal(asked, query, filter={"orderIds": [*many[:1], "?"]}) == ["filter", "orderIds", "1"]
    assert await refusal(asked, query, filter={"channels": ["a"] * 201}) == ["filter", "channels"]


@pytest.mark.parametrize(
    "document",
    [
        "{ orders(first: 99999999999) { nodes { id } } }",
        "{ orders(first: 1.5) { nodes { id } } }",
        '{ orders(first: "1") { nodes { id } } }',
        "{ orders(filter: {status: [NOWHERE]}) { nodes { id } } }",
        '{ orders(filter: {placedFrom: "yesterday"}) { nodes { id } } }',
        '{ orders(filter: {totalFrom: "ten"}) { nodes { id } } }',
        '{ orders(filter: {totalFrom: "1e99999999999999999999"}) { nodes { id } } }',
        "{ orders(filter: {nothing: 1}) { nodes { id } } }",
        '{ order(id: "\\uD800") { id } }',
        "{ order { id } }",
        "{ nothing }",
        "{",
    ],
)
async def test_documents_that_do_not_fit_the_schema(asked: Server, document: str) -> None:
    answer = await asked.send(document)
    assert "data" not in answer
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"BAD_USER_INPUT"}


STRANGE_TEXTS = ["\x00", "\x00abc", "😀", "%", "_", "'", '"; DROP TABLE orders; --', "\u202e", "x" * 100_000, "\ufffe"]


async def test_strange_texts_find_nothing(asked: Server) -> None:
    by_number = "query ($t: String!) { orderByNumber(number: $t) { id } }"
    by_reference = "query ($c: String!, $r: String!) { orderByReference(channel: $c, externalReference: $r) { id } }"
    filtered = "query ($filter: OrderFilter) { orders(filter: $filter) { nodes { id } } }"
    events = "query ($filter: OrderEventFilter) { orderEvents(filter: $filter) { nodes { id } } }"
    for text in STRANGE_TEXTS:
        assert await asked.ask(by_number, {"t": text}) == {"orderByNumber": None}
        assert await asked.ask(by_reference, {"c": text, "r": "x"}) == {"orderByReference": None}
        assert await asked.ask(by_reference, {"c": "web", "r": text}) == {"orderByReference": None}
        for filter in ({"channels": [text]}, {"tags": [text]}):
            assert await asked.ask(filtered, {"filter": filter}) == {"orders": {"nodes": []}}
        assert await asked.ask(events, {"filter": {"channels": [text]}}) == {"orderEvents": {"nodes": []}}
