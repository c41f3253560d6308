"""Which orders a list or a count is about."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any, Final
from uuid import UUID

from tortoise.expressions import Q, RawSQL, Subquery

from domain.actors import Actor, Scope
from domain.channels import find_channels
from domain.errors import InvalidInput
from domain.money import currencies_by_exponent, require_currency
from domain.search import prefix_range
from domain.validation import moment, storable
from models import OrderTag, SearchTerm
from models.engine.turns import take_turn
from models.enums import FulfillmentStatus, OrderSource, OrderStatus, PaymentStatus

DEEPEST = 5
MOST_CONDITIONS = 100
LONGEST_SEARCH = 255
LONGEST_TAG = 64
_USUAL: Final = 2  # decimals of a currency, unless another number is known


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """All that is given must hold. Times and totals include both ends; totals are decimals of each order's currency."""

    status: Sequence[OrderStatus] | None = None
    payment_status: Sequence[PaymentStatus] | None = None
    fulfillment_status: Sequence[FulfillmentStatus] | None = None
    source: Sequence[OrderSource] | None = None
    channels: Sequence[str] | None = None
    archived: bool | None = None
    placed_from: datetime | None = None
    placed_to: datetime | None = None
    total_from: Decimal | None = None
    total_to: Decimal | None = None
    currency: str | None = None
    tags: Sequence[str] | None = None
    all_of: Sequence["OrderFilter"] | None = None
    any_of: Sequence["OrderFilter"] | None = None
    none_of: "OrderFilter | None" = None


NOTHING = Q(id__in=[UUID(int=0)])
"""Matches no order."""


def visible(channel_ids: frozenset[UUID] | None) -> Q:
    """Return the condition for orders of these channels (`Actor.channel_ids`)."""
    return Q() if channel_ids is None else Q(channel_id__in=list(channel_ids))


async def visible_query(actor: Actor, wanted: OrderFilter | None, search: str | None = None) -> Q:
    """Return the orders that the caller sees and that the filter and the search text mean. Raise InvalidInput.

    Until the next `await`, the caller has the turn that it takes to make a statement of this: some milliseconds.
    """
    conditions = [visible(actor.channel_ids)]
    if wanted is None:
        await take_turn()
    else:
        _require_modest(wanted)
        channels = await _channels(actor, wanted)
        await take_turn()
        conditions += _conditions(wanted, channels)
    if search is not None and search.strip():
        conditions.append(_search_query(search, with_personal=Scope.CUSTOMERS_READ in actor.scopes))
    return Q(*conditions)


def _require_modest(wanted: OrderFilter) -> None:
    conditions = 0
    level = [wanted]
    for _ in range(DEEPEST):
        conditions += sum(_size(each) for each in level)
        level = [inner for each in level for inner in _inner(each)]
        if not level:
            break
    else:
        raise InvalidInput(f"A filter may be nested {DEEPEST} deep.", "filter")
    if conditions > MOST_CONDITIONS:
        raise InvalidInput(f"A filter may have {MOST_CONDITIONS} conditions.", "filter")


def _inner(wanted: OrderFilter) -> Sequence[OrderFilter]:
    return *(wanted.all_of or ()), *(wanted.any_of or ()), *((wanted.none_of,) if wanted.none_of else ())


def _size(wanted: OrderFilter) -> int:
    values = (getattr(wanted, each.name) for each in fields(wanted))
    return sum(len(value) if isinstance(value, (list, tuple)) else value is not None for value in values)


async def _channels(actor: Actor, wanted: OrderFilter) -> Mapping[str, UUID]:
    """Return the channels that the filter and those within it name, by their codes: found with one statement."""
    codes = {code for each in _within(wanted) for code in each.channels or ()}
    return {channel.code: channel.id for channel in await find_channels(actor, codes)} if codes else {}


def _within(wanted: OrderFilter) -> Iterator[OrderFilter]:
    """Yield the filter and all filters within it."""
    yield wanted
    for each in _inner(wanted):
        yield from _within(each)


