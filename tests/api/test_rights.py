"""What callers see of what they may act on or read: each field, by its right."""

from random import Random
from typing import Any, ClassVar

import orjson
import pytest
import strawberry
from graphql import GraphQLObjectType, get_named_type, is_leaf_type

from api.execution import rights
from api.execution.execution import run
from api.execution.executor import prepare
from api.execution.operations import NotUnderstood
from api.execution.plan import Plan
from api.execution.requests import Request
from api.schema.ids import encode
from domain.actors import Forbidden, Scope
from domain.change import Target, change
from domain.delivery_notes.commands import create_delivery_note
from domain.events import EmailSent
from domain.orders.commands import confirm_order
from domain.stream.event_log import cursor_at, last_place
from domain.tokens import create_token
from models import Effect, Order
from models.engine.fields import new_key
from models.enums import EmailKind
from tests.api.random_documents import RandomDocument
from tests.api.test_access import FULFILL, PAY, PLACE, READ, SET, WRITE, failed_effect
from tests.api.test_compiling import CORE, known_values, some_of_everything, valid
from tests.clients import Server, an_order, key_of, live, until
from tests.domain.shop import ADA, ISSUER, on

pytestmark = pytest.mark.wire

CUSTOMERS = Scope.CUSTOMERS_READ

PERSONAL = {
    "email": "anna@example.com",
    "name": "Anna Muster",
    "phone": "+41 79 000 00 00",
}
SHIPPING = {"name": "Anna Muster", "address1": "Seeweg 1", "city": "Thun", "countryCode": "CH"}
BILLING = {"name": "Muster AG", "address1": "Marktgasse 7", "city": "Bern", "countryCode": "CH"}
NOTE = "Ring twice at Muster's."
SECRETS = (*PERSONAL.values(), "Seeweg", "Thun", "Marktgasse", "Muster", "pi_secret", "twice")

SAFE = {
    "id",
    "number",
    "version",
    "source",
    "externalReference",
    "externalNumber",
    "status",
    "paymentStatus",
    "fulfillmentStatus",
    "placedAt",
    "updatedAt",
    "confirmedAt",
    "shippedAt",
    "cancelledAt",
    "cancelReason",
    "archivedAt",
    "heldAt",
    "channel",
    "availableActions",
}
GOODS = {"lines", "fulfillments", "tracking"}
SUMS = {
    "subtotal",
    "discountTotal",
    "shippingTotal",
    "taxTotal",
    "taxesIncluded",
    "total",
    "paidTotal",
    "refundedTotal",
    "outstanding",
}
OF_CUSTOMERS = {"customer", "billingAddress", "shippingAddress", "note"}
OF_READERS = {"holdReason", "locale", "tags", "transactions", "events", "deliveryNotes"}


def order_type() -> GraphQLObjectType:
    type_ = CORE.type_map["Order"]
    assert isinstance(type_, GraphQLObjectType)
    return type_


ALL = SAFE | GOODS | SUMS | OF_CUSTOMERS | OF_READERS


def a_full_order(**given: Any) -> dict[str, Any]:
    lines = [{**line, "service": "lager"} for line in an_order()["lines"]]
    lines.append({"title": "Scarf", "quantity": 1, "unitPrice": "15.00"})
    return {
        **an_order(lines=lines),
        "customer": PERSONAL,
        "shippingAddress": SHIPPING,
        "billingAddress": BILLING,
        "note": NOTE,
        "payments": [{"kind": "AUTHORIZATION", "amount": "39.80", "reference": "pi_secret"}],
        **given,
    }


async def a_service(server: Server, code: str = "lager") -> str:
    """The token of a fulfillment service, which is entered first."""
    given = {"code": code, "name": code.title(), "url": f"https://{code}.example.com/hook"}
    query = "mutation ($i: SaveFulfillmentServiceInput!) { saveFulfillmentService(input: $i) { userErrors { code } } }"
    await server.ask(query, {"i": given})
    _, secret = await create_token(actor=ADA, name=code.title(), scopes=[FULFILL], service=code)
    return secret


