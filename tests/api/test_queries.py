"""Filters of lists and counts, sorting, the event log, and what an order says of itself."""

from typing import Any

import pytest

from tests.clients import Server, key_of

LIST = """query ($filter: OrderFilter, $sort: OrderSort) {
    orders(filter: $filter, sort: $sort) { nodes { externalReference } }
    orderCounts(filter: $filter) { total archived }
}"""


def line(price: str) -> list[dict[str, Any]]:
    return [{"title": "Thing", "quantity": 1, "unitPrice": price}]


async def place_all(server: Server) -> None:
    """Six orders, a to f, placed a day apart, each at a different point of its life."""
    orders: dict[str, dict[str, Any]] = {
        "a": {"lines": line("10.00"), "tags": ["gift", "rush"]},
        "b": {"lines": line("1000"), "currency": "JPY", "source": "MARKETPLACE"},
        "c": {"lines": line("10.005"), "currency": "KWD", "tags": ["rush"]},
        "d": {"lines": line("20.00"), "source": "POS", "channel": "till", "handedOver": False},
        "e": {"lines": line("9.99"), "source": "MANUAL"},
        "f": {"lines": line("0")},
    }
    on: dict[str, dict[str, Any]] = {}
    for day, (name, given) in enumerate(orders.items(), start=1):
        placed = await server.place(externalReference=name, placedAt=f"2026-03-0{day}T12:00:00Z", **given)
        on[name] = {"orderId": placed["id"]}
    await server.do("confirmOrder", on["b"])
    await server.do("recordPayment", {**on["b"], "amount": {"amount": "1"}})
    await server.do("confirmOrder", on["c"])
    await server.do("markReadyToShip", on["c"])
    await server.do("confirmOrder", on["d"])
    await server.do("recordPayment", on["d"])
    await server.do("markShipped", on["d"])
    await server.do("archiveOrder", on["d"])
    await server.do("cancelOrder", {**on["e"], "reason": "OTHER"})


FILTERS: list[tuple[dict[str, Any] | None, str]] = [
    (None, "abcdef"),
    ({}, "abcdef"),
    ({"status": ["PENDING"]}, "af"),
    ({"status": ["CONFIRMED", "SHIPPED"]}, "bd"),
    ({"status": []}, ""),
    ({"status": None}, "abcdef"),
    ({"paymentStatus": ["PENDING"]}, "ace"),
    ({"paymentStatus": ["PAID", "PARTIALLY_PAID"]}, "bdf"),
    ({"fulfillmentStatus": ["UNFULFILLED"]}, "abcef"),
    ({"fulfillmentStatus": ["FULFILLED"]}, "d"),
    ({"source": ["POS", "MANUAL"]}, "de"),
    ({"source": []}, ""),
    ({"channels": ["web"]}, "abcef"),
    ({"channels": ["till", "nowhere"]}, "d"),
    ({"channels": ["nowhere"]}, ""),
    ({"channels": []}, ""),
    ({"archived": True}, "d"),
    ({"archived": False}, "abcef"),
    ({"placedFrom": "2026-03-04T12:00:00Z"}, "def"),
    ({"placedFrom": "2026-03-04T12:00:00.000001Z"}, "ef"),
    ({"placedFrom": "2026-03-04T13:00:00+01:00"}, "def"),
    ({"placedTo": "2026-03-02T12:00:00Z"}, "ab"),
    ({"placedTo": "2026-03-02T11:59:59.999999Z"}, "a"),
    ({"placedFrom": "2026-03-02T12:00:00", "placedTo": "2026-03-03T23:00:00-05:00"}, "bc"),
    ({"placedFrom": "2026-03-05T12:00:00Z", "placedTo": "2026-03-01T12:00:00Z"}, ""),
    ({"totalFrom": "10"}, "abcd"),
    ({"totalFrom": "10.001"}, "bcd"),
    ({"totalFrom": "10.0051"}, "bd"),
    ({"totalTo": "10"}, "aef"),
    ({"totalTo": "10.005"}, "acef"),
    ({"totalTo": "999.999"}, "acdef"),
    ({"totalFrom": "1000", "totalTo": "1000.00"}, "b"),
    ({"totalTo": "0"}, "f"),
    ({"totalTo": "-1"}, ""),
    ({"totalFrom": "-1e-400"}, "abcdef"),
    ({"totalFrom": "1e12"}, ""),
    ({"totalFrom": 9.995, "totalTo": 20}, "acd"),
    ({"currency": "jpy"}, "b"),
    ({"currency": "CHF", "totalFrom": "10"}, "ad"),
    ({"tags": ["gift"]}, "a"),
    ({"tags": ["gift", "rush"]}, "ac"),
    ({"tags": ["Gift"]}, ""),
    ({"tags": []}, ""),
    ({"status": ["PENDING"], "tags": ["rush"]}, "a"),
    ({"and": []}, "abcdef"),
    ({"and": [{}]}, "abcdef"),
    ({"and": [{"tags": ["rush"]}, {"tags": ["gift"]}]}, "a"),
    ({"and": [{"status": ["PENDING"]}, {"status": ["SHIPPED"]}]}, ""),
    ({"or": []}, ""),
    ({"or": [{}]}, "abcdef"),
    ({"or": [{"status": ["SHIPPED"]}, {"tags": ["gift"]}]}, "ad"),
    ({"or": [{"status": []}, {"archived": True}]}, "d"),
    ({"or": [{"and": [{}]}, {"archived": True}]}, "abcdef"),
    ({"or": [{"or": []}]}, ""),
    ({"not": {}}, ""),
    ({"not": {"or": []}}, "abcdef"),
    ({"not": {"and": [{}]}}, ""),
    ({"not": {"status": ["PENDING"]}}, "bcde"),
    ({"not": {"tags": ["rush"]}}, "bdef"),
    ({"not": {"tags": []}}, "abcdef"),
    ({"not": {"not": {"archived": True}}}, "d"),
    ({"not": {"status": ["PENDING"], "tags": ["rush"]}}, "bcdef"),
    ({"not": {"or": [{"archived": True}, {"tags": ["rush"]}]}}, "bef"),
    ({"or": [{"not": {"status": ["PENDING"]}}, {"tags": ["gift"]}], "archived": False}, "abce"),
    ({"and": [{"or": [{"and": [{"not": {"archived": True}}]}]}]}, "abcef"),
]


