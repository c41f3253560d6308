"""Payments at Stripe over GraphQL, and what Stripe tells by itself: signed, late, twice and in any order."""

import asyncio
import hashlib
import hmac
import json
import time
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from api.settings import Settings
from domain.actors import Scope
from models import OrderEvent
from tests.clients import Server, until
from tests.database import all_rows
from tests.local_stripe import API_KEY, Account, StripeProxy

pytestmark = pytest.mark.wire

SECRET = "whsec_tests"
MONEY = """
    id version status paymentStatus paidTotal { amount } refundedTotal { amount }
    transactions { kind status amount { amount } reference failure }
    availableActions { action available reason }
"""


@pytest.fixture
def settings(database_url: str, proxy: StripeProxy) -> Settings:
    gateway = {"stripe_api_key": API_KEY, "stripe_webhook_secret": SECRET, "stripe_api_base": proxy.url}
    return Settings(database_url=database_url, effects=False, **gateway)  # type: ignore[arg-type]


async def place(server: Server, account: Account, kind: str = "AUTHORIZATION") -> tuple[str, str]:
    """An order of 39.80 that is authorized or paid at Stripe, and its PaymentIntent."""
    intent = await account.pay(3980, capture="manual" if kind == "AUTHORIZATION" else "automatic")
    payment = {"kind": kind, "amount": "39.80", "gateway": "stripe", "reference": intent}
    return (await server.place(payments=[payment]))["id"], intent


async def act(server: Server, name: str, order: str, **given: Any) -> dict[str, Any]:
    return await server.mutate(name, {"orderId": order, **given}, MONEY)


async def look(server: Server, order: str) -> dict[str, Any]:
    query = f"query ($id: ID!) {{ order(id: $id) {{ {MONEY} }} }}"
    found: dict[str, Any] = (await server.ask(query, {"id": order}))["order"]
    return found


def moved(order: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(each["kind"], each["status"], each["amount"]["amount"]) for each in order["transactions"]]


def reasons(order: dict[str, Any]) -> dict[str, str | None]:
    return {each["action"]: each["reason"] for each in order["availableActions"] if "PAYMENT" in each["action"]}


def event(kind: str, thing: dict[str, Any]) -> dict[str, Any]:
    return {"id": "evt_1", "object": "event", "type": kind, "data": {"object": thing}}


def intent_event(kind: str, intent: str) -> dict[str, Any]:
    return event(kind, {"id": intent, "object": "payment_intent"})


@dataclass
class Sender:
    """Who posts to /webhooks/stripe."""

    server: Server

    async def post(self, body: bytes, signature: str | None) -> httpx.Response:
        headers = {"Stripe-Signature": signature} if signature else {}
        url = f"http://127.0.0.1:{self.server.port}/webhooks/stripe"
        return await self.server.http.post(url, content=body, headers=headers)

    async def tell(self, content: Any) -> int:
        body = json.dumps(content).encode()
        return (await self.post(body, signature(body))).status_code


