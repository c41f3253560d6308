"""Answers as server-sent events."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
import pytest

from api.settings import Settings
from models import OrderEvent
from tests.clients import LONG_DOCUMENTS, WAIT, Server, follow, live, until

pytestmark = pytest.mark.wire

EVENTS = "subscription ($after: String) { orderEvents(after: $after) { type cursor } }"
VIEWER = "{ viewer { name } }"
COMPLETE = ("complete", "")


@pytest.fixture
def settings(database_url: str, request: pytest.FixtureRequest) -> Settings:
    """A test may have others by indirect parameters."""
    return Settings(database_url=database_url, **LONG_DOCUMENTS, **getattr(request, "param", {}))


class Stream:
    """The events of an answer, as they come."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def block(self) -> list[str]:
        """The lines up to the next empty one."""
        lines = []
        async with asyncio.timeout(WAIT):
            while line := await anext(self._lines):
                lines.append(line)
        return lines

    async def event(self) -> tuple[str, Any]:
        """The next event's name, and its data from JSON; comments are passed over."""
        while (lines := await self.block()) == [":"]:
            pass
        assert [line.partition(":")[0] for line in lines] == ["event", "data"]
        name, data = (line.partition(":")[2].strip() for line in lines)
        return name, orjson.loads(data) if data else ""

    async def ended(self) -> None:
        async with asyncio.timeout(WAIT):
            assert [line async for line in self._lines if line not in ("", ":")] == []


@asynccontextmanager
async def open_stream(
    server: Server, query: str, variables: dict[str, Any] | None = None, method: str = "POST", token: str = ""
) -> AsyncIterator[Stream]:
    headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {token or server.token}"}
    if method == "POST":
        given: dict[str, Any] = {"json": {"query": query, "variables": variables}}
    else:
        given = {"params": {"query": query, "variables": orjson.dumps(variables).decode()}}
    async with server.http.stream(method, server.url, headers=headers, **given) as response:
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        yield Stream(response)


async def cursors_of_three_orders(server: Server) -> list[str]:
    for _ in range(3):
        await server.place()
    answer = await server.ask("{ orderEvents { nodes { cursor } } }")
    return [node["cursor"] for node in answer["orderEvents"]["nodes"]]


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_subscription_resumes_after_a_cursor(server: Server, method: str) -> None:
    first, second, third = await cursors_of_three_orders(server)
    async with open_stream(server, EVENTS, {"after": first}, method) as stream:
        for cursor in (second, third):
            event = {"orderEvents": {"type": "ORDER_PLACED", "cursor": cursor}}
            assert await stream.event() == ("next", {"data": event})
        await server.place()
        name, payload = await stream.event()
        assert (name, payload["data"]["orderEvents"]["type"]) == ("next", "ORDER_PLACED")
        assert server.service.subscriptions.count == 1
    await until(lambda: server.service.subscriptions.count == 0)


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_query_is_one_event(server: Server, method: str) -> None:
    async with open_stream(server, VIEWER, None, method) as stream:
        assert await stream.event() == ("next", {"data": {"viewer": {"name": "everything"}}})
        assert await stream.event() == COMPLETE
        await stream.ended()


async def test_a_mutation_by_post(server: Server) -> None:
    order = await server.place()
    mutation = "mutation ($id: ID!) { confirmOrder(input: { orderId: $id }) { order { status } } }"
    async with open_stream(server, mutation, {"id": order["id"]}) as stream:
        assert await stream.event() == ("next", {"data": {"confirmOrder": {"order": {"status": "CONFIRMED"}}}})
        assert await stream.event() == COMPLETE


async def test_no_mutation_by_get(server: Server) -> None:
    order = await server.place()
    mutation = "mutation ($id: ID!) { confirmOrder(input: { orderId: $id }) { order { status } } }"
    async with open_stream(server, mutation, {"id": order["id"]}, "GET") as stream:
        message = "A mutation cannot be run this way."
        error = {"message": message, "extensions": {"code": "BAD_USER_INPUT"}}
        assert await stream.event() == ("next", {"errors": [error]})
        assert await stream.event() == COMPLETE
    assert await OrderEvent.all().count() == 1


@pytest.mark.parametrize(
    ("query", "variables", "message"),
    [
        ("{", None, "Syntax Error"),
        ("subscription { nothing }", None, "Cannot query field 'nothing'"),
        (EVENTS, {"after": 1}, "String cannot represent a non string value"),
        (EVENTS, {"after": "x"}, "This is not a cursor of this list."),
    ],
)
async def test_a_refused_operation(server: Server, query: str, variables: Any, message: str) -> None:
    async with open_stream(server, query, variables) as stream:
        name, payload = await stream.event()
        assert name == "next"
        [error] = payload["errors"]
        assert message in error["message"]
        assert error["extensions"]["code"] == "BAD_USER_INPUT"
        assert await stream.event() == COMPLETE
        await stream.ended()