def test_each_field_of_an_order_is_in_one_of_these_lists() -> None:
    """A new field fails this test until somebody says here who sees it."""
    assert set(order_type().fields) == ALL


@pytest.mark.parametrize(("named", "missing"), [("name", "secret"), ("name secret other", "other")])
def test_a_field_without_a_right_or_a_right_without_a_field_stops_the_server(named: str, missing: str) -> None:
    @strawberry.type
    class Query:
        RIGHTS: ClassVar = {rights.GIVEN: named}
        name: str
        secret: str

    with pytest.raises(LookupError, match=rf"Query.*\['{missing}'\]"):
        rights.apply(strawberry.Schema(query=Query)._schema)


def selection(name: str) -> str:
    return name if is_leaf_type(get_named_type(order_type().fields[name].type)) else f"{name} {{ __typename }}"


async def seen_of_order(server: Server, mutation: str, given: dict[str, Any], token: str) -> set[str]:
    """The fields of the order that the mutation, which changes nothing any more, shows to this caller."""
    seen = set()
    for name in order_type().fields:
        query = f"""mutation ($input: {mutation[0].upper()}{mutation[1:]}Input!) {{
            {mutation}(input: $input) {{ order {{ id {selection(name)} }} userErrors {{ code }} }} }}"""
        answer = await server.send(query, {"input": given}, token)
        payload = answer["data"][mutation]
        assert payload["userErrors"] == []
        errors = answer.get("errors", [])
        if not errors:
            seen.add(name)
            continue
        [error] = errors
        assert (error["extensions"]["code"], error["path"]) == ("FORBIDDEN", [mutation, "order", name])
        assert not (payload["order"] or {}).get(name)
    return seen


async def test_a_payload_shows_what_the_callers_scopes_let_it_read(server: Server) -> None:
    await a_service(server)
    order = await server.do("placeOrder", a_full_order())
    on = {"orderId": order["id"]}
    paying = {**on, "amount": {"amount": "1.00"}, "idempotencyKey": "pay"}
    placing = a_full_order(externalReference="R-9", idempotencyKey="place")
    await server.do("confirmOrder", on)
    await server.do("markReadyToShip", on)
    for mutation, given, scopes, expected in (
        ("releaseOrder", on, [WRITE], SAFE),
        ("releaseOrder", on, [WRITE, CUSTOMERS], SAFE),
        ("releaseOrder", on, [WRITE, SET], SAFE),
        ("releaseOrder", on, [WRITE, READ], ALL - OF_CUSTOMERS),
        ("releaseOrder", on, [WRITE, READ, CUSTOMERS], ALL),
        ("markReadyToShip", on, [FULFILL], SAFE | GOODS | {"deliveryNotes"}),
        ("recordPayment", paying, [PAY], SAFE | SUMS),
        ("placeOrder", placing, [PLACE], SAFE | SUMS),
    ):
        token = await server.new_token(*scopes)
        assert await seen_of_order(server, mutation, given, token) == expected, scopes


EVERYTHING = """order { id number status version
    customer { name email phone } billingAddress { city address1 name } shippingAddress { city address1 name } note }
    userErrors { code }"""


async def test_nothing_personal_is_in_the_answers_to_those_who_only_write(server: Server) -> None:
    service = await a_service(server)
    writer = await server.new_token(WRITE, FULFILL, PAY, PLACE)
    order = await server.do("placeOrder", a_full_order())
    on = {"orderId": order["id"]}
    for mutation in ("confirmOrder", "requestFulfillment", "holdOrder", "capturePayment", "cancelOrder"):
        given = on | ({"reason": "STAFF"} if mutation in ("holdOrder", "cancelOrder") else {})
        query = f"""mutation ($input: {mutation[0].upper()}{mutation[1:]}Input!) {{
            {mutation}(input: $input) {{ {EVERYTHING} }} }}"""
        answer = await server.send(query, {"input": given}, writer)
        assert answer["data"][mutation]["order"]["id"] == order["id"]
        assert not any(secret in orjson.dumps(answer).decode() for secret in SECRETS)
        assert {tuple(each["path"][1:]) for each in answer["errors"]} == {
            ("order", name) for name in ("customer", "billingAddress", "shippingAddress", "note")
        }
    assert service


