"""Who may do what: each root field without a token, with every scope but its own, and with its own alone.

The tables below say each scope once more, on purpose. A test that read the scope from the command could not fail.
"""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
import pytest
from graphql import GraphQLObjectType

from api.app import create_app
from api.schema import ids
from api.schema.root import schema
from api.settings import Settings
from domain.actors import Scope
from domain.automations import update_automation
from domain.counterparts import record_failure
from domain.fulfillments.services import save_service
from domain.tokens import create_token
from models import Effect, OrderEvent
from models.engine.fields import new_key
from models.enums import AutomationKind, EffectKind, EffectState
from tests.clients import ALL_SCOPES, Server, an_order, live, open_socket
from tests.database import all_rows
from tests.domain.shop import ADA

pytestmark = pytest.mark.wire

READ, WRITE, PLACE = Scope.ORDERS_READ, Scope.ORDERS_WRITE, Scope.ORDERS_PLACE
FULFILL, PAY, SET = Scope.FULFILLMENT_WRITE, Scope.PAYMENTS_WRITE, Scope.SETTINGS_WRITE
TOKENS = Scope.TOKENS_WRITE

QUERIES: dict[str, tuple[Scope | None, str]] = {
    "node": (READ, "($id: ID!) { node(id: $id) { id } }"),
    "liveCursor": (None, "{ liveCursor }"),
    "order": (READ, "($id: ID!) { order(id: $id) { id } }"),
    "orderByNumber": (READ, "($number: String!) { orderByNumber(number: $number) { id } }"),
    "orderByReference": (READ, '{ orderByReference(channel: "web", externalReference: "R-1") { id } }'),
    "orders": (READ, "{ orders { nodes { id } } }"),
    "orderCounts": (READ, "{ orderCounts { total } }"),
    "orderEvents": (READ, "{ orderEvents { nodes { id } } }"),
    "channels": (READ, "{ channels { code } }"),
    "viewer": (None, "{ viewer { name } }"),
    "automations": (SET, "{ automations { kind } }"),
    "fulfillmentServices": (READ, "{ fulfillmentServices { code } }"),
    "failedEffects": (READ, "{ failedEffects { nodes { id } } }"),
    "failingCounterparts": (SET, "{ failingCounterparts { kind } }"),
    "tokens": (TOKENS, "{ tokens { nodes { id } } }"),
}


@dataclass
class Case:
    """A mutation: what it needs, what must have been done with the order before, its input besides the order, and how
    many events it records."""

    scope: Scope
    before: dict[str, dict[str, Any]] = field(default_factory=dict)
    given: dict[str, Any] = field(default_factory=dict)
    events: int = 1


TRACKED: dict[str, dict[str, Any]] = {"confirmOrder": {}, "addTracking": {"number": "T-1"}}

REQUESTED: dict[str, dict[str, Any]] = {"confirmOrder": {}, "requestFulfillment": {}}

MUTATIONS: dict[str, Case] = {
    "placeOrder": Case(PLACE, given=an_order(externalReference="R-2")),
    "confirmOrder": Case(WRITE),
    "cancelOrder": Case(WRITE, given={"reason": "STAFF"}),
    "markReadyToShip": Case(FULFILL, {"confirmOrder": {}}),
    "markShipped": Case(FULFILL, {"confirmOrder": {}}),
    "createDeliveryNote": Case(FULFILL, {"confirmOrder": {}}, events=2),  # opens a fulfillment
    "addTracking": Case(FULFILL, {"confirmOrder": {}}, {"number": "T-1"}, events=2),  # opens a fulfillment
    "updateTracking": Case(FULFILL, TRACKED, {"number": "T-2"}),
    "removeTracking": Case(FULFILL, TRACKED),
    "archiveOrder": Case(WRITE, {"cancelOrder": {"reason": "STAFF"}}),
    "unarchiveOrder": Case(WRITE, {"cancelOrder": {"reason": "STAFF"}, "archiveOrder": {}}),
    "addOrderNote": Case(WRITE, given={"note": "Ring twice."}),
    "holdOrder": Case(WRITE, given={"reason": "Look at this."}),
    "releaseOrder": Case(WRITE, {"holdOrder": {"reason": "Look at this."}}),
    "requestFulfillment": Case(FULFILL, {"confirmOrder": {}}),
    "acceptFulfillment": Case(FULFILL, REQUESTED),
    "rejectFulfillment": Case(FULFILL, REQUESTED, {"reason": "Out of stock."}),
    "capturePayment": Case(PAY),
    "recordPayment": Case(PAY),
    "refundPayment": Case(PAY, {"recordPayment": {}}),
    "voidPayment": Case(PAY),
}

