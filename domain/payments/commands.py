"""Money of an order: captured, recorded, given up, refunded.

Each command takes the names of the gateways that are set up. What they hold is not moved here: a transaction that is
`PENDING` is written, and the caller has the gateway asked after the commit. Until that is settled, asking for the
same again is a repetition, which changes nothing.
"""

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal

from domain import rules
from domain.actors import Actor, Scope
from domain.change import Target, change, command
from domain.errors import DomainError, ErrorCode, InvalidInput
from domain.money import Money, to_minor
from domain.payments.balances import unknown_gateways
from domain.payments.ledger import Ledger
from domain.validation import optional_text
from models import Order
from models.enums import TransactionKind


@dataclass(frozen=True, slots=True)
class Amount:
    """An amount as a caller gives it. By default it is in the order's currency."""

    amount: Decimal
    currency: str | None = None


class UnknownGateway(DomainError):
    code = ErrorCode.UNKNOWN_GATEWAY


class NothingToRefund(DomainError):
    code = ErrorCode.NOTHING_TO_REFUND


class NothingToVoid(DomainError):
    code = ErrorCode.NOTHING_TO_VOID


def _minor(amount: Amount, order: Order) -> int:
    if amount.currency is not None and amount.currency.strip().upper() != order.currency:
        raise InvalidInput(f"The order is in {order.currency}.", "amount", "currency_code")
    minor = to_minor(amount.amount, order.currency, "amount", "amount")
    if minor == 0:
        raise InvalidInput("An amount must be above zero.", "amount", "amount")
    return minor


def _at_most(limit: int, limit_name: str, minor: int, order: Order) -> int:
    if minor > limit:
        raise InvalidInput(
            f"{Money(minor, order.currency)} is more than is {limit_name}: {Money(limit, order.currency)}.",
            "amount",
            "amount",
        )
    return minor


@command(Scope.PAYMENTS_WRITE)
async def capture_payment(
    *, actor: Actor, target: Target, amount: Amount | None = None, gateways: Collection[str] = ()
) -> Order:
    """Take what is outstanding, or part of it: from what was authorized, or by hand where nothing was."""
    async with change(actor) as work:
        order = await work.lock_order(target)
        rules.require_status(order.status, rules.PAYABLE, "be paid")
        if amount is None and order.outstanding == 0:
            return order
        ledger = await Ledger.open(work, order)
        authorizations = ledger.authorizations()
        if refusal := rules.capture_refusal(unknown_gateways(authorizations, gateways)):
            raise UnknownGateway(refusal)
        wanted = None if amount is None else _minor(amount, order)
        if ledger.is_asked(TransactionKind.CAPTURE, wanted):
            return order
        limit = max(order.outstanding - ledger.under_way(TransactionKind.CAPTURE), 0)
        if authorizations:
            limit = min(limit, sum(each.amount for each in authorizations))
        await ledger.capture(limit if wanted is None else _at_most(limit, "open", wanted, order))
    return work.order


@command(Scope.PAYMENTS_WRITE)
async def record_payment(
    *, actor: Actor, target: Target, amount: Amount | None = None, reference: str | None = None
) -> Order:
    """Write down money that arrived outside a gateway: by default all that is outstanding and not being captured."""
    reference = optional_text(reference, "reference", longest=255)
    async with change(actor) as work:
        order = await work.lock_order(target)
        rules.require_status(order.status, rules.PAYABLE, "be paid")
        if amount is None and order.outstanding == 0:
            return order
        ledger = await Ledger.open(work, order)
        limit = max(order.outstanding - ledger.under_way(TransactionKind.CAPTURE), 0)
        if amount is None and limit == 0:
            return order
        minor = limit if amount is None else _at_most(limit, "outstanding", _minor(amount, order), order)
        await ledger.post(TransactionKind.SALE, minor, reference=reference)
    return work.order


@command(Scope.PAYMENTS_WRITE)
async def refund_payment(
    *,
    actor: Actor,
    target: Target,
    amount: Amount | None = None,
    reference: str | None = None,
    gateways: Collection[str] = (),
) -> Order:
    """Give money back the way it came, the newest first: by default all that was paid and not refunded yet.

    The reference is for what is handed back by hand: a gateway has its own.
    """
    reference = optional_text(reference, "reference", longest=255)
    async with change(actor) as work:
        order = await work.lock_order(target)
        limit = order.paid_total - order.refunded_total
        if amount is None and limit == 0:
            if order.refunded_total:
                return order
            raise NothingToRefund("Nothing was paid.")
        ledger = await Ledger.open(work, order)
        wanted = None if amount is None else _minor(amount, order)
        if ledger.is_asked(TransactionKind.REFUND, wanted):
            return order
        limit -= ledger.under_way(TransactionKind.REFUND)
        minor = limit if wanted is None else _at_most(limit, "left to refund", wanted, order)
        await ledger.refund(minor, gateways, reference)
    return work.order


@command(Scope.PAYMENTS_WRITE)
async def void_payment(*, actor: Actor, target: Target, gateways: Collection[str] = ()) -> Order:
    """Give up what was authorized and is not captured: all of it, for good."""
    async with change(actor) as work:
        order = await work.lock_order(target)
        ledger = await Ledger.open(work, order)
        authorizations = ledger.authorizations()
        if not authorizations:
            if ledger.was_voided():
                return order
            raise NothingToVoid(rules.NOTHING_TO_VOID)
        if refusal := rules.void_refusal(unknown_gateways(authorizations, gateways)):
            raise UnknownGateway(refusal)
        await ledger.void(gateways)
    return work.order
