"""Subscriptions that ask the same with the same rights are worked out once; all others never share."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from api.http.writers import UNREAD_BYTES
from api.settings import Settings
from domain.actors import Scope
from domain.stream.event_log import cursor_at
from tests.clients import LONG_DOCUMENTS, Live, Server, live, until
from tests.database import Statement, statements

pytestmark = pytest.mark.wire

EVENTS = """subscription ($filter: OrderEventFilter, $after: String, $withLines: Boolean = false) {
    orderEvents(filter: $filter, after: $after) {
        orderVersion
        order { number channel { code } lines @include(if: $withLines) { sku } }
    }
}"""
COUNTS = "subscription { orderCountsChanged { total } }"


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings(database_url=database_url, **LONG_DOCUMENTS)


async def joined(server: Server, stack: AsyncExitStack, token: str = "", **variables: Any) -> Live:
    """A socket that follows events from now on."""
    client = await stack.enter_async_context(live(server, token))
    before = server.service.subscriptions.count
    await client.subscribe(EVENTS, variables)
    await until(lambda: server.service.subscriptions.count == before + 1)
    return client


async def next_event(client: Live) -> dict[str, Any]:
    event: dict[str, Any] = (await client.next())["orderEvents"]
    return event


def groups(server: Server) -> int:
    """How many times an event that concerns everybody is worked out."""
    return len(server.service.subscriptions._groups)


async def test_an_event_takes_the_same_statements_for_twenty_as_for_one(server: Server) -> None:
    async def told(*clients: Live) -> list[Statement]:
        with statements() as seen:
            await server.place()
            events = await asyncio.gather(*map(next_event, clients))
        assert events == [events[0]] * len(clients)
        assert events[0]["order"]["lines"] == [{"sku": "SOCK-1"}, {"sku": "HAT-1"}]
        return [each for each in seen if '"order_lines"' in each.sql and each.sql.startswith("SELECT")]

    async with AsyncExitStack() as stack:
        one = await joined(server, stack, withLines=True)
        for_one = await told(one)
        clients = [one, *[await joined(server, stack, withLines=True) for _ in range(19)]]
        assert groups(server) == 1
        assert len(await told(*clients)) == len(for_one) > 0


async def test_tokens_share_with_their_equals_alone(server: Server) -> None:
    """The same document and variables under tokens of other channels and scopes: each is told what it may see."""
    for code in ("web", "pos"):
        await server.place(channel=code)
    reads = (Scope.ORDERS_READ,)
    tokens = {
        "web": await server.new_token(*reads, channels=("web",), name="one"),
        "web too": await server.new_token(*reads, channels=("web",), name="another"),
        "web, and writes": await server.new_token(*reads, Scope.ORDERS_WRITE, channels=("web",)),
        "pos": await server.new_token(*reads, channels=("pos",)),
        "both": await server.new_token(*reads, channels=("web", "pos")),
        "all": await server.new_token(*reads),
    }
    async with AsyncExitStack() as stack:
        clients = {name: await joined(server, stack, token) for name, token in tokens.items()}
        assert groups(server) == 5
        placed = [await server.place(channel=code) for code in ("web", "pos", "pos", "web")]
        numbers = {
            code: [
                order["number"] for order, at in zip(placed, ("web", "pos", "pos", "web"), strict=True) if at in code
            ]
            for code in ("web", "pos", "web pos")
        }
        for name, client in clients.items():
            code = name.split(",")[0].split()[0]
            mine = numbers[code] if code in numbers else numbers["web pos"]
            seen = [await next_event(client) for _ in mine]
            assert [event["order"]["number"] for event in seen] == mine
            assert {event["order"]["channel"]["code"] for event in seen} <= set(code.split()) or code in ("both", "all")
        stranger = await server.new_token(Scope.ORDERS_WRITE)
        client = await stack.enter_async_context(live(server, stranger))
        await client.subscribe(EVENTS)
        message = await client.receive()
        assert (message["type"], message["payload"][0]["extensions"]["code"]) == ("error", "FORBIDDEN")


async def test_variables_that_shape_the_answer_keep_apart_and_cursors_do_not(server: Server) -> None:
    order = await server.place()
    async with AsyncExitStack() as stack:
        lean = await joined(server, stack)
        full = await joined(server, stack, withLines=True)
        other = await joined(server, stack, filter={"orderIds": [(await server.place())["id"]]})
        late = await joined(server, stack, after=cursor_at(0))
        later = await joined(server, stack, after=cursor_at(1))
        assert groups(server) == 3
        await next_event(lean)
        await next_event(full)
        seen = [(await next_event(late))["order"]["number"] for _ in range(2)]
        assert seen[1:] == [(await next_event(later))["order"]["number"]]
        await server.do("confirmOrder", {"orderId": order["id"]})
        told: dict[str, Any] = {"orderVersion": 2, "order": {"number": order["number"], "channel": {"code": "web"}}}
        lines = {"lines": [{"sku": "SOCK-1"}, {"sku": "HAT-1"}]}
        for client in (lean, late, later):
            assert await next_event(client) == told
        assert await next_event(full) == {**told, "order": {**told["order"], **lines}}
        await other.send({"type": "ping"})
        assert (await other.receive())["type"] == "pong"  # and nothing else has come


async def test_the_others_go_on_when_one_leaves_and_nothing_is_left_of_the_last(server: Server) -> None:
    async with AsyncExitStack() as stack:
        first, second = await joined(server, stack), await joined(server, stack)
        async with AsyncExitStack() as inner:
            third = await joined(server, inner)
            await third.send({"id": "1", "type": "complete"})
            await until(lambda: server.service.subscriptions.count == 2)
            await third.subscribe(EVENTS)
            await until(lambda: server.service.subscriptions.count == 3)
            second.connection.transport.abort()
            await until(lambda: server.service.subscriptions.count == 2)
            await server.place()
            assert await next_event(first) == await next_event(third)
        await until(lambda: server.service.subscriptions.count == 1)
        await server.place()
        await next_event(first)
    await until(lambda: server.service.subscriptions.count == 0)
    await until(lambda: groups(server) == 0)


async def test_counts_are_counted_once_and_the_newcomer_is_told_at_once(server: Server) -> None:
    await server.place()
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(live(server)) for _ in range(3)]
        await clients[0].subscribe(COUNTS)
        assert await clients[0].next() == {"orderCountsChanged": {"total": 1}}
        with statements() as seen:
            for client in clients[1:]:
                await client.subscribe(COUNTS)
                assert await client.next() == {"orderCountsChanged": {"total": 1}}
        assert [each for each in seen if "COUNT(" in each.sql] == []
        await server.place()
        for client in clients:
            assert await client.next() == {"orderCountsChanged": {"total": 2}}


async def test_who_looks_on_slowly_is_told_how_it_is_and_not_how_it_was(server: Server) -> None:
    many = " ".join(f"n{number}: total" for number in range(500))
    async with AsyncExitStack() as stack:
        slow, quick = [await stack.enter_async_context(live(server)) for _ in range(2)]
        slow.connection.transport.pause_reading()
        for number in range(100):
            await slow.subscribe(f"subscription {{ orderCountsChanged {{ total {many} }} }}", None, f"{number}")
        transports = [each.transport for each in server.running.server_state.connections]
        await until(lambda: any(each.get_write_buffer_size() > UNREAD_BYTES for each in transports))
        await quick.subscribe(COUNTS)
        for total in range(3):
            assert await quick.next() == {"orderCountsChanged": {"total": total}}
            await server.place()
        assert await quick.next() == {"orderCountsChanged": {"total": 3}}
        slow.connection.transport.resume_reading()
        totals: dict[str, list[int]] = {}
        while len(totals) < 100 or any(seen[-1] != 3 for seen in totals.values()):
            message = await slow.receive()
            totals.setdefault(message["id"], []).append(message["payload"]["data"]["orderCountsChanged"]["total"])
        assert all(seen == sorted(set(seen)) for seen in totals.values())
        assert [3] in totals.values()  # it was full when the others came
