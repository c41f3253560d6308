"""Each mutation: what it does to the order, and what it refuses while changing nothing."""

import asyncio
from typing import Any

import pytest

from api.schema import ids
from domain.actors import system
from domain.change import Target, change
from domain.events import EmailFailed, EmailSent
from domain.orders.actions import OrderAction
from models.engine.fields import new_key
from models.enums import EmailKind
from tests.api.test_access import MUTATIONS, PARTS, parts_for, place_for, prepared
from tests.api.test_callers import reach, withheld
from tests.clients import Server, an_order, key_of
from tests.database import all_rows

pytestmark = pytest.mark.wire

STATUSES = "status paymentStatus fulfillmentStatus version"
ON_AN_ORDER = [name for name in MUTATIONS if name != "placeOrder"]


async def shown(server: Server, given: dict[str, Any]) -> dict[str, Any] | None:
    """The order that an input names, as a payload shows it."""
    query = "query ($id: ID!) { order(id: $id) { id number version status } }"
    answer = await server.send(query, {"id": given.get("orderId", "")})
    order: dict[str, Any] | None = answer["data"]["order"]
    return order


async def errors(server: Server, name: str, given: dict[str, Any]) -> list[dict[str, Any]]:
    """The refusal; nothing was changed by it."""
    before = await all_rows()
    payload = await server.mutate(name, given)
    assert payload["order"] == await shown(server, given)
    assert await all_rows() == before
    found: list[dict[str, Any]] = payload["userErrors"]
    assert found
    return found


async def refused(server: Server, name: str, given: dict[str, Any]) -> tuple[str, list[str] | None]:
    """Code and field of the one refusal; nothing was changed by it."""
    [error] = await errors(server, name, given)
    assert error["message"]
    return error["code"], error["field"]


async def run(server: Server, order: dict[str, Any], *steps: str) -> dict[str, Any]:
    """The order after mutations that need nothing but their order."""
    for step in steps:
        given = {"reason": "STAFF"} if step == "cancelOrder" else {}
        order = await server.do(step, {"orderId": order["id"], **given}, "id number version lines { id } status")
    return order


def statuses(order: dict[str, Any]) -> str:
    return " ".join(str(order[name]) for name in STATUSES.split())


async def test_a_whole_life(server: Server) -> None:
    """Every mutation once, and the state after each."""
    order = await server.place(fields=f"id lines {{ id }} {STATUSES}")
    on = {"orderId": order["id"]}
    assert statuses(order) == "PENDING PENDING UNFULFILLED 1"
    [socks, hat] = [line["id"] for line in order["lines"]]

    async def do(name: str, given: dict[str, Any], fields: str = "id") -> dict[str, Any]:
        return await server.do(name, {**on, **given}, f"{STATUSES} {fields}")

    order = await do("confirmOrder", {}, "confirmedAt")
    assert statuses(order) == "CONFIRMED PENDING UNFULFILLED 2"
    assert order["confirmedAt"].endswith("+00:00")
    order = await do("capturePayment", {"amount": {"amount": "9.80", "currencyCode": "CHF"}}, "outstanding { amount }")
    assert statuses(order) == "CONFIRMED PARTIALLY_PAID UNFULFILLED 3"
    assert order["outstanding"] == {"amount": "30.00"}
    packed = [{"lineId": socks, "quantity": 2}]
    order = await do("markReadyToShip", {"lines": packed}, "fulfillments { id state lines { quantity line { id } } }")
    assert statuses(order) == "READY_TO_SHIP PARTIALLY_PAID UNFULFILLED 4"
    [fulfillment] = order["fulfillments"]
    assert (fulfillment["state"], fulfillment["lines"]) == ("OPEN", [{"quantity": 2, "line": {"id": socks}}])
    order = await do("addTracking", {"number": " T-1 ", "carrier": "Post"}, "tracking { id number carrier url }")
    [tracking] = order["tracking"]
    assert tracking == {"id": tracking["id"], "number": "T-1", "carrier": "Post", "url": None}
    correction = {"trackingId": tracking["id"], "carrier": None, "url": "https://post.example/T-1"}
    order = await do("updateTracking", correction, "tracking { number carrier url }")
    assert order["tracking"] == [{"number": "T-1", "carrier": None, "url": "https://post.example/T-1"}]
    order = await do("removeTracking", {"trackingId": tracking["id"]}, "tracking { id }")
    assert (order["tracking"], order["version"]) == ([], 7)
    given = {"fulfillmentId": fulfillment["id"], "tracking": [{"number": "T-2"}]}
    order = await do("markShipped", given, "fulfillments { state tracking { number } } shippedAt")
    assert statuses(order) == "READY_TO_SHIP PARTIALLY_PAID PARTIALLY_FULFILLED 9"
    assert order["fulfillments"] == [{"state": "SHIPPED", "tracking": [{"number": "T-2"}]}]
    assert order["shippedAt"] is None
    order = await do("markShipped", {"lines": [{"lineId": hat, "quantity": 1}]}, "shippedAt lines { shippedQuantity }")
    assert statuses(order) == "SHIPPED PARTIALLY_PAID FULFILLED 10"
    assert order["lines"] == [{"shippedQuantity": 2}, {"shippedQuantity": 1}]
    assert order["shippedAt"].endswith("+00:00")
    order = await do("recordPayment", {"reference": "bank 7"}, "transactions { kind amount { amount } reference }")
    assert statuses(order) == "SHIPPED PAID FULFILLED 11"
    assert order["transactions"] == [
        {"kind": "CAPTURE", "amount": {"amount": "9.80"}, "reference": None},
        {"kind": "SALE", "amount": {"amount": "30.00"}, "reference": "bank 7"},
    ]
    order = await do("archiveOrder", {}, "archivedAt")
    assert order["archivedAt"].endswith("+00:00")
    order = await do("unarchiveOrder", {}, "archivedAt")
    assert (order["archivedAt"], order["version"]) == (None, 13)
    order = await do("refundPayment", {"amount": {"amount": "20"}}, "refundedTotal { amount }")
    assert statuses(order) == "SHIPPED PARTIALLY_REFUNDED FULFILLED 14"
    order = await do("refundPayment", {}, "refundedTotal { amount }")
    assert (statuses(order), order["refundedTotal"]) == ("SHIPPED REFUNDED FULFILLED 15", {"amount": "39.80"})
    order = await do("addOrderNote", {"note": "First."}, "note")
    order = await do("addOrderNote", {"note": " Second. "}, "note")
    assert order["note"] == "First.\nSecond."


