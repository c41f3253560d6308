"""Requests to payment gateways: each is made once, and its outcome is recorded.

A `PENDING` transaction is the intention. It is committed before the gateway is called. Before a request is made, the
gateway is asked what became of it, so that a process that is killed at any point loses nothing and repeats nothing. The
transaction's key makes the call idempotent, in case two processes make it at the same moment. Within a process, an
order's transactions are settled one after another.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import timedelta
from typing import ClassVar, Final
from uuid import UUID
from weakref import WeakValueDictionary

from domain.actors import Actor
from domain.change import Target
from domain.errors import DomainError, ErrorCode
from domain.payments.queries import failures_of
from domain.payments.settling import Declined, Settled, settle
from effects.effect import Planned, finish
from effects.payments.gateways import Gateway, GatewayRefused, GatewayUnavailable, Request
from models import Effect, Order, OrderEvent, Transaction
from models.enums import ActorKind, EffectKind, EffectState, OrderEventType, TransactionKind, TransactionStatus

log = logging.getLogger(__name__)

DELAY: Final = timedelta(seconds=15)  # in which the request that asked for a payment has tried it
SECONDS: Final = 8.0  # for which a caller waits for gateways


class PaymentRefused(DomainError):
    """A gateway has refused a request, and the transaction is `FAILED`. The message is the gateway's."""

    code = ErrorCode.PAYMENT_FAILED


class Payments:
    """The gateways that are set up. `close` ends their connections."""

    kind: ClassVar[EffectKind] = EffectKind.PAYMENT

    def __init__(self, gateways: Iterable[Gateway] = (), seconds: float = SECONDS) -> None:
        self._gateways = {gateway.name: gateway for gateway in gateways}
        self._seconds = seconds
        self._locks: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()

    @property
    def gateways(self) -> frozenset[str]:
        """Their names."""
        return frozenset(self._gateways)

    def find_gateway(self, name: str) -> Gateway | None:
        return self._gateways.get(name)

    async def close(self) -> None:
        for gateway in self._gateways.values():
            await gateway.close()

    async def plan(self, events: Sequence[OrderEvent]) -> list[tuple[OrderEvent, Planned]]:
        """Plan at once for automations, which do not call gateways themselves, and after `DELAY` for people."""
        return [
            (
                event,
                Planned(
                    target=event.data["transactionId"],
                    delay=timedelta() if event.actor_kind is ActorKind.AUTOMATION else DELAY,
                    counterpart=event.data["gateway"],
                ),
            )
            for event in events
            if event.type is OrderEventType.PAYMENT_PENDING
        ]

    async def carry_out(self, effect: Effect) -> None:
        """Settle the transaction. Raise GatewayUnavailable if its outcome is still unknown."""
        transaction = await Transaction.get(id=UUID(effect.target))
        await self._settle(transaction)
        await finish(effect, _actor(transaction.gateway))

    async def give_up(self, effect: Effect, reason: str) -> None:
        """Leave the transaction `PENDING`: only the gateway knows the outcome, and a person must ask it."""
        transaction = await Transaction.get(id=UUID(effect.target))
        await finish(effect, _actor(transaction.gateway), state=EffectState.FAILED, error=reason)

    async def settle_now(self, order_id: UUID) -> list[PaymentRefused]:
        """Settle what is `PENDING` for an order, as far as the gateways answer in time. Return their refusals.

        The rest stays `PENDING` and is settled later.
        """
        if not self._gateways:
            return []
        pending = await _pending(order_id)
        if not pending:
            return []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._seconds):
                await self._settle_each(pending)
        return _refusals(
            await Transaction.filter(id__in=[each.id for each in pending], status=TransactionStatus.FAILED)
        )

    async def settle_act(self, actor: Actor, target: Target) -> list[PaymentRefused]:
        """Settle what a mutation has asked for. If it is repeated, return the refusals of the first time."""
        refusals = await self.settle_now(target.order_id)
        if refusals or target.idempotency is None or not self._gateways:
            return refusals
        return _refusals(await failures_of(actor, target.idempotency))

    async def ask_about(self, gateway: str, reference: str) -> None:
        """Ask the gateway what became of the requests about a payment, because it says that it has news.

        No request is made. Raise GatewayUnavailable.
        """
        parents = await Transaction.filter(gateway=gateway, reference=reference)
        unsure = await Transaction.filter(
            order_id__in={each.order_id for each in parents},
            parent_id__in=[each.id for each in parents],
            status__in=(TransactionStatus.PENDING, TransactionStatus.FAILED),
        )
        # Without the order's lock: a webhook must not wait for a request of this process. Another process may make one
        # at the same time anyway.
        for transaction in unsure:
            await self._find_outcome(transaction)

    async def _settle_each(self, transactions: Sequence[Transaction]) -> None:
        unavailable = set()  # gateways that need not be asked again
        for transaction in transactions:
            if transaction.gateway not in unavailable:
                try:
                    await self._settle(transaction)
                except GatewayUnavailable as error:
                    log.warning("transaction %s is not settled yet: %s", transaction.id, error)
                    unavailable.add(transaction.gateway)

    async def _settle(self, transaction: Transaction) -> None:
        """Settle the transaction, after older ones of the same parent: a gateway gets one request at a time."""
        async with self._lock(transaction.order_id):
            pending = [each for each in await _pending(transaction.order_id) if each.parent_id == transaction.parent_id]
            keys = [each.id for each in pending]
            for each in pending[: keys.index(transaction.id) + 1] if transaction.id in keys else ():
                gateway = self._gateway(each)
                await _record(each, await _ask(gateway, await _request(each)))

    async def _find_outcome(self, transaction: Transaction) -> None:
        found: Settled | Declined | None
        try:
            found = await self._gateway(transaction).find(await _request(transaction))
        except GatewayRefused as refusal:
            found = Declined(str(refusal))
        if found is not None:
            await _record(transaction, found)

    def _gateway(self, transaction: Transaction) -> Gateway:
        gateway = self._gateways.get(transaction.gateway)
        if gateway is None:
            raise GatewayUnavailable(f"no gateway {transaction.gateway} is set up")
        return gateway

    @contextlib.asynccontextmanager
    async def _lock(self, order_id: UUID) -> AsyncIterator[None]:
        lock = self._locks.setdefault(order_id, asyncio.Lock())
        async with lock:
            yield


