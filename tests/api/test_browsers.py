"""What web pages may do: other origins, requests that browsers send by themselves, and who is shown the schema."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from api.commands.temporary_server import free_port
from api.settings import Settings
from domain.actors import Scope, system
from domain.registered_documents import Document, register_documents
from domain.tokens import create_token
from models import OrderEvent
from tests import browser
from tests.clients import Live, Server, live
from tests.missing import BROWSER

pytestmark = pytest.mark.wire

APP = "https://app.example.com"
OTHER = "https://other.example.com"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
PAGE_PORT = free_port()  # of a page of another origin than the server's
TYPENAME = {"data": {"__typename": "Query"}}


@pytest.fixture
def settings(database_url: str, request: pytest.FixtureRequest) -> Settings:
    """A test may have others by indirect parameters."""
    return Settings(database_url=database_url, **getattr(request, "param", {}))


def with_settings(**given: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("settings", [given], indirect=True, ids=[" ".join(given)])


def cors_of(response: httpx.Response) -> dict[str, str]:
    """The headers by which a browser decides."""
    return {name: value for name, value in response.headers.items() if name.startswith("access-control")}


async def preflight(server: Server, origin: str) -> httpx.Response:
    return await server.http.options(server.url, headers={"Origin": origin, **PREFLIGHT})


async def ask(server: Server, origin: str) -> httpx.Response:
    return await server.http.post(server.url, json={"query": "{ __typename }"}, headers={"Origin": origin})


async def handshake(server: Server, origin: str | None) -> int:
    """The status of the answer to a WebSocket's handshake."""
    try:
        async with connect(server.ws_url, subprotocols=["graphql-transport-ws"], origin=origin) as connection:  # type: ignore[list-item, arg-type]
            await Live(connection).send({"type": "ping"})
            assert await Live(connection).receive() == {"type": "pong"}
            return 101
    except InvalidStatus as error:
        refused = error.response
    [refusal] = json.loads(refused.body or "")["errors"]
    assert refusal["extensions"] == {"code": "FORBIDDEN"}
    assert "x-request-id" in refused.headers
    return refused.status_code


@with_settings(public_url="https://orders.example.com")
async def test_pages_of_other_origins_may_do_nothing_by_default(server: Server) -> None:
    assert (await preflight(server, APP)).status_code == 405
    assert cors_of(await preflight(server, APP)) == cors_of(await ask(server, APP)) == {}
    statuses = {
        None: 101,
        server.url.removesuffix("/graphql"): 101,
        "https://orders.example.com": 101,
        "HTTPS://ORDERS.EXAMPLE.COM": 101,
        APP: 403,
        f"http://127.0.0.1:{server.port + 1}": 403,
        "https://orders.example.com.evil.example": 403,
        "https://evil.example/orders.example.com": 403,
        "null": 403,
        "": 403,
    }
    assert {origin: await handshake(server, origin) for origin in statuses} == statuses


@with_settings(cors_origins=f"{APP.upper()}, http://localhost:3000")
async def test_the_origins_of_the_settings(server: Server) -> None:
    allowed = await preflight(server, APP)
    assert allowed.status_code == 200
    assert cors_of(allowed) == {
        "access-control-allow-origin": APP,
        "access-control-allow-methods": "GET, POST",
        "access-control-allow-headers": "authorization,content-type",
        "access-control-max-age": "7200",
    }
    assert "Origin" in allowed.headers["vary"]
    answer = await ask(server, "http://localhost:3000")
    assert cors_of(answer) == {
        "access-control-allow-origin": "http://localhost:3000",
        "access-control-expose-headers": "X-Request-ID, Retry-After",
    }
    assert answer.json() == TYPENAME
    assert (await preflight(server, OTHER)).status_code == 400
    assert "access-control-allow-origin" not in cors_of(await ask(server, OTHER))
    statuses = {None: 101, APP: 101, "http://localhost:3000": 101, "http://localhost:3001": 403, OTHER: 403}
    assert {origin: await handshake(server, origin) for origin in statuses} == statuses