async def test_a_cancelled_order(server: Server) -> None:
    payments = [{"kind": "AUTHORIZATION", "amount": "39.80"}]
    order = await server.place(payments=payments, fields=f"id {STATUSES}")
    assert statuses(order) == "PENDING AUTHORIZED UNFULFILLED 2"
    fields = f"{STATUSES} cancelledAt cancelReason outstanding {{ amount }} transactions {{ kind }}"
    order = await server.do("cancelOrder", {"orderId": order["id"], "reason": "FRAUD"}, fields)
    assert statuses(order) == "CANCELLED VOIDED UNFULFILLED 4"
    assert (order["cancelReason"], order["outstanding"]) == ("FRAUD", {"amount": "0.00"})
    assert [each["kind"] for each in order["transactions"]] == ["AUTHORIZATION", "VOID"]


async def test_two_mutations_in_one_operation_each_show_their_own_state(server: Server) -> None:
    order = await server.place()
    shown = "{ order { status version fulfillments { state } availableActions { action available } } }"
    answer = await server.ask(
        f"""mutation ($id: ID!) {{
            confirm: confirmOrder(input: {{orderId: $id}}) {shown}
            ship: markShipped(input: {{orderId: $id}}) {shown}
        }}""",
        {"id": order["id"]},
    )
    confirmed, shipped = answer["confirm"]["order"], answer["ship"]["order"]
    assert (confirmed["status"], confirmed["version"], confirmed["fulfillments"]) == ("CONFIRMED", 2, [])
    assert (shipped["status"], shipped["fulfillments"]) == ("SHIPPED", [{"state": "SHIPPED"}])
    assert {each["action"]: each["available"] for each in shipped["availableActions"]}["MARK_SHIPPED"] is False


@pytest.mark.postgres
async def test_a_mutation_begins_once_the_one_before_it_is_shown(server: Server, database_url: str) -> None:
    order = await server.place()
    given, status = {"id": order["id"]}, "query ($id: ID!) { order(id: $id) { status } }"
    query = """mutation ($id: ID!) {
        confirm: confirmOrder(input: { orderId: $id }) { order { status tags } }
        ship: markShipped(input: { orderId: $id }) { order { status } } }"""
    async with withheld(database_url, "order_tags") as count_waiting:
        asking = asyncio.create_task(server.ask(query, given))
        await reach(count_waiting, 1)
        for _ in range(20):
            assert (await server.ask(status, given))["order"]["status"] == "CONFIRMED"
            await asyncio.sleep(0.01)
    answer = await asking
    assert (answer["confirm"]["order"]["status"], answer["ship"]["order"]["status"]) == ("CONFIRMED", "SHIPPED")