# Those that are not about one order: what they need, and what they are sent ("effect" is its id there, …).
OTHER_MUTATIONS: dict[str, tuple[Scope, dict[str, Any]]] = {
    "createDeliveryNotes": (FULFILL, {"fulfillmentIds": ["fulfillment"]}),
    "updateAutomation": (SET, {"kind": "CONFIRM_ON_ARRIVAL", "enabled": True}),
    "saveFulfillmentService": (SET, {"code": "post", "name": "Post", "email": "post@example.com"}),
    "retryEffect": (WRITE, {"effectId": "effect"}),
    "resendEmail": (WRITE, {"effectId": "effect"}),
    "createToken": (TOKENS, {"name": "Partner", "scopes": ["TOKENS_WRITE"]}),
    "rotateToken": (TOKENS, {"tokenId": "token"}),
    "revokeToken": (TOKENS, {"tokenId": "token"}),
}

# What is malformed in one of these that names nothing by its id, by a field that it has.
MALFORMED: dict[str, dict[str, Any]] = {"code": {"code": "?"}, "kind": {"channel": "?"}, "scopes": {"channels": ["?"]}}

SUBSCRIPTIONS: dict[str, str] = {
    "orderStatusChanged": "{ orderStatusChanged(after: $after) { type } }",
    "orderEvents": "{ orderEvents(after: $after) { type } }",
    "orderCountsChanged": "{ orderCountsChanged { total } }",
}


@pytest.mark.parametrize(
    ("root", "rows"),
    [
        (schema._schema.query_type, QUERIES),
        (schema._schema.mutation_type, {**MUTATIONS, **OTHER_MUTATIONS}),
        (schema._schema.subscription_type, SUBSCRIPTIONS),
    ],
    ids=["queries", "mutations", "subscriptions"],
)
def test_every_root_field_has_a_row(root: GraphQLObjectType, rows: dict[str, Any]) -> None:
    assert list(root.fields) == list(rows)


def refused(answer: dict[str, Any], code: str) -> None:
    """The operation was refused as a whole, and nothing of its data came along."""
    assert [error["extensions"]["code"] for error in answer["errors"]] == [code]
    assert not any((answer.get("data") or {}).values())


def all_but(scope: Scope) -> list[Scope]:
    return [each for each in ALL_SCOPES if each is not scope]


@pytest.mark.parametrize("name", QUERIES)
async def test_a_query_needs_its_scope(server: Server, name: str) -> None:
    scope, query = QUERIES[name]
    query = f"query {query}"
    order = await server.place(externalReference="R-1")
    await enter_service(server)
    await update_automation(actor=ADA, kind=AutomationKind.CONFIRM_ON_ARRIVAL, enabled=True)
    await failed_effect()
    await record_failure("EMAIL:smtp", new_key(), "The server is down.")
    variables = {"id": order["id"], "number": order["number"]}

    refused(await server.send(query, variables, token=None), "UNAUTHENTICATED")
    if scope is not None:
        refused(await server.send(query, variables, await server.new_token(*all_but(scope))), "FORBIDDEN")
    just_enough = await server.new_token(scope or Scope.SETTINGS_WRITE)
    data = await server.ask(query, variables, just_enough)
    assert data[name] not in (None, [], {"nodes": []}, {"total": 0})


async def enter_service(server: Server) -> None:
    given = {"code": "lager", "name": "Lager", "email": "lager@example.com"}
    query = "mutation ($i: SaveFulfillmentServiceInput!) { saveFulfillmentService(input: $i) { userErrors { code } } }"
    await server.ask(query, {"i": given})