async def test_filters(server: Server) -> None:
    """Each filter means the same orders in the list and in the counts."""
    await place_all(server)
    answers: list[tuple[dict[str, Any] | None, str]] = []
    for wanted, _ in FILTERS:
        data = await server.ask(LIST, {"filter": wanted})
        names = "".join(sorted(node["externalReference"] for node in data["orders"]["nodes"]))
        assert data["orderCounts"] == {"total": len(names), "archived": names.count("d")}, wanted
        answers.append((wanted, names))
    assert answers == FILTERS


async def test_the_counts_of_each_axis(server: Server) -> None:
    await place_all(server)
    axes = "byStatus { status count } byPaymentStatus { status count } byFulfillmentStatus { status count }"
    counts = (await server.ask(f"{{ orderCounts {{ total archived {axes} }} }}"))["orderCounts"]
    assert counts == {
        "total": 6,
        "archived": 1,
        "byStatus": [
            {"status": "PENDING", "count": 2},
            {"status": "CONFIRMED", "count": 1},
            {"status": "READY_TO_SHIP", "count": 1},
            {"status": "SHIPPED", "count": 1},
            {"status": "CANCELLED", "count": 1},
        ],
        "byPaymentStatus": [
            {"status": "PENDING", "count": 3},
            {"status": "AUTHORIZED", "count": 0},
            {"status": "PARTIALLY_PAID", "count": 1},
            {"status": "PAID", "count": 2},
            {"status": "PARTIALLY_REFUNDED", "count": 0},
            {"status": "REFUNDED", "count": 0},
            {"status": "VOIDED", "count": 0},
        ],
        "byFulfillmentStatus": [
            {"status": "UNFULFILLED", "count": 5},
            {"status": "PARTIALLY_FULFILLED", "count": 0},
            {"status": "FULFILLED", "count": 1},
        ],
    }


@pytest.mark.parametrize(
    ("by", "ascending"),
    [("PLACED_AT", "abcdef"), ("NUMBER", "abcdef"), ("TOTAL", "feabdc"), ("UPDATED_AT", "afbcde")],
)
async def test_sorting(server: Server, by: str, ascending: str) -> None:
    """By total, it is the minor units that count: 10.005 KWD are 10,005, and 1,000 JPY are 1,000 like 10.00 CHF."""
    await place_all(server)
    for direction, expected in (("ASC", ascending), ("DESC", ascending[::-1])):
        data = await server.ask(LIST, {"sort": {"field": by, "direction": direction}})
        assert "".join(node["externalReference"] for node in data["orders"]["nodes"]) == expected


async def test_the_newest_order_comes_first_unless_said_otherwise(server: Server) -> None:
    await place_all(server)
    for sort in (None, {}, {"field": "PLACED_AT"}, {"direction": "DESC"}):
        data = await server.ask(LIST, {"sort": sort})
        assert [node["externalReference"] for node in data["orders"]["nodes"]] == list("fedcba")


