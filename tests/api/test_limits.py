"""Requests that are made to cost work: each is refused before it does, and says by which limit."""

import gzip
from collections.abc import Callable
from typing import Any

import httpx
import orjson
import pytest
from graphql import get_introspection_query

from api.settings import Settings
from tests.clients import Server, live

pytestmark = pytest.mark.wire

JSON = "application/json"
GRAPHQL = "application/graphql-response+json"


@pytest.fixture
def settings(database_url: str) -> Settings:
    """The limits as they are unless they are set, but for that of the body, which is tested elsewhere."""
    return Settings(database_url=database_url, max_body_bytes=3_000_000, introspection="all")


def many(piece: str | Callable[[int], str], count: int) -> str:
    return " ".join(piece if isinstance(piece, str) else piece(index) for index in range(count))


def fan_out(levels: int, of: str, times: int = 2) -> str:
    """Fragments that each spread the next one several times."""
    spreads = (f"fragment f{level} on {of} {{ {f'...f{level + 1} ' * times}}}" for level in range(levels))
    return f"{' '.join(spreads)} fragment f{levels} on {of} {{ id }}"


def too_many(found: str, most: str, setting: str) -> str:
    return f"The document has {found}: more than {most}, which is the limit ({setting})."


SPREAD = "fields and fragments, as often as they are spread"
NOT_COMPARED = "The document selects the same fields too often to be compared with one another."
TOKENS = "Syntax Error: Document contains more than 1500 tokens. Parsing aborted."
TOO_DEEP = "Syntax Error: Document is nested too deeply. Parsing aborted."

