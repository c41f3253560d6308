"""Taking an order in."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from domain import rules, search
from domain.actors import Actor, Scope
from domain.change import Idempotency, UnitOfWork, change, command
from domain.channels import ensure_channel
from domain.errors import DomainError, ErrorCode, InvalidInput
from domain.events import OrderConfirmed, OrderPlaced, PlacedLine
from domain.fulfillments.packing import Packing
from domain.fulfillments.services import require_service
from domain.money import LARGEST, Money, require_currency, to_minor
from domain.payments.balances import MANUAL
from domain.payments.ledger import Ledger
from domain.validation import link, matching, moment, optional_text, quantity, required_text
from models import Address, Channel, Customer, FulfillmentService, Order, OrderLine, OrderNumber, OrderTag
from models.engine.fields import new_key
from models.engine.rows import load, save
from models.engine.statements import insert
from models.enums import AddressKind, OrderSource, OrderStatus, TransactionKind

FIRST_NUMBER = 1001
MOST_LINES = 1000
MOST_TAGS = 100
MOST_PAYMENTS = 100
LONGEST_NOTE = 5_000
MAX_WEIGHT_GRAMS = 1_000_000_000


class DuplicateReference(DomainError):
    """Raised if the channel has an order of that external reference. It keeps an import from happening twice."""

    code = ErrorCode.DUPLICATE_REFERENCE


@dataclass(frozen=True, slots=True)
class NewLine:
    """`discount` and `tax` are for all of the line's units; `removed_quantity` are units that will never ship.

    `weight_grams` is the weight of one unit, `download_url` where a digital product is, `service` the code of the
    fulfillment service that ships the line.
    """

    title: str
    quantity: int
    unit_price: Decimal
    sku: str | None = None
    variant_title: str | None = None
    discount: Decimal = Decimal(0)
    tax: Decimal = Decimal(0)
    requires_shipping: bool = True
    weight_grams: int | None = None
    download_url: str | None = None
    service: str | None = None
    removed_quantity: int = 0


@dataclass(frozen=True, slots=True)
class NewAddress:
    name: str | None = None
    company: str | None = None
    address1: str | None = None
    address2: str | None = None
    postal_code: str | None = None
    city: str | None = None
    province: str | None = None
    country_code: str | None = None
    phone: str | None = None


@dataclass(frozen=True, slots=True)
class NewCustomer:
    email: str | None = None
    name: str | None = None
    phone: str | None = None


@dataclass(frozen=True, slots=True)
class NewPayment:
    """A payment that the shop has taken already (`SALE`) or only had authorized (`AUTHORIZATION`)."""

    kind: TransactionKind
    amount: Decimal
    gateway: str = MANUAL
    reference: str | None = None
    processed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NewTotals:
    """The shop's own sums, taken over instead of worked out."""

    subtotal: Decimal
    total: Decimal
    discount_total: Decimal = Decimal(0)
    shipping_total: Decimal = Decimal(0)
    tax_total: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class NewOrder:
    """An order as a shop knows it. Amounts are decimals of `currency`.

    `handed_over` says whether the customer has taken the goods along; `None` leaves it to the kind of order.
    """

    channel: str
    source: OrderSource
    currency: str
    lines: Sequence[NewLine]
    external_reference: str | None = None
    external_number: str | None = None
    customer: NewCustomer | None = None
    shipping_address: NewAddress | None = None
    billing_address: NewAddress | None = None
    order_discount: Decimal = Decimal(0)
    shipping_price: Decimal = Decimal(0)
    taxes_included: bool = False
    totals: NewTotals | None = None
    payments: Sequence[NewPayment] = ()
    placed_at: datetime | None = None
    locale: str | None = None
    note: str | None = None
    tags: Sequence[str] = ()
    handed_over: bool | None = None

    @property
    def leaves_at_once(self) -> bool:
        """Return whether the customer takes the goods along: by default at a till, unless there is an address."""
        if self.handed_over is not None:
            return self.handed_over
        return self.source is OrderSource.POS and self.shipping_address is None