async def test_a_request_that_is_none_is_answered_without_a_stream(server: Server) -> None:
    headers = {"Accept": "text/event-stream"}
    responses = {
        400: await server.http.post(server.url, json={}, headers=headers),
        415: await server.http.post(server.url, content=b"{}", headers=headers),
        401: await server.http.post(
            server.url, json={"query": VIEWER}, headers={**headers, "Authorization": "Bearer ost_x"}
        ),
    }
    for status, response in responses.items():
        assert response.status_code == status
        assert response.headers["content-type"] == "application/json; charset=utf-8"
        assert list(response.json()) == ["errors"]


async def test_a_client_that_takes_anything_gets_a_stream_for_a_subscription_alone(server: Server) -> None:
    accept = "application/graphql-response+json, application/json, text/event-stream, multipart/mixed"
    headers = {"Accept": accept, "Authorization": f"Bearer {server.token}"}
    response = await server.http.post(server.url, json={"query": VIEWER}, headers=headers)
    assert response.headers["content-type"] == "application/graphql-response+json; charset=utf-8"
    first, second, _ = await cursors_of_three_orders(server)
    request = {"query": EVENTS, "variables": {"after": first}}
    async with server.http.stream("POST", server.url, json=request, headers=headers) as streamed:
        assert streamed.headers["content-type"] == "text/event-stream; charset=utf-8"
        name, payload = await Stream(streamed).event()
        assert (name, payload["data"]["orderEvents"]["cursor"]) == ("next", second)


@pytest.mark.parametrize("settings", [{"ping_seconds": 0.1}], indirect=True)
async def test_a_quiet_stream_has_comments(server: Server) -> None:
    cursor = (await cursors_of_three_orders(server))[-1]
    async with open_stream(server, EVENTS, {"after": cursor}) as stream:
        for _ in range(3):
            assert await stream.block() == [":"]
        await server.place()
        assert (await stream.event())[0] == "next"


async def test_without_a_token(server: Server) -> None:
    headers = {"Accept": "text/event-stream"}
    async with server.http.stream("POST", server.url, json={"query": EVENTS}, headers=headers) as response:
        stream = Stream(response)
        name, payload = await stream.event()
        assert (name, payload["errors"][0]["extensions"]) == ("next", {"code": "UNAUTHENTICATED"})
        assert await stream.event() == COMPLETE


@pytest.mark.parametrize("settings", [{"stall_seconds": 0.3}], indirect=True)
async def test_a_client_that_does_not_read_is_cut_off(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    first, *_ = await cursors_of_three_orders(server)
    aliases = " ".join(f"a{number}: message" for number in range(2_000))  # some 100 kB for each event
    request = orjson.dumps(
        {
            "query": f"subscription ($after: String) {{ orderEvents(after: $after) {{ {aliases} }} }}",
            "variables": {"after": first},
        }
    )
    head = (
        f"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAccept: text/event-stream\r\n"
        f"Authorization: Bearer {server.token}\r\nContent-Length: {len(request)}\r\n\r\n"
    )
    async with open_stream(server, EVENTS, {"after": first}) as other:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        writer.write(head.encode() + request)
        await until(lambda: server.service.subscriptions.count == 2)
        seen = 2
        while server.service.subscriptions.count == 2:
            await server.place()
            seen += 1
            assert seen < 500, "the client was not cut off"
        for _ in range(seen):
            assert (await other.event())[0] == "next"
        async with asyncio.timeout(WAIT):
            received = await reader.read()
        assert received.startswith(b"HTTP/1.1 200 OK")
        assert not received.endswith(b"0\r\n\r\n"), "the stream was ended as if all were well"
        writer.close()
    assert caplog.records == []


async def test_the_server_ends_with_a_stream_and_a_socket_open(server: Server) -> None:
    cursor = (await cursors_of_three_orders(server))[-1]
    async with live(server) as client, open_stream(server, EVENTS, {"after": cursor}) as stream:
        await follow(server, client)
        for _ in range(2):
            await stream.event()
        started = time.monotonic()
        stopping = asyncio.create_task(server.running.shutdown())
        await stream.ended()  # without complete: the client is to come again
        assert (await client.closed())[0] == 1012
        await until(lambda: server.service.subscriptions.count == 0)
        await stopping
        assert time.monotonic() - started < 3
