"""Fulfillment services are called, signed, until they have heard."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from domain.effects import retry_effect
from domain.fulfillments.requests import reject_fulfillment, request_fulfillments
from domain.fulfillments.services import save_service
from domain.global_ids import global_id
from domain.orders.commands import confirm_order
from domain.orders.placing import NewAddress
from effects.attempts import attempt
from effects.effect import CounterpartFailed
from effects.fulfillment_requests import FulfillmentRequests
from effects.outgoing import Outgoing
from effects.planning import begin, plan_page
from models import Address, Effect, FulfillmentService, Order, OrderEvent, OrderLine
from models.enums import EffectState
from tests.domain.shop import ADA, HAT, SOCKS, fulfillments_of, lines_of, on, place, types_of
from tests.effects.due import claim
from tests.effects.service import LOCAL, Service, serving

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with serving() as service:
        yield service


@pytest.fixture
async def calls() -> AsyncIterator[FulfillmentRequests]:
    await begin()
    calls = FulfillmentRequests(Outgoing(LOCAL), seconds=5)
    yield calls
    await calls.close()


async def asked(url: str | None, **given: Any) -> Order:
    await save_service(actor=ADA, code="lager", name="Lager", url=url, email="lager@example.com", egress=LOCAL)
    lines = (replace(SOCKS, service="lager", variant_title="Red"), HAT)
    order = await confirm_order(actor=ADA, target=on(await place(lines=lines, **given)))
    return await request_fulfillments(actor=ADA, target=on(order))


async def try_now(calls: FulfillmentRequests) -> Effect:
    await plan_page([calls])
    await Effect.all().update(due_at=datetime.now(UTC))
    [effect] = await claim(1)
    await attempt(calls, effect)
    return await Effect.get()


async def test_the_call_says_what_to_ship_and_is_signed(calls: FulfillmentRequests, service: Service) -> None:
    address = NewAddress(name="Anna Müller", address1="Weg 1", postal_code="8001", city="Zürich", country_code="CH")
    order = await asked(service.url, shipping_address=address, external_number="#7", locale="de-CH")
    effect = await try_now(calls)
    assert (effect.state, effect.error) == (EffectState.DONE, None)
    [(headers, body)] = service.heard
    [fulfillment], [line, _] = await fulfillments_of(order), await lines_of(order)
    message = json.loads(body)
    assert message["type"] == "fulfillment.requested"
    assert message["data"] == {
        "orderId": global_id("Order", order.id),
        "fulfillmentId": global_id("Fulfillment", fulfillment.id),
        "orderNumber": str(order.number),
        "externalNumber": "#7",
        "channel": "web",
        "locale": "de-CH",
        "shippingAddress": {
            "name": "Anna Müller",
            "company": None,
            "address1": "Weg 1",
            "address2": None,
            "postalCode": "8001",
            "city": "Zürich",
            "province": None,
            "countryCode": "CH",
            "phone": None,
        },
        "lines": [
            {
                "lineId": global_id("OrderLine", line.id),
                "sku": "SOCK-1",
                "title": "Socks",
                "variantTitle": "Red",
                "quantity": 2,
            }
        ],
    }
    secret = (await FulfillmentService.get()).secret
    assert secret is not None
    assert headers["webhook-id"] == str(effect.id)
    Webhook(secret).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body.replace("#7", "#8"), headers)


async def test_a_service_that_fails_is_called_again_with_the_same_id(
    calls: FulfillmentRequests, service: Service
) -> None:
    service.answers = [500, 503, 404, 301, None, 200]
    await asked(service.url)
    for number in range(1, 6):
        effect = await try_now(calls)
        assert (effect.state, effect.attempts) == (EffectState.WAITING, number)
        assert effect.error
    assert (await try_now(calls)).state is EffectState.DONE
    assert len(service.heard) == 6
    assert {headers["webhook-id"] for headers, _ in service.heard} == {str(effect.id)}


async def test_the_body_is_that_of_the_first_attempt(calls: FulfillmentRequests, service: Service) -> None:
    """Its time is the event's, and later changes of the order change nothing in it, nor does retryEffect."""
    service.answers = [500, 500, 410]
    address = NewAddress(name="Anna Müller", address1="Weg 1", postal_code="8001", city="Zürich", country_code="CH")
    order = await asked(service.url, shipping_address=address)
    event = await OrderEvent.get(type="FULFILLMENT_REQUESTED")
    await try_now(calls)
    await Address.all().update(address1="Weg 2")
    await OrderLine.all().update(title="Stockings")
    await try_now(calls)
    effect = await try_now(calls)
    assert effect.state is EffectState.FAILED
    await retry_effect(actor=ADA, effect_id=effect.id)
    effect = await try_now(calls)
    assert effect.state is EffectState.DONE
    assert effect.data == {}  # the address is kept no longer than it is needed
    assert len(service.heard) == 4
    [body] = {body for _, body in service.heard}
    assert {headers["webhook-id"] for headers, _ in service.heard} == {str(effect.id)}
    message = json.loads(body)
    assert datetime.fromisoformat(message["timestamp"]) == event.occurred_at
    assert (message["data"]["shippingAddress"]["address1"], message["data"]["lines"][0]["title"]) == ("Weg 1", "Socks")
    assert message["data"]["orderId"] == global_id("Order", order.id)


