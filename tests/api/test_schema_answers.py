"""Answers to introspection: worked out once, kept within bounds, and the same for everybody."""

from typing import Any

import orjson
import pytest
from graphql import get_introspection_query

from api.execution.operations import LONGEST_REMEMBERED
from api.execution.requests import Request
from api.execution.schema_answers import SchemaAnswers, schema_answers
from api.settings import Settings
from tests.clients import Server, live

pytestmark = pytest.mark.wire


@pytest.fixture
def settings(database_url: str, request: pytest.FixtureRequest) -> Settings:
    return Settings(database_url=database_url, **getattr(request, "param", {}))


TYPE = """
    query ($name: String!, $deep: Boolean = false) { __type(name: $name) { name fields @include(if: $deep) { name } } }
"""


def kept(server: Server, query: str, variables: dict[str, Any] | None = None) -> bytes | None:
    operation = server.service.operations.find(Request(query), introspection=True)
    return schema_answers.find(operation, variables)


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        (get_introspection_query(), None),
        ('{ ...a ... { __typename } } fragment a on Query { b: __type(name: "Money") { name } }', None),
        (TYPE, {"name": "Money"}),
    ],
)
async def test_are_kept(server: Server, query: str, variables: dict[str, Any] | None) -> None:
    first = await server.ask(query, variables)
    answer = kept(server, query, variables)
    assert answer is not None
    assert orjson.loads(answer) == {"data": first}
    assert await server.ask(query, variables) == first
    assert kept(server, query, variables) is answer
    async with live(server) as client:
        await client.subscribe(query, variables)
        assert await client.next() == first


async def test_of_a_document_that_is_read_anew_each_time_are_not_kept(server: Server) -> None:
    """They would never be found again."""
    query = get_introspection_query() + "#" * LONGEST_REMEMBERED
    before = set(schema_answers._answers._entries)
    await server.ask(query)
    assert set(schema_answers._answers._entries) == before


async def test_differ_by_variables(server: Server) -> None:
    for _ in range(2):
        assert await server.ask(TYPE, {"name": "Money"}) == {"__type": {"name": "Money"}}
        assert await server.ask(TYPE, {"name": "Nothing"}) == {"__type": None}
        deep = await server.ask(TYPE, {"name": "Money", "deep": True, "unknown": 1})
        assert [field["name"] for field in deep["__type"]["fields"]] == ["amount", "currencyCode"]


@pytest.mark.parametrize("query", ["{ __typename viewer { name } }", "{ __type(name: 1) { name } }"])
async def test_are_not_kept(server: Server, query: str) -> None:
    """What also has data, and what is wrong."""
    await server.send(query)
    assert kept(server, query) is None


@pytest.mark.parametrize("settings", [{"rate_limit": 1000, "rate_refill": 0.001}], indirect=True)
async def test_say_what_they_cost(server: Server) -> None:
    for left in (999, 998):
        answer = await server.send("{ __typename }")
        cost = {"asked": 1, "left": left, "limit": 1000, "refillRate": 0.001}
        assert answer == {"data": {"__typename": "Query"}, "extensions": {"cost": cost}}


async def test_take_no_more_memory_than_they_may(server: Server) -> None:
    answers = SchemaAnswers(most_bytes=10_000)
    operation = server.service.operations.find(Request(TYPE), introspection=True)
    for number in range(5):
        answers.keep(operation, {"name": str(number)}, b"x" * 4_000)
        assert answers.find(operation, {"name": "0"}) is not None
    answers.keep(operation, {"name": "huge"}, b"x" * 20_000)
    found = [answers.find(operation, {"name": name}) is not None for name in ("0", "1", "2", "3", "4", "huge")]
    assert found == [True, False, False, False, True, False]
