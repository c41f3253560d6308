"""Amounts: decimals at the edges, whole minor units inside."""

from dataclasses import dataclass
from decimal import Context, Decimal, Inexact
from functools import cache, lru_cache
from typing import Any

from iso4217 import Currency

from domain.errors import InvalidInput

_EXACT = Context(prec=40, traps=[Inexact])  # refuses what it would have to round
LARGEST = 10**15  # minor units: far from the end of a BIGINT however many amounts are added up


@cache
def _exponents() -> dict[str, int]:
    return {currency.code: currency.exponent for currency in Currency if currency.exponent is not None}


@cache
def currencies_by_exponent() -> dict[int, list[str]]:
    """Return the currency codes of ISO 4217 by their number of decimals."""
    groups: dict[int, list[str]] = {}
    for code, exponent in _exponents().items():
        groups.setdefault(exponent, []).append(code)
    return groups


def require_currency(code: str, *field: str | int) -> str:
    """Return the code in upper case. Raise `InvalidInput` if ISO 4217 does not have it as money."""
    code = code.strip().upper()
    if code not in _exponents():
        raise InvalidInput("This is not the code of a currency (ISO 4217), such as CHF.", *field)
    return code


def to_minor(amount: Decimal, currency: str, *field: str | int) -> int:
    """Return the amount in minor units of the currency.

    Raise `InvalidInput` if it is negative, too large, or finer than the currency's minor unit.
    """
    if not amount.is_finite():
        raise InvalidInput("This is not an amount.", *field)
    if amount.adjusted() > 20:
        raise InvalidInput("This amount is too large.", *field)
    if amount < 0:
        raise InvalidInput("An amount must not be negative.", *field)
    decimals = _exponents()[currency]
    try:
        minor = int(amount.scaleb(decimals, _EXACT).to_integral_exact(context=_EXACT))
    except Inexact:
        raise InvalidInput(f"{currency} has {decimals} decimals; this has more.", *field) from None
    if minor > LARGEST:
        raise InvalidInput("This amount is too large.", *field)
    return minor


# A shop has the same prices again and again: a list of orders has hundreds of amounts, and few that differ.
@lru_cache(maxsize=10_000)
def to_decimal(minor: int, currency: str) -> Decimal:
    """Return the amount with as many decimals as the currency has."""
    return Decimal(minor).scaleb(-_exponents()[currency])


@dataclass(frozen=True, slots=True)
class Money:
    minor: int
    currency: str

    def __str__(self) -> str:
        return f"{to_decimal(self.minor, self.currency)} {self.currency}"

    def as_data(self) -> dict[str, Any]:
        """Return the amount as it stands in an event's data, and in GraphQL."""
        return {"amount": str(to_decimal(self.minor, self.currency)), "currencyCode": self.currency}