async def test_the_header_has_the_time_of_the_attempt(calls: FulfillmentRequests, service: Service) -> None:
    """A request of last week is signed with the time of now: services refuse what is older than five minutes."""
    await asked(service.url)
    await OrderEvent.all().update(occurred_at=datetime.now(UTC) - timedelta(days=7))
    await try_now(calls)
    [(headers, body)] = service.heard
    Webhook((await FulfillmentService.get()).secret or "").verify(body, headers)
    assert datetime.fromisoformat(json.loads(body)["timestamp"]) < datetime.now(UTC) - timedelta(days=6)


async def test_for_a_day_a_secret_that_was_replaced_signs_too(calls: FulfillmentRequests, service: Service) -> None:
    await asked(service.url)
    secrets = [(await FulfillmentService.get()).secret or ""]
    for _ in range(2):  # a second new secret within the day takes nothing away from the first
        _, new = await save_service(
            actor=ADA, code="lager", name="Lager", url=service.url, new_secret=True, egress=LOCAL
        )
        secrets.append(new or "")
    service.answers = [500]
    await try_now(calls)
    [(headers, body)] = service.heard
    assert len(headers["webhook-signature"].split(" ")) == 3
    for secret in secrets:
        Webhook(secret).verify(body, headers)
    row = await FulfillmentService.get()
    assert [each["secret"] for each in row.retired_secrets] == secrets[1::-1]
    passed = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    await FulfillmentService.all().update(
        retired_secrets=[{**each, "goodUntil": passed} for each in row.retired_secrets]
    )
    await try_now(calls)
    _, (headers, body) = service.heard
    Webhook(secrets[2]).verify(body, headers)
    for secret in secrets[:2]:
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, headers)


@pytest.mark.parametrize(
    ("status", "text", "seconds"),
    [
        (503, "120", 120),
        (429, "1", 1),
        (503, "0", 1),
        (429, "999999999999", 3_600),
        (503, "Wed, 21 Oct 2099 07:28:00 GMT", 3_600),
        (503, "-1", 5),
        (503, "soon", 5),
        (503, "Wed, 21 Oct 2015 07:28:00 GMT", 5),
        (500, "120", 5),
        (302, "120", 5),
    ],
)
async def test_a_service_says_when_to_call_again(
    calls: FulfillmentRequests, service: Service, status: int, text: str, seconds: int
) -> None:
    service.answers = [f"HTTP/1.1 {status} X\r\nRetry-After: {text}\r\nContent-Length: 0\r\n\r\n".encode()]
    await asked(service.url)
    before = datetime.now(UTC)
    effect = await try_now(calls)
    assert (effect.state, effect.error) == (EffectState.WAITING, f"Lager answered with HTTP {status}")
    pause = timedelta(seconds=seconds)
    assert before + pause <= effect.due_at <= datetime.now(UTC) + pause


async def test_a_service_that_nobody_reaches(calls: FulfillmentRequests, service: Service) -> None:
    await asked("http://127.0.0.1:9/requests")
    effect = await try_now(calls)
    assert (effect.state, effect.error) == (
        EffectState.WAITING,
        "the connection failed: All connection attempts failed",
    )


async def test_a_service_that_is_gone_is_given_up(calls: FulfillmentRequests, service: Service) -> None:
    service.answers = [410]
    order = await asked(service.url)
    effect = await try_now(calls)
    assert (effect.state, effect.error) == (
        EffectState.FAILED,
        "Lager does not take requests any more (HTTP 410)",
    )
    assert (await types_of(order))[-1] == "FULFILLMENT_REQUESTED"


async def test_killed_before_the_call_or_after_it(
    calls: FulfillmentRequests, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service hears of it at least once, and twice under one id where the answer was lost."""
    await asked(service.url)

    def killing(place: str) -> Callable[..., Any]:
        original = calls._post

        async def post(*given: Any) -> None:
            if place == "after":
                await original(*given)
            raise asyncio.CancelledError

        return post

    await plan_page([calls])
    for place_ in ("before", "after"):
        [effect] = await claim(1)
        with monkeypatch.context() as patch:
            patch.setattr(calls, "_post", killing(place_))
            with pytest.raises(asyncio.CancelledError):
                await attempt(calls, effect)
    assert (await try_now(calls)).state is EffectState.DONE
    assert [headers["webhook-id"] for headers, _ in service.heard] == [str(effect.id)] * 2


async def test_what_was_answered_meanwhile_is_not_asked_any_more(calls: FulfillmentRequests, service: Service) -> None:
    order = await asked(service.url)
    [fulfillment] = await fulfillments_of(order)
    await reject_fulfillment(actor=ADA, target=on(order), fulfillment_id=fulfillment.id, reason="By phone.")
    assert (await try_now(calls)).state is EffectState.DONE
    assert service.heard == []


async def test_a_service_without_a_url_is_not_called(calls: FulfillmentRequests) -> None:
    await asked(None)
    await plan_page([calls])
    assert await Effect.all().count() == 0


LATER = b"HTTP/1.1 503 X\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "is_its_fault"),
    [(500, True), (503, True), (429, True), (LATER, True), (None, True), (404, False), (301, False)],
)
async def test_whose_fault_it_is(
    calls: FulfillmentRequests, service: Service, answer: int | bytes | None, is_its_fault: bool
) -> None:
    """A service that fails again and again is paused; one that refuses a request is not."""
    service.answers = [answer]
    await asked(service.url)
    await plan_page([calls])
    [effect] = await claim()
    assert effect.lane == "FULFILLMENT_REQUEST:lager"
    assert isinstance(await attempt(calls, effect), CounterpartFailed) is is_its_fault
