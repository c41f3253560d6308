"""Orders as Shopify's REST Admin API and its `orders/*` webhooks send them, in the forms of all their versions.

Some things have no counterpart here and are decided as follows. All but the first add a warning.

- Shopify's orders are not confirmed. An order without a parcel is imported as `PENDING`, any other is confirmed at the
  time of its first parcel.
- Sums are Shopify's own, as they were when the order was placed (`total_price` and the like, in the shop's currency).
  Later edits and returns show in removed units and refunds.
- Without `line_items`, one line stands for all of them.
- Without transactions, payments follow from `financial_status`. A refund of unknown amount is not recorded.
- A failed fulfillment was not sent. If it has a tracking number, it waits to be sent; otherwise it is left out.
- An order that was cancelled after all of it had left stays `SHIPPED`.
- A closed order is archived if the rules allow it.

The fields are described at https://shopify.dev/docs/api/admin-rest/latest/resources/order.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from domain.errors import InvalidInput
from domain.imports.history import Archive, Cancel, Confirm, History, Parcel, Refund, Step, Void
from domain.imports.reading import JsonObject, Source
from domain.imports.shopify.goods import Goods, read_goods
from domain.imports.shopify.money import read_money
from domain.money import require_currency
from domain.orders.placing import MOST_TAGS, NewAddress, NewCustomer, NewLine, NewOrder, NewTotals
from models.enums import CancelReason, OrderSource

_MARKETPLACES = ("amazon", "ebay", "etsy", "facebook", "google", "instagram", "tiktok", "walmart")
_GLOBAL_ID = "gid://shopify/Order/"


def read_entries(content: bytes) -> list[tuple[str, Any]]:
    """Return the orders of a file, each with its path: one order, a list, or either wrapped in `order` or `orders`.

    Raise ValueError if it is not JSON in UTF-8, or neither an order nor a list.
    """
    try:
        parsed = json.loads(content.decode("utf-8-sig"), parse_float=Decimal, parse_constant=str)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    if isinstance(parsed, dict) and "orders" in parsed:
        parsed = parsed["orders"]
    if isinstance(parsed, dict):
        return [("order", _unwrap(parsed))]
    if isinstance(parsed, list):
        return [(f"orders[{index}]", _unwrap(each)) for index, each in enumerate(parsed)]
    raise ValueError("the JSON is neither an order nor a list of orders")


def _unwrap(entry: Any) -> Any:
    return entry["order"] if isinstance(entry, dict) and "order" in entry else entry


def describe(entry: Any) -> str:
    """Return the order's name and id, as far as they can be read, for messages to people."""
    if not isinstance(entry, dict):
        return ""
    name, number = (value if isinstance(value := entry.get(key), str | int) else None for key in ("name", "id"))
    return " ".join(str(part) for part in (name, f"({number})" if number else None) if part)


def read_order(channel: str, entry: Any) -> History:
    """Return the order and its history. Raise InvalidInput, whose `field` is the path in Shopify's JSON."""
    if not isinstance(entry, dict):
        raise InvalidInput("This must be an object.")
    order = JsonObject(entry)
    source = Source(order, _currency(order))
    if order.flag("test"):
        source.warn("this is a test order")
    placed_at = order.time("processed_at") or order.time("created_at")
    if placed_at is None:
        source.warn("the file does not say when it was placed; the time of the import stands for it")
        placed_at = datetime.now(UTC)
    totals, goods = _totals_and_goods(source, placed_at)
    money = read_money(source, totals.total, placed_at)
    new = NewOrder(
        handed_over=False,  # what became of it follows from its own history
        channel=channel,
        source=_order_source(order),
        currency=source.currency,
        lines=goods.lines,
        external_reference=_reference(order),
        external_number=source.short(_number(order), 64, order.at("name")),
        customer=_customer(source),
        shipping_address=_address(source, "shipping_address"),
        billing_address=_address(source, "billing_address"),
        taxes_included=order.flag("taxes_included"),
        totals=totals,
        payments=money.payments,
        placed_at=placed_at,
        locale=_locale(source),
        note=source.short(order.text("note"), 5_000, order.at("note")),
        tags=_tags(source),
    )
    steps = _steps(source, goods.parcels, money.steps, placed_at)
    return History(new, placed_at, steps, money.payment_status, goods.fulfillment_status, source.warnings)