@pytest.mark.rendering
async def test_available_actions_say_what_the_mutations_do(server: Server) -> None:
    """In each status: what is said to be available works, and what is not does nothing or is refused."""
    paths: list[tuple[str, ...]] = [
        (),
        ("confirmOrder",),
        ("confirmOrder", "markReadyToShip"),
        ("confirmOrder", "markShipped"),
        ("confirmOrder", "markShipped", "recordPayment"),
        ("confirmOrder", "markShipped", "recordPayment", "archiveOrder"),
        ("cancelOrder",),
        ("recordPayment", "cancelOrder"),
    ]
    query = "query ($id: ID!) { order(id: $id) { version availableActions { action available reason } } }"
    for path in paths:
        order = await run(server, await server.place(), *path)
        actions = (await server.ask(query, {"id": order["id"]}))["order"]["availableActions"]
        assert [each["action"] for each in actions] == [each.name for each in OrderAction]
        # First what changes nothing, so that one order serves for all of it.
        for action in sorted(actions, key=lambda each: bool(each["available"])):
            assert (action["reason"] is None) is action["available"]
            name = OrderAction[action["action"]].description
            given = {**MUTATIONS[name].given, "orderId": order["id"]}
            given |= parts_for(name)
            payload = await server.mutate(name, given, "version")
            done = payload["order"] is not None and payload["order"]["version"] > order["version"]
            assert done is action["available"], (path, action)
            if done:
                order = await run(server, await server.place(), *path)


@pytest.mark.parametrize("name", ON_AN_ORDER)
async def test_an_unknown_order(server: Server, name: str) -> None:
    given = {**MUTATIONS[name].given, "orderId": ids.encode("Order", new_key()), **parts_for(name)}
    assert await refused(server, name, given) == ("NOT_FOUND", ["orderId"])


@pytest.mark.parametrize("name", ON_AN_ORDER)
async def test_a_malformed_order_id(server: Server, name: str) -> None:
    order = await server.place()
    for malformed in ("", "x", order["number"], order["lines"][0]["id"], "\x00"):
        given = {**MUTATIONS[name].given, "orderId": malformed, **parts_for(name)}
        assert await refused(server, name, given) == ("INVALID_INPUT", ["orderId"])


@pytest.mark.parametrize("name", ON_AN_ORDER)
async def test_a_stale_version(server: Server, name: str) -> None:
    order = await run(server, await server.place(), "confirmOrder")
    given = {**MUTATIONS[name].given, "orderId": order["id"], "expectedVersion": 1, **parts_for(name)}
    [error] = await errors(server, name, given)
    assert (error["code"], error["field"], error["currentVersion"]) == ("VERSION_CONFLICT", ["expectedVersion"], 2)


async def note_asides(order_id: str) -> None:
    """The server has sent an e-mail, and failed to send another."""
    target = Target(key_of(order_id))
    async with change(system("mail")) as work:
        order = await work.lock_order(target)
        mail = {"effect_id": new_key(), "email": EmailKind.ORDER_CONFIRMATION, "address": "a@example.com"}
        work.record(order, EmailSent(**mail, written_to_file=False))  # type: ignore[arg-type]
        work.record(order, EmailFailed(**mail, reason="no"))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ON_AN_ORDER)
async def test_a_version_since_which_the_server_has_only_sent_mail(server: Server, name: str) -> None:
    given = await prepared(server, name)
    order = await shown(server, given)
    assert order is not None
    await note_asides(order["id"])
    payload = await server.mutate(name, {**given, "expectedVersion": order["version"]})
    assert payload["userErrors"] == []


async def test_a_version_since_which_more_than_mail_was_sent(server: Server) -> None:
    order = await server.place()
    about = {"orderId": order["id"], "expectedVersion": 1}
    await note_asides(order["id"])
    await server.do("addOrderNote", {**about, "note": "hello"})
    await note_asides(order["id"])
    for version in (1, 2, 7, 0, -1):
        payload = await server.mutate("confirmOrder", {**about, "expectedVersion": version})
        assert [each["code"] for each in payload["userErrors"]] == ["VERSION_CONFLICT"]
        assert (payload["order"]["version"], payload["userErrors"][0]["currentVersion"]) == (6, 6)
    assert (await server.do("confirmOrder", {**about, "expectedVersion": 4}))["version"] == 7


async def test_the_version_that_there_is(server: Server) -> None:
    order = await server.place()
    done = await server.do("confirmOrder", {"orderId": order["id"], "expectedVersion": 1})
    assert done["version"] == 2


