"""Under a server without a writer of its own: messages are sent through ASGI's `websocket.send`."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from api.settings import Settings
from domain.stream.event_log import cursor_at
from tests.clients import Live, Server, live, until

pytestmark = pytest.mark.wire

NOTE = "x" * 5_000
NOTES = " ".join(f"n{number}: note" for number in range(20))
QUERY = f"subscription ($after: String) {{ orderEvents(after: $after) {{ orderVersion order {{ number {NOTES} }} }} }}"


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings(database_url=database_url, stall_seconds=1.0)


@pytest.fixture
def connections_of() -> dict[str, Any]:
    return {"http": "httptools", "ws": "websockets-sansio"}  # uvicorn's own


async def versions(client: Live, count: int) -> list[int]:
    return [(await client.next())["orderEvents"]["orderVersion"] for _ in range(count)]


async def test_events_come_once_and_in_order_and_who_does_not_read_is_cut_off(server: Server) -> None:
    async with AsyncExitStack() as stack:
        first, second, stalled = [await stack.enter_async_context(live(server)) for _ in range(3)]
        for number, client in enumerate((first, second, stalled), 1):
            await client.subscribe(QUERY)
            await until(lambda number=number: server.service.subscriptions.count == number)  # type: ignore[misc]
        order = await server.place(note=NOTE)
        for client in (first, second, stalled):
            assert await versions(client, 1) == [1]
        stalled.connection.transport.pause_reading()
        version = 1
        while server.service.subscriptions.count == 3:
            await server.do("addOrderNote", {"orderId": order["id"], "note": "x"})
            version += 1
            assert await versions(first, 1) == await versions(second, 1) == [version]
        stalled.connection.transport.resume_reading()
        assert (await stalled.closed())[0] in (4408, 1006)
        await first.send({"id": "1", "type": "complete"})
        await until(lambda: server.service.subscriptions.count == 1)
        await first.subscribe("{ channels { code } }", None, "2")
        assert await first.next("2") == {"channels": [{"code": "web"}]}
        assert (await first.receive())["type"] == "complete"
        async with live(server) as again:
            await again.subscribe(QUERY, {"after": cursor_at(0)})
            assert await versions(again, version) == list(range(1, version + 1))


async def test_a_token_that_ends_closes_the_socket(server: Server) -> None:
    actor_token = await server.new_token()
    async with live(server, actor_token) as client:
        await client.subscribe("subscription { orderCountsChanged { total } }")
        assert await client.next() == {"orderCountsChanged": {"total": 0}}
        query = "mutation ($i: RevokeTokenInput!) { revokeToken(input: $i) { userErrors { code } } }"
        tokens = (await server.ask("{ tokens { nodes { id name } } }"))["tokens"]["nodes"]
        [token_id] = [token["id"] for token in tokens if token["name"] == "test"]
        await server.ask(query, {"i": {"tokenId": token_id}})
        async with asyncio.timeout(60):
            assert await client.closed() == (4403, "Forbidden: the token has ended")
