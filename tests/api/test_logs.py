"""What the server logs, and under which id."""

import asyncio
import json
import logging
from collections.abc import Iterator
from tempfile import TemporaryFile
from typing import Any
from uuid import UUID

import pytest
from structlog.contextvars import get_contextvars
from websockets.asyncio.client import connect

from api.commands.temporary_server import server_process
from api.http.logs import formatter
from domain.actors import Scope, system
from domain.tokens import create_token
from models.engine.database import connected
from tests.clients import Server, an_order, live, new_client, until
from tests.database import run_sql

pytestmark = pytest.mark.wire


class Lines(logging.Handler):
    """Each record as the object that its line of JSON is."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(formatter(as_json=True))
        self.all: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        assert "\n" not in line
        self.all.append(json.loads(line))

    def of(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.all if line["event"].startswith(event)]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Everything that the project logs while the test runs."""
    handler, logger = Lines(), logging.getLogger("api")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.setLevel(level)
    logger.removeHandler(handler)


async def test_a_request_has_one_line(server: Server, lines: Lines) -> None:
    order = await server.place()
    query = "query Overview($id: ID!) { order(id: $id) { number } }"
    response = await server.http.post(
        server.url + "?token=hidden",
        json={"query": query, "variables": {"id": order["id"]}},
        headers={"Authorization": f"Bearer {server.token}", "X-Request-ID": "from-the-shop-7"},
    )
    assert response.headers["x-request-id"] == "from-the-shop-7"
    [line] = [line for line in lines.of("request") if line["request_id"] == "from-the-shop-7"]
    assert line.pop("milliseconds") >= 0
    assert line.pop("timestamp").endswith("Z")
    assert line.pop("process") > 0
    assert line == {
        "event": "request",
        "logger": "api.http.logs",
        "level": "info",
        "request_id": "from-the-shop-7",
        "method": "POST",
        "path": "/graphql",
        "status": 200,
        "kind": "query",
        "operation": "Overview",
    }


async def test_an_event_stream_has_its_operation_in_its_line(server: Server, lines: Lines) -> None:
    query = "query Codes { channels { code } }"
    headers = {"Authorization": f"Bearer {server.token}", "Accept": "text/event-stream"}
    response = await server.http.post(server.url, json={"query": query}, headers=headers)
    assert "event: complete" in response.text
    await until(lambda: lines.of("request"))
    [line] = lines.of("request")
    assert (line["kind"], line["operation"], line["request_id"]) == ("query", "Codes", response.headers["x-request-id"])


@pytest.mark.parametrize("given", [None, "", "ümlaut".encode(), "with space", "x" * 129, "tab\tbed"])
async def test_an_id_that_is_none_is_replaced(server: Server, given: Any) -> None:
    headers = {} if given is None else {"X-Request-ID": given}
    response = await server.http.get(f"http://127.0.0.1:{server.port}/healthz", headers=headers)
    assert UUID(response.headers["x-request-id"]).version == 7


@pytest.mark.parametrize("given", ["a", "x" * 128, '!"#$%&/()=?~'])
async def test_an_id_that_is_sane_is_kept(server: Server, given: str) -> None:
    response = await server.http.get(f"http://127.0.0.1:{server.port}/missing", headers={"X-Request-ID": given})
    assert (response.status_code, response.headers["x-request-id"]) == (404, given)


async def test_those_who_watch_are_logged_quietly(server: Server, lines: Lines) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/missing"):
        await server.http.get(f"http://127.0.0.1:{server.port}{path}")
    assert [(line["path"], line["level"]) for line in lines.of("request")] == [
        ("/healthz", "debug"),
        ("/readyz", "debug"),
        ("/metrics", "debug"),
        ("/missing", "info"),
    ]


async def test_a_fault_is_found_by_its_id_and_by_the_requests(server: Server, lines: Lines) -> None:
    await run_sql("ALTER TABLE order_numbers RENAME TO away")
    query = "mutation ($input: PlaceOrderInput!) { placeOrder(input: $input) { order { id } } }"
    answer = await server.send(query, {"input": an_order()})
    fault_id = answer["errors"][0]["extensions"]["id"]
    [line] = lines.of("fault")
    [request] = lines.of("request")
    assert fault_id in line["event"]
    assert line["request_id"] == request["request_id"]
    assert "order_numbers" in line["exception"]