@command(Scope.ORDERS_PLACE)
async def place_order(*, actor: Actor, new: NewOrder, idempotency: Idempotency | None = None) -> Order:
    """Take an order in, together with the payments that its shop has taken for it.

    A caller who is not bound to channels opens a new channel by placing its first order.
    """
    async with change(actor) as work:
        await work.act_once(idempotency)
        channel = await ensure_channel(actor, new.channel)
        order = _order(new, channel, work.now)
        if order.external_reference is not None:
            await _refuse_duplicate(channel, order.external_reference)
        lines = [_line(new, order, position, line) for position, line in enumerate(new.lines)]
        await _assign_services(new, lines)
        _add_up(new, order, lines)
        addresses = _addresses(new, order)
        tags = _tags(new)
        customer = await _customer(new, channel, work.now)
        order.customer_id = customer.id if customer else None
        order.payment_status = rules.payment_status(order.total, rules.PaymentSummary(0, 0, 0, 0))
        order.number = FIRST_NUMBER - 1 + (await OrderNumber.create(taken_at=work.now)).number
        parts = [insert(OrderLine, [vars(line) for line in lines])]
        if addresses:
            parts.append(insert(Address, [vars(address) for address in addresses]))
        if tags:
            parts.append(insert(OrderTag, [{"id": new_key(), "order_id": order.id, "tag": tag} for tag in tags]))
        parts += search.new_terms(order.id, _search_texts(order, lines), _personal_texts(customer, addresses))
        await work.insert_order(order, *parts)
        work.record(order, _placed(order, channel, lines))
        await _record_payments(work, order, new.payments)
        if new.leaves_at_once:
            await _hand_over(work, order)
    return work.order


async def _hand_over(work: UnitOfWork, order: Order) -> None:
    """Confirm the order and ship all of it: the customer has taken it along."""
    packing = await Packing.open(work, order)
    if not packing.free_units():
        return
    order.status = OrderStatus.CONFIRMED
    order.confirmed_at = work.now
    work.record(order, OrderConfirmed())
    packing.ship(packing.pack_rest())
    await packing.write()


def _order(new: NewOrder, channel: Channel, now: datetime) -> Order:
    placed_at = now if new.placed_at is None else moment(new.placed_at, "placed_at")
    if placed_at > now + timedelta(days=1):
        raise InvalidInput("An order cannot be placed in the future.", "placed_at")
    return Order(
        id=new_key(),
        channel_id=channel.id,
        source=new.source,
        currency=require_currency(new.currency, "currency"),
        external_reference=optional_text(new.external_reference, "external_reference", longest=255),
        external_number=optional_text(new.external_number, "external_number", longest=64),
        taxes_included=new.taxes_included,
        locale=matching(
            optional_text(new.locale, "locale", longest=35),
            r"[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*",
            "This is not a language tag (BCP 47), such as de-CH.",
            "locale",
        ),
        note=optional_text(new.note, "note", longest=LONGEST_NOTE),
        placed_at=placed_at,
        updated_at=now,
    )


async def _refuse_duplicate(channel: Channel, reference: str) -> None:
    existing = await load(Order, channel_id=channel.id, external_reference=reference)
    if existing is not None:
        raise DuplicateReference(
            f"The channel has an order of this reference: {existing.number}.", "external_reference"
        )