async def asked(server: Server, service: str, **given: Any) -> dict[str, Any]:
    """The input by which the service answers for what it is asked."""
    order = await server.do("placeOrder", a_full_order(**given))
    await server.do("confirmOrder", {"orderId": order["id"]})
    fields = "fulfillments { id service { code } }"
    order |= await server.do("requestFulfillment", {"orderId": order["id"]}, fields)
    [fulfillment] = [each for each in order["fulfillments"] if each["service"]["code"] == service]
    return {"orderId": order["id"], "fulfillmentId": fulfillment["id"]}


PARTS = """order { id status lines { title } tracking { number } shippingAddress { city }
    fulfillments { state lines { quantity line { title } } tracking { number } service { code } } }
    userErrors { code }"""


async def email_sent(order_id: str) -> None:
    """An e-mail to the customer is on the order's timeline."""
    async with change(ADA) as unit:
        order = await unit.lock_order(Target(key_of(order_id)))
        unit.record(order, EmailSent(new_key(), EmailKind.ORDER_CONFIRMATION, PERSONAL["email"], written_to_file=False))


async def parts_seen(server: Server, mutation: str, given: dict[str, Any], token: str) -> tuple[Any, set[str]]:
    query = f"mutation ($i: {mutation[0].upper()}{mutation[1:]}Input!) {{ {mutation}(input: $i) {{ {PARTS} }} }}"
    answer = await server.send(query, {"i": given}, token)
    payload = answer["data"][mutation]
    assert payload["userErrors"] == []
    return payload["order"], {each["path"][-1] for each in answer.get("errors", ())}


async def test_a_service_sees_its_own_goods_and_where_they_go_while_it_is_asked(server: Server) -> None:
    own, other = await a_service(server), await a_service(server, "post")
    lines = a_full_order()["lines"]
    lines[1]["service"] = "post"
    given = await asked(server, "lager", lines=lines)
    order, errors = await parts_seen(server, "acceptFulfillment", given, own)
    assert errors == set()
    assert order["lines"] == [{"title": "Socks"}]
    assert order["shippingAddress"] == {"city": "Thun"}
    [mine] = order["fulfillments"]
    assert mine["lines"] == [{"quantity": 2, "line": {"title": "Socks"}}]
    assert await seen_of_order(server, "acceptFulfillment", given, own) == SAFE | GOODS | {"shippingAddress"}
    for field in ("unitPrice { amount }", "total { amount }", "download"):  # of a line
        query = f"""mutation ($i: AcceptFulfillmentInput!) {{ acceptFulfillment(input: $i) {{
            order {{ lines {{ {field} }} }} }} }}"""
        answer = await server.send(query, {"i": given}, own)
        assert [each["extensions"]["code"] for each in answer["errors"]] == ["FORBIDDEN"]

    theirs = {**given, "fulfillmentId": (await fulfillment_of(server, given["orderId"], "post"))}
    order, errors = await parts_seen(server, "rejectFulfillment", {**theirs, "reason": "No hats."}, other)
    assert errors == {"shippingAddress"}
    assert order["shippingAddress"] is None
    assert (order["lines"], order["tracking"]) == ([], [])
    assert [(each["state"], each["lines"]) for each in order["fulfillments"]] == [("CANCELLED", [])]

    shipping = {**given, "tracking": [{"number": "T-1"}]}
    order, errors = await parts_seen(server, "markShipped", shipping, own)
    assert errors == {"shippingAddress"}  # it knows where it has sent them
    assert order["lines"] == [{"title": "Socks"}]
    assert order["tracking"] == order["fulfillments"][0]["tracking"] == [{"number": "T-1"}]


