"""A token that is bound to channel a reaches nothing of channel b, by no way."""

from dataclasses import dataclass
from itertools import product
from typing import Any
from uuid import UUID

import pytest

from api.schema import ids
from domain.actors import Scope
from domain.change import Target
from domain.delivery_notes.commands import create_delivery_note
from models import ApiToken
from models.engine.fields import new_key
from tests.api.test_access import MUTATIONS, OTHER_MUTATIONS, failed_effect, named, parts_for
from tests.clients import Server, an_order, key_of, live
from tests.database import all_rows
from tests.domain.shop import ADA, ISSUER

pytestmark = pytest.mark.wire

ERROR = "{ code message field }"
CUSTOMER = {"email": "anna@example.com"}
EVENTS = "subscription ($after: String, $filter: OrderEventFilter) { orderEvents(after: $after, filter: $filter)"
EVENT_FIELDS = "{ type cursor order { channel { code } } } }"

STATE = """id number version
    lines { id } fulfillments { id } deliveryNotes { id number } tracking { id } transactions { id }
    customer { id } channel { id } events { nodes { id cursor } }"""


@dataclass
class World:
    """Two channels with an order each, alike but for the channel: half shipped, half paid, tracked, same customer."""

    server: Server
    token: str
    a: dict[str, Any]
    b: dict[str, Any]

    async def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """What the token that is bound to channel a is answered."""
        return await self.server.ask(query, variables, self.token)


async def half_done(server: Server, channel: str, name: str) -> dict[str, Any]:
    order = await server.place(
        channel=channel,
        externalReference=f"{channel}-ref",
        customer={**CUSTOMER, "name": name, "phone": f"+41 {channel}"},
        tags=["gift", f"only-{channel}"],
    )
    on = {"orderId": order["id"]}
    await server.do("confirmOrder", on)
    await server.do("recordPayment", {**on, "amount": {"amount": "10.00"}})
    line = {"lineId": order["lines"][0]["id"], "quantity": 1}
    given = {**on, "lines": [line], "tracking": [{"number": f"{channel}-track"}]}
    [shipped] = (await server.do("markShipped", given, "fulfillments { id }"))["fulfillments"]
    await create_delivery_note(
        actor=ADA, target=Target(key_of(order["id"])), issuer=ISSUER, fulfillment_id=key_of(shipped["id"])
    )
    query = f"query ($id: ID!) {{ order(id: $id) {{ {STATE} }} }}"
    state: dict[str, Any] = (await server.ask(query, {"id": order["id"]}))["order"]
    return state


@pytest.fixture
async def world(server: Server) -> World:
    a = await half_done(server, "a", "Anna Alder")
    b = await half_done(server, "b", "Anna Birch")
    return World(server, await server.new_token(channels=("a",)), a, b)


def node_ids(order: dict[str, Any]) -> dict[str, str]:
    return {
        "Order": order["id"],
        "Channel": order["channel"]["id"],
        "Fulfillment": order["fulfillments"][0]["id"],
        "DeliveryNote": order["deliveryNotes"][0]["id"],
        "OrderEvent": order["events"]["nodes"][0]["id"],
    }


KINDS = ["Order", "Channel", "Fulfillment", "DeliveryNote", "OrderEvent"]


async def test_a_node_of_another_channel_does_not_exist(world: World) -> None:
    by_graphql_core = "__schema { queryType { name } }"  # which no plan knows
    for kind, more in product(KINDS, ["", by_graphql_core]):
        query = f"query ($id: ID!) {{ node(id: $id) {{ __typename id }} {more} }}"
        own, other = node_ids(world.a)[kind], node_ids(world.b)[kind]
        assert (await world.ask(query, id=own))["node"] == {"__typename": kind, "id": own}
        assert (await world.ask(query, id=other))["node"] is None


async def test_every_kind_of_node_is_in_the_table() -> None:
    from api.schema.root import schema

    node = schema._schema.get_type("Node")
    kinds = {each.name for each in schema._schema.get_possible_types(node)}  # type: ignore[arg-type]
    assert kinds == {"Order", "Channel", "Fulfillment", "DeliveryNote", "OrderEvent"}


async def test_orders_of_another_channel_cannot_be_looked_up(world: World) -> None:
    by_id = "query ($id: ID!) { order(id: $id) { id } }"
    assert (await world.ask(by_id, id=world.a["id"]))["order"] == {"id": world.a["id"]}
    assert (await world.ask(by_id, id=world.b["id"]))["order"] is None
    by_number = "query ($number: String!) { orderByNumber(number: $number) { id } }"
    assert (await world.ask(by_number, number=world.a["number"]))["orderByNumber"] == {"id": world.a["id"]}
    assert (await world.ask(by_number, number=world.b["number"]))["orderByNumber"] is None
    by_reference = "query ($c: String!, $r: String!) { orderByReference(channel: $c, externalReference: $r) { id } }"
    assert (await world.ask(by_reference, c="a", r="a-ref"))["orderByReference"] == {"id": world.a["id"]}
    assert (await world.ask(by_reference, c="b", r="b-ref"))["orderByReference"] is None
    assert (await world.ask(by_reference, c="a", r="b-ref"))["orderByReference"] is None


