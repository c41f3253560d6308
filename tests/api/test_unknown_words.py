"""Rows that another version has written, or that are damaged: each is shown as far as it can be, and stops nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

from api.settings import Settings
from domain.stream.event_log import last_place, parse_cursor
from models import Effect, OrderEvent
from models.enums import EffectKind, EffectState
from tests.clients import Server, eventually, key_of, live, planned_to_the_end
from tests.database import run_sql

FIELDS = "id type cursor message data actor { kind } fromStatus toStatus toPaymentStatus"
TIMELINE = f"query ($id: ID!) {{ node(id: $id) {{ ... on Order {{ events {{ nodes {{ {FIELDS} }} }} }} }} }}"
LOG = f"query ($after: String) {{ orderEvents(after: $after) {{ nodes {{ {FIELDS} }} }} }}"
FOLLOW = f"subscription ($after: String) {{ orderEvents(after: $after) {{ {FIELDS} }} }}"
FAILED = "{ failedEffects { nodes { id kind error email automation order { id } } } }"
RETRY = "mutation ($i: RetryEffectInput!) { retryEffect(input: $i) { effect { state } userErrors { message } } }"

ANNA = {"name": "Anna", "email": "anna@example.com"}


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(
        database_url=database_url,
        effects=True,
        mail_url=f"file://{tmp_path}/mail",
        public_url="https://shop.example",
        poll_seconds=0.1,
        metrics=True,
    )


async def insert_event(order_id: str, **changes: Any) -> int:
    """Writes another event of the order into the table, as another version might."""
    last = await OrderEvent.filter(order_id=key_of(order_id)).order_by("-order_version").first()
    assert last is not None
    values = {
        "order_id": str(last.order_id),
        "channel_id": str(last.channel_id),
        "order_version": last.order_version + 1,
        "type": "ORDER_EXPLODED",
        "occurred_at": "2026-11-28 12:00:00+00:00",
        "actor_kind": "TOKEN",
        "actor_name": "Ada",
        "message": "The order has exploded.",
        "data": "{}",
        **changes,
    }
    columns = ", ".join(values)
    literals = ", ".join(
        str(each) if isinstance(each, int) else "'" + each.replace("'", "''") + "'" for each in values.values()
    )
    await run_sql(f"INSERT INTO order_events ({columns}) VALUES ({literals})")
    await run_sql(f"UPDATE orders SET version = version + 1 WHERE id = '{last.order_id}'")
    [row] = await run_sql("SELECT MAX(id) AS id FROM order_events")
    return int(row["id"])


async def nothing_waits() -> bool:
    return not await Effect.exists(state=EffectState.WAITING)


async def last_cursor() -> str:
    return (await last_place()).cursor


@pytest.fixture
async def order(server: Server) -> str:
    """The id of an order of which nothing is left to plan or to do."""
    placed = await server.place(customer=ANNA)
    await planned_to_the_end()
    await eventually(nothing_waits)
    await planned_to_the_end()
    return str(placed["id"])


async def test_an_event_type_that_this_version_does_not_know(
    server: Server, order: str, caplog: pytest.LogCaptureFixture
) -> None:
    after = await last_cursor()
    async with live(server) as client:
        await client.subscribe(FOLLOW, {"after": after})
        event_id = await insert_event(order)
        await server.do("cancelOrder", {"orderId": order, "reason": "STAFF"})
        heard, following = [(await client.next())["orderEvents"] for _ in range(2)]
    assert (heard["type"], heard["message"], heard["data"]) == ("UNKNOWN", "The order has exploded.", {})
    assert (parse_cursor(heard["cursor"]).position, following["type"]) == (event_id, "ORDER_CANCELLED")
    async with live(server) as client:  # and again, resumed before it, and from it
        for number, place in enumerate((after, heard["cursor"])):
            await client.subscribe(FOLLOW, {"after": place}, str(number))
        first, second = [(await client.receive())["payload"]["data"]["orderEvents"] for _ in range(2)]
        assert {first["cursor"], second["cursor"]} == {heard["cursor"], following["cursor"]}
    timeline = (await server.ask(TIMELINE, {"id": order}))["node"]["events"]["nodes"]
    assert heard in timeline
    assert (await server.ask(LOG, {"after": after}))["orderEvents"]["nodes"][:2] == [heard, following]
    assert (await server.ask("query ($id: ID!) { node(id: $id) { ... on OrderEvent { type } } }", {"id": heard["id"]}))[
        "node"
    ] == {"type": "UNKNOWN"}

    await planned_to_the_end()
    assert await Effect.exists(order_id=key_of(order), subject="CANCELLATION")
    [failed] = (await server.ask(FAILED))["failedEffects"]["nodes"]
    assert (failed["kind"], failed["order"]["id"], failed["email"]) == ("PLANNING", order, None)
    assert failed["error"] == "This version does not know events of the type ORDER_EXPLODED."
    [line] = [each.getMessage() for each in caplog.records if "ORDER_EXPLODED" in each.getMessage()]
    assert line.startswith(f"event {event_id} ")
    assert 'orderstream_unplanned_events_total{reason="unknown_type"} 1.0' in await metrics(server)
    assert await is_ready(server, "ok")


async def metrics(server: Server) -> str:
    return (await server.http.get(f"http://127.0.0.1:{server.port}/metrics")).text


async def is_ready(server: Server, effects: str) -> bool:
    """Whether `/readyz` answers that the server is ready, and says this of effects."""
    response = await server.http.get(f"http://127.0.0.1:{server.port}/readyz")
    return (response.status_code, response.json()["effects"]["status"]) == (200, effects)


async def test_planning_that_fails_for_every_event_is_told(
    server: Server, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.http.health._GRACE_SECONDS", 0.0)
    await run_sql("ALTER TABLE effect_positions RENAME TO away")
    try:
        await eventually(lambda: is_ready(server, "stalled"))
    finally:
        await run_sql("ALTER TABLE away RENAME TO effect_positions")
    await eventually(lambda: is_ready(server, "ok"))


async def test_a_version_that_knows_the_type_plans_for_it_when_asked(server: Server, order: str) -> None:
    event_id = await insert_event(order)
    await planned_to_the_end()
    [failed] = (await server.ask(FAILED))["failedEffects"]["nodes"]
    await server.ask(RETRY, {"i": {"effectId": failed["id"]}})
    await eventually(lambda: Effect.exists(id=key_of(failed["id"]), state=EffectState.FAILED))
    await run_sql(f"UPDATE order_events SET type = 'ORDER_CANCELLED' WHERE id = {event_id}")
    await server.ask(RETRY, {"i": {"effectId": failed["id"]}})
    await eventually(lambda: Effect.exists(event_id=event_id, subject="CANCELLATION"))
    await eventually(lambda: Effect.exists(id=key_of(failed["id"]), state=EffectState.DONE))


@pytest.fixture
def _always_looking_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is started later looks all the time for events that another version has skipped."""
    monkeypatch.setattr("effects.engine.SEARCH_SECONDS", 0.0)