def _line(new: NewOrder, order: Order, position: int, line: NewLine) -> OrderLine:
    path = ("lines", position)
    count = quantity(line.quantity, *path, "quantity")
    if not 0 <= line.removed_quantity <= count:
        raise InvalidInput("No more units can be removed than were ordered.", *path, "removed_quantity")
    unit_price = to_minor(line.unit_price, order.currency, *path, "unit_price")
    discount = to_minor(line.discount, order.currency, *path, "discount")
    total = unit_price * count - discount
    if total < 0:
        raise InvalidInput("A line's discount cannot be above its price.", *path, "discount")
    if total > LARGEST:
        raise InvalidInput("This amount is too large.", *path, "unit_price")
    return OrderLine(
        id=new_key(),
        order_id=order.id,
        position=position,
        sku=optional_text(line.sku, *path, "sku", longest=255),
        title=required_text(line.title, *path, "title", longest=512),
        variant_title=optional_text(line.variant_title, *path, "variant_title", longest=255),
        quantity=count,
        removed_quantity=line.removed_quantity,
        fulfillable_quantity=count - line.removed_quantity,
        unit_price=unit_price,
        discount_total=discount,
        tax_total=to_minor(line.tax, order.currency, *path, "tax"),
        total=total,
        requires_shipping=line.requires_shipping,
        download_url=_download_url(line, *path),
        weight_grams=_weight(line.weight_grams, *path, "weight_grams"),
    )


def _download_url(line: NewLine, *path: str | int) -> str | None:
    url = link(line.download_url, *path, "download_url", longest=2048)
    if url is not None and line.requires_shipping:
        raise InvalidInput(
            "What has to be sent cannot be downloaded: set requiresShipping to false.", *path, "download_url"
        )
    return url


async def _assign_services(new: NewOrder, lines: Sequence[OrderLine]) -> None:
    found: dict[str, FulfillmentService] = {}
    for position, (given, line) in enumerate(zip(new.lines, lines, strict=True)):
        code = given.service
        if code is not None:
            found[code] = found.get(code) or await require_service(code, "lines", position, "service")
            line.service = found[code]


def _weight(grams: int | None, *field: str | int) -> int | None:
    if grams is not None and not 0 <= grams <= MAX_WEIGHT_GRAMS:
        raise InvalidInput(f"A weight is a whole number of grams from 0 to {MAX_WEIGHT_GRAMS}.", *field)
    return grams


def _add_up(new: NewOrder, order: Order, lines: Sequence[OrderLine]) -> None:
    """Set the order's sums: the shop's own, or those of its lines and prices."""
    if not lines:
        raise InvalidInput("An order has at least one line.", "lines")
    if len(lines) > MOST_LINES:
        raise InvalidInput(f"An order has at most {MOST_LINES} lines.", "lines")
    if new.totals is not None:
        for name in ("subtotal", "discount_total", "shipping_total", "tax_total", "total"):
            setattr(order, name, to_minor(getattr(new.totals, name), order.currency, "totals", name))
        return
    discount = to_minor(new.order_discount, order.currency, "order_discount")
    order.subtotal = sum(line.total for line in lines) - discount
    if order.subtotal < 0:
        raise InvalidInput("The discount cannot be above the price of the lines.", "order_discount")
    order.discount_total = sum(line.discount_total for line in lines) + discount
    order.shipping_total = to_minor(new.shipping_price, order.currency, "shipping_price")
    order.tax_total = sum(line.tax_total for line in lines)
    order.total = order.subtotal + order.shipping_total + (0 if new.taxes_included else order.tax_total)
    if order.total > LARGEST:
        raise InvalidInput("The order's total is too large.", "lines")


_ADDRESS_LENGTHS = {
    "name": 255,
    "company": 255,
    "address1": 255,
    "address2": 255,
    "postal_code": 32,
    "city": 255,
    "province": 255,
    "phone": 64,
}


def _addresses(new: NewOrder, order: Order) -> list[Address]:
    given = (
        ("shipping_address", AddressKind.SHIPPING, new.shipping_address),
        ("billing_address", AddressKind.BILLING, new.billing_address),
    )
    addresses = []
    for path, kind, address in given:
        if address is None:
            continue
        texts = {
            name: optional_text(getattr(address, name), path, name, longest=longest)
            for name, longest in _ADDRESS_LENGTHS.items()
        }
        country = optional_text(address.country_code, path, "country_code", longest=2)
        hint = "This is not a country's code (ISO 3166-1), such as CH."
        matching(country, "[A-Za-z]{2}", hint, path, "country_code")
        if country or any(texts.values()):
            country = country.upper() if country else None
            addresses.append(Address(order_id=order.id, kind=kind, country_code=country, **texts))
    return addresses