ATTACKS: dict[str, tuple[str, str]] = {
    "aliases": (
        f"{{ viewer {{ {many(lambda index: f'a{index}: name', 201)} }} }}",
        too_many("201 aliases, as often as they are spread", "200", "MAX_ALIASES"),
    ),
    "aliases in fragments": (
        "{ viewer { ...f ...f ...f ...f ...f } } fragment f on Viewer "
        f"{{ {many(lambda index: f'a{index}: name', 41)} }}",
        too_many("205 aliases, as often as they are spread", "200", "MAX_ALIASES"),
    ),
    "root fields": (
        f"{{ {many('viewer { name }', 101)} }}",
        too_many("101 fields at its root", "100", "MAX_ROOT_FIELDS"),
    ),
    "root fields in fragments": (
        f"{{ ...f ... {{ ...f }} }} fragment f on Query {{ {many('__typename', 51)} }}",
        too_many("102 fields at its root", "100", "MAX_ROOT_FIELDS"),
    ),
    "an unused operation": (
        f"query a {{ __typename }} query b {{ {many('__typename', 101)} }}",
        too_many("101 fields at its root", "100", "MAX_ROOT_FIELDS"),
    ),
    "depth": (
        "{ orders { nodes { " + "events { nodes { order { " * 10 + "id" + " } } }" * 10 + " } } }",
        too_many("31 levels of selections or more", "30", "MAX_DEPTH"),
    ),
    "depth of fragments": (
        f"{{ ...g0 }} {many(lambda index: f'fragment g{index} on Query {{ ...g{index + 1} }}', 40)}",
        too_many("31 levels of selections or more", "30", "MAX_DEPTH"),
    ),
    "depth of a fragment that is spread deeply": (
        "{ a: viewer { ...f } orders { nodes { "
        + "...on Order { " * 15
        + "...f"
        + " }" * 15
        + " } } } fragment f on Order { "
        + "...on Order { " * 15
        + "id"
        + " }" * 15
        + " }",
        too_many("34 levels of selections", "30", "MAX_DEPTH"),
    ),
    "braces": ("{ a " * 5_000, TOO_DEEP),
    "brackets": ("{ orders(filter: { tags: " + "[" * 3_000 + "]" * 3_000 + " }) { nodes { id } } }", TOO_DEEP),
    "fragments that spread others twice": (
        f"{{ orders {{ nodes {{ ...f0 }} }} }} {fan_out(25, 'Order')}",
        too_many(f"100,663,297 {SPREAD}", "1,000", "MAX_SELECTIONS"),
    ),
    "empty fragments": (
        f"{{ viewer {{ ...f0 }} }} {fan_out(10, 'Viewer').replace('id', '')}",
        too_many(f"2,048 {SPREAD}", "1,000", "MAX_SELECTIONS"),
    ),
    "definitions": (
        f"{{ __typename }} {many(lambda index: f'fragment f{index} on Query {{ __typename }}', 100)}",
        too_many("101 operations and fragments", "100", "MAX_DEFINITIONS"),
    ),
    "circular fragments": (
        "{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }",
        "Cannot spread fragment 'a' within itself via 'b'.",
    ),
    "directives": (
        f"{{ __typename {many('@skip(if: false)', 101)} }}",
        too_many("101 directives", "100", "MAX_DIRECTIVES"),
    ),
    "directives elsewhere": (
        f"query ($v: Int {many('@a', 49)}) @a {{ ... @a {{ ...f @a }} }} fragment f on Query {many('@a', 50)} {{ a }}",
        too_many("102 directives", "100", "MAX_DIRECTIVES"),
    ),
    "the same field": (f"{{ viewer {{ {many('name', 900)} }} }}", NOT_COMPARED),
    "the same object": (f"{{ {many('viewer { name }', 100)} }}", NOT_COMPARED),
    "the same object in fragments": (
        f"{{ orders {{ nodes {{ {many(lambda index: f'...f{index}', 90)} }} }} }}"
        f" {many(lambda index: f'fragment f{index} on Order {{ total {{ amount }} }}', 90)}",
        NOT_COMPARED,
    ),
    "conflicting fields": (f"{{ viewer {{ {many('a: name a: scopes', 100)} }} }}", NOT_COMPARED),
    "introspection": (
        "{ __schema { types { " + "fields { type { " * 6 + "name" + " } }" * 6 + " } } }",
        "Maximum introspection depth exceeded",
    ),
    "tokens": (f"{{ order(id: 1) {{ {many('id', 1_500)} }} }}", TOKENS),
    "variables": (f"query ({many(lambda index: f'$v{index}: Int', 600)}) {{ __typename }}", TOKENS),
    "a list": (f"{{ orders(filter: {{ tags: [{many('1', 1_500)}] }}) {{ nodes {{ id }} }} }}", TOKENS),
    "comments": ("{ __typename }" + "\n#" * 1_501, TOKENS.replace("tokens", "comments")),
    "characters": (
        "{ __typename " + "," * 49_987 + "}",
        too_many("50,001 characters", "50,000", "MAX_DOCUMENT_CHARACTERS"),
    ),
    "a long document": (
        f"{{ {many(lambda index: f'a{index}: viewer {{ name }}', 90_000)} }}",
        too_many("2,148,893 characters", "50,000", "MAX_DOCUMENT_CHARACTERS"),
    ),
    "cost": (
        "{ orders(first: 100) { nodes { events(first: 100) { nodes { order { events(first: 100) { nodes { id }}}}}}} }",
        "The operation costs 2,040,312: more than 500,000, which is the limit (MAX_COST).",
    ),
}

NOT_EXECUTED = "Too many validation errors, error limit reached. Validation aborted."

FLOODS = {
    "fields that do not exist": f"{{ orders {{ nodes {{ {many(lambda index: f'nubmer{index}', 900)} }} }} }}",
    "types that do not exist": f"{{ node(id: 1) {{ {many(lambda index: f'... on Ordr{index} {{ id }}', 40)} }} }}",
    "arguments that do not exist": f"{{ orders({many(lambda index: f'frist{index}: 1', 400)}) {{ nodes {{ id }} }} }}",
    "fields of an input that do not exist": f"{{ orders(filter: {{ {many('a: 1', 400)} }}) {{ nodes {{ id }} }} }}",
    "variables that are not used": f"query ({many(lambda index: f'$v{index}: Int', 300)}) {{ __typename }}",
    "directives that do not exist": f"{{ __typename {many('@skpi', 90)} }}",
    "fragments that are not used": f"{{ a }} {many(lambda index: f'fragment f{index} on Order {{ id }}', 90)}",
}


