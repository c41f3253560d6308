"""What gateways are asked for is done once, whatever happens to calls, answers and processes in between."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Generator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from domain.automations import update_automation
from domain.change import Target
from domain.orders.placing import NewPayment
from domain.payments.commands import Amount, capture_payment, refund_payment, void_payment
from domain.payments.settling import Settled
from effects.attempts import ATTEMPT_SECONDS, attempt
from effects.automations import Automations
from effects.effect import GivenUp, Planned
from effects.payments.gateways import GatewayDown, Request
from effects.payments.payments import DELAY, SECONDS, Payments
from effects.payments.stripe import gateway as stripe_gateway
from effects.payments.stripe.gateway import StripeGateway
from effects.planning import begin, plan_page
from models import Effect, Order, OrderEvent, Transaction
from models.enums import AutomationKind, EffectState, PaymentStatus, TransactionKind, TransactionStatus
from tests.database import nobody_writes
from tests.domain.shop import ADA, last_event, nothing_changes, on, once, place, stored, transactions_of, types_of
from tests.effects.due import claim
from tests.local_stripe import API_KEY, Account, StripeProxy

pytestmark = pytest.mark.usefixtures("database")

STRIPE = frozenset({"stripe"})
CAPTURE, VOID, REFUND = TransactionKind.CAPTURE, TransactionKind.VOID, TransactionKind.REFUND
PENDING, SUCCEEDED, FAILED = TransactionStatus.PENDING, TransactionStatus.SUCCEEDED, TransactionStatus.FAILED
MOVED = {CAPTURE: "PAYMENT_CAPTURED", VOID: "PAYMENT_VOIDED", REFUND: "PAYMENT_REFUNDED"}
GIVEN_UP = "The PaymentIntent was cancelled."
TEN = Amount(Decimal(10))


@pytest.fixture
async def payments(proxy: StripeProxy) -> AsyncIterator[Payments]:
    await begin()
    payments = Payments([StripeGateway(API_KEY, proxy.url)])
    yield payments
    await payments.close()


async def asked(account: Account, kind: TransactionKind) -> tuple[Order, str]:
    """An order of which Stripe is to be asked for something, and its PaymentIntent: 39.80, of a refund 10.00."""
    is_refund = kind is REFUND
    intent = await account.pay(3980, capture="automatic" if is_refund else "manual")
    given = TransactionKind.SALE if is_refund else TransactionKind.AUTHORIZATION
    order = await place(payments=[NewPayment(given, Decimal("39.80"), "stripe", intent)])
    if kind is CAPTURE:
        await capture_payment(actor=ADA, target=on(order), gateways=STRIPE)
    elif kind is VOID:
        await void_payment(actor=ADA, target=on(order), gateways=STRIPE)
    else:
        await refund_payment(actor=ADA, target=on(order), amount=TEN, gateways=STRIPE)
    return order, intent


async def later(payments: Payments) -> list[Effect]:
    """What the engine has done by the time that everything is due."""
    await plan_page([payments])
    await Effect.filter(state=EffectState.WAITING).update(due_at=datetime.now(UTC), leased_until=None)
    for effect in await claim(10):
        await attempt(payments, effect)
    return await Effect.all().order_by("id")


async def is_done_once(order: Order, intent: str, kind: TransactionKind, account: Account) -> None:
    transaction = (await transactions_of(order))[1]
    assert (transaction.kind, transaction.status, transaction.failure) == (kind, SUCCEEDED, None)
    assert (await types_of(order))[-2:] == ["PAYMENT_PENDING", MOVED[kind]]
    assert await account.status(intent) == ("canceled" if kind is VOID else "succeeded")
    assert await account.refunds(intent) == ([1000] if kind is REFUND else [])
    row = await stored(order)
    expected = {CAPTURE: (0, 3980, 0), VOID: (0, 0, 0), REFUND: (0, 3980, 1000)}[kind]
    assert (row.authorized_total, row.paid_total, row.refunded_total) == expected


@pytest.mark.parametrize("kind", [CAPTURE, VOID, REFUND])
async def test_what_is_asked_for_is_settled_at_once(
    payments: Payments, account: Account, proxy: StripeProxy, kind: TransactionKind
) -> None:
    order, intent = await asked(account, kind)
    assert await payments.settle_now(order.id) == []
    await is_done_once(order, intent, kind, account)
    calls = list(proxy.arrived)
    async with nothing_changes():
        assert await payments.settle_now(order.id) == []
    [effect] = await later(payments)
    assert (effect.state, effect.attempts, proxy.arrived) == (
        EffectState.DONE,
        1,
        calls,
    )  # nothing was left to ask


@pytest.mark.parametrize("kind", [CAPTURE, REFUND])
async def test_no_transaction_is_open_while_a_gateway_is_asked(
    payments: Payments, account: Account, proxy: StripeProxy, kind: TransactionKind
) -> None:
    async def look(step: str) -> None:
        async with asyncio.timeout(60):
            await nobody_writes()
        steps.append(step.split(" ")[0])

    steps: list[str] = []
    order, intent = await asked(account, kind)
    proxy.step = look
    await payments.settle_now(order.id)
    assert steps == ["before", "after"] * (3 if kind is CAPTURE else 2)
    await is_done_once(order, intent, kind, account)


async def test_what_stripe_gives_back_is_given_up_here_too(payments: Payments, account: Account) -> None:
    intent = await account.pay(3980)
    held = NewPayment(TransactionKind.AUTHORIZATION, Decimal("39.80"), "stripe", intent)
    order = await place(payments=[held])
    await capture_payment(actor=ADA, target=on(order), amount=TEN, gateways=STRIPE)
    assert await payments.settle_now(order.id) == []
    assert (await types_of(order))[-2:] == ["PAYMENT_CAPTURED", "PAYMENT_VOIDED"]
    row = await stored(order)
    assert (row.payment_status, row.authorized_total, row.paid_total) == (PaymentStatus.PARTIALLY_PAID, 0, 1000)
    await refund_payment(actor=ADA, target=on(order), gateways=STRIPE)
    assert await payments.settle_now(order.id) == []
    assert await account.refunds(intent) == [1000]
    assert (await stored(order)).payment_status is PaymentStatus.REFUNDED


async def test_what_stripe_refuses_is_told_with_its_words(payments: Payments, account: Account) -> None:
    order, intent = await asked(account, CAPTURE)
    await account.call("POST", f"payment_intents/{intent}/cancel")
    [refusal] = await payments.settle_now(order.id)
    assert (refusal.code, refusal.message) == ("PAYMENT_FAILED", GIVEN_UP)
    [_, transaction] = await transactions_of(order)
    assert (transaction.status, transaction.failure) == (FAILED, GIVEN_UP)
    event = await last_event(order)
    assert (event.type, event.actor_name, event.data["reason"]) == ("PAYMENT_FAILED", "stripe", GIVEN_UP)
    assert await payments.settle_now(order.id) == []
    await void_payment(actor=ADA, target=on(order), gateways=STRIPE)
    assert await payments.settle_now(order.id) == []  # it was given up at Stripe
    assert (await stored(order)).payment_status is PaymentStatus.VOIDED


async def test_an_act_that_was_refused_is_refused_again(payments: Payments, account: Account) -> None:
    intent = await account.pay(3980)
    await account.call("POST", f"payment_intents/{intent}/cancel")
    order = await place(payments=[NewPayment(TransactionKind.AUTHORIZATION, Decimal("39.80"), "stripe", intent)])
    target = Target(order.id, idempotency=once("k"))
    for _ in range(2):
        await capture_payment(actor=ADA, target=target, gateways=STRIPE)
        [refusal] = await payments.settle_act(ADA, target)
        assert refusal.message == GIVEN_UP
    assert len(await transactions_of(order)) == 2
    assert await payments.settle_act(ADA, replace(target, idempotency=None)) == []


@pytest.mark.wire
@pytest.mark.parametrize("kind", [CAPTURE, VOID, REFUND])
@pytest.mark.parametrize("fault", ["before", "after", 500, 429, "nonsense"])
async def test_what_is_not_answered_is_settled_later(
    payments: Payments, account: Account, proxy: StripeProxy, kind: TransactionKind, fault: str | int
) -> None:
    order, intent = await asked(account, kind)
    proxy.faults = [fault, fault]
    assert await payments.settle_now(order.id) == []
    assert (await last_event(order)).type == "PAYMENT_PENDING"
    for _ in range(3):
        effects = await later(payments)
    assert [(effect.state, effect.attempts) for effect in effects] == [
        (EffectState.DONE, 1 if fault in ("after", "nonsense") else 2)
    ]
    await is_done_once(order, intent, kind, account)


@pytest.mark.wire
async def test_a_gateway_that_stalls_holds_nobody_up(account: Account, proxy: StripeProxy, payments: Payments) -> None:
    order, intent = await asked(account, REFUND)
    hasty = Payments([StripeGateway(API_KEY, proxy.url)], seconds=0.5)
    proxy.faults, proxy.remembers = ["stall"], True
    assert await hasty.settle_now(order.id) == []
    assert (await last_event(order)).type == "PAYMENT_PENDING"
    await later(payments)
    await is_done_once(order, intent, REFUND, account)
    await hasty.close()


class Killed:
    """Runs a coroutine up to where it waits for the so many-th time, and cancels it there; without that, it `ended`."""

    def __init__(self, work: Coroutine[Any, Any, Any], after: int) -> None:
        self._work = work
        self._left = after
        self.ended = False

    def __await__(self) -> Generator[Any, Any, None]:
        task = asyncio.current_task()
        assert task is not None
        work = self._work.__await__()
        thrown: BaseException | None = None
        while True:
            try:
                waited_for = work.throw(thrown) if thrown else next(work)
            except StopIteration:
                self.ended = True
                return
            except asyncio.CancelledError:
                return
            thrown = None
            if self._left == 0:
                task.cancel()
            self._left -= 1
            try:
                yield waited_for
            except asyncio.CancelledError as error:
                task.uncancel()
                thrown = error


@pytest.mark.slow
@pytest.mark.parametrize("kind", [CAPTURE, REFUND])
async def test_killed_anywhere_and_carried_out_again(
    payments: Payments, account: Account, proxy: StripeProxy, kind: TransactionKind, engine: str
) -> None:
    proxy.remembers = True  # a call that is on its way when its caller dies arrives beside the next one
    step = 3 if engine == "sqlite" else 5
    for after in range(0, 1000, step):
        order, intent = await asked(account, kind)
        await plan_page([payments])
        effect = await Effect.get(order_id=order.id)
        killed = Killed(payments.carry_out(effect), after)
        await asyncio.create_task(_wait_for(killed))
        await payments.carry_out(effect)
        await is_done_once(order, intent, kind, account)
        assert (await Effect.get(id=effect.id)).state is EffectState.DONE
        if killed.ended:
            break
    assert after > 4 * step


async def _wait_for(killed: Killed) -> None:
    await killed


async def test_many_at_the_same_time_move_money_once(payments: Payments, account: Account, proxy: StripeProxy) -> None:
    other = Payments([StripeGateway(API_KEY, proxy.url)])  # as another process has them
    proxy.remembers = True
    order, intent = await asked(account, REFUND)
    await plan_page([payments])
    effect = await Effect.get()
    await asyncio.gather(
        *(each.settle_now(order.id) for each in (payments, payments, other)), payments.carry_out(effect)
    )
    await is_done_once(order, intent, REFUND, account)
    await other.close()


async def test_who_settles_at_the_same_time_in_one_process_asks_once(
    payments: Payments, account: Account, proxy: StripeProxy
) -> None:
    """Not every gateway knows a key again: this one forgets it at once."""
    order, intent = await asked(account, REFUND)
    await plan_page([payments])
    effect = await Effect.get()
    await asyncio.gather(payments.settle_now(order.id), payments.carry_out(effect), payments.settle_now(order.id))
    assert len(proxy.keys) == 1
    await is_done_once(order, intent, REFUND, account)


async def test_what_is_given_up_while_a_part_is_captured_goes_back_with_it(
    payments: Payments, account: Account
) -> None:
    intent = await account.pay(3980)
    order = await place(payments=[NewPayment(TransactionKind.AUTHORIZATION, Decimal("39.80"), "stripe", intent)])
    await capture_payment(actor=ADA, target=on(order), amount=TEN, gateways=STRIPE)
    await void_payment(actor=ADA, target=on(order), gateways=STRIPE)
    assert await payments.settle_now(order.id) == []
    row = await stored(order)
    assert (row.payment_status, row.authorized_total, row.paid_total) == (PaymentStatus.PARTIALLY_PAID, 0, 1000)


class Bank:
    """A gateway that captures in parts, and keeps what it was handed."""

    name = "stripe"
    read_webhook = None

    def __init__(self) -> None:
        self.heard: list[tuple[str, Request]] = []
        self.closed = False

    def _do(self, what: str, request: Request) -> Settled:
        self.heard.append((what, request))
        return Settled(f"{request.reference}-{len(self.heard)}")

    async def find(self, request: Request) -> Settled | None:
        self.heard.append(("find", request))
        return None

    async def capture(self, request: Request) -> Settled:
        return self._do("capture", request)

    async def void(self, request: Request) -> Settled:
        return self._do("void", request)

    async def refund(self, request: Request) -> Settled:
        return self._do("refund", request)

    async def close(self) -> None:
        self.closed = True


async def test_a_gateway_that_is_down_is_asked_once_for_an_order(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Who asked for the payments waits for the answers."""

    class Down(Bank):
        async def find(self, request: Request) -> Settled | None:
            await super().find(request)
            raise GatewayDown("nobody answers")

    bank = Down()
    given = [NewPayment(TransactionKind.SALE, Decimal("10"), "stripe", name) for name in "AB"]
    order = await place(payments=given)
    await refund_payment(actor=ADA, target=on(order), gateways=STRIPE)
    assert await Payments([bank]).settle_now(order.id) == []
    assert len(bank.heard) == 1
    assert "nobody answers" in caplog.text


