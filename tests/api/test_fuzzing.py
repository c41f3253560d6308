"""Whatever is sent, nothing breaks: no fault, no status 500, and the server goes on answering.

`FUZZ_EXAMPLES=5000 scripts/test tests/api/test_fuzzing.py` looks longer than the suite does.
"""

import logging
import os
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from api.schema.root import schema
from tests.api.random_documents import RandomDocument
from tests.clients import Server, follow, live

pytestmark = pytest.mark.wire

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "40"))
VALUES: dict[str, list[Any]] = {
    "id": ["?", "T3JkZXI6MQ=="],
    "number": ["1001"],
    "channel": ["web"],
    "externalReference": ["\x00"],
    "first": [1],
}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
CUTS = st.tuples(st.integers(0, 400), st.integers(0, 20), st.text('{}()[]:$@!"\\.#, \n\x00é😀a1', max_size=4))


@st.composite
def documents(draw: st.DrawFn) -> str:
    """One of the schema's, of which a part may have been replaced."""
    text = RandomDocument(schema._schema, Random(draw(st.integers(0, 10**9))), VALUES).query(deepest=3)
    for start, length, instead in draw(st.lists(CUTS, max_size=3)):
        text = text[:start] + instead + text[start + length :]
    return text


TYPES = st.sampled_from(["ping", "pong", "complete", "next", "error", "nothing"])
MESSAGES = JSON | st.fixed_dictionaries(
    {}, optional={"type": TYPES | JSON, "id": st.sampled_from(["2", "3"]) | JSON, "payload": JSON}
)
TRIES: Any = {
    "max_examples": EXAMPLES,
    "derandomize": True,
    "database": None,
    "deadline": None,
    "phases": [Phase.generate],
    "suppress_health_check": list(HealthCheck),
}


def found(strategy: st.SearchStrategy[Any]) -> list[Any]:
    """So many examples; they are sent from the test's own event loop."""
    examples: list[Any] = []

    @settings(**TRIES)
    @given(strategy)
    def collect(example: Any) -> None:
        examples.append(example)

    collect()
    return examples


def faults(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.slow
async def test_no_request_breaks_anything(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
    for query, variables in found(st.tuples(documents(), st.none() | st.dictionaries(st.text(), JSON) | JSON)):
        body = orjson.dumps({"query": query.encode(errors="replace").decode(), "variables": safe(variables)})
        response = await server.http.post(server.url, content=body, headers=headers)
        assert response.status_code in (200, 400), (query, variables)
        assert b'"INTERNAL"' not in response.content, (query, variables)
    assert faults(caplog) == []
    assert await server.ask("{ viewer { name } }") == {"viewer": {"name": "everything"}}


async def test_no_message_breaks_a_subscription(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    async with live(server) as client:
        await follow(server, client)
        for message in found(MESSAGES):
            await client.send(safe(message))
        await server.place()
        while (message := await client.receive())["type"] != "next":
            pass
        assert message["payload"]["data"]["orderEvents"]["type"] == "ORDER_PLACED"
    assert faults(caplog) == []


def safe(value: Any) -> Any:
    """What JSON has a form for: no integer beyond 64 bits."""
    if isinstance(value, dict):
        return {name: safe(each) for name, each in value.items()}
    if isinstance(value, list):
        return [safe(each) for each in value]
    return value % 2**63 if isinstance(value, int) and not isinstance(value, bool) else value
