"""Recording what a gateway answered."""

import logging
from dataclasses import dataclass
from uuid import UUID

from domain.actors import Actor
from domain.change import Target, change, retry_conflicts
from domain.payments.ledger import Ledger
from models import Transaction
from models.enums import TransactionKind, TransactionStatus

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settled:
    """The gateway has done it, and knows it by this reference.

    `nothing_left` says that it holds nothing more of the authorization: what was not captured went back to the payer.
    """

    reference: str
    nothing_left: bool = False


@dataclass(frozen=True, slots=True)
class Declined:
    """The gateway refused, in its own words."""

    reason: str


@retry_conflicts
async def settle(*, actor: Actor, transaction_id: UUID, outcome: Settled | Declined) -> None:
    """Record the outcome of a `PENDING` transaction. One that is settled stays as it is.

    A gateway may report a success late, after a failure; that is believed as long as nothing else has moved the money.
    No scope is needed: nobody but a gateway knows the outcome.
    """
    order_id = (await Transaction.get(id=transaction_id)).order_id
    async with change(actor) as work:
        ledger = await Ledger.open(work, await work.lock_order(Target(order_id)))
        transaction = ledger.transaction(transaction_id)
        if isinstance(outcome, Declined):
            await _decline(ledger, transaction, outcome)
        elif transaction.status is TransactionStatus.PENDING or _is_possible(ledger, transaction):
            await ledger.succeed(transaction, outcome.reference)
            if outcome.nothing_left:
                await _void_rest(ledger, transaction, outcome.reference)


async def _decline(ledger: Ledger, transaction: Transaction, outcome: Declined) -> None:
    if transaction.status is TransactionStatus.PENDING:
        await ledger.fail(transaction, outcome.reason)
    elif transaction.status is TransactionStatus.SUCCEEDED:
        log.warning("transaction %s has succeeded, and is now said to have failed: %s", transaction.id, outcome.reason)


def _is_possible(ledger: Ledger, transaction: Transaction) -> bool:
    """Return whether a failed transaction may have succeeded after all."""
    if transaction.status is TransactionStatus.SUCCEEDED:
        return False
    balances = ledger.payments() if transaction.kind is TransactionKind.REFUND else ledger.authorizations()
    possible = any(
        each.transaction.id == transaction.parent_id and each.amount >= transaction.amount for each in balances
    )
    if not possible:
        log.warning("transaction %s has failed, and is now said to have succeeded: not possible", transaction.id)
    return possible


async def _void_rest(ledger: Ledger, transaction: Transaction, reference: str) -> None:
    for balance in ledger.authorizations():
        authorization = balance.transaction
        if authorization.id == transaction.parent_id:
            await ledger.post(
                TransactionKind.VOID,
                balance.amount,
                gateway=authorization.gateway,
                reference=reference,
                parent=authorization,
            )