async def test_who_asks_waits_for_a_gateway_only_for_a_while() -> None:
    class Silent(Bank):
        async def find(self, request: Request) -> Settled | None:
            await asyncio.Event().wait()
            return None

    order = await place(payments=[NewPayment(TransactionKind.SALE, Decimal("10"), "stripe", "A")])
    await refund_payment(actor=ADA, target=on(order), gateways=STRIPE)
    async with asyncio.timeout(30):
        assert await Payments([Silent()], seconds=0.1).settle_now(order.id) == []
    assert (await transactions_of(order))[1].status is PENDING


async def test_what_a_gateway_is_handed() -> None:
    bank = Bank()
    payments = Payments([bank])

    async def asks(what: str) -> list[tuple[UUID, int, str, str | None, int]]:
        """What the bank was handed for one act, after it has looked whether it was done before."""
        assert await payments.settle_now(order.id) == []
        heard, bank.heard = bank.heard, []
        assert [each for each, _ in heard] == ["find", what] * (len(heard) // 2)
        assert [request for _, request in heard[::2]] == [request for _, request in heard[1::2]]
        found = [request for _, request in heard[1::2]]
        assert {each.kind for each in found} == {TransactionKind(what.upper())}
        return [(each.key, each.amount, each.currency, each.reference, each.captured) for each in found]

    held = [
        NewPayment(TransactionKind.AUTHORIZATION, Decimal(amount), "stripe", name)
        for name, amount in (("A", "15"), ("B", "24.80"))
    ]
    order = await place(payments=held)
    sums = (("5", [(500, "A", 0)]), ("10", [(1000, "A", 500)]), ("12", [(1200, "B", 0)]))
    for amount, expected in sums:
        await capture_payment(actor=ADA, target=on(order), amount=Amount(Decimal(amount)), gateways=STRIPE)
        key = (await transactions_of(order))[-1].id
        assert await asks("capture") == [(key, minor, "CHF", name, before) for minor, name, before in expected]
    await void_payment(actor=ADA, target=on(order), gateways=STRIPE)
    [*_, voided] = await transactions_of(order)
    assert await asks("void") == [(voided.id, 1280, "CHF", "B", 1200)]
    await refund_payment(actor=ADA, target=on(order), amount=Amount(Decimal(13)), gateways=STRIPE)
    *_, newer, older = await transactions_of(order)
    captures = {each.id: each.reference for each in await transactions_of(order) if each.kind is CAPTURE}
    expected_refunds = [
        (each.id, each.amount, "CHF", captures[each.parent_id] if each.parent_id else None, 0)
        for each in (newer, older)
    ]
    assert sorted(each.amount for each in (newer, older)) == [100, 1200]
    assert sorted(await asks("refund")) == sorted(expected_refunds)
    await payments.close()
    assert bank.closed


def test_who_asks_has_tried_before_the_engine_does() -> None:
    assert (8.0, timedelta(seconds=15)) == (SECONDS, DELAY)
    assert Payments()._seconds == SECONDS
    assert stripe_gateway.SECONDS * 2 < ATTEMPT_SECONDS  # to look, and then to ask


async def test_an_automation_does_not_wait_for_a_gateway(
    payments: Payments, account: Account, proxy: StripeProxy
) -> None:
    """It writes down what is to be captured; an effect that is due at once asks the gateway."""
    intent = await account.pay(3980)
    await update_automation(actor=ADA, kind=AutomationKind.CAPTURE_ON_ARRIVAL, enabled=True)
    order = await place(payments=[NewPayment(TransactionKind.AUTHORIZATION, Decimal("39.80"), "stripe", intent)])
    automations = Automations(payments)
    await plan_page([automations])
    [effect] = await claim()
    await attempt(automations, effect)
    assert (await Effect.get()).state is EffectState.DONE
    assert (await last_event(order)).type == "PAYMENT_PENDING"
    assert proxy.arrived == []
    await plan_page([payments])
    [effect] = await claim()
    assert (effect.kind, effect.lane) == ("PAYMENT", "PAYMENT:stripe")
    await attempt(payments, effect)
    await is_done_once(order, intent, CAPTURE, account)


async def test_a_gateway_is_asked_for_one_thing_at_a_time(
    payments: Payments, account: Account, proxy: StripeProxy
) -> None:
    intent = await account.pay(3980, capture="automatic")
    order = await place(payments=[NewPayment(TransactionKind.SALE, Decimal("39.80"), "stripe", intent)])
    for amount in ("10", "20"):
        refund = Amount(Decimal(amount))
        await refund_payment(actor=ADA, target=on(order), amount=refund, gateways=STRIPE)
    await plan_page([payments])
    [_, second] = await Effect.all().order_by("id")
    await payments.carry_out(second)
    refunds = [each for each in await transactions_of(order) if each.kind is REFUND]
    assert [(each.amount, each.status) for each in refunds] == [(1000, SUCCEEDED), (2000, SUCCEEDED)]
    assert await account.refunds(intent) == [1000, 2000]


async def test_the_engine_leaves_time_to_who_asked(payments: Payments, account: Account) -> None:
    order, _ = await asked(account, CAPTURE)
    planned = [each for _, each in await payments.plan(await OrderEvent.all())]
    [_, transaction] = await transactions_of(order)
    assert planned == [Planned(target=str(transaction.id), delay=timedelta(seconds=15), counterpart="stripe")]


async def test_a_gateway_that_is_not_set_up_any_more(payments: Payments, account: Account) -> None:
    order, _ = await asked(account, CAPTURE)
    without = Payments()
    assert await without.settle_now(order.id) == []
    [effect] = await later(without)
    assert (effect.state, effect.error) == (EffectState.WAITING, "no gateway stripe is set up")


async def test_what_is_given_up_waits_for_a_person(payments: Payments, account: Account) -> None:
    order, intent = await asked(account, CAPTURE)
    await plan_page([payments])
    effect = await Effect.get()
    before = await types_of(order)
    await payments.give_up(effect, str(GivenUp("after 33 attempts: 500")))
    effect = await Effect.get()
    assert (effect.state, effect.error) == (EffectState.FAILED, "after 33 attempts: 500")
    assert (await types_of(order), (await transactions_of(order))[1].status) == (before, PENDING)
    await Effect.all().update(state=EffectState.WAITING)  # as retryEffect does
    await later(payments)
    await is_done_once(order, intent, CAPTURE, account)


@pytest.mark.parametrize("kind", [CAPTURE, VOID, REFUND])
async def test_news_of_a_payment(
    payments: Payments, account: Account, proxy: StripeProxy, kind: TransactionKind
) -> None:
    order, intent = await asked(account, kind)
    async with nothing_changes():
        await payments.ask_about("stripe", intent)  # nothing was done yet, and asking does nothing
        await payments.ask_about("stripe", "pi_unknown")
    proxy.faults = ["after"]
    await payments.settle_now(order.id)
    await payments.ask_about("stripe", intent)
    await is_done_once(order, intent, kind, account)
    async with nothing_changes():
        await payments.ask_about("stripe", intent)


async def test_a_success_is_heard_of_after_a_failure(payments: Payments, account: Account) -> None:
    order, intent = await asked(account, REFUND)
    await payments.settle_now(order.id)
    await Transaction.filter(order_id=order.id, kind=REFUND).update(status=FAILED, failure="No.")
    await payments.ask_about("stripe", intent)
    transaction = (await transactions_of(order))[-1]
    assert (transaction.status, transaction.failure) == (SUCCEEDED, None)