LIST = "query ($filter: OrderFilter, $search: String) { orders(filter: $filter, search: $search) { nodes { id } } }"


OWN_FILTERS = [
    {},
    {"channels": ["a", "b"]},
    {"or": [{"channels": ["b"]}, {"channels": ["a"]}]},
    {"or": [{}]},
    {"not": {"channels": ["b"]}},
    {"not": {"channels": ["nowhere"]}},
    {"not": {"not": {}}},
    {"tags": ["gift", "only-b"]},
    {"and": [{}, {}]},
]


async def test_no_filter_leads_to_another_channel(world: World) -> None:
    for filter in OWN_FILTERS:
        assert (await world.ask(LIST, filter=filter))["orders"]["nodes"] == [{"id": world.a["id"]}]
        counts = "query ($filter: OrderFilter) { orderCounts(filter: $filter) { total byStatus { status count } } }"
        found = (await world.ask(counts, filter=filter))["orderCounts"]
        assert found["total"] == 1
        assert {each["status"]: each["count"] for each in found["byStatus"] if each["count"]} == {"CONFIRMED": 1}


OTHER_FILTERS = [{"channels": ["b"]}, {"tags": ["only-b"]}, {"not": {"channels": ["a"]}}, {"not": {}}, {"or": []}]


async def test_a_filter_that_means_another_channel_means_nothing(world: World) -> None:
    for filter in OTHER_FILTERS:
        assert (await world.ask(LIST, filter=filter))["orders"]["nodes"] == []
        counts = "query ($filter: OrderFilter) { orderCounts(filter: $filter) { total archived } }"
        assert (await world.ask(counts, filter=filter))["orderCounts"] == {"total": 0, "archived": 0}


async def test_a_search_finds_nothing_of_another_channel(world: World) -> None:
    for search in ["b-ref", "b-track", "Birch", "Anna B"]:
        assert (await world.ask(LIST, search=search))["orders"]["nodes"] == []
        everything = await world.server.ask(LIST, {"search": search})
        assert everything["orders"]["nodes"] == [{"id": world.b["id"]}]


async def test_a_search_that_both_channels_answer_finds_the_own(world: World) -> None:
    for search in ["", "anna", "sock", "anna@example.com", "LS-"]:
        assert (await world.ask(LIST, search=search))["orders"]["nodes"] == [{"id": world.a["id"]}]


async def test_events_of_another_channel_do_not_exist(world: World) -> None:
    query = "query ($filter: OrderEventFilter) { orderEvents(filter: $filter) { nodes { order { id } } } }"
    events = (await world.ask(query))["orderEvents"]["nodes"]
    assert events == [{"order": {"id": world.a["id"]}}] * world.a["version"]
    for filter in ({"channels": ["b"]}, {"orderIds": [world.b["id"]]}):
        assert (await world.ask(query, filter=filter))["orderEvents"]["nodes"] == []


async def test_the_viewer_has_its_own_channel_only(world: World) -> None:
    data = await world.ask("{ channels { code } viewer { allChannels channels { code } } }")
    assert data == {"channels": [{"code": "a"}], "viewer": {"allChannels": False, "channels": [{"code": "a"}]}}


@pytest.mark.parametrize("name", [name for name in MUTATIONS if name != "placeOrder"])
async def test_no_mutation_reaches_an_order_of_another_channel(world: World, name: str) -> None:
    given = {**MUTATIONS[name].given, "orderId": world.b["id"], "idempotencyKey": "k"}
    given |= parts_for(name, world.b)
    before = await all_rows()
    payload = await world.server.mutate(name, given, token=world.token)
    unknown = {**given, "orderId": str(ids.encode("Order", key_of(world.b["lines"][0]["id"])))}
    assert payload == await world.server.mutate(name, unknown, token=world.token), "it looks like an unknown order"
    [error] = payload["userErrors"]
    assert payload["order"] is None
    assert (error["code"], error["field"], error["message"]) == ("NOT_FOUND", ["orderId"], "There is no such order.")
    assert await all_rows() == before


