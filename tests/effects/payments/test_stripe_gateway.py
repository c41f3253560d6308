"""Stripe is asked to move money, and asked again what became of it: against a real local one."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from domain.payments.settling import Settled
from effects.payments.gateways import GatewayDown, GatewayRefused, GatewayUnavailable, Request
from effects.payments.stripe.gateway import TRANSACTION, StripeGateway
from models.engine.fields import new_key
from models.enums import TransactionKind
from tests.effects.service import endless_body, serving
from tests.local_stripe import API_KEY, Account, StripeProxy

CAPTURE, VOID, REFUND = TransactionKind.CAPTURE, TransactionKind.VOID, TransactionKind.REFUND
LOST = ["before", "after", 429, 500, 503, "nonsense", "", "[]", "{}", '"x"', "null", '{"object": "payment_intent"}']


@pytest.fixture
async def gateway(proxy: StripeProxy) -> AsyncIterator[StripeGateway]:
    gateway = StripeGateway(API_KEY, proxy.url)
    yield gateway
    await gateway.close()


def request_for(kind: TransactionKind, reference: str | None, amount: int = 3980, **given: Any) -> Request:
    return Request(new_key(), kind, amount, given.pop("currency", "CHF"), reference, **given)


def act_of(gateway: StripeGateway, kind: TransactionKind) -> Callable[[Request], Any]:
    return {CAPTURE: gateway.capture, VOID: gateway.void, REFUND: gateway.refund}[kind]


async def paid_for(account: Account, kind: TransactionKind) -> str:
    return await account.pay(3980, capture="automatic" if kind is REFUND else "manual")


async def test_capturing(gateway: StripeGateway, account: Account, proxy: StripeProxy) -> None:
    intent = await account.pay(3980)
    request = request_for(CAPTURE, intent)
    assert await gateway.find(request) is None
    assert await gateway.capture(request) == Settled(intent, nothing_left=True)
    assert await account.status(intent) == "succeeded"
    assert proxy.keys == [str(request.key)]
    assert await gateway.find(request) == Settled(intent, nothing_left=True)
    assert (await account.call("GET", f"payment_intents/{intent}"))["metadata"] == {TRANSACTION: str(request.key)}
    assert await gateway.find(request_for(CAPTURE, intent)) is None  # that was another one


async def test_nothing_is_kept_in_the_home_folder(
    gateway: StripeGateway, account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    await gateway.capture(request_for(CAPTURE, await account.pay(3980)))
    assert os.listdir(tmp_path) == []


async def test_capturing_a_part_leaves_nothing_to_give_up(gateway: StripeGateway, account: Account) -> None:
    intent = await account.pay(3980)
    assert (await gateway.capture(request_for(CAPTURE, intent, 1000))).nothing_left
    charge = (await account.call("GET", f"payment_intents/{intent}"))["latest_charge"]
    assert (charge["captured"], charge["amount_refunded"]) == (True, 2980)
    assert await gateway.find(request_for(VOID, intent, 2980, captured=1000)) == Settled(intent)
    assert await gateway.find(request_for(VOID, intent, 2980)) is None  # somebody else has captured
    with pytest.raises(GatewayRefused, match="Bad request"):
        await gateway.capture(request_for(CAPTURE, intent, 2980))


async def test_giving_up(gateway: StripeGateway, account: Account, proxy: StripeProxy) -> None:
    intent = await account.pay(3980)
    request = request_for(VOID, intent)
    assert await gateway.find(request) is None
    assert await gateway.void(request) == Settled(intent)
    assert (await account.status(intent), proxy.keys) == ("canceled", [str(request.key)])
    assert await gateway.find(request) == Settled(intent)
    with pytest.raises(GatewayRefused, match="was cancelled"):
        await gateway.find(request_for(CAPTURE, intent))


async def test_refunding_in_parts(gateway: StripeGateway, account: Account, proxy: StripeProxy) -> None:
    intent = await account.pay(3980, capture="automatic")
    requests = [request_for(REFUND, intent, amount) for amount in (980, 1000)]
    references = []
    for request in requests:
        assert await gateway.find(request) is None
        references.append((await gateway.refund(request)).reference)
    assert await account.refunds(intent) == [980, 1000]
    assert [await gateway.find(request) for request in requests] == [Settled(reference) for reference in references]
    assert proxy.keys == [str(request.key) for request in requests]


@pytest.mark.parametrize("kind", [CAPTURE, VOID, REFUND])
async def test_what_stripe_refuses(gateway: StripeGateway, account: Account, kind: TransactionKind) -> None:
    act = act_of(gateway, kind)
    with pytest.raises(GatewayRefused, match="Not Found"):
        await act(request_for(kind, "pi_unknown"))
    with pytest.raises(GatewayRefused, match="has no reference"):
        await act(request_for(kind, None))
    for asked in (act, gateway.find):
        with pytest.raises(GatewayRefused):
            await asked(request_for(kind, "pi_unknown"))
    if kind is not REFUND:
        with pytest.raises(GatewayRefused, match="The PaymentIntent is in EUR, not CHF"):
            await gateway.find(request_for(kind, await account.pay(3980, currency="eur")))


@pytest.mark.parametrize("kind", [CAPTURE, VOID, REFUND])
@pytest.mark.parametrize("fault", LOST)
async def test_a_call_of_which_no_answer_is_heard_leaves_the_outcome_open(
    gateway: StripeGateway, account: Account, proxy: StripeProxy, kind: TransactionKind, fault: str | int
) -> None:
    intent = await paid_for(account, kind)
    request = request_for(kind, intent)
    proxy.faults = [fault]
    with pytest.raises(GatewayDown):
        await act_of(gateway, kind)(request)
    has_arrived = fault != "before" and not isinstance(fault, int)
    assert (await gateway.find(request) is not None) is has_arrived


async def test_a_call_that_stalls_is_left(account: Account, proxy: StripeProxy) -> None:
    hasty, patient = StripeGateway(API_KEY, proxy.url, seconds=0.3), StripeGateway(API_KEY, proxy.url)
    intent = await account.pay(3980)
    request = request_for(VOID, intent)
    proxy.faults = ["stall"]
    with pytest.raises(GatewayUnavailable):
        await hasty.void(request)
    await patient.find(request)
    await hasty.close()
    await patient.close()


async def test_a_stripe_that_is_not_there() -> None:
    gateway = StripeGateway(API_KEY, "http://127.0.0.1:9")
    with pytest.raises(GatewayUnavailable):
        await gateway.find(request_for(CAPTURE, "pi_1"))
    await gateway.close()


async def test_a_stripe_that_is_none(account: Account) -> None:
    """It leads elsewhere, or answers without an end: the key goes nowhere else, and no memory is filled."""
    request = request_for(CAPTURE, await account.pay(3980))
    async with serving() as other, serving() as bad:
        bad.answers = [
            f"HTTP/1.1 307 X\r\nLocation: {other.url}\r\nContent-Length: 0\r\n\r\n".encode(),
            endless_body,
        ]
        gateway = StripeGateway(API_KEY, bad.url.removesuffix("/requests?x=1"))
        for _ in range(2):
            with pytest.raises(GatewayUnavailable):
                await gateway.find(request)
        await asyncio.wait_for(bad.ended.wait(), 10)
        assert (len(bad.heard), other.heard) == (2, [])
        assert bad.sent < 30_000_000  # up to the system's buffers
        await gateway.close()


async def test_a_wrong_key_is_not_the_payment_s_fault(proxy: StripeProxy, account: Account) -> None:
    gateway = StripeGateway("wrong", proxy.url)
    with pytest.raises(GatewayUnavailable):
        await gateway.find(request_for(CAPTURE, await account.pay(3980)))
    await gateway.close()


async def test_the_same_call_twice_moves_money_once(
    gateway: StripeGateway, account: Account, proxy: StripeProxy
) -> None:
    """Stripe knows the key again."""
    proxy.remembers = True
    intent = await account.pay(3980, capture="automatic")
    request = request_for(REFUND, intent, 1000)
    proxy.faults = ["twice"]
    assert await gateway.refund(request) == await gateway.refund(request)
    assert await account.refunds(intent) == [1000]


@pytest.mark.parametrize(
    ("currency", "minor", "stripes"), [("ISK", 500, 50_000), ("UGX", 500, 50_000), ("MGA", 50_000, 500), ("JPY", 7, 7)]
)
async def test_amounts_are_in_stripe_s_own_minor_units(
    gateway: StripeGateway, account: Account, currency: str, minor: int, stripes: int
) -> None:
    intent = await account.pay(stripes * 2, currency=currency.lower(), capture="automatic")
    await gateway.refund(request_for(REFUND, intent, minor, currency=currency))
    assert await account.refunds(intent) == [stripes]


async def test_a_fraction_that_stripe_does_not_have(gateway: StripeGateway) -> None:
    with pytest.raises(GatewayRefused, match="whole MGA"):
        await gateway.refund(request_for(REFUND, "pi_1", 150, currency="MGA"))


async def test_a_refund_on_its_way_is_not_the_gateway_s_fault(
    gateway: StripeGateway, account: Account, proxy: StripeProxy
) -> None:
    intent = await account.pay(3980, capture="automatic")
    proxy.faults = ['{"object": "refund", "id": "re_1", "status": "pending", "metadata": {}}']
    with pytest.raises(GatewayUnavailable, match="the refund is pending") as raised:
        await gateway.refund(request_for(REFUND, intent, 1000))
    assert not isinstance(raised.value, GatewayDown)
