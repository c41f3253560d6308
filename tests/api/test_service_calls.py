"""A fulfillment service is entered and asked through the API, and answers well or badly."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from standardwebhooks import Webhook

from api.settings import Settings
from domain.egress import MALFORMED, NOT_PUBLIC, WITH_PASSWORD
from models import FulfillmentService
from tests.clients import Server
from tests.domain.shop import nothing_changes
from tests.effects.service import Answer, Service, endless_body, serving

pytestmark = pytest.mark.wire

SAVE = """mutation ($input: SaveFulfillmentServiceInput!) {
    saveFulfillmentService(input: $input) { fulfillmentService { code url } secret userErrors { code field message } }
}"""
FAILED = "{ failedEffects { nodes { kind state attempts error } } }"
SUCCESS = b"HTTP/1.1 200 OK\r\n"
BUFFERS = 20_000_000  # bytes that the system may take from a server before anybody reads them


@pytest.fixture
def settings(database_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    """A test may have other exceptions by an indirect parameter."""
    allowed = getattr(request, "param", ("127.0.0.1",))
    return Settings(
        database_url=database_url, effects=True, poll_seconds=0.1, mail_url=f"file://{tmp_path}", egress_allow=allowed
    )


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with serving() as service:
        yield service


async def save(server: Server, url: str, **given: Any) -> dict[str, Any]:
    given = {"code": "lager", "name": "Lager", "url": url, **given}
    payload: dict[str, Any] = (await server.ask(SAVE, {"input": given}))["saveFulfillmentService"]
    return payload


async def ask_to_ship(server: Server) -> None:
    lines = [{"title": "Socks", "quantity": 2, "unitPrice": "9.90", "service": "lager"}]
    order = await server.place(lines=lines)
    await server.do("confirmOrder", {"orderId": order["id"]})
    await server.do("requestFulfillment", {"orderId": order["id"]})


async def failed(server: Server) -> list[dict[str, Any]]:
    """What was given up, once something was."""
    async with asyncio.timeout(60):
        while True:
            nodes: list[dict[str, Any]] = (await server.ask(FAILED))["failedEffects"]["nodes"]
            if nodes:
                return nodes
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("settings", [()], indirect=True)
async def test_where_no_call_may_go_is_refused_at_once(server: Server) -> None:
    for url, message in (
        ("http://169.254.169.254/latest/meta-data", NOT_PUBLIC),
        ("http://localhost:8000/", NOT_PUBLIC),
        ("http://127.0.0.1:8000/", NOT_PUBLIC),
        ("http://[::1]/", NOT_PUBLIC),
        ("http://[::ffff:10.0.0.1]/", NOT_PUBLIC),
        ("http://[::1", MALFORMED),
        ("http://lager.example:99999/", MALFORMED),
        ("https://lager:hunter2@lager.example/", WITH_PASSWORD),
    ):
        async with nothing_changes():
            payload = await save(server, url)
        assert payload["fulfillmentService"] is None
        assert payload["userErrors"] == [{"code": "INVALID_INPUT", "field": ["url"], "message": message}]
    number = (await save(server, "http://2852039166/"))["userErrors"][0]
    assert (number["code"], number["field"]) == ("INVALID_INPUT", ["url"])
    assert (await save(server, "https://lager.example/hooks"))["userErrors"] == []


@pytest.mark.parametrize(
    "answer",
    [
        endless_body,
        SUCCESS + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(bytes(50_000_000)),
        SUCCESS + b"Content-Length: 1000\r\n\r\nhalf of i",
        b"HTTP/1.1 204 No Content\r\n\r\n",
    ],
    ids=["endless", "gzip", "cut", "empty"],
)
async def test_a_status_of_success_is_all_that_is_read(
    server: Server, service: Service, answer: Answer | bytes
) -> None:
    service.answers = [answer]
    await save(server, service.url)
    await ask_to_ship(server)
    await asyncio.wait_for(service.ended.wait(), 10)
    assert service.sent < BUFFERS
    service.answers = [410]
    await ask_to_ship(server)
    [effect] = await failed(server)  # the first was not: it was a success
    assert effect["error"] == "Lager does not take requests any more (HTTP 410)"
    assert len(service.heard) == 2


async def test_a_new_secret_does_not_cut_over_at_once(server: Server, service: Service) -> None:
    old = (await save(server, service.url))["secret"]
    new = (await save(server, service.url, newSecret=True))["secret"]
    await ask_to_ship(server)
    await asyncio.wait_for(service.ended.wait(), 10)
    [(headers, body)] = service.heard
    for secret in (old, new):
        Webhook(secret).verify(body, headers)


async def test_a_redirect_leads_nowhere(server: Server, service: Service) -> None:
    async with serving() as other:
        service.answers = [
            f"HTTP/1.1 307 X\r\nLocation: {other.url}\r\nContent-Length: 0\r\n\r\n".encode(),
            410,
        ]
        await save(server, service.url)
        await ask_to_ship(server)
        await asyncio.wait_for(service.ended.wait(), 10)
        await ask_to_ship(server)
        assert "HTTP 410" in (await failed(server))[0]["error"]
        assert (len(service.heard), other.heard) == (2, [])


async def test_a_service_that_may_not_be_called_any_more(
    server: Server, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    """It was entered before such URLs were refused. What is asked of it fails at once, and says why."""
    await save(server, service.url)
    await FulfillmentService.all().update(url=f"http://lager:hunter2@127.0.0.1:{service.port}/")
    await ask_to_ship(server)
    [effect] = await failed(server)
    assert effect == {
        "kind": "FULFILLMENT_REQUEST",
        "state": "FAILED",
        "attempts": 1,
        "error": f"Lager cannot be called: {WITH_PASSWORD}",
    }
    shown = await server.ask("{ fulfillmentServices { url } orderEvents { nodes { message data } } }")
    assert shown["fulfillmentServices"] == [{"url": f"http://127.0.0.1:{service.port}/"}]
    assert "hunter2" not in f"{shown}{caplog.text}"
    assert service.heard == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("egress_allow", "10.0.0.1/8"),
        ("egress_allow", "https://lager:hunter2@lager.internal"),
        ("oidc_issuer", "https://lager:hunter2@login.example"),
        ("stripe_api_base", "https://lager:hunter2@stripe.example"),
    ],
)
def test_settings_of_which_no_call_could_be_made(name: str, value: str) -> None:
    """What is wrong is said, and no password with it."""
    given: dict[str, Any] = {name: value}
    with pytest.raises(ValidationError) as caught:
        Settings(**given)
    assert name in str(caught.value)
    assert "hunter2" not in str(caught.value)