async def failed_effect() -> str:
    """The id of an e-mail that was given up."""
    event = await OrderEvent.all().order_by("-id").first()
    assert event is not None
    effect = await Effect.create(
        event_id=event.id,
        order_id=event.order_id,
        channel_id=event.channel_id,
        kind=EffectKind.EMAIL,
        subject="ORDER_CONFIRMATION",
        target="anna@example.com",
        state=EffectState.FAILED,
        due_at=event.occurred_at,
        created_at=event.occurred_at,
    )
    return ids.encode("Effect", effect.id)


async def place_for(server: Server, name: str, **given: Any) -> dict[str, Any]:
    """An order with which the mutation can be carried out, once the steps before it are."""
    if name.endswith("Fulfillment"):
        await enter_service(server)
        given["lines"] = [{**line, "service": "lager"} for line in an_order()["lines"]]
    if name == "voidPayment":
        given["payments"] = [{"kind": "AUTHORIZATION", "amount": "39.80"}]
    return await server.place(**given)


PARTS = "id tracking { id } fulfillments { id }"


def parts_for(name: str, order: dict[str, Any] | None = None) -> dict[str, str]:
    """The part of the order that a mutation is about, besides the order; of an order with such a part, or of none."""
    if name in ("updateTracking", "removeTracking"):
        return {"trackingId": order["tracking"][0]["id"] if order else ids.encode("Tracking", new_key())}
    if name in ("acceptFulfillment", "rejectFulfillment"):
        return {"fulfillmentId": order["fulfillments"][0]["id"] if order else ids.encode("Fulfillment", new_key())}
    return {}


async def prepared(server: Server, name: str, reference: str = "R-1") -> dict[str, Any]:
    """The input of a mutation that can be carried out now; the reference is that of its order."""
    case = MUTATIONS[name]
    if name == "placeOrder":
        return case.given
    order = await place_for(server, name, externalReference=reference)
    for step, step_input in case.before.items():
        order = await server.do(step, {"orderId": order["id"], **step_input}, PARTS)
    return {**case.given, "orderId": order["id"], **parts_for(name, order)}


def document(name: str) -> str:
    input_type = name[0].upper() + name[1:] + "Input!"
    return f"mutation ($input: {input_type}) {{ {name}(input: $input) {{ order {{ id }} userErrors {{ code }} }} }}"


@pytest.mark.parametrize("name", MUTATIONS)
async def test_a_mutation_needs_its_scope(server: Server, name: str) -> None:
    given = {"input": await prepared(server, name)}
    scope = MUTATIONS[name].scope
    everything_else = await server.new_token(*all_but(scope))
    just_enough = await server.new_token(scope)

    before = await all_rows()
    refused(await server.send(document(name), given, token=None), "UNAUTHENTICATED")
    refused(await server.send(document(name), given, everything_else), "FORBIDDEN")
    assert await all_rows() == before

    payload = (await server.ask(document(name), given, just_enough))[name]
    assert payload["userErrors"] == []
    assert payload["order"]["id"]
    after = await all_rows()
    assert len(after["order_events"]) == len(before["order_events"]) + MUTATIONS[name].events


@pytest.mark.parametrize("name", MUTATIONS)
async def test_a_mutation_with_a_malformed_input_needs_its_scope(server: Server, name: str) -> None:
    """Nobody learns from a refusal of the input what they may not ask for."""
    given = {"input": {**await prepared(server, name)}}
    given["input"]["channel" if name == "placeOrder" else "orderId"] = "?"
    refused(await server.send(document(name), given, token=None), "UNAUTHENTICATED")
    everything_else = await server.new_token(*all_but(MUTATIONS[name].scope))
    refused(await server.send(document(name), given, everything_else), "FORBIDDEN")