def _currency(order: JsonObject) -> str:
    bag = order.object("total_price_set")
    money = bag.object("shop_money") if bag else None
    code = order.text("currency") or (money.text("currency_code") if money else None)
    if code is None:
        raise order.refuse("currency", "This is missing.")
    return require_currency(code, *order.at("currency"))


def _reference(order: JsonObject) -> str:
    """Return the id that makes repeated imports idempotent. Raise InvalidInput if the order has none."""
    global_id = order.text("admin_graphql_api_id") or ""
    own = global_id.removeprefix(_GLOBAL_ID) if global_id.startswith(_GLOBAL_ID) else None
    reference = order.text("id") or own or order.first_text("name", "token")
    if reference is None:
        raise order.refuse("id", "This is missing, and so are name and token.")
    return reference


def _number(order: JsonObject) -> str | None:
    number = order.text("order_number")
    return order.text("name") or (f"#{number}" if number else None)


def _order_source(order: JsonObject) -> OrderSource:
    name = (order.text("source_name") or "").lower()
    if name == "pos":
        return OrderSource.POS
    if name == "shopify_draft_order":
        return OrderSource.MANUAL
    marketplace = any(word in name for word in _MARKETPLACES)
    return OrderSource.MARKETPLACE if marketplace else OrderSource.ONLINE


def _totals_and_goods(source: Source, placed_at: datetime) -> tuple[NewTotals, Goods]:
    """Return Shopify's sums. Those that the file lacks are added up from its parts. Only the total is required."""
    order, currency = source.order, source.currency
    total = order.amount("total_price", currency)
    if total is None:
        raise order.refuse("total_price", "This is missing.")
    if source.amount(order, "total_tip_received") and not _has_tip_line(order):
        source.warn("a tip is part of the total; the file has no line for it")
    subtotal = order.amount("subtotal_price", currency)
    # Without line_items, the goods are worth what the subtotal says, or else what is left of the total.
    worth = subtotal if subtotal is not None else max(total - _tax(source) - _shipping(source), Decimal(0))
    goods = read_goods(source, worth, placed_at)
    discount = order.amount("total_discounts", currency)
    return (
        NewTotals(
            subtotal=_subtotal(goods.lines) if subtotal is None else subtotal,
            total=total,
            discount_total=_discount(source, goods.lines) if discount is None else discount,
            shipping_total=_shipping(source),
            tax_total=_tax(source),
        ),
        goods,
    )


def _has_tip_line(order: JsonObject) -> bool:
    return any(item.has("tip_payment_gateway") for item in order.objects("line_items"))


def _subtotal(lines: Sequence[NewLine]) -> Decimal:
    goods = sum((line.unit_price * line.quantity - line.discount for line in lines), Decimal(0))
    return max(goods, Decimal(0))


def _discount(source: Source, lines: Sequence[NewLine]) -> Decimal:
    codes = source.sum(source.order.objects("discount_codes"), "amount")
    on_shipping = sum(
        (source.sum(line.objects("discount_allocations"), "amount") for line in _shipping_lines(source)),
        Decimal(0),
    )
    return sum((line.discount for line in lines), on_shipping) or codes


def _shipping_lines(source: Source) -> list[JsonObject]:
    return source.order.objects("shipping_lines")


def _shipping(source: Source) -> Decimal:
    told = source.order.amount("total_shipping_price", source.currency)
    if told is not None:
        return told
    shipping = Decimal(0)
    for line in _shipping_lines(source):
        discounted = line.amount("discounted_price", source.currency)
        if discounted is None:
            discounts = source.sum(line.objects("discount_allocations"), "amount")
            discounted = max(source.amount(line, "price") - discounts, Decimal(0))
        shipping += discounted
    return shipping


def _tax(source: Source) -> Decimal:
    told = source.order.amount("total_tax", source.currency)
    if told is not None:
        return told
    taxes = source.order.objects("tax_lines")
    if not taxes:
        holders = [*source.order.objects("line_items"), *_shipping_lines(source)]
        taxes = [tax for holder in holders for tax in holder.objects("tax_lines")]
    return source.sum(taxes, "price")