async def test_an_order_by_id_number_and_reference(server: Server) -> None:
    order = await server.place(externalReference="R 1", fields="id number")
    fields = "{ id number }"
    data = await server.ask(
        f"""query ($id: ID!) {{
            order(id: $id) {fields} node(id: $id) {{ ... on Order {fields} }}
            plain: orderByNumber(number: "1001") {fields} hash: orderByNumber(number: " #1001 ") {fields}
            orderByReference(channel: "web", externalReference: "R 1") {fields}
            none: orderByNumber(number: "1002") {fields} text: orderByNumber(number: "x") {fields}
            long: orderByNumber(number: "{"9" * 40}") {fields} otherDigits: orderByNumber(number: "١٠٠١") {fields}
            case: orderByReference(channel: "web", externalReference: "r 1") {fields}
        }}""",
        {"id": order["id"]},
    )
    found = dict.fromkeys(("order", "node", "plain", "hash", "orderByReference"), order)
    assert data == found | dict.fromkeys(("none", "text", "long", "otherDigits", "case"))


async def test_each_kind_of_node(server: Server) -> None:
    order = await server.place()
    await server.do("confirmOrder", {"orderId": order["id"]})
    fields = "id channel { id code } fulfillments { id state } events { nodes { id type } }"
    order = await server.do("markReadyToShip", {"orderId": order["id"]}, fields)
    query = """query ($id: ID!) { node(id: $id) { __typename id
        ... on Channel { code } ... on Fulfillment { state } ... on OrderEvent { type } } }"""
    parts = {"Channel": order["channel"], "Fulfillment": order["fulfillments"][0]}
    parts["OrderEvent"] = order["events"]["nodes"][1]
    for kind, part in parts.items():
        assert (await server.ask(query, {"id": part["id"]}))["node"] == {"__typename": kind, **part}
    assert parts["OrderEvent"]["type"] == "ORDER_CONFIRMED"
    assert (await server.ask(query, {"id": order["id"]}))["node"] == {"__typename": "Order", "id": order["id"]}


EVENTS = """query ($filter: OrderEventFilter, $first: Int, $after: String) {
    orderEvents(filter: $filter, first: $first, after: $after) {
        nodes { type order { externalReference } } edges { cursor node { cursor } }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    }
}"""


async def test_the_event_log_page_by_page(server: Server) -> None:
    await place_all(server)
    whole = (await server.ask(EVENTS))["orderEvents"]
    assert len(whole["nodes"]) == 15
    seen: list[dict[str, Any]] = []
    page: dict[str, Any] = {"pageInfo": {"hasNextPage": True, "endCursor": None}}
    while page["pageInfo"]["hasNextPage"]:
        after = page["pageInfo"]["endCursor"]
        page = (await server.ask(EVENTS, {"first": 4, "after": after}))["orderEvents"]
        assert page["pageInfo"]["hasPreviousPage"] is (after is not None)
        assert [edge["cursor"] for edge in page["edges"]] == [edge["node"]["cursor"] for edge in page["edges"]]
        assert page["pageInfo"]["startCursor"] == page["edges"][0]["cursor"]
        seen += page["nodes"]
    assert seen == whole["nodes"]
    last = page["pageInfo"]["endCursor"]
    end = (await server.ask(EVENTS, {"after": last}))["orderEvents"]
    assert end["nodes"] == []
    assert end["pageInfo"] == {"hasNextPage": False, "hasPreviousPage": True, "startCursor": None, "endCursor": last}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"types": ["ORDER_SHIPPED", "ORDER_CANCELLED"]}, ["d ORDER_SHIPPED", "e ORDER_CANCELLED"]),
        ({"toStatus": ["READY_TO_SHIP"]}, ["c ORDER_READY_TO_SHIP"]),
        ({"toStatus": ["CONFIRMED"], "channels": ["till"]}, ["d ORDER_CONFIRMED"]),
        ({"types": ["ORDER_CONFIRMED"]}, ["b ORDER_CONFIRMED", "c ORDER_CONFIRMED", "d ORDER_CONFIRMED"]),
        ({"types": []}, []),
        ({"toStatus": []}, []),
        ({"channels": []}, []),
        ({"orderIds": []}, []),
    ],
)
async def test_filters_of_the_event_log(server: Server, wanted: dict[str, Any], expected: list[str]) -> None:
    await place_all(server)
    events = (await server.ask(EVENTS, {"filter": wanted}))["orderEvents"]
    assert [f"{each['order']['externalReference']} {each['type']}" for each in events["nodes"]] == expected
    assert events["pageInfo"]["hasNextPage"] is False