@pytest.mark.parametrize("malformed", [False, True])
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.rendering] * (name == "createDeliveryNotes")) for name in OTHER_MUTATIONS],
)
async def test_a_mutation_of_nothing_in_particular_needs_its_scope(server: Server, name: str, malformed: bool) -> None:
    scope, given = OTHER_MUTATIONS[name]
    order = await server.place()
    await server.do("confirmOrder", {"orderId": order["id"]})
    order = await server.do("markReadyToShip", {"orderId": order["id"]}, PARTS)
    token = ids.encode("Token", UUID((await server.actor(await server.new_token(TOKENS))).id))
    names = {"effect": await failed_effect(), "fulfillment": order["fulfillments"][0]["id"], "token": token}
    if malformed:
        names = dict.fromkeys(names, "?")
        given = given | next((wrong for key, wrong in MALFORMED.items() if key in given), {})
    given = {key: named(value, names) for key, value in given.items()}
    input_type = name[0].upper() + name[1:] + "Input!"
    query = f"mutation ($input: {input_type}) {{ {name}(input: $input) {{ userErrors {{ code }} }} }}"
    before = await all_rows()
    refused(await server.send(query, {"input": given}, token=None), "UNAUTHENTICATED")
    refused(await server.send(query, {"input": given}, await server.new_token(*all_but(scope))), "FORBIDDEN")
    tokens = before.pop("api_tokens")
    after = await all_rows()
    assert len(after.pop("api_tokens")) == len(tokens) + 1
    assert after == before
    data = await server.ask(query, {"input": given}, await server.new_token(scope))
    assert [error["code"] for error in data[name]["userErrors"]] == ["INVALID_INPUT"] * malformed


def named(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, list):
        return [named(each, names) for each in value]
    return names.get(value, value) if isinstance(value, str) else value


async def first_of_stream(server: Server, query: str, variables: dict[str, Any], token: str | None) -> dict[str, Any]:
    """The first answer of a subscription over server-sent events."""
    headers = {"Accept": "text/event-stream"} | ({"Authorization": f"Bearer {token}"} if token else {})
    body = {"query": query, "variables": variables}
    async with server.http.stream("POST", server.url, json=body, headers=headers) as response:
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                answer: dict[str, Any] = orjson.loads(line.removeprefix("data: "))
                return answer
    raise AssertionError("the stream ended without an answer")


def subscription_of(name: str) -> str:
    arguments = "($after: String)" if "$after" in SUBSCRIPTIONS[name] else ""
    return f"subscription {arguments} {SUBSCRIPTIONS[name]}"


@pytest.mark.parametrize("name", SUBSCRIPTIONS)
async def test_a_subscription_needs_its_scope(server: Server, name: str) -> None:
    query = subscription_of(name)
    order = await server.place()
    cursor = (await server.ask("{ orderEvents { pageInfo { endCursor } } }"))["orderEvents"]["pageInfo"]["endCursor"]
    variables = {"after": cursor} if "$after" in query else {}
    await server.do("confirmOrder", {"orderId": order["id"]})
    everything_else = await server.new_token(*all_but(READ))
    just_enough = await server.new_token(READ)

    refused(await first_of_stream(server, query, variables, None), "UNAUTHENTICATED")
    refused(await first_of_stream(server, query, variables, everything_else), "FORBIDDEN")
    async with live(server, everything_else) as client:
        await client.subscribe(query, variables)
        message = await client.receive()
        payload = message["payload"]
        errors = payload if isinstance(payload, list) else payload["errors"]
        assert [error["extensions"]["code"] for error in errors] == ["FORBIDDEN"]

    expected = {"total": 1} if name == "orderCountsChanged" else {"type": "ORDER_CONFIRMED"}
    assert await first_of_stream(server, query, variables, just_enough) == {"data": {name: expected}}
    async with live(server, just_enough) as client:
        await client.subscribe(query, variables)
        assert (await client.next())[name] == expected


# What a fulfillment service may do with what it was asked to ship. It reads nothing but whose token it has.
OF_SERVICES = {
    "markShipped",
    "addTracking",
    "updateTracking",
    "removeTracking",
    "acceptFulfillment",
    "rejectFulfillment",
}


