"""The goods of a Shopify order: its lines, the units that were taken off them, and the parcels that left."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from domain.errors import DomainError
from domain.fulfillments.commands import TrackingInfo
from domain.imports.history import Parcel
from domain.imports.reading import JsonObject, Source
from domain.orders.placing import NewLine
from domain.validation import quantity
from models.enums import FulfillmentStatus

_WITHOUT_VARIANT = "Default Title"  # what Shopify calls the only variant of a product that has none

STATUSES = {
    None: FulfillmentStatus.UNFULFILLED,
    "unfulfilled": FulfillmentStatus.UNFULFILLED,
    "partial": FulfillmentStatus.PARTIALLY_FULFILLED,
    "fulfilled": FulfillmentStatus.FULFILLED,
}


@dataclass(frozen=True, slots=True)
class Goods:
    lines: Sequence[NewLine]
    parcels: Sequence[Parcel]  # by their time, those that have left first
    fulfillment_status: FulfillmentStatus | None


@dataclass(slots=True)
class _Parcel:
    """A parcel in the file. If `units` is None, the file does not say, and the parcel has all that is left."""

    at: datetime
    left: bool
    units: Counter[int] | None
    tracking: list[TrackingInfo]


def read_goods(source: Source, subtotal: Decimal, placed_at: datetime) -> Goods:
    items = source.order.objects("line_items")
    status = (source.order.text("fulfillment_status") or "unfulfilled").lower()
    positions = {item.text("id"): position for position, item in enumerate(items) if item.has("id")}
    parcels = _parcels(source, positions, placed_at)
    if items:
        lines = [_line(source, item) for item in items]
        lines = _mark_removed(source, items, lines, positions, parcels)
    else:
        lines = [_placeholder_line(source, subtotal)]
        if parcels and status != "fulfilled":
            source.warn("not everything has left, but without line_items it cannot be said what has")
            parcels = []
    if status == "fulfilled" and not any(parcel.left for parcel in parcels):
        source.warn("the file has no parcel of this fulfilled order; it is shipped when it was last changed")
        at = source.order.time("closed_at") or source.order.time("updated_at") or placed_at
        parcels = [_Parcel(max(at, placed_at), True, None, [])]
    said = STATUSES.get(status) if source.order.has("fulfillment_status") else None
    return Goods(lines, _fill_parcels(source, lines, parcels), said)


def _line(source: Source, item: JsonObject) -> NewLine:
    count = item.whole("quantity")
    if count is None:
        raise item.refuse("quantity", "This is missing.")
    price = item.amount("price", source.currency)
    if price is None:
        raise item.refuse("price", "This is missing.")
    allocations = item.objects("discount_allocations")
    title = item.first_text("title", "name", "sku") or "Untitled item"
    variant = item.text("variant_title")
    count = quantity(count, *item.at("quantity"))
    return NewLine(
        title=source.short(title, 512, item.at("title")) or title,
        quantity=count,
        unit_price=price,
        sku=source.short(item.text("sku"), 255, item.at("sku")),
        variant_title=source.short(None if variant == _WITHOUT_VARIANT else variant, 255, item.at("variant_title")),
        discount=source.sum(allocations, "amount") if allocations else source.amount(item, "total_discount"),
        tax=source.sum(item.objects("tax_lines"), "price"),
        requires_shipping=item.flag("requires_shipping", default=True),
        weight_grams=item.whole("grams") or None,  # 0 if the shop does not know it
        # A tip is listed like goods, but nothing of it is ever sent.
        removed_quantity=count if item.has("tip_payment_gateway") else 0,
    )


def _placeholder_line(source: Source, subtotal: Decimal) -> NewLine:
    source.warn("the file lists no line_items; one line stands for all of them")
    price = source.order.amount("total_line_items_price", source.currency)
    if price is None:
        price = subtotal
    return NewLine(
        title="Items that the imported file does not list",
        quantity=1,
        unit_price=price,
        discount=max(price - subtotal, Decimal(0)),
    )


def _mark_removed(
    source: Source,
    items: Sequence[JsonObject],
    lines: Sequence[NewLine],
    positions: dict[str | None, int],
    parcels: Sequence[_Parcel],
) -> list[NewLine]:
    """Return the lines with the units that were removed before they left, and will never ship."""
    left: Counter[int] = Counter()
    for parcel in parcels:
        if parcel.left and parcel.units:
            left.update(parcel.units)
    cancelled, unclear = _refunded_units(source, items, positions)
    removed = []
    for position, line in enumerate(lines):
        unsent = max(line.quantity - left[position], 0)
        count = cancelled[position] + _never_sent(items[position], line, unsent, unclear[position])
        removed.append(max(line.removed_quantity, min(count, unsent)))
    due = sum(line.quantity - count for line, count in zip(lines, removed, strict=True))
    if source.order.has("cancelled_at") and 0 < due <= left.total():
        # What was taken off is what the cancellation was about: without it, the order would count as sent in full.
        return list(lines)
    return [replace(line, removed_quantity=count) for line, count in zip(lines, removed, strict=True)]


def _refunded_units(
    source: Source, items: Sequence[JsonObject], positions: dict[str | None, int]
) -> tuple[Counter[int], Counter[int]]:
    """Return, by position, the units that were refunded unsent, and those that may or may not have been sent."""
    cancelled: Counter[int] = Counter()
    unclear: Counter[int] = Counter()
    for refund in source.order.objects("refunds"):
        for entry in refund.objects("refund_line_items"):
            item = entry.object("line_item")
            position = positions.get(entry.text("line_item_id") or (item.text("id") if item else None))
            kind = entry.text("restock_type")
            if position is not None and kind != "return":
                units = cancelled if kind == "cancel" else unclear
                units[position] += max(entry.whole("quantity") or 0, 0)
    if not source.order.has("refunds"):
        for position, item in enumerate(items):
            current, ordered = item.whole("current_quantity"), item.whole("quantity") or 0
            if current is not None:
                unclear[position] = max(ordered - current, 0)
    return cancelled, unclear


def _never_sent(item: JsonObject, line: NewLine, unsent: int, unclear: int) -> int:
    """Return how many of the `unclear` refunded units had not been sent."""
    fulfillable = item.whole("fulfillable_quantity")
    if fulfillable is not None:
        return min(max(unsent - fulfillable, 0), unclear)
    return max(unclear - (line.quantity - unsent), 0)


def _parcels(source: Source, positions: dict[str | None, int], placed_at: datetime) -> list[_Parcel]:
    """Return the parcels by time, those that left first. A failed one with a tracking number waits to be sent."""
    parcels = []
    for fulfillment in source.order.objects("fulfillments"):
        status = (fulfillment.text("status") or "success").lower()
        tracking = _tracking(source, fulfillment)
        failed = status not in ("success", "pending", "open")
        if status == "cancelled" or (failed and not tracking):
            continue
        if failed:
            source.warn(f"its status is {status}: what is in it was not sent", fulfillment.path)
        at = fulfillment.time("created_at") or fulfillment.time("updated_at") or placed_at
        units = _units(source, fulfillment, positions) if positions else None
        parcels.append(_Parcel(max(at, placed_at), status == "success", units, tracking))
    return sorted(parcels, key=lambda parcel: (not parcel.left, parcel.at))


def _units(source: Source, fulfillment: JsonObject, positions: dict[str | None, int]) -> Counter[int] | None:
    items = fulfillment.objects("line_items")
    if not items:
        return None
    units: Counter[int] = Counter()
    for item in items:
        position = positions.get(item.text("id"))
        if position is None:
            source.warn("left out: the order has no line of this id", item.path)
        else:
            units[position] += max(item.whole("quantity") or 0, 0)
    return units


def _tracking(source: Source, fulfillment: JsonObject) -> list[TrackingInfo]:
    """Return each number once. `tracking_numbers` and `tracking_urls` belong together by their order."""
    numbers, urls = fulfillment.entries("tracking_numbers"), fulfillment.entries("tracking_urls")
    pairs = [(number, urls[index] if index < len(urls) else None) for index, number in enumerate(numbers)]
    pairs.append((fulfillment.text("tracking_number"), fulfillment.text("tracking_url")))
    carrier = source.short(fulfillment.text("tracking_company"), 64, fulfillment.at("tracking_company"))
    found: dict[str, TrackingInfo] = {}
    for number, url in pairs:
        number = str(number or "").strip()
        if number and (number not in found or not found[number].url):
            info = _check_tracking(source, fulfillment, number, carrier, str(url or ""))
            if info:
                found[info.number] = info
    return list(found.values())


def _check_tracking(
    source: Source, fulfillment: JsonObject, number: str, carrier: str | None, url: str
) -> TrackingInfo | None:
    try:
        return TrackingInfo(number, carrier, url or None).checked()
    except DomainError as refusal:
        path = fulfillment.at(f"tracking_{'url' if 'url' in refusal.field else 'number'}")
        source.warn(f"left out: {refusal.message}", path)
        return _check_tracking(source, fulfillment, number, carrier, "") if url else None


def _fill_parcels(source: Source, lines: Sequence[NewLine], parcels: Sequence[_Parcel]) -> list[Parcel]:
    """Return the parcels with no more units than there are. Tracking of an empty one goes to the one before."""
    free = {position: line.quantity - line.removed_quantity for position, line in enumerate(lines)}
    filled: list[Parcel] = []
    for parcel in parcels:
        wanted = free if parcel.units is None else parcel.units
        units = {position: min(count, free[position]) for position, count in wanted.items()}
        units = {position: count for position, count in units.items() if count}
        if parcel.left and parcel.units is not None and sum(units.values()) < parcel.units.total():
            source.warn("more units were sent than were ordered and not taken off; the rest was left out")
        for position, count in units.items():
            free[position] -= count
        if units:
            filled.append(Parcel(parcel.at, units, tuple(parcel.tracking), parcel.left))
        elif filled and parcel.left:
            known = {info.number for info in filled[-1].tracking}
            more = [info for info in parcel.tracking if info.number not in known]
            filled[-1] = replace(filled[-1], tracking=(*filled[-1].tracking, *more))
    return filled