@pytest.mark.parametrize(
    ("path", "name", "from_status", "to_status"),
    [
        ((), "markReadyToShip", "PENDING", "READY_TO_SHIP"),
        ((), "markShipped", "PENDING", "SHIPPED"),
        ((), "addTracking", "PENDING", None),
        ((), "archiveOrder", "PENDING", None),
        (("confirmOrder",), "archiveOrder", "CONFIRMED", None),
        (("confirmOrder", "markReadyToShip"), "confirmOrder", "READY_TO_SHIP", "CONFIRMED"),
        (("confirmOrder", "markShipped"), "confirmOrder", "SHIPPED", "CONFIRMED"),
        (("confirmOrder", "markShipped"), "cancelOrder", "SHIPPED", "CANCELLED"),
        (("confirmOrder", "markShipped"), "markReadyToShip", "SHIPPED", "READY_TO_SHIP"),
        (("confirmOrder", "markShipped"), "archiveOrder", "SHIPPED", None),
        (("cancelOrder",), "confirmOrder", "CANCELLED", "CONFIRMED"),
        (("cancelOrder",), "markReadyToShip", "CANCELLED", "READY_TO_SHIP"),
        (("cancelOrder",), "markShipped", "CANCELLED", "SHIPPED"),
        (("cancelOrder",), "addTracking", "CANCELLED", None),
        (("cancelOrder",), "capturePayment", "CANCELLED", None),
        (("cancelOrder",), "recordPayment", "CANCELLED", None),
    ],
)
async def test_a_forbidden_step(
    server: Server, path: tuple[str, ...], name: str, from_status: str, to_status: str | None
) -> None:
    order = await run(server, await server.place(), *path)
    [error] = await errors(server, name, {**MUTATIONS[name].given, "orderId": order["id"]})
    assert (error["code"], error["fromStatus"], error["toStatus"]) == ("INVALID_TRANSITION", from_status, to_status)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (("confirmOrder",), "confirmOrder"),
        (("cancelOrder",), "cancelOrder"),
        (("confirmOrder", "markReadyToShip"), "markReadyToShip"),
        (("confirmOrder", "markShipped"), "markShipped"),
        (("cancelOrder", "archiveOrder"), "archiveOrder"),
        ((), "unarchiveOrder"),
        (("recordPayment",), "recordPayment"),
        (("recordPayment",), "capturePayment"),
        (("recordPayment", "refundPayment"), "refundPayment"),
    ],
)
async def test_a_step_already_taken_changes_nothing(server: Server, path: tuple[str, ...], name: str) -> None:
    order = await run(server, await server.place(), *path)
    before = await all_rows()
    again = await server.do(name, {**MUTATIONS[name].given, "orderId": order["id"]})
    assert again["version"] == order["version"]
    assert await all_rows() == before


@pytest.mark.parametrize("name", MUTATIONS)
async def test_the_same_key_acts_once(server: Server, name: str) -> None:
    """The same input again is answered with the order and changes nothing; another input is refused."""
    given: dict[str, Any] = {**MUTATIONS[name].given, "idempotencyKey": "once"}
    other = {"note": "other"} if name in ("placeOrder", "addOrderNote") else {"expectedVersion": 77}
    if name != "placeOrder":
        order = await place_for(server, name)
        for step, step_input in MUTATIONS[name].before.items():
            order = await server.do(step, {"orderId": order["id"], **step_input}, PARTS)
        given |= {"orderId": order["id"], **parts_for(name, order)}
    first = await server.do(name, given)
    before = await all_rows()
    assert await server.do(name, given) == first
    assert await all_rows() == before
    assert await refused(server, name, {**given, **other}) == ("IDEMPOTENCY_CONFLICT", ["idempotencyKey"])


async def test_a_key_is_not_used_up_by_a_refusal_and_belongs_to_one_act(server: Server) -> None:
    order = await server.place()
    key = {"orderId": order["id"], "idempotencyKey": "k"}
    assert (await refused(server, "markShipped", key))[0] == "INVALID_TRANSITION"
    await server.do("confirmOrder", key)
    assert await refused(server, "markShipped", key) == ("IDEMPOTENCY_CONFLICT", ["idempotencyKey"])
    for bad in ("", " ", "x" * 256, "\x00"):
        given = {"orderId": order["id"], "idempotencyKey": bad}
        assert await refused(server, "markShipped", given) == ("INVALID_INPUT", ["idempotencyKey"])


async def test_a_reference_that_the_channel_has_already(server: Server) -> None:
    await server.place(externalReference="R-1")
    given = an_order(externalReference=" R-1 ")
    assert await refused(server, "placeOrder", given) == ("DUPLICATE_REFERENCE", ["externalReference"])
    other = await server.place(externalReference="R-1", channel="elsewhere")
    assert other["number"] == "1002", "a refused order takes no number"