@with_settings(cors_origins="*")
async def test_all_origins(server: Server) -> None:
    assert cors_of(await ask(server, OTHER))["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in cors_of(await preflight(server, OTHER))
    assert {origin: await handshake(server, origin) for origin in (OTHER, "null")} == {OTHER: 101, "null": 101}


@pytest.mark.parametrize("origins", ["app.example.com", "https://app.example.com/", "ftp://a", "https://a/b", "a,b"])
def test_what_is_no_origin(origins: str) -> None:
    with pytest.raises(ValidationError, match="is no origin, such as"):
        Settings(cors_origins=origins)  # type: ignore[arg-type]


@asynccontextmanager
async def empty_page(port: int) -> AsyncIterator[None]:
    """Served at this port for as long as the block runs."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:  # browsers open connections ahead, and close those that they do not use
            writer.close()
            return
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<!doctype html>")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", port):
        yield


TRY = """(() => {
    globalThis.http = globalThis.socket = ""
    const headers = { authorization: "Bearer TOKEN", "content-type": "application/json" }
    fetch("URL", { method: "POST", headers, body: JSON.stringify({ query: "{ viewer { name } }" }) })
        .then((response) => response.json()).then(({ data }) => { http = data.viewer.name }, () => { http = "refused" })
    const opening = new WebSocket("URL".replace("http", "ws"), "graphql-transport-ws")
    opening.onopen = () => { socket = "open" }
    opening.onerror = () => { socket = "refused" }
})()"""


@pytest.mark.skipif(browser.PROGRAM is None, reason=BROWSER)
@with_settings(cors_origins=f"http://localhost:{PAGE_PORT}")
async def test_pages_of_two_origins_in_a_browser(server: Server, tmp_path: Path) -> None:
    script = TRY.replace("URL", server.url).replace("TOKEN", server.token)
    welcome, other = f"http://localhost:{PAGE_PORT}/", f"http://127.0.0.1:{PAGE_PORT}/"
    async with empty_page(PAGE_PORT), browser.opened(welcome, tmp_path / "profile") as page:
        for address, outcome in ((welcome, ["everything", "open"]), (other, ["refused", "refused"])):
            await page.call("Page.navigate", url=address)
            await page.wait_for(f"location.href === '{address}' && document.readyState === 'complete'")
            await page.evaluate(script)
            assert await page.wait_for("http && socket && [http, socket]") == outcome


async def test_what_a_browser_sends_without_asking_changes_nothing(server: Server) -> None:
    """A page of any origin can have these sent: a form, or a request that needs no preflight."""
    order = await server.place()
    mutation = f'mutation {{ confirmOrder(input: {{ orderId: "{order["id"]}" }}) {{ order {{ id }} }} }}'
    headers = {"Authorization": f"Bearer {server.token}", "Origin": OTHER}
    part = {"operations": (None, json.dumps({"query": mutation})), "map": (None, "{}")}
    url, http = server.url, server.http

    def posted(content_type: str) -> Any:
        given = {"Content-Type": content_type} if content_type else {}
        return http.post(url, content=json.dumps({"query": mutation}), headers={**headers, **given})

    answers = [
        (await posted("text/plain"), 415),
        (await posted("text/plain; application/json"), 415),
        (await posted("application/x-www-form-urlencoded"), 415),
        (await posted("multipart/form-data; boundary=x"), 415),
        (await posted(""), 415),
        (await http.post(url, data={"query": mutation}, headers=headers), 415),
        (await http.post(url, files=part, headers=headers), 415),
        (await http.post(url, params={"query": mutation}, headers=headers), 415),
        (await http.get(url, params={"query": mutation}, headers=headers), 405),
        (await http.head(url, params={"query": mutation}, headers=headers), 405),
    ]
    assert [answer.status_code for answer, _ in answers] == [status for _, status in answers]
    assert await OrderEvent.all().count() == 1


async def test_what_every_answer_tells_browsers(server: Server) -> None:
    base = server.url.removesuffix("graphql")
    for path in ("graphql", "graphql?query={__typename}", "healthz", "nothing", "delivery-notes/x.pdf", ""):
        response = await server.http.get(base + path)
        told = (response.headers["x-content-type-options"], response.headers["referrer-policy"])
        assert told == ("nosniff", "no-referrer"), path
    https = await server.http.get(f"{base}graphiql", headers={"X-Forwarded-Proto": "https"})
    assert https.headers["location"].startswith("https://"), "the proxy beside the server was not believed"


SCHEMA = "{ __schema { queryType { name } } }"
TYPE = '{ __type(name: "Money") { name } }'
HIDDEN = "GraphQL introspection has been disabled, but the requested query contained the field '{}'."
STATUS = "query ($filter: OrderFilter) { orderCounts(filter: $filter) { total } }"


async def shown(server: Server, token: str | None) -> bool:
    """Whether this caller is shown the schema, and told what it may have meant: it is always both or neither."""
    expected = {
        SCHEMA: ({"data": {"__schema": {"queryType": {"name": "Query"}}}}, HIDDEN.format("__schema")),
        TYPE: ({"data": {"__type": {"name": "Money"}}}, HIDDEN.format("__type")),
    }
    for query, (answer, message) in expected.items():
        given = await server.send(query, token=token)
        if given != answer:
            assert given["errors"][0]["message"] == message
    hints = []
    for query, variables in (
        ("{ ordrs { nodes { id } } }", None),
        ("{ orders(frst: 1) { nodes { id } } }", None),
        ("{ orders(filter: { status: [PENDNG] }) { nodes { id } } }", None),
        (STATUS, {"filter": {"status": ["PENDNG"]}}),
        (STATUS, {"filter": {"sttus": []}}),
        ("query ($a: OrderFiltr) { orderCounts(filter: $a) { total } }", None),
    ):
        answer = await server.send(query, variables, token)
        if token is None and variables is not None:  # which are not looked at without a token
            assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
        else:
            hints.append("Did you mean" in answer["errors"][0]["message"])
    visible = "data" in await server.send(SCHEMA, token=token)
    assert hints == [visible] * len(hints)
    assert await server.ask("{ __typename viewer: __typename }", token=token) == {
        "__typename": "Query",
        "viewer": "Query",
    }
    return visible


@pytest.mark.parametrize(
    ("settings", "anonymous", "with_token"),
    [
        ({}, False, True),
        ({"introspection": "all"}, True, True),
        ({"introspection": "none"}, False, False),
    ],
    indirect=["settings"],
)
async def test_who_is_shown_the_schema(server: Server, anonymous: bool, with_token: bool) -> None:
    assert (await shown(server, None), await shown(server, server.token)) == (anonymous, with_token)
    async with live(server) as client:
        await client.subscribe(SCHEMA)
        assert (await client.receive())["type"] == ("next" if with_token else "error")


async def test_who_may_send_registered_documents_alone_is_shown_nothing(server: Server) -> None:
    _, token = await create_token(actor=system("tests"), name="app", scopes=list(Scope), registered_only=True)
    await register_documents(actor=system("tests"), documents=[Document(SCHEMA, "query"), Document(STATUS, "query")])
    for query, variables, message in (
        (SCHEMA, None, HIDDEN.format("__schema")),
        (STATUS, {"filter": {"status": ["PENDNG"]}}, "Value 'PENDNG' does not exist in 'OrderStatus' enum."),
    ):
        answer = await server.send(query, variables, token)
        assert answer["errors"][0]["message"].endswith(message)