@pytest.mark.usefixtures("_always_looking_again")
async def test_a_version_that_knows_the_type_plans_for_it_by_itself(server: Server, order: str) -> None:
    young, old = [await insert_event(order) for _ in range(2)]
    await planned_to_the_end()
    await run_sql(f"UPDATE effects SET created_at = '2026-01-01 12:00:00+00:00' WHERE event_id = {old}")
    await run_sql(f"UPDATE order_events SET type = 'ORDER_CANCELLED' WHERE id IN ({young}, {old})")
    await eventually(lambda: Effect.exists(event_id=young, subject="CANCELLATION"))
    assert await Effect.exists(event_id=old, state=EffectState.FAILED)


async def test_an_import_s_unknown_event_has_no_effects_to_plan(server: Server, order: str) -> None:
    await insert_event(order, has_effects="0")
    await planned_to_the_end()
    assert not await Effect.exists(kind=EffectKind.PLANNING)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"type": "FULFILLMENT_REQUESTED", "data": json.dumps({"fulfillmentId": "nobody's"})}, "FULFILLMENT_REQUESTED"),
        ({"type": "ORDER_PLACED", "data": json.dumps([1, 2])}, "is not a JSON object"),
        ({"type": "PAYMENT_PENDING", "data": json.dumps({"transactionId": "x" * 300})}, "PAYMENT_PENDING"),
        ({"type": "ORDER_SHIPPED", "data": json.dumps({"lines": [{"lineId": "no key"}]})}, "ORDER_SHIPPED"),
    ],
)
async def test_an_event_whose_planning_fails(server: Server, order: str, changes: Any, reason: str) -> None:
    after = await last_cursor()
    event_id = await insert_event(order, **changes)
    await server.do("cancelOrder", {"orderId": order, "reason": "STAFF"})
    await planned_to_the_end()
    assert await Effect.exists(order_id=key_of(order), subject="CANCELLATION")
    failed = await Effect.filter(event_id=event_id, kind=EffectKind.PLANNING)
    assert failed
    assert all(reason in (effect.error or "") for effect in failed)
    shown = (await server.ask(LOG, {"after": after}))["orderEvents"]["nodes"]
    assert (shown[0]["type"], shown[0]["data"]) == (changes["type"], json.loads(changes["data"]))