async def test_the_events_of_some_orders(server: Server) -> None:
    first, second, third = [await server.place(externalReference=name) for name in ("x", "y", "z")]
    await server.do("confirmOrder", {"orderId": first["id"]})
    wanted = {"orderIds": [first["id"], third["id"]]}
    page = (await server.ask(EVENTS, {"filter": wanted, "first": 2}))["orderEvents"]
    assert [each["order"]["externalReference"] for each in page["nodes"]] == ["x", "z"]
    assert page["pageInfo"]["hasNextPage"] is True
    rest = {"filter": wanted, "after": page["pageInfo"]["endCursor"]}
    assert [each["type"] for each in (await server.ask(EVENTS, rest))["orderEvents"]["nodes"]] == ["ORDER_CONFIRMED"]
    assert second["version"] == 1


async def test_the_timelines_of_a_list(server: Server) -> None:
    """Each order's own events, each timeline with its own page."""
    await place_all(server)
    query = """query ($first: Int, $after: String) {
        orders(sort: {field: NUMBER, direction: ASC}) { nodes { version
            events(first: $first, after: $after) {
                nodes { type orderVersion cursor } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
            }
        } }
    }"""
    whole = (await server.ask(query))["orders"]["nodes"]
    assert [node["version"] for node in whole] == [1, 3, 3, 5, 2, 1]
    for node in whole:
        versions = [event["orderVersion"] for event in node["events"]["nodes"]]
        assert versions == list(range(1, node["version"] + 1))
        assert node["events"]["pageInfo"]["hasNextPage"] is False
    short = (await server.ask(query, {"first": 2}))["orders"]["nodes"]
    for node, full in zip(short, whole, strict=True):
        assert node["events"]["nodes"] == full["events"]["nodes"][:2]
        assert node["events"]["pageInfo"]["hasNextPage"] is (node["version"] > 2)
        assert node["events"]["pageInfo"]["endCursor"] == node["events"]["nodes"][-1]["cursor"]
    shipping = whole[3]["events"]["nodes"][2]["cursor"]
    later = (await server.ask(query, {"first": 1, "after": shipping}))["orders"]["nodes"]
    assert [[event["type"] for event in node["events"]["nodes"]] for node in later] == [
        [],
        [],
        [],
        ["ORDER_SHIPPED"],
        ["ORDER_CANCELLED"],
        [],
    ]
    assert [node["events"]["pageInfo"]["hasNextPage"] for node in later] == [False] * 3 + [True, False, False]


async def test_an_event_names_things_by_their_global_ids(server: Server) -> None:
    order = await server.place()
    on = {"orderId": order["id"]}
    await server.do("confirmOrder", on)
    await server.do("markShipped", {**on, "tracking": [{"number": "T-1", "carrier": "Post"}]})
    fields = """lines { id } fulfillments { id } tracking { id } transactions { id }
        events { nodes { type data message actor { kind name } } }"""
    order = await server.do("recordPayment", {**on, "reference": "bank"}, fields)
    events = {event["type"]: event for event in order["events"]["nodes"]}
    lines = [each["id"] for each in order["lines"]]
    fulfillment = order["fulfillments"][0]["id"]
    assert [each["lineId"] for each in events["ORDER_PLACED"]["data"]["lines"]] == lines
    assert events["ORDER_PLACED"]["data"]["total"] == {"amount": "39.80", "currencyCode": "CHF"}
    assert events["ORDER_CONFIRMED"]["data"] == {}
    assert events["TRACKING_ADDED"]["data"] == {
        "trackingId": order["tracking"][0]["id"],
        "fulfillmentId": fulfillment,
        "number": "T-1",
        "carrier": "Post",
        "url": None,
    }
    shipped = [{"lineId": lines[0], "quantity": 2}, {"lineId": lines[1], "quantity": 1}]
    assert events["ORDER_SHIPPED"]["data"] == {"fulfillmentId": fulfillment, "lines": shipped}
    assert events["PAYMENT_RECORDED"]["data"] == {
        "transactionId": order["transactions"][0]["id"],
        "amount": {"amount": "39.80", "currencyCode": "CHF"},
        "gateway": "manual",
        "reference": "bank",
    }
    assert {(each["actor"]["kind"], each["actor"]["name"]) for each in order["events"]["nodes"]} == {
        ("TOKEN", "everything")
    }
    assert key_of(fulfillment).version == 7