def _conditions(wanted: OrderFilter, channels: Mapping[str, UUID]) -> list[Q]:
    """Return what must hold, all of it: nothing for a filter that means every order."""
    conditions = _column_conditions(wanted)
    if wanted.channels is not None:
        conditions.append(Q(channel_id__in=[channels[code] for code in wanted.channels if code in channels]))
    if wanted.tags is not None:
        tags = [tag for tag in wanted.tags if storable(tag, LONGEST_TAG)]
        tagged = OrderTag.filter(tag__in=tags).values("order_id")
        conditions.append(Q(id__in=Subquery(tagged)) if tags else NOTHING)
    for each in wanted.all_of or ():
        conditions += _conditions(each, channels)
    if wanted.any_of is not None:
        alternatives = [_conditions(each, channels) for each in wanted.any_of]
        if all(alternatives):
            conditions.append(Q(*(Q(*each) for each in alternatives), join_type=Q.OR) if alternatives else NOTHING)
    if wanted.none_of is not None:
        excluded = _conditions(wanted.none_of, channels)
        conditions.append(~Q(*excluded) if excluded else NOTHING)
    return conditions


def _column_conditions(wanted: OrderFilter) -> list[Q]:
    conditions = []
    for column in ("status", "payment_status", "fulfillment_status", "source"):
        values = getattr(wanted, column)
        if values is not None:
            condition: dict[str, Any] = {f"{column}__in": list(values)}
            conditions.append(Q(**condition))
    if wanted.archived is not None:
        conditions.append(Q(archived_at__isnull=not wanted.archived))
    if wanted.placed_from is not None:
        conditions.append(Q(placed_at__gte=moment(wanted.placed_from, "filter", "placed_from")))
    if wanted.placed_to is not None:
        conditions.append(Q(placed_at__lte=moment(wanted.placed_to, "filter", "placed_to")))
    if wanted.currency is not None:
        conditions.append(Q(currency=require_currency(wanted.currency, "filter", "currency")))
    if wanted.total_from is not None:
        conditions.append(_total_query(wanted.total_from, "gte", "total_from"))
    if wanted.total_to is not None:
        conditions.append(_total_query(wanted.total_to, "lte", "total_to"))
    return conditions


def _total_query(bound: Decimal, comparison: str, field: str) -> Q:
    """Compare the total with a decimal of each order's currency.

    The total is kept in minor units, of which 1 may have 1, 100 or 1000. The first condition is implied by the second
    one, and an index can answer it.
    """
    if not bound.is_finite() or bound.copy_abs() > 10**12:
        raise InvalidInput("This is not an amount.", "filter", field)
    at_least = comparison == "gte"
    limits = {
        exponent: int(bound.scaleb(exponent).to_integral_value("ROUND_CEILING" if at_least else "ROUND_FLOOR"))
        for exponent in currencies_by_exponent()
    }
    cases = " ".join(f"WHEN {_has_decimals(each)} THEN {limit}" for each, limit in limits.items() if each != _USUAL)
    loosest = min(limits.values()) if at_least else max(limits.values())
    exact = RawSQL(f"CASE {cases} ELSE {limits[_USUAL]} END")
    conditions: list[dict[str, Any]] = [{f"total__{comparison}": each} for each in (loosest, exact)]
    return Q(*(Q(**each) for each in conditions))


@cache
def _has_decimals(exponent: int) -> str:
    """Return the SQL for the orders in currencies of so many decimals."""
    codes = ", ".join(f"'{code}'" for code in currencies_by_exponent()[exponent])
    return f'"currency" IN ({codes})'


def _search_query(text: str, *, with_personal: bool) -> Q:
    if len(text) > LONGEST_SEARCH:
        raise InvalidInput(f"A search text has at most {LONGEST_SEARCH} characters.", "search")
    if "\x00" in text:
        raise InvalidInput("This holds a character that cannot be stored.", "search")
    first, end = prefix_range(text)
    if not first:
        return NOTHING
    terms = SearchTerm.filter(term__gte=first, term__lt=end)
    if not with_personal:
        terms = terms.filter(personal=False)
    return Q(id__in=Subquery(terms.values("order_id")))