def signature(body: bytes, secret: str = SECRET, age: int = 0) -> str:
    """As Stripe makes it: https://docs.stripe.com/webhooks/signature."""
    at = int(time.time()) - age
    digest = hmac.new(secret.encode(), b"%d.%s" % (at, body), hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


@pytest.fixture
def sender(server: Server) -> Sender:
    return Sender(server)


async def test_capturing_a_part_and_refunding_it(server: Server, account: Account) -> None:
    order, intent = await place(server, account)
    assert reasons(await look(server, order)) == {
        "CAPTURE_PAYMENT": None,
        "RECORD_PAYMENT": None,
        "REFUND_PAYMENT": "Nothing is left to refund.",
        "VOID_PAYMENT": None,
    }
    payload = await act(server, "capturePayment", order, amount={"amount": "30"})
    assert (payload["userErrors"], payload["order"]["paymentStatus"]) == ([], "PARTIALLY_PAID")
    assert moved(payload["order"])[1:] == [("CAPTURE", "SUCCEEDED", "30.00"), ("VOID", "SUCCEEDED", "9.80")]
    payload = await act(server, "refundPayment", order, amount={"amount": "10"})
    assert moved(payload["order"])[3:] == [("REFUND", "SUCCEEDED", "10.00")]
    payload = await act(server, "cancelOrder", order, reason="CUSTOMER", refund=True)
    assert (payload["order"]["status"], payload["order"]["paymentStatus"]) == ("CANCELLED", "REFUNDED")
    assert await account.refunds(intent) == [1000, 2000]


async def test_giving_up_and_cancelling(server: Server, account: Account) -> None:
    order, intent = await place(server, account)
    payload = await act(server, "voidPayment", order)
    assert (payload["userErrors"], payload["order"]["paymentStatus"]) == ([], "VOIDED")
    assert await account.status(intent) == "canceled"
    other, intent = await place(server, account)
    payload = await act(server, "cancelOrder", other, reason="CUSTOMER")
    assert (payload["order"]["status"], payload["order"]["paymentStatus"]) == ("CANCELLED", "VOIDED")
    assert await account.status(intent) == "canceled"


async def test_a_refusal_comes_with_the_order(server: Server, account: Account) -> None:
    order, intent = await place(server, account)
    await account.call("POST", f"payment_intents/{intent}/cancel")
    for _ in range(2):  # the same key gives the first answer again
        payload = await act(server, "capturePayment", order, idempotencyKey="once")
        [error] = payload["userErrors"]
        assert (error["code"], error["message"]) == ("PAYMENT_FAILED", "The PaymentIntent was cancelled.")
        assert (payload["order"]["id"], payload["order"]["paymentStatus"]) == (order, "AUTHORIZED")
        [_, failed] = payload["order"]["transactions"]
        assert (failed["status"], failed["failure"]) == ("FAILED", "The PaymentIntent was cancelled.")


async def test_refunding_with_the_cancellation_needs_both_scopes(server: Server, account: Account) -> None:
    order, _ = await place(server, account, "SALE")
    token = await server.new_token(Scope.ORDERS_WRITE)
    document = "mutation ($input: CancelOrderInput!) { cancelOrder(input: $input) { order { id } } }"
    given = {"orderId": order, "reason": "STAFF", "refund": True}
    answer = await server.send(document, {"input": given}, token)
    assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"


@pytest.mark.parametrize(
    ("mutation", "kind", "told", "status"),
    [
        ("capturePayment", "AUTHORIZATION", "payment_intent.succeeded", "PAID"),
        ("voidPayment", "AUTHORIZATION", "payment_intent.canceled", "VOIDED"),
        ("refundPayment", "SALE", "charge.refunded", "REFUNDED"),
        ("refundPayment", "SALE", "refund.updated", "REFUNDED"),
    ],
)
async def test_news_settle_what_was_not_answered(
    server: Server,
    account: Account,
    proxy: StripeProxy,
    sender: Sender,
    mutation: str,
    kind: str,
    told: str,
    status: str,
) -> None:
    order, intent = await place(server, account, kind)
    proxy.faults = ["after"]
    payload = await act(server, mutation, order)
    assert payload["userErrors"] == []
    assert moved(payload["order"])[1][1] == "PENDING"
    before = await all_rows()
    again = await act(server, mutation, order)  # the call has arrived: Stripe is asked again, and says so
    assert again["order"]["paymentStatus"] == status
    assert len(await OrderEvent.all()) == len(before["order_events"]) + 1

    order, intent = await place(server, account, kind)
    proxy.faults = ["after"]
    await act(server, mutation, order)
    thing = {"object": told.split(".")[0], "payment_intent": intent, "id": "x"}
    news = intent_event(told, intent) if told.startswith("payment_intent") else event(told, thing)
    assert await sender.tell(news) == 200
    assert (await look(server, order))["paymentStatus"] == status
    before = await all_rows()
    for late in (told, "payment_intent.payment_failed", "payment_intent.canceled", "payment_intent.succeeded"):
        assert await sender.tell(intent_event(late, intent)) == 200
    assert await all_rows() == before


async def test_news_of_what_was_not_done_do_nothing(
    server: Server, account: Account, proxy: StripeProxy, sender: Sender
) -> None:
    order, intent = await place(server, account)
    proxy.faults = ["before"]
    await act(server, "capturePayment", order)
    assert reasons(await look(server, order)) == {
        "CAPTURE_PAYMENT": "What is left to pay is being captured.",
        "RECORD_PAYMENT": "What is left to pay is being captured.",
        "REFUND_PAYMENT": "Nothing is left to refund.",
        "VOID_PAYMENT": "Nothing is authorized.",
    }
    before = await all_rows()
    for kind in ("payment_intent.succeeded", "payment_intent.canceled", "payment_intent.payment_failed"):
        assert await sender.tell(intent_event(kind, intent)) == 200
    assert await all_rows() == before


async def test_what_else_stripe_tells_is_taken_and_left(server: Server, sender: Sender) -> None:
    before = await all_rows()
    for news in (
        event("customer.created", {"id": "cus_1", "object": "customer"}),
        event("charge.refunded", {"id": "ch_1", "object": "charge", "payment_intent": None}),
        event("refund.updated", {"id": "re_1", "object": "refund"}),
        intent_event("payment_intent.succeeded", "pi_of_another_shop"),
    ):
        assert await sender.tell(news) == 200
    assert await all_rows() == before


async def test_only_stripe_is_believed(server: Server, account: Account, sender: Sender) -> None:
    _, intent = await place(server, account)
    body = json.dumps(intent_event("payment_intent.succeeded", intent)).encode()
    for wrong in (
        None,
        "",
        "t=1,v1=2",
        signature(body, "whsec_other"),
        signature(body, age=3600),
        signature(body + b" "),
    ):
        answer = await sender.post(body, wrong)
        assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (400, "BAD_USER_INPUT")
    for nonsense in (b"", b"[]", b"{}", b"nonsense", b"\xff", b'{"object": "event"}', b'{"object": "v2.core.event"}'):
        status = 200 if nonsense in (b"{}", b'{"object": "event"}') else 400
        assert (await sender.post(nonsense, signature(nonsense))).status_code == status, nonsense
    assert (await sender.post(b"x" * 2_000_000, "t=1,v1=2")).status_code == 413
    assert (await server.http.get(f"http://127.0.0.1:{server.port}/webhooks/stripe")).status_code == 405


async def test_stripe_tells_again_what_could_not_be_looked_up(
    server: Server, account: Account, proxy: StripeProxy, sender: Sender
) -> None:
    order, intent = await place(server, account)
    proxy.faults = ["after"]
    await act(server, "capturePayment", order)
    proxy.target = "http://127.0.0.1:9"
    assert await sender.tell(intent_event("payment_intent.succeeded", intent)) == 503
    proxy.target = account.url
    assert await sender.tell(intent_event("payment_intent.succeeded", intent)) == 200
    assert (await look(server, order))["paymentStatus"] == "PAID"


async def test_localstripe_s_own_webhook(server: Server, account: Account, proxy: StripeProxy) -> None:
    url = f"http://127.0.0.1:{server.port}/webhooks/stripe"
    hook = {"url": url, "secret": SECRET, "events": ["payment_intent.succeeded"]}
    await account.http.post(f"{account.url}/_config/webhooks/{server.port}", json=hook)
    order, _ = await place(server, account)
    proxy.faults = ["after"]
    await act(server, "capturePayment", order)
    asked = len(proxy.arrived)
    await until(lambda: len(proxy.arrived) > asked)  # the server has been told, and looks
    async with asyncio.timeout(60):
        while (await look(server, order))["paymentStatus"] != "PAID":  # noqa: ASYNC110 - the next look may see it
            await asyncio.sleep(0.01)


class TestWithoutStripe:
    @pytest.fixture
    def settings(self, database_url: str) -> Settings:
        return Settings(database_url=database_url, effects=False)

    async def test_nobody_is_expected(self, server: Server) -> None:
        body = json.dumps(intent_event("payment_intent.succeeded", "pi_1")).encode()
        assert (await Sender(server).post(body, signature(body))).status_code == 404