@pytest.mark.sqlite
async def test_data_that_is_no_json(server: Server, order: str) -> None:
    after = await last_cursor()
    async with live(server) as client:
        await client.subscribe(FOLLOW, {"after": after})
        await insert_event(order, type="ORDER_PLACED", data="{")
        await server.do("cancelOrder", {"orderId": order, "reason": "STAFF"})
        heard, following = [(await client.next())["orderEvents"] for _ in range(2)]
    assert (heard["type"], heard["data"], following["type"]) == ("ORDER_PLACED", None, "ORDER_CANCELLED")
    await planned_to_the_end()
    assert await Effect.exists(order_id=key_of(order), subject="CANCELLATION")
    assert "not a JSON object" in ((await Effect.filter(kind=EffectKind.PLANNING))[0].error or "")


ORDERS = """{ orders { nodes { id status paymentStatus fulfillmentStatus source cancelReason
    availableActions { action available reason }
    transactions { kind status gateway amount { amount } } fulfillments { state requestStatus } } } }"""


async def test_words_in_every_other_column(server: Server, order: str) -> None:
    """No list is lost because of one row in it."""
    sane = await server.place(payments=[{"kind": "SALE", "amount": "10.00"}])
    await server.do("confirmOrder", {"orderId": sane["id"]})
    await server.do("markReadyToShip", {"orderId": sane["id"]})
    await insert_event(order, actor_kind="ROBOT", to_status="EXPLODED", from_status="HOT", to_payment_status="BITCOIN")
    for statement in (
        "UPDATE orders SET status = 'EXPLODED', payment_status = 'BITCOIN', fulfillment_status = 'HALF',"
        f" source = 'TV', cancel_reason = 'BOREDOM' WHERE id = '{key_of(order)}'",
        "UPDATE transactions SET kind = 'BARTER', status = 'ODD'",
        "UPDATE fulfillments SET state = 'LOST', request_status = 'IGNORED'",
    ):
        await run_sql(statement)
    found = {each["id"]: each for each in (await server.ask(ORDERS))["orders"]["nodes"]}
    odd = found[order]
    assert [odd[name] for name in ("status", "paymentStatus", "fulfillmentStatus", "source", "cancelReason")] == [
        "UNKNOWN"
    ] * 5
    confirm = odd["availableActions"][0]
    assert (confirm["action"], confirm["available"]) == ("CONFIRM", False)
    assert "EXPLODED" in confirm["reason"]
    [paid] = found[sane["id"]]["transactions"]
    assert (paid["kind"], paid["status"], paid["gateway"]) == ("UNKNOWN", "UNKNOWN", "manual")
    assert found[sane["id"]]["fulfillments"] == [{"state": "UNKNOWN", "requestStatus": "UNKNOWN"}]
    event = (await server.ask(TIMELINE, {"id": order}))["node"]["events"]["nodes"][-1]
    assert (event["actor"]["kind"], event["fromStatus"], event["toStatus"]) == ("UNKNOWN", "UNKNOWN", "UNKNOWN")

    refused = await server.mutate("confirmOrder", {"orderId": order})
    [error] = refused["userErrors"]
    assert (error["code"], error["fromStatus"]) == ("INVALID_TRANSITION", "UNKNOWN")
    refused = await server.mutate(
        "recordPayment", {"orderId": sane["id"], "amount": {"amount": "1.00", "currencyCode": "CHF"}}
    )
    assert "does not know" in refused["userErrors"][0]["message"]
    [stored] = await run_sql(f"SELECT status, version FROM orders WHERE id = '{key_of(order)}'")
    await server.do("addOrderNote", {"orderId": order, "note": "Odd."})
    [noted] = await run_sql(f"SELECT status, version FROM orders WHERE id = '{key_of(order)}'")
    assert (stored["status"], noted["status"], noted["version"]) == ("EXPLODED", "EXPLODED", stored["version"] + 1)