@pytest.mark.rendering  # which delivery notes need before anything is looked up
async def test_what_is_named_of_another_channel_looks_like_what_there_is_not(world: World) -> None:
    """Mutations that are not about one order: each says of a part of channel b what it says of a made-up id."""
    theirs = {
        "effect": await failed_effect(),
        "fulfillment": world.b["fulfillments"][0]["id"],
        "token": str(ids.encode("Token", await key_of_token(world.server, "b"))),
    }
    unknown = {name: str(ids.encode(name.title(), new_key())) for name in theirs}
    before = await all_rows()
    for name, (_, given) in OTHER_MUTATIONS.items():
        if not any(key.endswith(("Id", "Ids")) for key in given):
            continue
        each = f"results {{ deliveryNote {{ id }} userErrors {ERROR} }}" if name == "createDeliveryNotes" else ""
        query = (
            f"mutation ($i: {name[0].upper()}{name[1:]}Input!) {{ {name}(input: $i) {{ {each} userErrors {ERROR} }} }}"
        )
        answers = [
            await world.ask(query, i={key: named(value, names) for key, value in given.items()})
            for names in (theirs, unknown)
        ]
        assert answers[0] == answers[1], name
        [result] = answers[0][name].get("results", [answers[0][name]])
        assert [error["code"] for error in result["userErrors"]] == ["NOT_FOUND"], name
    assert await all_rows() == before


async def key_of_token(server: Server, channel: str) -> UUID:
    return UUID((await server.actor(await server.new_token(channels=(channel,)))).id)


async def test_placing_into_another_channel_is_refused(world: World) -> None:
    before = await all_rows()
    refusals = [
        (await world.server.mutate("placeOrder", an_order(channel=channel), token=world.token))["userErrors"]
        for channel in ("b", "never-opened")
    ]
    assert [(error["code"], error["field"]) for error in refusals[0]] == [("INVALID_INPUT", ["channel"])]
    assert refusals[0] == refusals[1], "it looks like a channel that does not exist"
    assert await all_rows() == before


@pytest.mark.parametrize(
    ("name", "code", "path"),
    [
        ("markReadyToShip", "INVALID_INPUT", ["lines", "0", "lineId"]),
        ("markShipped", "INVALID_INPUT", ["lines", "0", "lineId"]),
        ("addTracking", "NOT_FOUND", ["fulfillmentId"]),
        ("createDeliveryNote", "NOT_FOUND", ["fulfillmentId"]),
        ("createDeliveryNote", "NOT_FOUND", ["replaces"]),
        ("updateTracking", "NOT_FOUND", ["trackingId"]),
        ("removeTracking", "NOT_FOUND", ["trackingId"]),
    ],
)
async def test_parts_of_another_channels_order_are_no_parts_of_ones_own(
    world: World, name: str, code: str, path: list[str]
) -> None:
    parts: dict[str, Any] = {
        "lines": [{"lineId": world.b["lines"][0]["id"], "quantity": 1}],
        "fulfillmentId": world.b["fulfillments"][0]["id"],
        "trackingId": world.b["tracking"][0]["id"],
        "replaces": world.b["deliveryNotes"][0]["id"],
    }
    given = {"orderId": world.a["id"], path[0]: parts[path[0]]}
    if name in ("addTracking", "updateTracking"):
        given["number"] = "mine"
    before = await all_rows()
    payload = await world.server.mutate(name, given, token=world.token)
    assert [(error["code"], error["field"]) for error in payload["userErrors"]] == [(code, path)]
    assert await all_rows() == before


async def test_a_fulfillment_of_another_channel_cannot_be_shipped(world: World) -> None:
    given = {"orderId": world.a["id"], "fulfillmentId": world.b["fulfillments"][0]["id"]}
    before = await all_rows()
    payload = await world.server.mutate("markShipped", given, token=world.token)
    assert [(each["code"], each["field"]) for each in payload["userErrors"]] == [("NOT_FOUND", ["fulfillmentId"])]
    assert await all_rows() == before


async def test_the_same_customer_in_two_channels_is_two(world: World) -> None:
    assert world.a["customer"]["id"] != world.b["customer"]["id"]
    fields = "id customer { name phone }"
    placed = await world.server.place(fields=fields, token=world.token, channel="a", customer=CUSTOMER)
    assert placed["customer"] == {"name": "Anna Alder", "phone": "+41 a"}
    renamed = {**CUSTOMER, "name": "Somebody Else", "phone": "1"}
    await world.server.place(token=world.token, channel="a", customer=renamed)
    query = "query ($id: ID!) { order(id: $id) { customer { name phone } } }"
    other = await world.server.ask(query, {"id": world.b["id"]})
    assert other["order"]["customer"] == {"name": "Anna Birch", "phone": "+41 b"}


async def test_an_external_reference_of_another_channel_is_free(world: World) -> None:
    placed = await world.server.place(token=world.token, channel="a", externalReference="b-ref")
    assert placed["version"] == 1