async def post(server: Server, request: dict[str, Any], **headers: str) -> httpx.Response:
    given = {"Accept": GRAPHQL, "Content-Type": JSON, "Authorization": f"Bearer {server.token}", **headers}
    return await server.http.post(server.url, content=orjson.dumps(request), headers=given)


async def test_documents_that_are_made_to_cost_work(server: Server) -> None:
    for name, (document, message) in ATTACKS.items():
        response = await post(server, {"query": document})
        assert response.status_code == 400, name
        answer = response.json()
        assert list(answer) == ["errors"], name
        assert [answer["errors"][0]["message"], len(answer["errors"])] == [message, 1], name
        assert answer["errors"][0]["extensions"] == {"code": "BAD_USER_INPUT"}, name
    async with live(server) as client:
        document, message = ATTACKS["aliases"]
        await client.subscribe(document)
        assert await client.receive() == {
            "id": "1",
            "type": "error",
            "payload": [{"message": message, "extensions": {"code": "BAD_USER_INPUT"}}],
        }


async def test_a_flood_of_errors_is_cut_short(server: Server) -> None:
    for name, document in FLOODS.items():
        errors = (await post(server, {"query": document})).json()["errors"]
        assert len(errors) == 6, name
        assert errors[-1]["message"] == NOT_EXECUTED, name