async def fulfillment_of(server: Server, order_id: str, service: str) -> str:
    query = "query ($id: ID!) { order(id: $id) { fulfillments { id service { code } } } }"
    found = (await server.ask(query, {"id": order_id}))["order"]["fulfillments"]
    return next(str(each["id"]) for each in found if each["service"]["code"] == service)


async def test_fields_that_a_caller_may_not_see_are_null_and_the_others_stay(server: Server) -> None:
    reader = await server.new_token(READ)
    order = await server.do("placeOrder", a_full_order(lines=an_order()["lines"]))
    query = "{ viewer { name } orders(first: 1) { nodes { number } } automations { kind } }"
    assert await server.send(query, token=reader) == {
        "data": {
            "viewer": {"name": "test"},
            "orders": {"nodes": [{"number": order["number"]}]},
            "automations": None,
        },
        "errors": [
            {
                "message": "This needs the scope settings:write.",
                "locations": [{"line": 1, "column": query.index("automations") + 1}],
                "path": ["automations"],
                "extensions": {"code": "FORBIDDEN"},
            }
        ],
    }
    writer = await server.new_token(WRITE)
    both = """mutation ($id: ID!) { confirmOrder(input: { orderId: $id }) { order { status } userErrors { code } }
        recordPayment(input: { orderId: $id }) { userErrors { code } } }"""
    answer = await server.send(both, {"id": order["id"]}, writer)
    assert answer["data"] == {
        "confirmOrder": {"order": {"status": "CONFIRMED"}, "userErrors": []},
        "recordPayment": None,
    }
    assert [(each["path"], each["extensions"]["code"]) for each in answer["errors"]] == [
        (["recordPayment"], "FORBIDDEN")
    ]


async def test_the_settings_of_services_are_for_those_who_change_settings(server: Server) -> None:
    await a_service(server)
    reader, setter = await server.new_token(READ, CUSTOMERS), await server.new_token(READ, SET)
    query = "{ fulfillmentServices { code url email } }"
    answer = await server.send(query, token=reader)
    assert answer["data"] == {"fulfillmentServices": [{"code": "lager", "url": None, "email": None}]}
    assert [(each["path"], each["extensions"]["code"]) for each in answer["errors"]] == [
        (["fulfillmentServices", 0, "url"], "FORBIDDEN"),
        (["fulfillmentServices", 0, "email"], "FORBIDDEN"),
    ]
    [service] = (await server.ask(query, token=setter))["fulfillmentServices"]
    assert service["url"] == "https://lager.example.com/hook"


EVENTS = "orderEvents { nodes { type message data } }"


async def test_a_timeline_names_nobody_to_those_who_may_not_see_customers(server: Server) -> None:
    """Neither on the timeline nor live. The rest of it stays."""
    order = await server.do("placeOrder", a_full_order(lines=an_order()["lines"]))
    await server.do("addOrderNote", {"orderId": order["id"], "note": NOTE})
    await email_sent(order["id"])
    reader = await server.new_token(READ)
    answer = await server.ask(f"{{ {EVENTS} }}", token=reader)
    assert not any(secret in orjson.dumps(answer).decode() for secret in SECRETS if secret != "pi_secret")
    events = {each["type"]: each for each in answer["orderEvents"]["nodes"]}
    assert events["NOTE_ADDED"]["data"] == {"note": None}
    assert events["EMAIL_SENT"]["message"] == "ORDER_CONFIRMATION was sent to …."
    assert events["EMAIL_SENT"]["data"]["address"] is None
    assert events["EMAIL_SENT"]["data"]["effectId"]
    whole = {each["type"]: each for each in (await server.ask(f"{{ {EVENTS} }}"))["orderEvents"]["nodes"]}
    assert whole["EMAIL_SENT"]["data"]["address"] == PERSONAL["email"]
    query = "subscription ($after: String) { orderEvents(after: $after) { type message data } }"
    async with live(server, reader) as partly, live(server) as wholly:
        for client in (partly, wholly):
            await client.subscribe(query, {"after": cursor_at(0)})
        for client, seen in ((partly, events), (wholly, whole)):
            for _ in range(len(whole)):
                event = (await client.next())["orderEvents"]
                if event["type"] in ("NOTE_ADDED", "EMAIL_SENT"):
                    assert event == seen[event["type"]]