async def test_an_error_outside_graphql_is_a_fault_too(server: Server, lines: Lines) -> None:
    await run_sql("ALTER TABLE api_tokens RENAME TO away")
    headers = {"Authorization": f"Bearer {server.token}", "X-Request-ID": "mine"}
    response = await server.http.get(server.url, params={"query": "{ viewer { name } }"}, headers=headers)
    assert (response.status_code, response.headers["x-request-id"]) == (500, "mine")
    [error] = response.json()["errors"]
    assert error["extensions"]["code"] == "INTERNAL"
    [line] = lines.of("fault")
    assert (error["extensions"]["id"] in line["event"], line["request_id"]) == (True, "mine")
    assert lines.of("request")[0]["status"] == 500


async def test_a_websocket_has_one_id_and_one_line(server: Server, lines: Lines) -> None:
    await run_sql("ALTER TABLE order_numbers RENAME TO away")
    query = "mutation ($input: PlaceOrderInput!) { placeOrder(input: $input) { order { id } } }"
    async with live(server) as client:
        response = client.connection.response
        assert response is not None
        request_id = response.headers["x-request-id"]
        assert UUID(request_id).version == 7
        for operation_id in ("1", "2"):
            await client.subscribe(query, {"input": an_order()}, operation_id)
            assert (await client.receive())["payload"]["errors"][0]["extensions"]["code"] == "INTERNAL"
            assert (await client.receive())["type"] == "complete"
    await until(lambda: lines.of("websocket"))
    assert {line["request_id"] for line in lines.of("fault")} == {request_id}
    assert len(lines.of("fault")) == 2
    [line] = lines.of("websocket")
    assert (line["request_id"], line["path"], line["status"]) == (request_id, "/graphql", 1000)
    assert get_contextvars() == {}


async def test_a_server_logs_lines_of_json_and_no_secret(database_url: str) -> None:
    async with connected(database_url):
        _, token = await create_token(actor=system("tests"), name="everything", scopes=list(Scope))
    with TemporaryFile() as log:
        async with (
            server_process(database_url, environment={"LOG_LEVEL": "debug"}, log=log) as (url, _),
            new_client() as client,
        ):
            given = {"query": "query Codes { channels { code } }", "variables": {"unused": "hidden-value"}}
            answer = await client.post(
                f"{url}?key=hidden-key", json=given, headers={"Authorization": f"Bearer {token}", "X-Request-ID": "r-1"}
            )
            assert answer.json() == {"data": {"channels": []}}
            socket_url = url.replace("http://", "ws://") + "?key=hidden-key"
            async with connect(socket_url, subprotocols=["graphql-transport-ws"]) as socket:  # type: ignore[list-item]
                init = {"type": "connection_init", "payload": {"Authorization": f"Bearer {token}"}}
                await socket.send(json.dumps(init))
                assert json.loads(await asyncio.wait_for(socket.recv(), 10))["type"] == "connection_ack"
        log.seek(0)
        text = log.read().decode()
    lines = [json.loads(line) for line in text.splitlines()]
    for hidden in (token, "hidden", "channels"):
        assert hidden not in text
    assert [line["operation"] for line in lines if line.get("request_id") == "r-1"] == ["Codes"]
    [socket_line] = [line for line in lines if line["event"] == "websocket"]
    assert (socket_line["path"], socket_line["status"]) == ("/graphql", 1000)
    assert any(line["logger"] == "uvicorn.error" and "running on" in line["event"] for line in lines)


def test_a_terminal_gets_text_without_the_variables_of_frames() -> None:
    try:
        secret = "hid" + "den"  # noqa: F841
        raise ZeroDivisionError("what went wrong")
    except ZeroDivisionError as error:
        record = logging.LogRecord("api.x", logging.ERROR, __file__, 1, "it broke", None, None)
        record.exc_info = (type(error), error, error.__traceback__)
    text = formatter(as_json=False).format(record)
    assert "it broke" in text
    assert "ZeroDivisionError: what went wrong" in text
    assert "hidden" not in text


def test_a_line_can_be_written_of_anything() -> None:
    record = logging.LogRecord("api.x", logging.ERROR, __file__, 1, "%s broke\n{}", ("half \ud800 a pair",), None)
    line = formatter(as_json=True).format(record)
    assert "\n" not in line
    assert json.loads(line)["event"] == "half \ud800 a pair broke\n{}"
