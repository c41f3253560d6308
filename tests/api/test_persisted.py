"""Documents that are sent by their hashes, and callers who may send no others than registered ones."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import typer
from typer.testing import CliRunner

from api.commands import documents, token
from api.execution.persisted import MOST_CHARACTERS, DocumentRefused, PersistedDocuments
from api.execution.requests import Request
from api.settings import Settings
from domain.actors import Scope, system
from domain.errors import InvalidInput
from domain.registered_documents import LONGEST_TEXT, Document, hash_of, register_documents, remove_document
from domain.tokens import create_token
from models import OrderEvent, RegisteredDocument
from tests.api.test_sse import COMPLETE, Stream
from tests.clients import Server, follow, live, until

pytestmark = pytest.mark.wire

ACTOR = system("tests")
GRAPHQL = "application/graphql-response+json"
VIEWER = "query Viewer { viewer { name } }"
EVENTS = "subscription Events($after: String) { orderEvents(after: $after) { type } }"
CONFIRM = "mutation Confirm($id: ID!) { confirmOrder(input: { orderId: $id }) { order { status } } }"
NOT_FOUND = {"message": "PersistedQueryNotFound", "extensions": {"code": "PERSISTED_QUERY_NOT_FOUND"}}
NOT_REGISTERED = {
    "message": "This document is not registered.",
    "extensions": {"code": "DOCUMENT_NOT_REGISTERED"},
}
ANSWER = {"data": {"viewer": {"name": "everything"}}}


@pytest.fixture
def settings(database_url: str, request: pytest.FixtureRequest) -> Settings:
    """A test may have others by indirect parameters."""
    return Settings(database_url=database_url, **getattr(request, "param", {}))


def by_hash(text: str, **given: Any) -> dict[str, Any]:
    return {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": hash_of(text)}}, **given}


async def post(server: Server, request: dict[str, Any], token: str = "", accept: str = GRAPHQL) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token or server.token}", "Accept": accept}
    return await server.http.post(server.url, json=request, headers=headers)


async def get(server: Server, request: dict[str, Any], token: str = "", accept: str = GRAPHQL) -> httpx.Response:
    parameters = {name: each if isinstance(each, str) else json.dumps(each) for name, each in request.items()}
    headers = {"Authorization": f"Bearer {token or server.token}", "Accept": accept}
    return await server.http.get(server.url, params=parameters, headers=headers)


@pytest.mark.parametrize("method", [post, get])
async def test_a_query_is_sent_by_its_hash_once_its_text_is_known(server: Server, method: Any) -> None:
    for accept, status in ((GRAPHQL, 400), ("application/json", 200)):
        unknown = await method(server, by_hash(VIEWER), accept=accept)
        assert (unknown.status_code, unknown.json()) == (status, {"errors": [NOT_FOUND]})
    assert (await method(server, by_hash(VIEWER, query=VIEWER))).json() == ANSWER
    for given in (by_hash(VIEWER), {"documentId": f"sha256:{hash_of(VIEWER)}"}, {"documentId": hash_of(VIEWER)}):
        answer = await method(server, given)
        assert (answer.status_code, answer.json()) == (200, ANSWER)
    page = await server.http.get(
        server.url, params={"documentId": hash_of("{ __typename }")}, headers={"Accept": "text/html, */*;q=0.1"}
    )
    assert page.json() == {"errors": [NOT_FOUND]}, "a browser was shown GraphiQL in place of the answer"


MALFORMED: dict[str, dict[str, Any]] = {
    "documentId is a string.": {"documentId": 1},
    "extensions.persistedQuery is an object with version 1 and a sha256Hash.": {"extensions": {"persistedQuery": "x"}},
    "The hash is not that of the query.": by_hash(VIEWER, query=EVENTS),
    "A request needs a query, which is a string.": by_hash(VIEWER, query=1),
}


async def test_what_is_no_hash_or_the_wrong_one(server: Server) -> None:
    for message, request in MALFORMED.items():
        answer = await post(server, request)
        error = {"message": message, "extensions": {"code": "BAD_USER_INPUT"}}
        assert (answer.status_code, answer.json()) == (400, {"errors": [error]})
    persisted: Any
    for persisted in ({"version": 2, "sha256Hash": "x"}, {"sha256Hash": "x"}, {"version": 1, "sha256Hash": 1}, [], 0):
        answer = await post(server, {"extensions": {"persistedQuery": persisted}})
        assert "version 1 and a sha256Hash" in answer.text
    for strange in ("x" * 1000, "\x00", "x-own:1", "' OR 1=1"):
        assert (await post(server, {"documentId": strange})).json() == {"errors": [NOT_FOUND]}
    assert (await post(server, by_hash(EVENTS))).json() == {"errors": [NOT_FOUND]}, "a wrong text was kept"


async def test_a_mutation_is_not_run_by_get(server: Server) -> None:
    order = await server.place()
    request = by_hash(CONFIRM, query=CONFIRM, variables={"id": order["id"]})
    assert (await get(server, request)).status_code == 405
    del request["query"]
    assert (await get(server, request)).status_code == 405
    assert await OrderEvent.all().count() == 1
    assert (await post(server, request)).json() == {"data": {"confirmOrder": {"order": {"status": "CONFIRMED"}}}}


async def test_subscriptions_by_hash(server: Server) -> None:
    async with live(server) as client:
        await follow(server, client, "other")
        for given, expected in (
            (by_hash(EVENTS), {"id": "1", "type": "error", "payload": [NOT_FOUND]}),
            (by_hash(VIEWER, query=VIEWER), {"id": "1", "type": "next", "payload": ANSWER}),
        ):
            await client.send({"id": "1", "type": "subscribe", "payload": given})
            assert await client.receive() == expected
        assert await client.receive() == {"id": "1", "type": "complete"}
        await client.send({"id": "1", "type": "subscribe", "payload": by_hash(EVENTS, query=EVENTS)})
        await client.send({"id": "2", "type": "subscribe", "payload": by_hash(EVENTS)})
        await until(lambda: server.service.subscriptions.count == 3)
        await server.place()
        assert {(await client.receive())["id"] for _ in range(3)} == {"1", "2", "other"}
    headers = {"Authorization": f"Bearer {server.token}", "Accept": "text/event-stream"}
    async with server.http.stream("POST", server.url, json=by_hash(EVENTS), headers=headers) as response:
        await until(lambda: server.service.subscriptions.count == 1)
        await server.place()
        assert await Stream(response).event() == ("next", {"data": {"orderEvents": {"type": "ORDER_PLACED"}}})
    async with server.http.stream("POST", server.url, json=by_hash("{ a }"), headers=headers) as response:
        stream = Stream(response)
        assert await stream.event() == ("next", {"errors": [NOT_FOUND]})
        assert await stream.event() == COMPLETE


async def test_texts_are_kept_within_bounds(database: str) -> None:
    known = PersistedDocuments()
    texts = [f"{{ a{number} }}".ljust(MOST_CHARACTERS // 4) for number in range(6)]
    for text in texts[:4]:
        await known.find(Request(text, document_id=hash_of(text)), registered_only=False)
    await known.find(Request("", document_id=hash_of(texts[0])), registered_only=False)
    for text in texts[4:]:
        await known.find(Request(text, document_id=hash_of(text)), registered_only=False)
    kept = []
    for number, text in enumerate(texts):
        try:
            found = await known.find(Request("", document_id=hash_of(text)), registered_only=False)
        except DocumentRefused:
            continue
        assert found.query == text
        kept.append(number)
    assert kept == [0, 3, 4, 5]  # 1 and 2 were not asked for the longest


async def test_a_token_for_registered_documents_alone(server: Server) -> None:
    _, secret = await create_token(actor=ACTOR, name="app", scopes=list(Scope), registered_only=True)
    requests: list[dict[str, Any]] = [
        {"query": VIEWER},
        by_hash(VIEWER, query=VIEWER),
        by_hash(VIEWER),
        {"documentId": "viewer-1"},
        {"query": "{ __schema { queryType { name } } }"},
        {"query": "{"},
    ]
    for request in requests:
        answer = await post(server, request, secret)
        assert (answer.status_code, answer.json()) == (400, {"errors": [NOT_REGISTERED]})
    async with live(server, secret) as client:
        for request in requests[:4]:
            await client.send({"id": "1", "type": "subscribe", "payload": request})
            assert await client.receive() == {"id": "1", "type": "error", "payload": [NOT_REGISTERED]}
        # From now on, without a restart, on the socket that was open, too.
        registered = [Document(VIEWER, "Viewer", "viewer-1"), Document(CONFIRM, "Confirm")]
        await register_documents(actor=ACTOR, documents=registered)
        for request in requests[:4]:
            await client.send({"id": "1", "type": "subscribe", "payload": request})
            assert (await client.receive())["payload"] == {"data": {"viewer": {"name": "app"}}}
            assert await client.receive() == {"id": "1", "type": "complete"}
    for request in requests[:4]:
        assert (await post(server, request, secret)).json() == {"data": {"viewer": {"name": "app"}}}
        assert (await get(server, request, secret)).json() == {"data": {"viewer": {"name": "app"}}}
    assert (await post(server, {"query": VIEWER + " "}, secret)).json() == {"errors": [NOT_REGISTERED]}
    assert (await get(server, by_hash(CONFIRM, variables={"id": "x"}), secret)).status_code == 405
    assert (await post(server, {"query": VIEWER + " "})).json() == ANSWER, "another token's caller was refused"

    await remove_document(actor=ACTOR, identifier="viewer-1")
    answers: list[dict[str, Any]] = []
    while answers[-1:] != [{"errors": [NOT_REGISTERED]}]:
        answers.append((await post(server, {"documentId": "viewer-1"}, secret)).json())
        assert len(answers) < 10_000, "it was never refused"
    assert (await post(server, {"query": VIEWER}, secret)).json() == {"errors": [NOT_REGISTERED]}


@pytest.mark.parametrize("settings", [{"documents": "registered"}], indirect=True)
async def test_a_server_for_registered_documents_alone(server: Server) -> None:
    for request in ({"query": VIEWER}, by_hash(VIEWER, query=VIEWER), by_hash(VIEWER)):
        assert (await post(server, request)).json() == {"errors": [NOT_REGISTERED]}
    await register_documents(actor=ACTOR, documents=[Document(VIEWER, "Viewer")])
    for request in ({"query": VIEWER}, by_hash(VIEWER, query=VIEWER), by_hash(VIEWER)):
        assert (await post(server, request)).json() == ANSWER
    nobody = await server.http.post(server.url, json={"query": "{ __typename }"})
    assert nobody.json() == {"errors": [NOT_REGISTERED]}


SHIPPED = "query Shipped {\r\n  orders(filter: { status: [SHIPPED] }) { nodes { number } }\r\n}\r\n"
APOLLO = {
    "format": "apollo-persisted-query-manifest",
    "version": 1,
    "operations": [{"id": hash_of(VIEWER), "name": "Viewer", "type": "query", "body": VIEWER}],
}
RELAY = {"0123456789abcdef0123456789abcdef": EVENTS}
UNUSABLE: dict[str, tuple[str, str]] = {
    "a.graphql": ("{ nothing }", "Cannot query field 'nothing' on type 'Query'."),
    "b.graphql": ("{", "Syntax Error: Expected Name, found <EOF>."),
    "c.graphql": ("fragment A on Query { __typename }", "Fragment 'A' is never used."),
    "d.json": ("{", "unexpected end of data"),
    "e.json": ("[]", "this is no manifest of Apollo's or Relay's"),
    "f.json": (json.dumps({"x": 1}), "x has no text of a document"),
    "g.json": (json.dumps({**APOLLO, "version": 2}), "this is not version 1 of apollo-persisted-query-manifest"),
    "h.json": (json.dumps({**APOLLO, "operations": [{"body": VIEWER}]}), "an object with an id and a body"),
    "i.json": (json.dumps({"0" * 64: VIEWER}), "looks like a hash, but is not that of its document"),
    "j.json": (json.dumps({"one": VIEWER, "": "{ __typename }"}), "An identifier has 1 to 255 characters."),
    "k.json": (json.dumps({"one": VIEWER, "events": VIEWER}), "events is another document already"),
    "l.graphql": (VIEWER + " " * LONGEST_TEXT, "Viewer is too long"),
    "m.graphql": ("# \x00\n" + VIEWER, "holds a character that cannot be stored"),
}


@pytest.fixture
def command(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """Runs a command in this process: its exit code, stdout and stderr."""
    monkeypatch.setenv("DATABASE_URL", database_url)

    def run(app: typer.Typer, *arguments: object) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        return result.exit_code, result.stdout, result.stderr

    return run


def test_documents_from_the_command_line(command: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    shipped, apollo, relay = tmp_path / "shipped.graphql", tmp_path / "apollo.json", tmp_path / "relay.json"
    shipped.write_bytes(SHIPPED.encode())
    apollo.write_bytes(orjson.dumps(APOLLO))
    relay.write_bytes(orjson.dumps(RELAY))
    names = {hash_of(SHIPPED): "Shipped", hash_of(VIEWER): "Viewer", hash_of(EVENTS): "Events"}
    printed = "".join(f"{key}  {name}\n" for key, name in names.items())
    for _ in range(2):
        assert command(documents.app, "register", shipped, apollo, relay) == (0, printed, "")
    code, out, _ = command(documents.app, "list")
    lines = {line.split("  ")[0]: line.split("  ")[1:-1] for line in out.splitlines()}
    assert (code, lines) == (
        0,
        {hash_of(SHIPPED): ["Shipped"], hash_of(VIEWER): ["Viewer"], hash_of(EVENTS): [*RELAY, "Events"]},
    )
    removed = command(documents.app, "remove", *RELAY, f"sha256:{hash_of(SHIPPED)}", "nothing")
    assert removed == (1, "removed Events\nremoved Shipped\n", "There is no such document.\n")
    assert command(documents.app, "list")[1].count("\n") == 1
    path = tmp_path / "wrong.json"
    path.write_text("[]", encoding="utf-8")
    assert command(documents.app, "register", path) == (1, "", f"{path}: this is no manifest of Apollo's or Relay's\n")


def test_a_token_for_registered_documents_from_the_command_line(command: Callable[..., tuple[int, str, str]]) -> None:
    for arguments in (["--registered-only"], []):
        code, out, _ = command(token.app, "create", "--name", "app", "--scope", "orders:read", *arguments)
        assert (code, out[:4]) == (0, "ost_")
    listed = command(token.app, "list")[1].splitlines()
    assert ["registered documents only" in line for line in listed] == [True, False]


async def test_what_cannot_be_registered(database: str, tmp_path: Path) -> None:
    await register_documents(actor=ACTOR, documents=[Document(EVENTS, "Events", "events")])
    for name, (content, message) in UNUSABLE.items():
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        with pytest.raises((documents.Unusable, InvalidInput), match=re.escape(message)):
            await register_documents(actor=ACTOR, documents=documents.read(path))
    assert await RegisteredDocument.all().values_list("text", "identifier") == [(EVENTS, "events")]
