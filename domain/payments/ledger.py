"""An order's transactions, and what they add up to on the order."""

from collections.abc import Collection
from datetime import datetime
from typing import Final
from uuid import UUID

from domain import rules
from domain.change import UnitOfWork
from domain.events import (
    PaymentAuthorized,
    PaymentCaptured,
    PaymentFailed,
    PaymentPending,
    PaymentRecorded,
    PaymentRefunded,
    PaymentVoided,
)
from domain.money import Money
from domain.payments import balances
from domain.payments.balances import MANUAL, Balance
from models import Order, Transaction
from models.engine.fields import new_key
from models.engine.rows import add, save
from models.enums import TransactionKind, TransactionStatus
from models.vocabularies import is_known

LONGEST_FAILURE: Final = 900  # characters: an event tells it in a sentence of 1,024

_UNKNOWN_TRANSACTION: Final = "The order has a transaction that this version of the server does not know."

_HAPPENINGS = {
    TransactionKind.AUTHORIZATION: PaymentAuthorized,
    TransactionKind.CAPTURE: PaymentCaptured,
    TransactionKind.SALE: PaymentRecorded,
    TransactionKind.REFUND: PaymentRefunded,
    TransactionKind.VOID: PaymentVoided,
}


class Ledger:
    """The transactions of an order that is locked.

    What is done by hand has succeeded when it is written down. Of a gateway it is asked: the transaction is `PENDING`
    until it is settled.
    """

    def __init__(self, work: UnitOfWork, order: Order, transactions: list[Transaction]) -> None:
        self._work = work
        self._order = order
        self._transactions = transactions

    @classmethod
    async def open(cls, work: UnitOfWork, order: Order) -> "Ledger":
        """Raise `InvalidTransition` if this version does not know what one of the order's transactions means."""
        transactions = await Transaction.filter(order_id=order.id).order_by("processed_at", "id")
        if not all(is_known(each.kind) and is_known(each.status) for each in transactions):
            raise rules.InvalidTransition(_UNKNOWN_TRANSACTION, order.status)
        return cls(work, order, transactions)

    def transaction(self, key: UUID) -> Transaction:
        return next(each for each in self._transactions if each.id == key)

    def authorizations(self) -> list[Balance]:
        """Return the authorizations that can still be captured, oldest first."""
        return balances.open_authorizations(self._transactions)

    def payments(self) -> list[Balance]:
        """Return the payments that can still be refunded, newest first."""
        return balances.open_payments(self._transactions)

    def under_way(self, kind: TransactionKind) -> int:
        """Return how many minor units gateways are being asked for."""
        return balances.under_way(self._transactions, kind)

    def is_asked(self, kind: TransactionKind, amount: int | None) -> bool:
        """Return whether gateways are being asked for exactly this: see `balances.is_asked`."""
        return balances.is_asked(self._transactions, kind, amount)

    def was_voided(self) -> bool:
        """Return whether an authorization was voided, or is being voided."""
        return any(
            each.kind is TransactionKind.VOID and each.status is not TransactionStatus.FAILED
            for each in self._transactions
        )

    async def capture(self, amount: int) -> None:
        """Capture from the authorizations, oldest first. Record the rest as captured by hand."""
        for authorization in self.authorizations():
            part = min(amount, authorization.amount)
            if part:
                await self._use(TransactionKind.CAPTURE, part, authorization.transaction)
                amount -= part
        if amount:
            await self.post(TransactionKind.CAPTURE, amount)

    async def void(self, gateways: Collection[str]) -> None:
        """Void the uncaptured authorizations, except at gateways that are not set up."""
        for authorization in self.authorizations():
            transaction = authorization.transaction
            if transaction.gateway == MANUAL or transaction.gateway in gateways:
                await self._use(TransactionKind.VOID, authorization.amount, transaction)

    async def refund(self, amount: int, gateways: Collection[str], reference: str | None = None) -> None:
        """Refund the payments, newest first, the way they came.

        What no gateway can return is handed back by hand, with this reference.
        """
        by_hand = 0
        for payment in self.payments():
            part = min(amount, payment.amount)
            amount -= part
            if payment.transaction.gateway not in gateways or payment.transaction.reference is None:
                by_hand += part
            elif part:
                await self._ask(TransactionKind.REFUND, part, payment.transaction)
        if by_hand:
            await self.post(TransactionKind.REFUND, by_hand, reference=reference)

    async def post(
        self,
        kind: TransactionKind,
        amount: int,
        *,
        gateway: str = MANUAL,
        reference: str | None = None,
        parent: Transaction | None = None,
        processed_at: datetime | None = None,
    ) -> None:
        """Save a transaction that succeeded, and the order's new sums and payment status, and record the event."""
        await self._write(
            Transaction(
                id=new_key(),
                order_id=self._order.id,
                kind=kind,
                status=TransactionStatus.SUCCEEDED,
                gateway=gateway,
                reference=reference,
                amount=amount,
                parent_id=parent.id if parent else None,
                processed_at=processed_at or self._work.now,
            )
        )

    async def succeed(self, transaction: Transaction, reference: str) -> None:
        """Mark a pending transaction as succeeded. `processed_at` keeps the time of the request."""
        transaction.status, transaction.reference, transaction.failure = TransactionStatus.SUCCEEDED, reference, None
        await save(transaction, "status", "reference", "failure")
        self._record_success(transaction)

    async def fail(self, transaction: Transaction, reason: str) -> None:
        """Mark a pending transaction as failed."""
        transaction.status, transaction.failure = TransactionStatus.FAILED, reason[:LONGEST_FAILURE]
        await save(transaction, "status", "failure")
        happening = PaymentFailed(
            transaction_id=transaction.id,
            amount=Money(transaction.amount, self._order.currency),
            gateway=transaction.gateway,
            reference=transaction.reference,
            kind=transaction.kind,
            reason=transaction.failure,
        )
        self._work.record(self._order, happening)

    async def _use(self, kind: TransactionKind, amount: int, authorization: Transaction) -> None:
        if authorization.gateway == MANUAL:
            await self.post(kind, amount, parent=authorization)
        else:
            await self._ask(kind, amount, authorization)

    async def _ask(self, kind: TransactionKind, amount: int, parent: Transaction) -> None:
        """Save a pending transaction. The gateway is asked after the commit."""
        transaction = Transaction(
            id=new_key(),
            order_id=self._order.id,
            kind=kind,
            status=TransactionStatus.PENDING,
            gateway=parent.gateway,
            amount=amount,
            parent_id=parent.id,
            processed_at=self._work.now,
        )
        await add(transaction)
        self._transactions.append(transaction)
        self._work.result_id = self._work.result_id or transaction.id
        happening = PaymentPending(
            transaction_id=transaction.id,
            amount=Money(amount, self._order.currency),
            gateway=transaction.gateway,
            reference=None,
            kind=kind,
        )
        self._work.record(self._order, happening)

    async def _write(self, transaction: Transaction) -> None:
        await add(transaction)
        self._transactions.append(transaction)
        self._record_success(transaction)

    def _record_success(self, transaction: Transaction) -> None:
        summary = rules.summarize(self._transactions)
        self._order.authorized_total = summary.authorized
        self._order.paid_total = summary.paid
        self._order.refunded_total = summary.refunded
        self._order.payment_status = rules.payment_status(self._order.total, summary)
        happening = _HAPPENINGS[transaction.kind](
            transaction_id=transaction.id,
            amount=Money(transaction.amount, self._order.currency),
            gateway=transaction.gateway,
            reference=transaction.reference,
        )
        self._work.record(self._order, happening)


async def require_no_capture(work: UnitOfWork, order: Order) -> None:
    """Raise `InvalidTransition` if a capture is pending, because its amount cannot be refunded yet."""
    if order.authorized_total and (await Ledger.open(work, order)).under_way(TransactionKind.CAPTURE):
        raise rules.InvalidTransition("A capture is under way: refund once it is settled.", order.status)


async def give_back(work: UnitOfWork, order: Order, *, gateways: Collection[str], refund: bool) -> None:
    """Void the order's authorizations, and refund what was paid if `refund`."""
    to_refund = order.paid_total - order.refunded_total if refund else 0
    if order.authorized_total == 0 and to_refund == 0:
        return
    ledger = await Ledger.open(work, order)
    await ledger.void(gateways)
    to_refund -= ledger.under_way(TransactionKind.REFUND)
    if to_refund > 0:
        await ledger.refund(to_refund, gateways)
