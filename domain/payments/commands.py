"""Money of an order: captured, recorded, refunded."""

from dataclasses import dataclass
from decimal import Decimal

from domain.actors import Actor, Scope
from domain.change import Target, change, command
from domain.errors import DomainError, ErrorCode, InvalidInput
from domain.money import Money, to_minor
from domain.orders import rules
from domain.payments.ledger import Ledger, foreign_gateways
from domain.validation import optional_text
from models import Order
from models.enums import TransactionKind


@dataclass(frozen=True, slots=True)
class Amount:
    """As a caller gives it; the currency may be left to the order."""

    amount: Decimal
    currency: str | None = None


class UnknownGateway(DomainError):
    code = ErrorCode.UNKNOWN_GATEWAY


class NothingToRefund(DomainError):
    code = ErrorCode.NOTHING_TO_REFUND


def _minor(amount: Amount, order: Order, limit: int, limit_name: str) -> int:
    if amount.currency is not None and amount.currency.strip().upper() != order.currency:
        raise InvalidInput(f"The order is in {order.currency}.", "amount", "currency_code")
    minor = to_minor(amount.amount, order.currency, "amount", "amount")
    if minor == 0:
        raise InvalidInput("An amount must be above zero.", "amount", "amount")
    if minor > limit:
        raise InvalidInput(
            f"{Money(minor, order.currency)} is more than is {limit_name}: {Money(limit, order.currency)}.",
            "amount",
            "amount",
        )
    return minor


@command
async def capture_payment(*, actor: Actor, target: Target, amount: Amount | None = None) -> Order:
    """Take what is outstanding, or part of it: from what was authorized, or by hand where nothing was."""
    actor.require(Scope.PAYMENTS_WRITE)
    async with change(actor) as unit:
        order = await unit.lock_order(target)
        rules.require_status(order.status, rules.PAYABLE, "be paid")
        if amount is None and order.outstanding == 0:
            return order
        ledger = await Ledger.open(unit, order)
        authorizations = ledger.authorizations()
        if refusal := rules.capture_refusal(foreign_gateways(authorizations)):
            raise UnknownGateway(refusal)
        limit = order.outstanding
        if authorizations:
            limit = min(limit, sum(each.amount for each in authorizations))
        left = limit if amount is None else _minor(amount, order, limit, "open")
        for authorization in authorizations:
            part = min(left, authorization.amount)
            if part:
                await ledger.post(TransactionKind.CAPTURE, part, parent=authorization.transaction)
                left -= part
        if left:
            await ledger.post(TransactionKind.CAPTURE, left)
    return unit.order


@command
async def record_payment(
    *, actor: Actor, target: Target, amount: Amount | None = None, reference: str | None = None
) -> Order:
    """Write down money that arrived outside a gateway: by default all that is outstanding."""
    actor.require(Scope.PAYMENTS_WRITE)
    reference = optional_text(reference, "reference", longest=255)
    async with change(actor) as unit:
        order = await unit.lock_order(target)
        rules.require_status(order.status, rules.PAYABLE, "be paid")
        if amount is None and order.outstanding == 0:
            return order
        limit = order.outstanding
        minor = limit if amount is None else _minor(amount, order, limit, "outstanding")
        ledger = await Ledger.open(unit, order)
        await ledger.post(TransactionKind.SALE, minor, reference=reference)
    return unit.order


@command
async def refund_payment(
    *, actor: Actor, target: Target, amount: Amount | None = None, reference: str | None = None
) -> Order:
    """Write down money that was handed back: by default all that was paid and not refunded yet."""
    actor.require(Scope.PAYMENTS_WRITE)
    reference = optional_text(reference, "reference", longest=255)
    async with change(actor) as unit:
        order = await unit.lock_order(target)
        limit = order.paid_total - order.refunded_total
        if amount is None and limit == 0:
            if order.refunded_total:
                return order
            raise NothingToRefund("Nothing was paid.")
        minor = limit if amount is None else _minor(amount, order, limit, "left to refund")
        ledger = await Ledger.open(unit, order)
        await ledger.post(TransactionKind.REFUND, minor, reference=reference)
    return unit.order