async def test_a_search_for_people_finds_nothing_for_those_who_may_not_see_them(server: Server) -> None:
    order = await server.do("placeOrder", a_full_order(lines=an_order()["lines"], externalReference="Anna-1"))
    reader, knower = await server.new_token(READ), await server.new_token(READ, CUSTOMERS)
    query = "query ($text: String) { orders(search: $text) { nodes { id } } }"
    for text, anybody in (
        ("anna@", False),
        ("Muster", False),
        ("anna muster", False),
        ("anna", True),  # the reference
        ("sock-1", True),
        (order["number"], True),
    ):
        for token, finds in ((reader, anybody), (knower, True)):
            found = (await server.ask(query, {"text": text}, token))["orders"]["nodes"]
            assert len(found) == finds, (text, token == reader)


async def test_a_failed_effect_names_neither_a_customer_nor_a_url_to_others(server: Server) -> None:
    await server.place()
    effect = await failed_effect()
    error = "550 <anna@example.com>: unknown; see https://hook.example.com/secret?x=1"
    await Effect.filter(id=key_of(effect)).update(error=error)
    query = "{ failedEffects { nodes { email address error } } }"
    for scopes, address, shown in (
        ([READ], None, "550 <…>: unknown; see …"),
        ([READ, CUSTOMERS], "anna@example.com", "550 <anna@example.com>: unknown; see …"),
        ([READ, CUSTOMERS, SET], "anna@example.com", error),
    ):
        answer = await server.send(query, token=await server.new_token(*scopes))
        [found] = answer["data"]["failedEffects"]["nodes"]
        assert (found["address"], found["error"]) == (address, shown)
        assert [each["path"][-1] for each in answer.get("errors", ())] == ["address"] * (address is None)


async def test_a_delivery_note_is_for_those_who_may_see_where_it_goes(server: Server) -> None:
    order = await Order.get(id=key_of((await server.do("placeOrder", a_full_order(lines=an_order()["lines"])))["id"]))
    await confirm_order(actor=ADA, target=on(order))
    await create_delivery_note(actor=ADA, target=on(order), issuer=ISSUER)
    query = "{ orders { nodes { deliveryNotes { number url } } } }"
    for scopes, seen in (([READ], False), ([READ, FULFILL], False), ([READ, CUSTOMERS], True)):
        answer = await server.send(query, token=await server.new_token(*scopes))
        assert ("signature" in orjson.dumps(answer).decode()) is seen
        assert [each["extensions"]["code"] for each in answer.get("errors", ())] == ["FORBIDDEN"] * (not seen)


