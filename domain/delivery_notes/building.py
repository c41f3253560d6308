"""What a delivery note shows, gathered from the order as it is now."""

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol
from zoneinfo import ZoneInfo

from domain.addresses import written
from domain.delivery_notes.content import Letterhead, NoteContent, Parcel, Position
from domain.delivery_notes.numbers import NumberSeries
from domain.errors import InvalidInput
from domain.fulfillments.packing import Packing
from domain.locales import LOCALES, best_locale
from models import Address, Channel, Customer, Fulfillment, Order, OrderLine, Tracking
from models.enums import AddressKind, FulfillmentState


class Issuer(Protocol):
    """The merchant who issues delivery notes, and what is the same on all of them."""

    @property
    def series(self) -> NumberSeries: ...
    @property
    def time_zone(self) -> ZoneInfo: ...
    @property
    def default_locale(self) -> str: ...
    def letterhead(self, channel: str) -> Letterhead: ...
    def prices(self, channel: str) -> bool: ...


def checked_locale(locale: str | None) -> str | None:
    """Return one of `LOCALES`, in their spelling. Raise `InvalidInput` for anything else."""
    if locale is None:
        return None
    for known in LOCALES:
        if known.lower() == locale.strip().replace("_", "-").lower():
            return known
    raise InvalidInput(f"A delivery note is written in {', '.join(LOCALES)}.", "locale")


async def build(
    issuer: Issuer,
    order: Order,
    fulfillment: Fulfillment,
    packing: Packing,
    *,
    locale: str | None,
    number: str,
    replaces: str | None,
    now: datetime,
) -> NoteContent:
    """Return what the note of this fulfillment shows, in the given locale or the one that suits the order."""
    channel = await Channel.get(id=order.channel_id)
    customer = await Customer.get_or_none(id=order.customer_id) if order.customer_id else None
    address = await Address.get_or_none(order_id=order.id, kind=AddressKind.SHIPPING)
    tracking = await Tracking.filter(fulfillment_id=fulfillment.id).order_by("created_at", "id")
    letterhead, prices = issuer.letterhead(channel.code), issuer.prices(channel.code)
    locale = locale or best_locale(order.locale, issuer.default_locale)
    return NoteContent(
        number=number,
        date=now.astimezone(issuer.time_zone).date(),
        locale=locale,
        replaces=replaces,
        order_number=str(order.number),
        order_date=order.placed_at.astimezone(issuer.time_zone).date(),
        external_reference=_reference(order),
        channel=channel.name,
        channel_code=channel.code,
        customer=(address and address.name) or (customer and customer.name) or None,
        recipient=written(address, locale=locale, from_country=letterhead.country_code) if address else (),
        recipient_country=address.country_code if address else None,
        currency=order.currency,
        prices=prices,
        positions=tuple(_positions(packing, fulfillment, prices)),
        parcels=tuple(Parcel(each.number, each.carrier, each.url) for each in tracking),
        letterhead=letterhead,
    )


def _reference(order: Order) -> str | None:
    """Return how the customer knows the order elsewhere, and the channel."""
    known = dict.fromkeys(filter(None, (order.external_number, order.external_reference)))
    return " · ".join(known) or None


def _positions(packing: Packing, fulfillment: Fulfillment, prices: bool) -> Iterable[Position]:
    """Return the lines of which something leaves or is still to come."""
    units = {each.line_id: each.quantity for each in packing.units_in(fulfillment)}
    leaving = fulfillment.state is FulfillmentState.OPEN  # otherwise its units are counted as shipped already
    for line in packing.lines:
        delivered = units.get(line.id, 0)
        due = line.quantity - line.removed_quantity
        remaining = due - line.shipped_quantity - (delivered if leaving else 0)
        if delivered or remaining > 0:
            yield Position(
                sku=line.sku,
                title=line.title,
                variant_title=line.variant_title,
                requires_shipping=line.requires_shipping,
                ordered=due,
                delivered=delivered,
                remaining=max(remaining, 0),
                weight_grams=line.weight_grams,
                unit_price=line.unit_price if prices else None,
                total=_share(line, delivered) if prices else None,
            )


def _share(line: OrderLine, delivered: int) -> int:
    """Return what so many of the line's units cost after its discounts, to the nearest minor unit."""
    share: int = (2 * line.total * delivered + line.quantity) // (2 * line.quantity)
    return share