async def test_a_number_of_thousands_of_digits_is_no_fault_of_ours(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    response = await post(server, {"query": f"{{ orders(first: {'1' * 5_000}) {{ nodes {{ id }} }} }}"})
    [error] = response.json()["errors"]
    assert (response.status_code, error["extensions"]) == (400, {"code": "BAD_USER_INPUT"})
    assert caplog.records == []


async def test_variables(server: Server) -> None:
    query = "query ($filter: OrderFilter) { orders(filter: $filter) { nodes { id } } }"
    deep: dict[str, Any] = {}
    for _ in range(99):
        deep = {"not": deep}
    for given, found in (
        ({"tags": ["x" * 500_000]}, "500,024 bytes: more than 500,000, which is the limit (MAX_VARIABLES_BYTES)."),
        ({"tags": [1] * 300_000}, "600,021 bytes: more than 500,000, which is the limit (MAX_VARIABLES_BYTES)."),
        (deep, "101 levels: more than 100, which is the limit (MAX_VARIABLES_DEPTH)."),
    ):
        response = await post(server, {"query": query, "variables": {"filter": given}})
        assert response.status_code == 400
        assert [error["message"] for error in response.json()["errors"]] == [f"The variables have {found}"]


ORDERS = "query ($filter: OrderFilter) { orders(filter: $filter) { nodes { id } } }"
TOO_HEAVY = (
    "or more (one for each value, 10 for each object): more than 30,000, which is the limit (MAX_VARIABLES_WEIGHT)."
)

# Filters that are made to cost work, and how the error begins that a caller with a token gets.
COSTLY: dict[str, tuple[dict[str, Any], str]] = {
    "keys that do not exist": (
        {f"statuss{index}": 1 for index in range(3_000)},
        "Variable '$filter' has invalid value: Expected value of type 'OrderFilter' not to include unknown field"
        " 'statuss0'.",
    ),
    "wrong values of an enum": ({"status": ["PENDIN"] * 30_000}, f"The variables weigh 30,011 {TOO_HEAVY}"),
    "some wrong values of an enum": (
        {"status": ["PENDIN"] * 3_000},
        "Variable '$filter' has invalid value at .status[0]: Value 'PENDIN' does not exist in 'OrderStatus' enum."
        " Did you mean the enum value 'PENDING'?",
    ),
    "empty objects": ({"or": [{}] * 120_000}, f"The variables weigh 120,011 {TOO_HEAVY}"),
    "a text": ({"tags": ["x" * 490_000]}, ""),
    "a date that is a text": (
        {"placedFrom": "2" * 490_000},
        "Variable '$filter' has invalid value at .placedFrom: Value cannot represent a DateTime: \"2222",
    ),
    "a key that is a text": (
        {"x" * 490_000: 1},
        "Variable '$filter' has invalid value: Expected value of type 'OrderFilter' not to include unknown field 'xxxx",
    ),
}


@pytest.mark.parametrize("name", COSTLY)
async def test_variables_that_are_made_to_cost_work(server: Server, name: str) -> None:
    """Without a token nothing is done with them; with one, the first error is enough."""
    given, message = COSTLY[name]
    request = {"query": ORDERS, "variables": {"filter": given}}
    response = await server.http.post(server.url, content=orjson.dumps(request), headers={"Content-Type": JSON})
    [error] = response.json()["errors"]
    assert (error["extensions"], error["path"]) == ({"code": "UNAUTHENTICATED"}, ["orders"])
    response = await post(server, request)
    assert len(response.content) < 3_000
    errors = response.json().get("errors", [])
    assert [error["message"][: len(message)] for error in errors] == ([message] if message else [])
    assert all(error["extensions"] == {"code": "BAD_USER_INPUT"} for error in errors)


@pytest.mark.parametrize("given", [{"filter": {"orderIds": [1.5] * 999}}, {"filter": {"a": 1, "b": 2}}])
async def test_variables_of_a_subscription(server: Server, given: dict[str, Any]) -> None:
    async with live(server) as client:
        query = "subscription ($filter: OrderEventFilter) { orderEvents(filter: $filter) { id } }"
        await client.subscribe(query, given)
        message = await client.receive()
        assert (message["type"], len(message["payload"])) == ("error", 1)
        assert message["payload"][0]["message"].startswith("Variable '$filter' has invalid value")


WITHOUT_TOKEN: list[tuple[str, dict[str, Any], Any]] = [
    ("query ($name: String!) { __type(name: $name) { name } }", {"name": "Money"}, {"__type": {"name": "Money"}}),
    ("query ($yes: Boolean!) { __typename @include(if: $yes) }", {"yes": True}, {"__typename": "Query"}),
    ("query ($yes: Boolean!) { __typename @include(if: $yes) ...f } fragment f on Query { a: __typename }",
     {"yes": False}, {"a": "Query"}),
    ("query ($id: ID!) { node(id: $id) { id } }", {"id": ["x"] * 999}, {"node": None}),
    ("query ($id: ID!) { ...f } fragment f on Query { a: node(id: $id) { id } }", {}, {"a": None}),
    ("query ($id: ID!, $no: Boolean!) { __typename ... { node(id: $id) @include(if: $no) { id } } }",
     {"no": False}, {"__typename": "Query"}),
]  # fmt: skip


@pytest.mark.parametrize(("query", "variables", "data"), WITHOUT_TOKEN)
async def test_what_needs_no_token(server: Server, query: str, variables: dict[str, Any], data: Any) -> None:
    answer = await server.send(query, variables, token=None)
    assert answer["data"] == data
    codes = [(error["path"], error["extensions"]["code"]) for error in answer.get("errors", ())]
    assert codes == [([key], "UNAUTHENTICATED") for key, value in data.items() if value is None]


async def test_a_body_that_is_compressed(server: Server) -> None:
    bomb = gzip.compress(b" " * 10_000_000)
    headers = {"Content-Type": JSON, "Content-Encoding": "gzip", "Authorization": f"Bearer {server.token}"}
    response = await server.http.post(server.url, content=bomb, headers=headers)
    assert (response.status_code, response.headers["accept-encoding"]) == (415, "identity")
    assert response.json()["errors"] == [
        {"message": "Send it as it is, without a Content-Encoding.", "extensions": {"code": "BAD_USER_INPUT"}}
    ]


async def test_what_clients_really_ask_for_is_within_the_limits(server: Server) -> None:
    """What GraphiQL and generators of code ask, and fifty changes at once."""
    data = await server.ask(get_introspection_query(specified_by_url=True, input_value_deprecation=True))
    assert data["__schema"]["queryType"]["name"] == "Query"
    confirm = (
        'confirmOrder(input: { orderId: "T3JkZXI6MQ==" }) { order { id number } userErrors { code message field } }'
    )
    data = await server.ask(f"mutation {{ {many(lambda index: f'a{index}: {confirm}', 50)} }}")
    assert [payload["order"] for payload in data.values()] == [None] * 50