async def test_each_caller_is_told_what_they_can_do(server: Server) -> None:
    """Also live: those who follow the same with other rights do not share it."""
    order = await server.do("placeOrder", a_full_order(lines=an_order()["lines"]))
    actions = "availableActions { action available reason code }"
    query = f"query ($id: ID!) {{ order(id: $id) {{ {actions} }} }}"
    reader, writer = await server.new_token(READ), await server.new_token(READ, WRITE)
    expected: dict[str, dict[str, Any]] = {
        reader: {"available": False, "reason": "This needs the scope orders:write.", "code": "MISSING_SCOPE"},
        writer: {"available": True, "reason": None, "code": None},
    }
    for token, answer in expected.items():
        [confirm, *_] = (await server.ask(query, {"id": order["id"]}, token))["order"]["availableActions"]
        assert confirm == {"action": "CONFIRM", **answer}
    follow = f"subscription {{ orderEvents {{ order {{ {actions} }} }} }}"
    async with live(server, reader) as reading, live(server, writer) as writing:
        for client in (reading, writing):
            await client.subscribe(follow)
        await until(lambda: server.service.subscriptions.count == 2)
        await server.place()
        for client, token in ((reading, reader), (writing, writer)):
            [confirm, *_] = (await client.next())["orderEvents"]["order"]["availableActions"]
            assert confirm == {"action": "CONFIRM", **expected[token]}


async def actions_of(server: Server, mutation: str, given: dict[str, Any], token: str) -> dict[str, str | None]:
    query = f"""mutation ($i: {mutation[0].upper()}{mutation[1:]}Input!) {{ {mutation}(input: $i) {{
        order {{ availableActions {{ action code }} }} }} }}"""
    payload = (await server.ask(query, {"i": given}, token))[mutation]
    return {each["action"]: each["code"] for each in payload["order"]["availableActions"]}


async def test_a_service_is_told_what_it_can_do_with_its_own(server: Server) -> None:
    own = await a_service(server)
    given = await asked(server, "lager")
    found = await actions_of(server, "acceptFulfillment", given, own)
    assert (found["MARK_SHIPPED"], found["ADD_TRACKING"], found["UPDATE_TRACKING"]) == (None, None, "NO_TRACKING")
    assert (found["CONFIRM"], found["CREATE_DELIVERY_NOTE"]) == ("MISSING_SCOPE", "NOT_FOR_SERVICES")
    found = await actions_of(server, "rejectFulfillment", {**given, "reason": "Out of stock."}, own)
    assert (found["MARK_SHIPPED"], found["ADD_TRACKING"]) == ("NOT_ASKED", "NOT_ASKED")
    refusing = {**given, "number": "T-1"}
    query = "mutation ($i: AddTrackingInput!) { addTracking(input: $i) { userErrors { code } } }"
    answer = await server.send(query, {"i": refusing}, own)
    assert answer == {"data": {"addTracking": {"userErrors": [{"code": "INVALID_TRANSITION"}]}}}


@pytest.mark.parametrize(
    "call",
    [
        "createDeliveryNote(input: { orderId: $order, fulfillmentId: $fulfillment })",
        "createDeliveryNotes(input: { fulfillmentIds: [$fulfillment] })",
        "markReadyToShip(input: { orderId: $order })",
        "requestFulfillment(input: { orderId: $order })",
    ],
)
async def test_a_service_is_not_told_that_it_lacks_a_scope_that_it_has(server: Server, call: str) -> None:
    """What is not for services is refused for the same reason as among the available actions."""
    own = await a_service(server)
    given = await asked(server, "lager")
    for name, key in (("$order", "orderId"), ("$fulfillment", "fulfillmentId")):
        call = call.replace(name, f'"{given[key]}"')
    answer = await server.send(f"mutation {{ {call} {{ __typename }} }}", token=own)
    [error] = answer["errors"]
    assert (error["message"], error["extensions"]["code"]) == ("A fulfillment service cannot do this.", "FORBIDDEN")
    assert list(answer["data"].values()) == [None]


