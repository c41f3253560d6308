"""Where a client begins to follow what it has loaded, and how it is told that it must load anew."""

import asyncio
from random import Random
from typing import Any

import pytest

from domain.actors import Scope
from domain.stream.event_log import Place, cursor_at
from models import OrderEvent
from models.engine.statements import is_postgres
from tests.clients import Server, an_order, live, until
from tests.database import run_sql

LIST = "{ orders(first: 100) { nodes { id version } } orderCounts { total } liveCursor }"
FOLLOW = "subscription ($after: String) { orderEvents(after: $after) { cursor orderVersion order { id } } }"
LOADS = 20  # by two clients each


async def lose_end(after: int) -> None:
    """The database is one that lacks the events after this one: others will have their ids."""
    await OrderEvent.filter(id__gt=after).delete()
    if is_postgres():
        await run_sql(f"SELECT setval('order_events_id_seq', {after})")
    else:
        await run_sql(f"UPDATE sqlite_sequence SET seq = {after} WHERE name = 'order_events'")


async def load_and_follow(server: Server, stopped: asyncio.Event) -> dict[str, int]:
    """The version of each order as a client knows it that has loaded the list and followed it until the last event."""
    loaded = await server.ask(LIST)
    versions = {order["id"]: order["version"] for order in loaded["orders"]["nodes"]}
    async with live(server) as client:
        await client.subscribe(FOLLOW, {"after": loaded["liveCursor"]})
        await stopped.wait()
        at = loaded["liveCursor"]
        while at != (await server.ask("{ liveCursor }"))["liveCursor"]:
            event = (await client.next())["orderEvents"]
            order_id, at = event["order"]["id"], event["cursor"]
            assert event["orderVersion"] <= versions.get(order_id, 0) + 1, "an event is missing"
            versions[order_id] = max(event["orderVersion"], versions.get(order_id, 0))
    return versions


async def test_what_is_loaded_and_then_followed_lacks_nothing(server: Server) -> None:
    random = Random(7)
    stopped = asyncio.Event()
    orders = [(await server.place())["id"] for _ in range(5)]

    async def write() -> None:
        while not stopped.is_set():
            if random.random() < 0.3:
                orders.append((await server.place())["id"])
            else:
                await server.do("addOrderNote", {"orderId": random.choice(orders), "note": "hello"})

    async def load_again_and_again() -> list[dict[str, int]]:
        followed = []
        for _ in range(LOADS):
            followed.append(asyncio.create_task(load_and_follow(server, stopped)))
            await server.ask("{ viewer { name } }")
        return await asyncio.gather(*followed)

    writers = [asyncio.create_task(write()) for _ in range(3)]
    loads = [asyncio.create_task(load_again_and_again()) for _ in range(2)]
    await until(lambda: len(orders) >= 30)
    stopped.set()
    await asyncio.gather(*writers)
    known = [versions for load in loads for versions in await load]
    shown = (await server.ask("{ orders(first: 100) { nodes { id version } } }"))["orders"]["nodes"]
    assert len(known) == 2 * LOADS
    assert known == [{order["id"]: order["version"] for order in shown}] * len(known)


async def test_an_empty_shop_is_followed_from_its_first_order(server: Server) -> None:
    loaded = await server.ask(LIST)
    assert loaded["orders"]["nodes"] == []
    order = await server.place()
    async with live(server) as client:
        await client.subscribe(FOLLOW, {"after": loaded["liveCursor"]})
        assert (await client.next())["orderEvents"]["order"]["id"] == order["id"]


@pytest.mark.wire
async def test_a_live_cursor_needs_a_token_and_no_scope(server: Server) -> None:
    secret = await server.new_token(Scope.SETTINGS_WRITE)
    assert (await server.ask("{ liveCursor }", token=secret))["liveCursor"]
    refused = await server.send("{ liveCursor }", token=None)
    assert [error["extensions"]["code"] for error in refused["errors"]] == ["UNAUTHENTICATED"]


@pytest.mark.wire
@pytest.mark.parametrize(
    "query",
    [
        "query { ...Where } fragment Where on Query { at: liveCursor }",
        "query ($yes: Boolean! = true) { ... @include(if: $yes) { at: liveCursor } orders { nodes { id } } }",
        "{ at: liveCursor failedEffects { nodes { id } } node(id: 1) { id } }",
    ],
)
async def test_a_live_cursor_however_it_is_asked_for(server: Server, query: str) -> None:
    cursors = (await server.do("placeOrder", an_order(), "events { nodes { cursor } }"))["events"]["nodes"]
    assert [(await server.send(query))["data"]["at"]] == [each["cursor"] for each in cursors]