def _tags(new: NewOrder) -> list[str]:
    if len(new.tags) > MOST_TAGS:
        raise InvalidInput(f"An order has at most {MOST_TAGS} tags.", "tags")
    return sorted({required_text(tag, "tags", index, longest=64) for index, tag in enumerate(new.tags)})


async def _customer(new: NewOrder, channel: Channel, now: datetime) -> Customer | None:
    """Return the channel's customer of that e-mail, updated by this order, or a new one."""
    if new.customer is None:
        return None
    email = optional_text(new.customer.email, "customer", "email", longest=255)
    matching(email, r"[^@\s]+@[^@\s]+", "This is not an e-mail address.", "customer", "email")
    email = email.lower() if email else None
    name = optional_text(new.customer.name, "customer", "name", longest=255)
    phone = optional_text(new.customer.phone, "customer", "phone", longest=64)
    if not (email or name or phone):
        return None
    existing = await load(Customer, channel_id=channel.id, email=email) if email else None
    if existing is None:
        return await Customer.create(channel_id=channel.id, email=email, name=name, phone=phone, created_at=now)
    if (name or existing.name, phone or existing.phone) != (existing.name, existing.phone):
        existing.name, existing.phone = name or existing.name, phone or existing.phone
        await save(existing, "name", "phone")
    return existing


def _search_texts(order: Order, lines: Sequence[OrderLine]) -> list[str | None]:
    return [str(order.number), order.external_reference, order.external_number, *(line.sku for line in lines)]


def _personal_texts(customer: Customer | None, addresses: Sequence[Address]) -> list[str | None]:
    texts: list[str | None] = []
    if customer is not None:
        texts += [customer.email, *search.name_terms(customer.name)]
    for address in addresses:
        texts += search.name_terms(address.name)
    return texts


def _placed(order: Order, channel: Channel, lines: Sequence[OrderLine]) -> OrderPlaced:
    def money(minor: int) -> Money:
        return Money(minor, order.currency)

    return OrderPlaced(
        number=str(order.number),
        channel=channel.code,
        source=order.source,
        external_reference=order.external_reference,
        placed_at=order.placed_at,
        lines=tuple(
            PlacedLine(line.id, line.sku, line.title, line.quantity, line.removed_quantity, money(line.total))
            for line in lines
        ),
        subtotal=money(order.subtotal),
        discount_total=money(order.discount_total),
        shipping_total=money(order.shipping_total),
        tax_total=money(order.tax_total),
        total=money(order.total),
    )


async def _record_payments(work: UnitOfWork, order: Order, payments: Sequence[NewPayment]) -> None:
    if not payments:
        return
    if len(payments) > MOST_PAYMENTS:
        raise InvalidInput(f"An order is placed with at most {MOST_PAYMENTS} payments.", "payments")
    ledger = Ledger(work, order, [])
    for index, payment in enumerate(payments):
        path = ("payments", index)
        if payment.kind not in (TransactionKind.AUTHORIZATION, TransactionKind.SALE):
            raise InvalidInput("An order is placed with authorizations and sales only.", *path, "kind")
        amount = to_minor(payment.amount, order.currency, *path, "amount")
        if amount == 0:
            raise InvalidInput("An amount must be above zero.", *path, "amount")
        await ledger.post(
            payment.kind,
            amount,
            gateway=required_text(payment.gateway, *path, "gateway", longest=64),
            reference=optional_text(payment.reference, *path, "reference", longest=255),
            processed_at=payment.processed_at and moment(payment.processed_at, *path, "processed_at"),
        )
