"""Write the letter of an effect: from the order as it is now, and from the event that is the cause."""

from collections.abc import Sequence
from datetime import date, datetime

from domain.addresses import written
from domain.locales import best_locale
from effects.mail.email import DownloadLink
from effects.mail.emails import EMAILS
from effects.mail.letter import Letter, Person, Sums
from effects.mail.occasion import Occasion
from effects.mail.settings import MailSettings
from models import Address, Effect, Order, OrderEvent, OrderLine
from models.enums import AddressKind, EmailKind


async def build(effect: Effect, settings: MailSettings, download_link: DownloadLink) -> Letter:
    """Return the letter that this effect is to send.

    Raise ValueError if it has links to downloads that do not work in an e-mail.
    """
    email = EMAILS[EmailKind(effect.subject)]
    occasion = Occasion(await OrderEvent.get(id=effect.event_id), settings)
    order, lines = await occasion.order(), await occasion.lines()
    locale = best_locale(order.locale if email.to_customer else None, settings.default_locale)
    addresses = await _addresses(order, locale, settings)
    return Letter(
        kind=email.kind,
        locale=locale,
        date=_day(occasion.event.occurred_at, settings),
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
        **await email.details(occasion, download_link),
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