def _actor(gateway: str) -> Actor:
    return Actor(kind=ActorKind.AUTOMATION, id=None, name=gateway, scopes=frozenset())


def _refusals(failed: Iterable[Transaction]) -> list[PaymentRefused]:
    return [PaymentRefused(each.failure or "no reason is given") for each in failed]


async def _pending(order_id: UUID) -> list[Transaction]:
    pending = Transaction.filter(order_id=order_id, status=TransactionStatus.PENDING)
    return await pending.order_by("processed_at", "id")


async def _request(transaction: Transaction) -> Request:
    parent = await Transaction.get(id=transaction.parent_id)
    captures = await Transaction.filter(
        order_id=parent.order_id,
        parent_id=parent.id,
        kind=TransactionKind.CAPTURE,
        status=TransactionStatus.SUCCEEDED,
    )
    return Request(
        key=transaction.id,
        kind=transaction.kind,
        amount=transaction.amount,
        currency=(await Order.get(id=parent.order_id)).currency,
        reference=parent.reference,
        captured=sum(each.amount for each in captures),
    )


async def _ask(gateway: Gateway, request: Request) -> Settled | Declined:
    try:
        found = await gateway.find(request)
        if found is not None:
            return found
        if request.kind is TransactionKind.CAPTURE:
            return await gateway.capture(request)
        if request.kind is TransactionKind.VOID:
            return await gateway.void(request)
        return await gateway.refund(request)
    except GatewayRefused as refusal:
        return Declined(str(refusal))


async def _record(transaction: Transaction, outcome: Settled | Declined) -> None:
    await settle(actor=_actor(transaction.gateway), transaction_id=transaction.id, outcome=outcome)
