"""An order's transactions, and what they add up to on the order."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.change import Unit
from domain.money import Money
from domain.orders import rules
from domain.orders.events import (
    PaymentAuthorized,
    PaymentCaptured,
    PaymentRecorded,
    PaymentRefunded,
    PaymentVoided,
)
from models import Order, Transaction
from models.enums import TransactionKind, TransactionStatus
from models.fields import new_key

MANUAL = "manual"  # the gateway that is built in: money is handled outside, and written down here

_HAPPENINGS = {
    TransactionKind.AUTHORIZATION: PaymentAuthorized,
    TransactionKind.CAPTURE: PaymentCaptured,
    TransactionKind.SALE: PaymentRecorded,
    TransactionKind.REFUND: PaymentRefunded,
    TransactionKind.VOID: PaymentVoided,
}


@dataclass(frozen=True, slots=True)
class Authorization:
    """An authorization of which `amount` minor units can still be captured."""

    transaction: Transaction
    amount: int


class Ledger:
    """The transactions of an order that is locked."""

    def __init__(self, unit: Unit, order: Order, transactions: list[Transaction]) -> None:
        self._unit = unit
        self._order = order
        self._transactions = transactions

    @classmethod
    async def open(cls, unit: Unit, order: Order) -> "Ledger":
        transactions = await Transaction.filter(order_id=order.id).order_by("processed_at", "id")
        return cls(unit, order, transactions)

    def authorizations(self) -> list[Authorization]:
        """Those that can still be captured, oldest first."""
        return open_authorizations(self._transactions)

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
        """Writes a transaction that has succeeded, the order's new sums and payment status, and the event."""
        transaction = Transaction(
            id=new_key(),
            order_id=self._order.id,
            kind=kind,
            status=TransactionStatus.SUCCEEDED,
            gateway=gateway,
            reference=reference,
            amount=amount,
            parent_id=parent.id if parent else None,
            processed_at=processed_at or self._unit.now,
        )
        await transaction.save(force_create=True)
        self._transactions.append(transaction)
        self._derive()
        happening = _HAPPENINGS[kind](
            transaction_id=transaction.id,
            amount=Money(amount, self._order.currency),
            gateway=gateway,
            reference=reference,
        )
        self._unit.record(self._order, happening)

    def _derive(self) -> None:
        summary = rules.summarize(self._transactions)
        self._order.authorized_total = summary.authorized
        self._order.paid_total = summary.paid
        self._order.refunded_total = summary.refunded
        self._order.payment_status = rules.payment_status(self._order.total, summary)


def open_authorizations(transactions: Sequence[Transaction]) -> list[Authorization]:
    """Those of an order's authorizations that can still be captured, in the order of the transactions."""
    used: dict[UUID | None, int] = defaultdict(int)
    for transaction in _succeeded(transactions, TransactionKind.CAPTURE, TransactionKind.VOID):
        used[transaction.parent_id] += transaction.amount
    left = [
        Authorization(transaction, transaction.amount - used[transaction.id])
        for transaction in _succeeded(transactions, TransactionKind.AUTHORIZATION)
    ]
    return [authorization for authorization in left if authorization.amount > 0]


def foreign_gateways(authorizations: Sequence[Authorization]) -> frozenset[str]:
    """The gateways of these other than the built-in one."""
    return frozenset(each.transaction.gateway for each in authorizations) - {MANUAL}


def _succeeded(transactions: Sequence[Transaction], *kinds: TransactionKind) -> list[Transaction]:
    return [
        transaction
        for transaction in transactions
        if transaction.kind in kinds and transaction.status is TransactionStatus.SUCCEEDED
    ]


async def void_authorizations(unit: Unit, order: Order) -> None:
    """Gives back what the manual gateway has authorized and nobody has captured."""
    if order.authorized_total == 0:
        return
    ledger = await Ledger.open(unit, order)
    for authorization in ledger.authorizations():
        if authorization.transaction.gateway == MANUAL:
            await ledger.post(TransactionKind.VOID, authorization.amount, parent=authorization.transaction)
