"""GraphQL over HTTP: what is answered to good and to broken requests."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest
from tortoise import connections

from api.settings import Settings
from domain.actors import Scope, system
from domain.tokens import create_token, revoke_token
from models import ApiToken, OrderEvent
from tests.clients import Server

pytestmark = pytest.mark.wire

JSON = "application/json"
GRAPHQL = "application/graphql-response+json"
LIMIT = 20_000  # bytes of a body
VIEWER = "{ viewer { name } }"
TYPE = "query ($name: String!) { __type(name: $name) { name } }"


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings(database_url=database_url, max_body_bytes=LIMIT, max_depth=199)


async def post(server: Server, content: bytes, accept: str = JSON, **headers: str) -> httpx.Response:
    given = {"Content-Type": JSON, "Accept": accept, "Authorization": f"Bearer {server.token}"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    return await server.http.post(server.url, content=content, headers=given)


async def get(server: Server, accept: str = JSON, **parameters: str) -> httpx.Response:
    headers = {"Accept": accept, "Authorization": f"Bearer {server.token}"}
    return await server.http.get(server.url, params=parameters, headers=headers)


def body(**request: Any) -> bytes:
    return orjson.dumps({"query": "{ __typename }", **request})


def error_of(response: httpx.Response) -> dict[str, Any]:
    """The one error of an answer without data."""
    answer = response.json()
    assert list(answer) == ["errors"]
    [error] = answer["errors"]
    assert isinstance(error["message"], str)
    assert "Traceback" not in response.text
    assert "/api/" not in response.text
    return dict(error)


MALFORMED = {
    "a string": (b'"x"', "A request is a JSON object."),
    "null": (b"null", "A request is a JSON object."),
    "a number": (b"1", "A request is a JSON object."),
    "an empty list": (b"[]", "Batches are not supported: send one request at a time."),
    "a batch": (b"[" + body() + b"]", "Batches are not supported: send one request at a time."),
    "nothing": (b"", "The body is not valid JSON."),
    "broken JSON": (b'{"query": ', "The body is not valid JSON."),
    "not a number": (b'{"query": NaN}', "The body is not valid JSON."),
    "invalid UTF-8": (b'{"query": "\xff"}', "The body is not valid JSON."),
    "half a surrogate pair": (b'{"query": "\\ud800"}', "The body is not valid JSON."),
    "very deep JSON": (b'{"query": ' + b"[" * 5_000 + b"]" * 5_000 + b"}", "The body is not valid JSON."),
    "no query": (b"{}", "A request needs a query, which is a string."),
    "a misspelt query": (b'{"qeury": "{ __typename }"}', "A request needs a query, which is a string."),
    "an empty query": (body(query=""), "A request needs a query, which is a string."),
    "a blank query": (body(query=" \n"), "A request needs a query, which is a string."),
    "a number as query": (body(query=0), "A request needs a query, which is a string."),
    "an object as query": (body(query={}), "A request needs a query, which is a string."),
    "a list as query": (body(query=["{ __typename }"]), "A request needs a query, which is a string."),
    "query false": (body(query=False), "A request needs a query, which is a string."),
    "variables in a list": (body(variables=[]), "variables is an object."),
    "variables in a string": (body(variables="{}"), "variables is an object."),
    "variables false": (body(variables=False), "variables is an object."),
    "variables 0": (body(variables=0), "variables is an object."),
    "a number as operationName": (body(operationName=0), "operationName is a string."),
    "a list as operationName": (body(operationName=["a"]), "operationName is a string."),
    "an object as operationName": (body(operationName={}), "operationName is a string."),
    "operationName false": (body(operationName=False), "operationName is a string."),
    "extensions in a string": (body(extensions="x"), "extensions is an object."),
    "extensions 0": (body(extensions=0), "extensions is an object."),
    "extensions false": (body(extensions=False), "extensions is an object."),
    "extensions in a list": (body(extensions=["a"]), "extensions is an object."),
}


async def test_malformed_bodies(server: Server) -> None:
    for case, (content, message) in MALFORMED.items():
        for accept in (JSON, GRAPHQL):
            response = await post(server, content, accept)
            assert response.status_code == 400, case
            assert response.headers["content-type"] == f"{accept}; charset=utf-8"
            assert error_of(response) == {"message": message, "extensions": {"code": "BAD_USER_INPUT"}}, case


async def test_what_may_be_null_or_empty(server: Server) -> None:
    nothing = {"variables": None, "operationName": None, "extensions": None}
    for given in (nothing, {"variables": {}, "operationName": "", "extensions": {"unknown": 1}}):
        for accept in (JSON, GRAPHQL):
            response = await post(server, body(**given), accept)
            assert (response.status_code, response.json()) == (200, {"data": {"__typename": "Query"}})


async def test_both_ways_are_utf_8(server: Server) -> None:
    content = orjson.dumps({"query": '{ 🏃: __type(name: "🏊") { name } }'})
    response = await post(server, content)
    assert error_of(response)["message"] == "Syntax Error: Unexpected character: U+1F3C3."
    content = orjson.dumps({"query": TYPE, "variables": {"name": "🏊"}, "operationName": "🏃"})
    response = await post(server, content)
    assert error_of(response)["message"] == "The document has no operation '🏃'."
    assert "'🏃'".encode() in response.content


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json; charset=utf-8", 200),
        ('application/json; charset="UTF-8"', 200),
        ("Application/JSON", 200),
        ("application/json; charset=utf-16", 415),
        ("application/graphql", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("text/plain", 415),
        ("", 415),
    ],
)
async def test_the_content_type(server: Server, content_type: str, status: int) -> None:
    response = await post(server, body(), Content_Type=content_type)
    assert response.status_code == status
    if status == 200:
        assert response.json() == {"data": {"__typename": "Query"}}
    else:
        assert error_of(response)["extensions"] == {"code": "BAD_USER_INPUT"}


async def test_without_a_header(server: Server) -> None:
    response = await server.http.post(server.url, content=body())
    assert response.status_code == 415
    assert error_of(response)["message"] == "Send application/json."
    request = server.http.build_request("POST", server.url, content=body(), headers={"Content-Type": JSON})
    del request.headers["accept"]
    response = await server.http.send(request)
    assert (response.status_code, response.headers["content-type"]) == (200, f"{JSON}; charset=utf-8")


@pytest.mark.parametrize(
    ("accept", "given"),
    [
        ("*/*", JSON),
        ("application/*", JSON),
        (JSON, JSON),
        (GRAPHQL, GRAPHQL),
        (f"{GRAPHQL}; charset=utf-8, {JSON}", GRAPHQL),
        (f"{JSON}, {GRAPHQL}", GRAPHQL),
        (f"{JSON}, {GRAPHQL};q=0.9", JSON),
        (f"{GRAPHQL}, {JSON}, text/event-stream, multipart/mixed", GRAPHQL),
        (f"text/html, {JSON};q=0.5", JSON),
    ],
)
async def test_the_answers_type_is_the_one_that_the_client_prefers(server: Server, accept: str, given: str) -> None:
    response = await post(server, body(), accept)
    assert response.status_code == 200
    assert response.headers["content-type"] == f"{given}; charset=utf-8"
    assert response.json() == {"data": {"__typename": "Query"}}


@pytest.mark.parametrize("accept", ["text/html", "image/png", "application/json;q=0", "application/json;q=x"])
async def test_an_answer_that_the_client_does_not_accept(server: Server, accept: str) -> None:
    response = await post(server, body(), accept)
    assert response.status_code == 406
    assert response.headers["content-type"] == f"{JSON}; charset=utf-8"
    assert error_of(response)["extensions"] == {"code": "BAD_USER_INPUT"}


async def test_a_body_may_have_as_many_bytes_as_the_settings_say(server: Server) -> None:
    fitting = body(extensions={"filler": ""})
    fitting = body(extensions={"filler": "x" * (LIMIT - len(fitting))})
    assert (await post(server, fitting)).json() == {"data": {"__typename": "Query"}}
    response = await post(server, fitting + b" ")
    assert response.status_code == 413
    assert error_of(response)["message"] == f"A request has at most {LIMIT} bytes."
    assert (await post(server, body())).status_code == 200


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_other_methods(server: Server, method: str) -> None:
    response = await server.http.request(method, server.url, content=body(), headers={"Content-Type": JSON})
    assert response.status_code == 405
    assert set(response.headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}
    assert error_of(response) == {"message": "Method Not Allowed", "extensions": {"code": "BAD_USER_INPUT"}}


async def test_head(server: Server) -> None:
    response = await server.http.head(server.url, params={"query": VIEWER})
    assert (response.status_code, response.headers["allow"]) == (405, "GET, POST")


async def test_another_path(server: Server) -> None:
    response = await server.http.post(f"{server.url}/x", content=body())
    assert response.status_code == 404
    assert error_of(response) == {"message": "Not Found", "extensions": {"code": "BAD_USER_INPUT"}}


# Documents and variables that are refused: 200 with the older media type, 400 with the newer one.
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no document": ({"query": "{"}, "Syntax Error"),
    "a character": ({"query": "\x00"}, "Syntax Error"),
    "an unknown field": ({"query": "{ nothing }"}, "Cannot query field 'nothing'"),
    "no operation": ({"query": "fragment A on Query { __typename }"}, "The document has several operations, or none"),
    "two operations": (
        {"query": "query A { __typename } query B { __typename }"},
        "The document has several operations, or none",
    ),
    "an unknown operation": (
        {"query": "query A { __typename }", "operationName": "B"},
        "The document has no operation 'B'.",
    ),
    "a missing variable": ({"query": TYPE}, "Variable '$name' has invalid value"),
    "a variable of another type": ({"query": TYPE, "variables": {"name": 1}}, "String cannot represent a non string"),
    "a very deep document": ({"query": "{a" * 4_000 + "}" * 4_000}, "Document is nested too deeply."),
}
DATES: list[Any] = ["yesterday", "", "2026-13-01T00:00:00Z", 5, {}, [], True]
AMOUNTS: list[Any] = ["a lot", "", "NaN", "Infinity", "1e999999999", {}, [], True]
GARBAGE = [*(("placedFrom", value) for value in DATES), *(("totalFrom", value) for value in AMOUNTS)]


@pytest.mark.parametrize("case", REFUSED)
async def test_a_request_that_cannot_be_executed(server: Server, case: str) -> None:
    request, message = REFUSED[case]
    for accept, status in ((JSON, 200), (GRAPHQL, 400)):
        response = await post(server, orjson.dumps(request), accept)
        error = error_of(response)
        assert message in error["message"]
        assert error["extensions"] == {"code": "BAD_USER_INPUT"}
        assert response.status_code == status


async def test_a_very_deep_variable(server: Server) -> None:
    query = b'"query ($f: OrderFilter) { orderCounts(filter: $f) { total } }"'
    deep = b'{"not":' * 900 + b"{}" + b"}" * 900
    response = await post(server, b'{"query": ' + query + b', "variables": {"f": ' + deep + b"}}", GRAPHQL)
    assert response.status_code == 400
    assert error_of(response) == {
        "message": "The variables have 101 levels: more than 100, which is the limit (MAX_VARIABLES_DEPTH).",
        "extensions": {"code": "BAD_USER_INPUT"},
    }


async def test_garbage_in_a_scalar(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    for name, value in GARBAGE:
        literal = f"{{ orders(filter: {{ {name}: {orjson.dumps(value).decode()} }}) {{ nodes {{ id }} }} }}"
        variable = "query ($f: OrderFilter) { orders(filter: $f) { nodes { id } } }"
        for request in ({"query": literal}, {"query": variable, "variables": {"f": {name: value}}}):
            response = await post(server, orjson.dumps(request), GRAPHQL)
            answer = response.json()
            [error] = answer["errors"]
            assert error["extensions"]["code"] == "BAD_USER_INPUT"
            assert answer.get("data") in (None, {"orders": None})
            assert response.status_code == (200 if "data" in answer else 400)
    assert caplog.records == []


async def test_a_query_by_get(server: Server) -> None:
    response = await get(server, query=TYPE, variables='{"name": "Money"}', operationName="", extensions="")
    assert response.status_code == 200
    assert response.json() == {"data": {"__type": {"name": "Money"}}}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "A request needs a query, which is a string."),
        ({"query": TYPE, "variables": "{"}, "The parameter variables is not valid JSON."),
        ({"query": TYPE, "variables": "[1]"}, "variables is an object."),
        ({"query": TYPE, "extensions": "1"}, "extensions is an object."),
    ],
)
async def test_a_malformed_query_by_get(server: Server, parameters: dict[str, str], message: str) -> None:
    response = await get(server, **parameters)
    assert response.status_code == 400
    assert error_of(response) == {"message": message, "extensions": {"code": "BAD_USER_INPUT"}}


async def test_a_mutation_by_get_is_refused(server: Server) -> None:
    order = await server.place()
    mutation = f'mutation {{ confirmOrder(input: {{ orderId: "{order["id"]}" }}) {{ order {{ id }} }} }}'
    for accept in (JSON, GRAPHQL):
        response = await get(server, accept, query=mutation)
        assert response.status_code == 405
        assert response.headers["allow"] == "POST"
        message = "Send a mutation with POST."
        assert error_of(response) == {"message": message, "extensions": {"code": "BAD_USER_INPUT"}}
    after = await server.ask("query ($id: ID!) { order(id: $id) { version status } }", {"id": order["id"]})
    assert after["order"] == {"version": order["version"], "status": "PENDING"}
    assert await OrderEvent.all().count() == 1


async def test_a_subscription_needs_a_stream(server: Server) -> None:
    subscription = "subscription { orderEvents { id } }"
    for accept in (JSON, GRAPHQL):
        responses = (
            await post(server, body(query=subscription), accept),
            await get(server, accept, query=subscription),
        )
        for response in responses:
            assert response.status_code == 400
            assert error_of(response) == {
                "message": "A subscription is answered over WebSocket, or with Accept: text/event-stream.",
                "extensions": {"code": "BAD_USER_INPUT"},
            }


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer x", "Basic eDp5", "Bearer ost_nothing", "ost_x"])
async def test_a_token_that_is_none(server: Server, header: str) -> None:
    for accept in (JSON, GRAPHQL):
        response = await post(server, body(), accept, Authorization=header)
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"
        assert error_of(response)["extensions"] == {"code": "UNAUTHENTICATED"}


async def test_a_token_that_has_ended(server: Server) -> None:
    now = datetime.now(UTC)
    soon = now + timedelta(hours=1)
    token, expired = await create_token(actor=system("tests"), name="old", scopes=list(Scope), expires_at=soon)
    await ApiToken.filter(id=token.id).update(expires_at=now)
    token, revoked = await create_token(actor=system("tests"), name="gone", scopes=list(Scope))
    await revoke_token(actor=system("tests"), token_id=token.id)
    for secret in (expired, revoked):
        response = await post(server, body(query=VIEWER), Authorization=f"Bearer {secret}")
        assert response.status_code == 401
        assert error_of(response)["extensions"] == {"code": "UNAUTHENTICATED"}


async def test_the_scheme_is_read_as_http_has_it(server: Server) -> None:
    response = await post(server, body(query=VIEWER), Authorization=f"bearer  {server.token}")
    assert response.json() == {"data": {"viewer": {"name": "everything"}}}


async def test_without_a_token(server: Server) -> None:
    answer = await server.send("{ __typename viewer { name } }", token=None)
    [error] = answer["errors"]
    assert error["extensions"] == {"code": "UNAUTHENTICATED"}
    assert error["path"] == ["viewer"]
    assert answer["data"] == {"__typename": "Query", "viewer": None}


async def test_without_the_scope(server: Server) -> None:
    reader = await server.new_token(Scope.ORDERS_PLACE)
    answer = await server.send("{ orders { nodes { id } } }", token=reader)
    [error] = answer["errors"]
    assert error["extensions"] == {"code": "FORBIDDEN"}
    assert error["message"] == "This needs the scope orders:read."


async def test_a_fault_is_masked(server: Server, engine: str, caplog: pytest.LogCaptureFixture) -> None:
    order = await server.place()
    await connections.get("default").execute_script("ALTER TABLE order_lines RENAME TO hidden")
    query = "query ($id: ID!) { order(id: $id) { number lines { id } } }"
    response = await post(server, body(query=query, variables={"id": order["id"]}))
    assert response.status_code == 200
    [error] = response.json()["errors"]
    assert error["extensions"]["code"] == "INTERNAL"
    assert error["path"] == ["order", "lines"]
    assert "order_line" not in response.text
    [record] = caplog.records
    assert error["extensions"]["id"] in record.getMessage()
    assert record.levelno == logging.ERROR
    assert "order_lines" in caplog.text


async def test_a_fault_before_the_operation_is_masked(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    await connections.get("default").execute_script("ALTER TABLE api_tokens RENAME TO hidden")
    for accept in (JSON, GRAPHQL):
        caplog.clear()
        response = await post(server, body(), accept)
        assert response.status_code == 500
        assert response.headers["content-type"] == f"{accept}; charset=utf-8"
        error = error_of(response)
        assert error["extensions"]["code"] == "INTERNAL"
        assert "api_tokens" not in response.text
        [record] = [record for record in caplog.records if record.name == "api.execution.errors"]
        assert error["extensions"]["id"] in record.getMessage()


async def test_an_answer_that_is_nested_too_deeply_to_be_encoded(server: Server) -> None:
    order = await server.place()
    deep = "events(first: 1) { nodes { order { " * 64 + "id" + " } } }" * 64
    response = await post(server, body(query=f'{{ order(id: "{order["id"]}") {{ {deep} }} }}'))
    assert response.status_code == 200
    assert error_of(response)["extensions"]["code"] == "INTERNAL"