async def test_effects_rules_and_scopes(server: Server, order: str) -> None:
    token = await server.new_token()
    for statement in (
        "UPDATE effects SET kind = 'FAX', state = 'FAILED'",
        "UPDATE api_tokens SET scopes = '[\"orders:read\", \"orders:eat\"]' WHERE name = 'test'",
    ):
        await run_sql(statement)
    await server.ask(
        "mutation ($i: UpdateAutomationInput!) { updateAutomation(input: $i) { automation { kind } } }",
        {"i": {"kind": "ARCHIVE_WHEN_DONE", "enabled": True}},
    )
    await run_sql("UPDATE automations SET kind = 'CONFIRM_AT_NIGHT'")
    assert (await server.ask("{ automations { kind enabled } }"))["automations"] == [
        {"kind": "UNKNOWN", "enabled": True}
    ]
    kinds = {each["kind"] for each in (await server.ask(FAILED))["failedEffects"]["nodes"]}
    assert kinds == {"UNKNOWN"}
    scopes = [each["scopes"] for each in (await server.ask("{ tokens { nodes { scopes } } }"))["tokens"]["nodes"]]
    assert ["ORDERS_READ", "UNKNOWN"] in map(sorted, scopes)
    viewer = (await server.ask("{ viewer { scopes } }", token=token))["viewer"]
    assert viewer["scopes"] == ["ORDERS_READ"]
    await server.do("cancelOrder", {"orderId": order, "reason": "STAFF"})
    await planned_to_the_end()
    assert await Effect.exists(order_id=key_of(order), subject="CANCELLATION")


async def test_an_effect_that_this_version_cannot_carry_out_is_given_up(server: Server, order: str) -> None:
    await run_sql(
        "UPDATE effects SET subject = 'CHRISTMAS_CARD', state = 'WAITING', attempts = 40, due_at = created_at,"
        " finished_at = NULL"
    )
    await eventually(lambda: Effect.exists(state=EffectState.FAILED))
    [failed] = (await server.ask(FAILED))["failedEffects"]["nodes"]
    assert (failed["kind"], failed["email"]) == ("EMAIL", "UNKNOWN")
    assert "CHRISTMAS_CARD" in failed["error"]
    event = (await server.ask(TIMELINE, {"id": order}))["node"]["events"]["nodes"][-1]
    assert (event["type"], event["data"]["email"]) == ("EMAIL_FAILED", "CHRISTMAS_CARD")


@pytest.mark.parametrize("given", ["variable", "literal"])
async def test_unknown_is_refused_as_input(server: Server, order: str, given: str) -> None:
    if given == "variable":
        query = (
            "mutation ($r: CancelReason!, $o: ID!) { cancelOrder(input: {orderId: $o, reason: $r}) { order { id } } }"
        )
        answer = await server.send(query, {"o": order, "r": "UNKNOWN"})
    else:
        query = "mutation ($o: ID!) { cancelOrder(input: {orderId: $o, reason: UNKNOWN}) { order { id } } }"
        answer = await server.send(query, {"o": order})
    [error] = answer["errors"]
    assert "UNKNOWN" in error["message"]
    assert error["extensions"]["code"] != "INTERNAL"