def _customer(source: Source) -> NewCustomer | None:
    order = source.order
    customer = order.object("customer") or JsonObject({}, order.at("customer"))
    email = order.first_text("email", "contact_email") or customer.text("email")
    if email and not re.fullmatch(r"[^@\s]{1,190}@[^@\s]{1,64}", email):
        source.warn("left out: this is not an e-mail address", order.at("email"))
        email = None
    name = _person(customer)
    phone = source.short(customer.text("phone") or order.text("phone"), 64, customer.at("phone"))
    if not (email or name or phone):
        return None
    for key in ("billing_address", "shipping_address"):
        address = order.object(key)
        name = name or (_person(address) if address else None)
    return NewCustomer(email=email, name=source.short(name, 255, customer.path), phone=phone)


def _person(holder: JsonObject) -> str | None:
    parts = (holder.text("first_name"), holder.text("last_name"))
    return holder.text("name") or " ".join(part for part in parts if part) or None


def _address(source: Source, key: str) -> NewAddress | None:
    address = source.order.object(key)
    if address is None:
        return None

    def text(name: str, longest: int = 255) -> str | None:
        return source.short(address.text(name), longest, address.at(name))

    country = address.text("country_code")
    if country is None and len(address.text("country") or "") == 2:
        country = address.text("country")
    if country and not re.fullmatch("[A-Za-z]{2}", country):
        source.warn("left out: this is not a country's code", address.at("country_code"))
        country = None
    return NewAddress(
        name=source.short(_person(address), 255, address.at("name")),
        company=text("company"),
        address1=text("address1"),
        address2=text("address2"),
        postal_code=text("zip", 32),
        city=text("city"),
        province=text("province") or text("province_code"),
        country_code=country,
        phone=text("phone", 64),
    )


def _locale(source: Source) -> str | None:
    locale = source.order.text("customer_locale")
    if locale and (len(locale) > 35 or not re.fullmatch(r"[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*", locale)):
        source.warn("left out: this is not a language tag", source.order.at("customer_locale"))
        return None
    return locale


def _tags(source: Source) -> list[str]:
    """Return the tags. Shopify writes them as one text, `"fragile, vip"`, some exports as a list."""
    path = source.order.at("tags")
    try:
        given = source.order.entries("tags")
    except InvalidInput:
        given = (source.order.text("tags") or "").split(",")
    tags = {str(tag).strip() for tag in given if isinstance(tag, str | int)} - {""}
    if len(tags) > MOST_TAGS:
        source.warn(f"only {MOST_TAGS} of {len(tags)} were kept", path)
    return [source.short(tag, 64, path) or tag for tag in sorted(tags)[:MOST_TAGS]]


def _steps(
    source: Source, parcels: Sequence[Parcel], money: Sequence[Refund | Void], placed_at: datetime
) -> list[Step]:
    """Return what happened in the order of time. At the same time, goods come before money."""
    order = source.order
    steps: list[Step] = []
    if parcels:
        steps.append(Confirm(min(parcel.at for parcel in parcels)))
    steps += parcels
    cancelled_at, closed_at = order.time("cancelled_at"), order.time("closed_at")
    if cancelled_at is not None:
        steps.append(Cancel(max([cancelled_at, *(parcel.at for parcel in parcels)]), _reason(order)))
    steps += money
    steps.sort(key=lambda step: step.at)
    if closed_at is not None:
        steps.append(Archive(closed_at))
    return _keep_order_of_time(steps, placed_at)


def _reason(order: JsonObject) -> CancelReason:
    reason = (order.text("cancel_reason") or "").upper()
    return CancelReason(reason) if reason in CancelReason.__members__ else CancelReason.OTHER


def _keep_order_of_time(steps: Sequence[Step], start: datetime) -> list[Step]:
    """Move each step to the time of the one before if it is earlier, such as refunds dated before their order."""
    kept: list[Step] = []
    for step in steps:
        start = max(start, step.at)
        kept.append(replace(step, at=start))
    return kept
