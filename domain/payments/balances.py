"""What of an order's money can still be moved.

A transaction that is `PENDING` has used up what it is about, like one that has succeeded: it may succeed at any moment.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from models import Transaction
from models.enums import TransactionKind, TransactionStatus

MANUAL: Final = "manual"  # the gateway that is built in: money is handled outside, and written down here


@dataclass(frozen=True, slots=True)
class Balance:
    """A transaction of which `amount` minor units can still be captured or voided, or refunded."""

    transaction: Transaction
    amount: int


def open_authorizations(transactions: Sequence[Transaction]) -> list[Balance]:
    """Return the authorizations that can still be captured, in the order of the transactions."""
    used: dict[UUID | None, int] = defaultdict(int)
    for transaction in _not_failed(transactions, TransactionKind.CAPTURE, TransactionKind.VOID):
        used[transaction.parent_id] += transaction.amount
    balances = [
        Balance(transaction, transaction.amount - used[transaction.id])
        for transaction in _succeeded(transactions, TransactionKind.AUTHORIZATION)
    ]
    return [balance for balance in balances if balance.amount > 0]


def open_payments(transactions: Sequence[Transaction]) -> list[Balance]:
    """Return the payments that can still be refunded, newest first if the transactions are in order of time.

    A refund without a parent was handed back by hand: it counts against what came by hand, then against the rest.
    """
    paid = _succeeded(transactions, TransactionKind.CAPTURE, TransactionKind.SALE)[::-1]
    left = {payment.id: payment.amount for payment in paid}
    by_hand = 0
    for refund in _not_failed(transactions, TransactionKind.REFUND):
        if refund.parent_id is None:
            by_hand += refund.amount
        elif refund.parent_id in left:
            left[refund.parent_id] -= refund.amount
    for payment in sorted(paid, key=lambda each: each.gateway != MANUAL):
        part = min(by_hand, left[payment.id])
        left[payment.id] -= part
        by_hand -= part
    return [Balance(payment, left[payment.id]) for payment in paid if left[payment.id] > 0]


def unknown_gateways(balances: Sequence[Balance], gateways: Collection[str]) -> frozenset[str]:
    """Return those of the gateways that are neither built in nor set up."""
    return frozenset(each.transaction.gateway for each in balances) - {MANUAL} - frozenset(gateways)


def under_way(transactions: Sequence[Transaction], kind: TransactionKind) -> int:
    """Return how many minor units of unsettled transactions of that kind gateways are asked for."""
    return sum(each.amount for each in _pending(transactions, kind))


def is_asked(transactions: Sequence[Transaction], kind: TransactionKind, amount: int | None) -> bool:
    """Return whether gateways are being asked for exactly this, so that asking again is a repetition.

    That is a request for the same amount of which something is not settled; for all that is left (`None`), any.
    """
    pending = {each.processed_at for each in _pending(transactions, kind)}
    requests: dict[datetime, int] = defaultdict(int)  # the parts of one request were asked for at the same moment
    for transaction in transactions:
        if transaction.kind is kind and transaction.processed_at in pending:
            requests[transaction.processed_at] += transaction.amount
    return bool(requests) if amount is None else amount in requests.values()


def _pending(transactions: Sequence[Transaction], kind: TransactionKind) -> list[Transaction]:
    return [each for each in transactions if each.kind is kind and each.status is TransactionStatus.PENDING]


def _succeeded(transactions: Sequence[Transaction], *kinds: TransactionKind) -> list[Transaction]:
    return [each for each in transactions if each.kind in kinds and each.status is TransactionStatus.SUCCEEDED]


def _not_failed(transactions: Sequence[Transaction], *kinds: TransactionKind) -> list[Transaction]:
    return [each for each in transactions if each.kind in kinds and each.status is not TransactionStatus.FAILED]