@pytest.mark.parametrize("after", ["now", None])
async def test_from_here_on(server: Server, after: str | None) -> None:
    await server.place()
    async with live(server) as client:
        await client.subscribe(FOLLOW, {"after": after})
        await until(lambda: server.service.feed.subscriber_count == 1)
        placed = await server.place()
        assert (await client.next())["orderEvents"]["order"]["id"] == placed["id"]


@pytest.mark.wire
async def test_the_page_from_here_on_is_empty_and_says_where_that_is(server: Server) -> None:
    await server.place()
    query = "query ($after: String) { orderEvents(after: $after) { nodes { type } pageInfo { endCursor } } liveCursor }"
    answer = await server.ask(query, {"after": "now"})
    assert answer["orderEvents"] == {"nodes": [], "pageInfo": {"endCursor": answer["liveCursor"]}}
    await server.place()
    following = await server.ask(query, {"after": answer["liveCursor"]})
    assert following["orderEvents"]["nodes"] == [{"type": "ORDER_PLACED"}]


@pytest.mark.parametrize("after", [Place(2, 2).cursor, Place(9, 9).cursor, cursor_at(9), cursor_at(1), cursor_at(0)])
async def test_a_page_of_a_log_that_does_not_reach_back(server: Server, after: str) -> None:
    order = await server.place()
    await server.do("addOrderNote", {"orderId": order["id"], "note": "hello"})
    await server.do("addOrderNote", {"orderId": order["id"], "note": "hello"})
    await OrderEvent.filter(id__lte=2).delete()
    query = """query ($after: String, $id: ID!) {
        orderEvents(after: $after) { nodes { type } }
        order(id: $id) { status events(after: $after) { nodes { type } } }
    }"""
    answer = await server.send(query, {"after": after, "id": order["id"]})
    codes = {error["path"][0]: error["extensions"]["code"] for error in answer["errors"]}
    assert codes == dict.fromkeys(("orderEvents", "order"), "CURSOR_EXPIRED")
    assert answer["data"]["orderEvents"] is None
    whole = await server.ask(query, {"id": order["id"]})
    assert (len(whole["orderEvents"]["nodes"]), len(whole["order"]["events"]["nodes"])) == (1, 1)


async def test_sockets_that_stay_open_through_a_restore_are_told_to_load_anew(server: Server) -> None:
    orders = [(await server.place())["id"] for _ in range(3)]
    lost = (await server.ask("{ liveCursor }"))["liveCursor"]
    async with live(server) as client:
        await client.subscribe(FOLLOW, {"after": "now"})
        await client.subscribe(FOLLOW, {"after": lost}, "2")
        await until(lambda: server.service.feed.subscriber_count >= 1)
        await until(lambda: server.service.feed.position == 3)
        await lose_end(1)
        for _ in range(4):
            await server.do("addOrderNote", {"orderId": orders[0], "note": "in another history"})
        ended = [await client.receive() for _ in range(2)]
        assert sorted((each["id"], each["type"]) for each in ended) == [("1", "error"), ("2", "error")]
        assert [each["payload"][0]["extensions"]["code"] for each in ended] == ["CURSOR_EXPIRED"] * 2
        await client.subscribe(FOLLOW, {"after": lost}, "3")
        [error] = (await client.receive())["payload"]
        assert error["extensions"]["code"] == "CURSOR_EXPIRED"
        loaded = await server.ask(LIST)
        await client.subscribe(FOLLOW, {"after": loaded["liveCursor"]}, "4")
        placed = await server.place()
        assert (await client.next("4"))["orderEvents"]["order"]["id"] == placed["id"]


@pytest.mark.wire
async def test_a_log_that_was_emptied(server: Server) -> None:
    await server.place()
    await OrderEvent.all().delete()
    for after in (cursor_at(0), cursor_at(1), Place(1, 1).cursor):
        answer = await server.send(f'{{ orderEvents(after: "{after}") {{ nodes {{ id }} }} }}')
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["CURSOR_EXPIRED"]
    query = "{ liveCursor orderEvents { nodes { id } } }"
    assert (await server.ask(query))["orderEvents"]["nodes"] == []


@pytest.mark.wire
async def test_cursors_made_before_they_had_a_fingerprint_are_taken(server: Server) -> None:
    placed = [await server.place() for _ in range(3)]
    async with live(server) as client:
        await client.subscribe(FOLLOW, {"after": cursor_at(1)})
        heard: list[Any] = [(await client.next())["orderEvents"]["order"]["id"] for _ in range(2)]
    assert heard == [order["id"] for order in placed[1:]]
