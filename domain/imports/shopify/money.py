"""The money of a Shopify order: what was paid, authorized, voided and refunded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from domain.imports.history import Refund, Void
from domain.imports.reading import JsonObject, Source
from domain.orders.placing import NewPayment
from domain.payments.balances import MANUAL
from models.enums import PaymentStatus, TransactionKind

_REFUNDED = ("partially_refunded", "refunded")
_PAYING = ("authorization", "emv_authorization", "sale", "capture")

STATUSES = {
    "pending": PaymentStatus.PENDING,
    "authorized": PaymentStatus.AUTHORIZED,
    "partially_paid": PaymentStatus.PARTIALLY_PAID,
    "paid": PaymentStatus.PAID,
    "partially_refunded": PaymentStatus.PARTIALLY_REFUNDED,
    "refunded": PaymentStatus.REFUNDED,
    "voided": PaymentStatus.VOIDED,
}


@dataclass(frozen=True, slots=True)
class Payments:
    payments: Sequence[NewPayment]
    steps: Sequence[Refund | Void]
    payment_status: PaymentStatus | None


@dataclass(slots=True)
class _Movement:
    """A Shopify transaction that has succeeded."""

    id: str | None
    parent_id: str | None
    kind: str
    amount: Decimal
    gateway: str
    at: datetime

    def payment(self, kind: TransactionKind) -> NewPayment:
        return NewPayment(kind, self.amount, self.gateway, self.id, self.at)


def read_money(source: Source, total: Decimal, placed_at: datetime) -> Payments:
    status = (source.order.text("financial_status") or "").lower()
    said = STATUSES.get(status)
    if status and said is None and status != "expired":
        source.warn(f"the financial_status {status} is unknown")
    movements, foreign = _movements(source, placed_at)
    if foreign:
        source.warn("transactions in another currency were left out; the order's own sums stand for them")
    if not foreign and any(movement.kind in _PAYING for movement in movements):
        payments = _payments(movements, total)
        steps = _voids(movements)
    else:
        payments, steps = _derive_payments(source, status, total, placed_at)
    refunds = _refunds(source, status, movements, placed_at)
    if status in _REFUNDED and total and not refunds:
        refunds, said = _assume_refund(source, status, placed_at)
    return Payments(payments, [*steps, *refunds], said if total else None)


def _gateway(source: Source, holder: JsonObject) -> str:
    names = [name for name in source.order.entries("payment_gateway_names") if isinstance(name, str) and name]
    name = holder.text("gateway") or (names[0].strip() if names else None) or MANUAL
    return name[:64]


def _movements(source: Source, placed_at: datetime) -> tuple[list[_Movement], bool]:
    """Return each transaction once, the oldest first, and whether some were left out for their currency."""
    seen: set[str] = set()
    found, foreign = [], False
    for transaction in _transactions(source.order):
        key = transaction.text("id")
        if (transaction.text("status") or "success").lower() != "success" or (key and key in seen):
            continue
        if key:
            seen.add(key)
        if (transaction.text("currency") or source.currency).upper() != source.currency:
            foreign = True
            continue
        found.append(_movement(source, transaction, placed_at))
    return sorted(found, key=lambda movement: movement.at), foreign


def _transactions(order: JsonObject) -> Iterator[JsonObject]:
    yield from order.objects("transactions")
    for refund in order.objects("refunds"):
        yield from refund.objects("transactions")


def _movement(source: Source, transaction: JsonObject, placed_at: datetime) -> _Movement:
    kind = transaction.text("kind")
    amount = transaction.amount("amount", source.currency)
    if kind is None:
        raise transaction.refuse("kind", "This is missing.")
    if amount is None and kind.lower() != "void":
        raise transaction.refuse("amount", "This is missing.")
    return _Movement(
        id=transaction.text("id"),
        parent_id=transaction.text("parent_id"),
        kind=kind.lower(),
        amount=amount or Decimal(0),
        gateway=_gateway(source, transaction),
        at=transaction.time("processed_at") or transaction.time("created_at") or placed_at,
    )


def _payments(movements: Sequence[_Movement], total: Decimal) -> list[NewPayment]:
    """Return what was captured or sold, and the rest of each authorization."""
    authorizations = [movement for movement in movements if movement.kind.endswith("authorization")]
    taken = [movement for movement in movements if movement.kind in ("sale", "capture")]
    for capture in taken:
        if capture.kind == "capture":
            _draw(authorizations, capture)
    change = sum((movement.amount for movement in movements if movement.kind == "change"), Decimal(0))
    over = sum((movement.amount for movement in taken), Decimal(0)) - total
    for sale in reversed(taken):  # cash that was handed over and given back as change was never paid
        back = min(max(over, Decimal(0)), change, sale.amount)
        sale.amount, over, change = sale.amount - back, over - back, change - back
    return [
        movement.payment(kind)
        for kind, group in ((TransactionKind.AUTHORIZATION, authorizations), (TransactionKind.SALE, taken))
        for movement in group
        if movement.amount
    ]


def _draw(authorizations: Sequence[_Movement], capture: _Movement) -> None:
    """Subtract the capture from the authorization that it names, or from the oldest ones."""
    named = [each for each in authorizations if each.id is not None and each.id == capture.parent_id]
    left = capture.amount
    for authorization in named or authorizations:
        part = min(left, authorization.amount)
        authorization.amount -= part
        left -= part


def _voids(movements: Sequence[_Movement]) -> list[Void]:
    known = {movement.id for movement in movements if movement.kind.endswith("authorization")}
    return [
        Void(movement.at, movement.parent_id if movement.parent_id in known else None)
        for movement in movements
        if movement.kind == "void"
    ]


def _derive_payments(
    source: Source, status: str, total: Decimal, placed_at: datetime
) -> tuple[list[NewPayment], list[Void]]:
    """Return the payments that follow from the financial status, for a file that does not list them."""
    gateway = _gateway(source, source.order)
    voids: list[Void] = []
    kind, amount = TransactionKind.SALE, total
    if status in ("authorized", "voided"):
        kind = TransactionKind.AUTHORIZATION
    if status == "voided":
        voids = [Void(_last_change(source, placed_at))]
    elif status == "partially_paid":
        outstanding = source.order.amount("total_outstanding", source.currency, signed=True)
        amount = Decimal(0) if outstanding is None else total - outstanding
        if not 0 < amount < total:
            source.warn("the file does not say how much was paid; no payment was recorded")
            amount = Decimal(0)
    elif status not in ("authorized", "paid", *_REFUNDED):
        amount = Decimal(0)
    if not amount:
        return [], []
    return [NewPayment(kind, amount, gateway, processed_at=placed_at)], voids


def _last_change(source: Source, placed_at: datetime) -> datetime:
    order = source.order
    return max(order.time("cancelled_at") or order.time("updated_at") or placed_at, placed_at)


def _refunds(source: Source, status: str, movements: Sequence[_Movement], placed_at: datetime) -> list[Refund]:
    told = [
        Refund(movement.at, movement.amount, movement.id)
        for movement in movements
        if movement.kind == "refund" and movement.amount
    ]
    if told or status not in _REFUNDED:
        return told
    reckoned = []
    for refund in source.order.objects("refunds"):
        amount = _sum_refund(source, refund)
        if amount > 0:
            at = refund.time("processed_at") or refund.time("created_at") or placed_at
            reckoned.append(Refund(at, amount, refund.text("id")))
    return reckoned


def _sum_refund(source: Source, refund: JsonObject) -> Decimal:
    """Return the amount of a refund without usable transactions.

    In Shopify's terms it is the goods and their tax minus the adjustments. These are below zero for refunded shipping,
    and above it for what was held back.
    """
    lines = refund.objects("refund_line_items")
    amount = source.sum(lines, "subtotal")
    if not source.order.flag("taxes_included"):
        amount += source.sum(lines, "total_tax")
    for adjustment in refund.objects("order_adjustments"):
        for key in ("amount", "tax_amount"):
            amount -= adjustment.amount(key, source.currency, signed=True) or Decimal(0)
    return amount


def _assume_refund(source: Source, status: str, placed_at: datetime) -> tuple[list[Refund], PaymentStatus | None]:
    if status == "refunded":
        source.warn("the file has no refund of this refunded order; all is refunded when it was last changed")
        return [Refund(_last_change(source, placed_at), None)], PaymentStatus.REFUNDED
    source.warn("it is partially_refunded, but the file does not say how much; no refund was recorded")
    return [], None