async def test_a_service_that_was_asked_for_nothing_reaches_nothing(server: Server) -> None:
    """Every root field there is, with the token of a fulfillment service: others are refused, its own find nothing."""
    await save_service(actor=ADA, code="post", name="Post", email="post@example.com")
    _, secret = await create_token(actor=ADA, name="Post", scopes=[FULFILL], service="post")
    inputs = {name: await prepared(server, name, reference=name) for name in MUTATIONS}
    effect, order = await failed_effect(), await server.place()
    before = await all_rows()
    for name, (_, query) in QUERIES.items():
        answer = await server.send(f"query {query}", {"id": order["id"], "number": order["number"]}, secret)
        if name == "viewer":
            assert answer == {"data": {"viewer": {"name": "Post"}}}
        elif name == "liveCursor":
            assert answer["data"]["liveCursor"]
        else:
            refused(answer, "FORBIDDEN")
    for name in ("markShipped", "addTracking"):  # a service says which fulfillment
        inputs[name]["fulfillmentId"] = ids.encode("Fulfillment", new_key())
    for name, given in inputs.items():
        answer = await server.send(document(name), {"input": given}, secret)
        if name in OF_SERVICES:
            assert answer["data"][name] == {"order": None, "userErrors": [{"code": "NOT_FOUND"}]}, name
        else:
            refused(answer, "FORBIDDEN")
    names = {"effect": effect, "fulfillment": ids.encode("Fulfillment", new_key()), "token": order["id"]}
    for name, (_, rest) in OTHER_MUTATIONS.items():
        query = f"mutation ($i: {name[0].upper()}{name[1:]}Input!) {{ {name}(input: $i) {{ userErrors {{ code }} }} }}"
        given = {key: named(value, names) for key, value in rest.items()}
        refused(await server.send(query, {"i": given}, secret), "FORBIDDEN")
    for name in SUBSCRIPTIONS:
        refused(await first_of_stream(server, subscription_of(name), {}, secret), "FORBIDDEN")
    assert await all_rows() == before


async def test_a_socket_without_a_token_is_closed(server: Server) -> None:
    async with open_socket(server) as client:
        await client.send({"type": "connection_init"})
        code, reason = await client.closed()
    assert (code, reason) == (4403, "Forbidden: send a token as Authorization in the connection_init payload")


@pytest.mark.parametrize("given", ["Bearer", "Bearer ost_nobody", "Bearer nonsense", "Basic YTpi", "ost_x"])
async def test_a_token_that_is_none_is_refused(server: Server, given: str) -> None:
    response = await server.http.post(
        server.url, json={"query": "{ viewer { name } }"}, headers={"Authorization": given}
    )
    assert response.status_code == 401
    assert response.json()["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED"}


async def test_the_schema_needs_a_token(server: Server) -> None:
    query = "{ __typename __schema { queryType { name } } }"
    assert (await server.send(query, token=None))["errors"][0]["extensions"] == {"code": "BAD_USER_INPUT"}
    assert await server.ask(query) == {"__typename": "Query", "__schema": {"queryType": {"name": "Query"}}}


# Who may come without a token, by path: everybody, who has a signed link, or who signs.
ROUTES: dict[str, int | None] = {
    "/": 307,
    "/graphql": None,  # each root field says for itself
    "/delivery-notes/{id}.pdf": 401,
    "/delivery-notes.pdf": 401,
    "/downloads/{id}": 403,
    "/webhooks/{gateway}": 404,  # none are expected
    "/healthz": 200,
    "/readyz": 200,
    "/metrics": None,  # everybody, where it is turned on
    "/graphiql": 307,  # the folder of its files
}


async def test_every_route_says_who_may_come_without_a_token(server: Server, database_url: str) -> None:
    routes = create_app(Settings(database_url=database_url, metrics=True)).routes
    assert {route.path for route in routes} == set(ROUTES)  # type: ignore[attr-defined]
    for path, status in ROUTES.items():
        if status is not None:
            method = "POST" if path.startswith("/webhooks") else "GET"
            url = f"http://127.0.0.1:{server.port}{path.format(id=new_key(), gateway='stripe')}"
            assert (await server.http.request(method, url)).status_code == status, path
