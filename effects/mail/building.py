"""What an e-mail says, gathered from the order as it is now and from the event that is its cause."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from domain.addresses import written
from domain.global_ids import global_id
from domain.locales import best_locale
from domain.money import to_minor
from effects.mail.letter import TO_CUSTOMERS, Download, Item, Letter, Parcel, Payment, Person, Sums
from effects.mail.planning import is_download, shipped_lines
from effects.mail.settings import MailSettings
from models import Address, Effect, Order, OrderEvent, OrderLine, Tracking, Transaction
from models.enums import AddressKind, EmailKind, OrderEventType, TransactionKind, TransactionStatus

DownloadLink = Callable[[UUID], Awaitable[str]]  # from an order line's key to where its goods can be downloaded
_WEB: Final = ("https://", "http://")  # what a link begins with that works in a mail

_MONEY_IN: Final = (TransactionKind.SALE, TransactionKind.CAPTURE)


async def build(effect: Effect, settings: MailSettings, download_link: DownloadLink) -> Letter:
    """The letter that this effect is to send. One that is not to the customer is in the merchant's language.

    Raises `ValueError` where there are downloads and no links to them that work in an e-mail.
    """
    event = await OrderEvent.get(id=effect.event_id)
    order = await Order.get(id=effect.order_id).select_related("customer", "channel")
    lines = await OrderLine.filter(order_id=order.id).order_by("position")
    kind = EmailKind(effect.subject)
    wanted = order.locale if kind in TO_CUSTOMERS else None
    locale = best_locale(wanted, settings.default_locale)
    addresses = await _addresses(order, locale, settings)
    return Letter(
        kind=kind,
        locale=locale,
        date=_day(event.occurred_at, settings),
        order_number=order.external_number or str(order.number),
        own_number=str(order.number),
        order_date=_day(order.placed_at, settings),
        channel=order.channel.name,
        channel_code=order.channel.code,
        customer=_person(order),
        currency=order.currency,
        sums=_sums(order, lines),
        needs_shipping=any(line.requires_shipping for line in lines),
        reason=order.cancel_reason,
        note=order.note,
        shipping_address=addresses.get(AddressKind.SHIPPING, ()),
        billing_address=addresses.get(AddressKind.BILLING, ()),
        **await _of_kind(kind, event, order, lines, download_link),
    )


def _day(moment: datetime, settings: MailSettings) -> date:
    return moment.astimezone(settings.time_zone).date()


def _person(order: Order) -> Person:
    customer = order.customer
    return Person(customer.name, customer.email, customer.phone) if customer else Person(None, None, None)


def _sums(order: Order, lines: Sequence[OrderLine]) -> Sums:
    return Sums(
        discount=max(sum(line.total for line in lines) - order.subtotal, 0),
        subtotal=order.subtotal,
        shipping=order.shipping_total,
        tax=order.tax_total,
        taxes_included=order.taxes_included,
        total=order.total,
        paid=order.paid_total,
        outstanding=order.outstanding,
    )


async def _addresses(order: Order, locale: str, settings: MailSettings) -> dict[AddressKind, tuple[str, ...]]:
    return {
        address.kind: written(address, locale=locale, from_country=settings.country_code)
        for address in await Address.filter(order_id=order.id)
    }


async def _of_kind(
    kind: EmailKind, event: OrderEvent, order: Order, lines: Sequence[OrderLine], download_link: DownloadLink
) -> dict[str, Any]:
    """What only e-mails of this kind have."""
    match kind:
        case EmailKind.SHIPPING_CONFIRMATION:
            return await _shipment(event)
        case EmailKind.FULFILLMENT_REQUEST:
            return await _request(event)
        case EmailKind.DOWNLOADS:
            return {"downloads": await _downloads(event, download_link)}
        case EmailKind.REFUND:
            return {"amount": _amount(event.data["amount"])}
        case EmailKind.POS_RECEIPT:
            return {"items": _items(lines), "payments": await _payments(order)}
        case _:
            return {"items": _items(lines)}


def _items(lines: Sequence[OrderLine]) -> tuple[Item, ...]:
    return tuple(_item(line, line.quantity) for line in lines)


def _item(line: OrderLine, quantity: int) -> Item:
    return Item(
        title=line.title,
        variant_title=line.variant_title,
        sku=line.sku,
        quantity=quantity,
        unit_price=line.unit_price,
        discount=line.discount_total,
        total=line.total,
    )


async def _shipment(event: OrderEvent) -> dict[str, Any]:
    lines = [line for line in await shipped_lines(event) if line.requires_shipping]
    tracking = await Tracking.filter(fulfillment_id=event.data["fulfillmentId"]).order_by("created_at", "id")
    return {
        "items": _units(event, lines),
        "in_parts": event.type is OrderEventType.FULFILLMENT_SHIPPED,
        "parcels": tuple(Parcel(each.number, each.carrier, each.url) for each in tracking),
    }


async def _request(event: OrderEvent) -> dict[str, Any]:
    return {
        "items": _units(event, await shipped_lines(event)),
        "request": global_id("Fulfillment", UUID(event.data["fulfillmentId"])),
    }


def _units(event: OrderEvent, lines: Sequence[OrderLine]) -> tuple[Item, ...]:
    """Of these lines, as many as the event is about."""
    quantities = {UUID(each["lineId"]): each["quantity"] for each in event.data["lines"]}
    return tuple(_item(line, quantities[line.id]) for line in lines)


async def _downloads(event: OrderEvent, download_link: DownloadLink) -> tuple[Download, ...]:
    lines = [line for line in await shipped_lines(event) if is_download(line)]
    found = [Download(_title(line), await download_link(line.id)) for line in lines]
    if not all(each.url.startswith(_WEB) for each in found):
        raise ValueError("a link in an e-mail begins with http:// or https://: the server's public URL is not set")
    return tuple(found)


def _title(line: OrderLine) -> str:
    return f"{line.title}, {line.variant_title}" if line.variant_title else line.title


def _amount(money: Mapping[str, str]) -> int:
    return to_minor(Decimal(money["amount"]), money["currencyCode"])


async def _payments(order: Order) -> tuple[Payment, ...]:
    taken = Transaction.filter(order_id=order.id, status=TransactionStatus.SUCCEEDED, kind__in=_MONEY_IN)
    return tuple(Payment(each.gateway, each.amount) for each in await taken.order_by("processed_at", "id"))