async def test_an_idempotency_key_belongs_to_its_token(world: World) -> None:
    note = {"note": "once", "idempotencyKey": "k"}
    await world.server.do("addOrderNote", {**note, "orderId": world.b["id"]})
    other = await world.server.new_token(channels=("b",))
    await world.server.do("addOrderNote", {**note, "orderId": world.b["id"]}, token=other)
    own = await world.server.do("addOrderNote", {**note, "orderId": world.a["id"]}, "id note", token=world.token)
    assert own == {"id": world.a["id"], "note": "once"}
    again = await world.server.do("addOrderNote", {**note, "orderId": world.a["id"]}, "id note", token=world.token)
    assert again == own


async def test_a_key_that_acted_on_what_is_no_longer_visible_gives_nothing_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should a token's channels be narrowed, its old keys are no way back."""
    monkeypatch.setattr("domain.tokens.KNOWN_SECONDS", 0.0)
    given = {**an_order(channel="b"), "idempotencyKey": "k"}
    both = await world.server.new_token(channels=("a", "b"))
    await world.server.do("placeOrder", given, token=both)
    token_id = (await world.server.actor(both)).id
    await ApiToken.filter(id=token_id).update(channel_ids=[str(key_of(world.a["channel"]["id"]))])
    payload = await world.server.mutate("placeOrder", given, token=both)
    assert payload["order"] is None
    assert [each["code"] for each in payload["userErrors"]] == ["NOT_FOUND"]


async def test_a_subscription_tells_nothing_of_another_channel(world: World) -> None:
    """Neither from the log, with `after` from before its events, nor live."""
    beginning = world.a["events"]["nodes"][0]["cursor"]
    async with live(world.server, world.token) as client:
        await client.subscribe(EVENTS + EVENT_FIELDS, {"after": beginning}, "all")
        only_b: dict[str, Any] = {"filter": {"channels": ["b"]}, "after": beginning}
        await client.subscribe(EVENTS + EVENT_FIELDS, only_b, "by channel")
        only_b = {"filter": {"orderIds": [world.b["id"]]}, "after": beginning}
        await client.subscribe(EVENTS + EVENT_FIELDS, only_b, "by order")
        status = "subscription ($after: String) { orderStatusChanged(after: $after) { order { channel { code } } } }"
        await client.subscribe(status, {"after": beginning}, "statuses")

        on_b, on_a = {"orderId": world.b["id"]}, {"orderId": world.a["id"]}
        await world.server.do("recordPayment", on_b)
        await world.server.do("cancelOrder", {**on_b, "reason": "STAFF"})
        await world.server.do("addOrderNote", {**on_b, "note": "b"})
        await world.server.do("recordPayment", on_a)
        await world.server.do("addOrderNote", {**on_a, "note": "a"})
        await world.server.do("markShipped", on_a)

        heard: dict[str, list[dict[str, Any]]] = {"all": [], "by channel": [], "by order": [], "statuses": []}
        while not (heard["all"] and heard["all"][-1]["type"] == "ORDER_SHIPPED" and len(heard["statuses"]) == 5):
            message = await client.receive()
            assert message["type"] == "next"
            [event] = message["payload"]["data"].values()
            heard[message["id"]].append(event)

    assert [event["type"] for event in heard["all"]] == [
        "ORDER_CONFIRMED",
        "PAYMENT_RECORDED",
        "TRACKING_ADDED",
        "FULFILLMENT_SHIPPED",
        "DELIVERY_NOTE_CREATED",
        "PAYMENT_RECORDED",
        "NOTE_ADDED",
        "ORDER_SHIPPED",
    ]
    assert heard["by channel"] == heard["by order"] == []
    assert {event["order"]["channel"]["code"] for event in heard["all"] + heard["statuses"]} == {"a"}


async def test_counts_do_not_tick_with_another_channel(world: World) -> None:
    query = "subscription { orderCountsChanged { total byStatus { status count } } }"
    async with live(world.server, world.token) as bound, live(world.server) as free:
        await bound.subscribe(query)
        await free.subscribe(query)
        assert (await bound.next())["orderCountsChanged"]["total"] == 1
        assert (await free.next())["orderCountsChanged"]["total"] == 2
        await world.server.place(channel="b")
        assert (await free.next())["orderCountsChanged"]["total"] == 3
        await world.server.place(channel="a")
        assert (await bound.next())["orderCountsChanged"]["total"] == 2


async def test_a_subscription_of_another_channels_orders_still_needs_the_scope(world: World) -> None:
    writer = await world.server.new_token(Scope.ORDERS_WRITE, channels=("b",))
    async with live(world.server, writer) as client:
        await client.subscribe(EVENTS + EVENT_FIELDS)
        message = await client.receive()
    payload = message["payload"]
    errors = payload if isinstance(payload, list) else payload["errors"]
    assert [error["extensions"]["code"] for error in errors] == ["FORBIDDEN"]