async def test_the_scope_that_is_named_is_enough(server: Server) -> None:
    """Those who may see delivery notes already lack one scope for their PDFs, whichever way they may see the notes."""
    order = await Order.get(id=key_of((await server.do("placeOrder", a_full_order(lines=an_order()["lines"])))["id"]))
    await confirm_order(actor=ADA, target=on(order))
    note = await create_delivery_note(actor=ADA, target=on(order), issuer=ISSUER)
    query = """mutation ($i: AddTrackingInput!) { addTracking(input: $i) {
        order { deliveryNotes { url } } userErrors { message } } }"""
    given = {"orderId": encode("Order", order.id), "fulfillmentId": encode("Fulfillment", note.fulfillment_id)}
    answer = await server.send(query, {"i": {**given, "number": "T-1"}}, await server.new_token(FULFILL))
    assert [error["message"] for error in answer["errors"]] == ["This needs the scope customers:read."]
    token = await server.new_token(FULFILL, CUSTOMERS)
    assert "signature" in str(await server.ask(query, {"i": {**given, "number": "T-2"}}, token))


CALLERS = [
    (READ,),
    (READ, CUSTOMERS),
    (READ, SET),
    (READ, FULFILL, PAY),
    (WRITE, PLACE),
    (SET,),
    (Scope.TOKENS_WRITE, READ, CUSTOMERS),
]


@pytest.mark.slow
async def test_plans_refuse_what_graphql_core_refuses(server: Server) -> None:
    """Any document has the same answer, data and errors, whether or not there is a plan for it."""
    await some_of_everything()
    values, refused = await known_values(), 0
    actors = [await server.actor(await server.new_token(*scopes)) for scopes in CALLERS]
    for seed, actor in enumerate(actors * 12):
        document = RandomDocument(CORE, Random(seed), values)
        text = document.query(deepest=4)
        if valid(text) is None:
            continue
        try:
            operation = server.service.operations.find(Request(text, document.variables), introspection=True)
        except NotUnderstood:  # more tokens than a document may have
            continue
        request = Request(text, document.variables)
        answer = orjson.loads((await run(operation, request, server.service.context(actor))).as_json())
        context = server.service.context(actor)
        context.live_place = await last_place()
        executor = prepare(operation, operation.variables(request.variables), context)
        expected: Any = executor.execute_operation(False)
        expected = await expected if executor.is_awaitable(expected) else expected
        assert orjson.dumps(answer["data"]) == orjson.dumps(expected.data, default=str), text
        errors = answer.get("errors", [])
        assert [each.get("path") for each in errors] == [each.path for each in expected.errors or ()], text
        refused += any(each["extensions"]["code"] == "FORBIDDEN" for each in errors)
    assert refused > 10


async def test_those_who_may_see_all_of_it_are_answered_by_a_plan(server: Server) -> None:
    """Also without customers:read, as long as nothing personal is asked for."""
    await server.do("placeOrder", a_full_order(lines=an_order()["lines"]))
    personal = "{ orders { nodes { customer { name } shippingAddress { city } note } } }"
    plain = "{ orders { nodes { number total { amount } lines { title unitPrice { amount } } } } orderEvents { nodes {"
    plain += " message data } } }"
    for text, scopes, planned in (
        (plain, [READ], True),
        (personal, [READ, CUSTOMERS], True),
        (personal, [READ], False),
    ):
        actor = await server.actor(await server.new_token(*scopes))
        operation = server.service.operations.find(Request(text), introspection=True)
        variables = operation.variables(None)
        assert variables is not None
        plan = operation.plans.find(variables)
        assert isinstance(plan, Plan)
        if planned:
            assert await plan.data([None], server.service.context(actor), variables)
        else:
            with pytest.raises(Forbidden):
                await plan.data([None], server.service.context(actor), variables)


async def test_a_service_sees_nothing_of_what_was_cancelled(server: Server) -> None:
    own = await a_service(server)
    given = await asked(server, "lager")
    await parts_seen(server, "acceptFulfillment", given, own)
    await server.do("cancelOrder", {"orderId": given["orderId"], "reason": "CUSTOMER"})
    order, errors = await parts_seen(server, "acceptFulfillment", given, own)  # a repetition, which succeeds
    assert errors == {"shippingAddress"}
    assert (order["lines"], order["shippingAddress"]) == ([], None)
    assert await seen_of_order(server, "acceptFulfillment", given, own) == SAFE | GOODS
