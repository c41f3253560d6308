"""Dates, quantities, weights and amounts as a locale writes them: CLDR's customs, by Babel."""

from datetime import date
from decimal import Decimal
from typing import Final

from babel import Locale
from babel.dates import format_date
from babel.numbers import format_decimal
from babel.units import format_unit

from domain.money import to_decimal

_REGIONS: Final = {"en": "en-GB"}  # English for the world has the day before the month


class Formats:
    def __init__(self, locale: str) -> None:
        self._locale = Locale.parse(_REGIONS.get(locale, locale), sep="-")

    def date(self, day: date) -> str:
        """Such as 24. November 2026."""
        return format_date(day, format="long", locale=self._locale)

    def quantity(self, units: int) -> str:
        return format_decimal(units, locale=self._locale)

    def weight(self, grams: int) -> str:
        """In kilograms, with up to three decimals."""
        return format_unit(
            Decimal(grams).scaleb(-3), "mass-kilogram", length="short", format="#,##0.###", locale=self._locale
        )

    def amount(self, minor: int, currency: str) -> str:
        """Without the currency, with as many decimals as ISO 4217 says that it has."""
        value = to_decimal(minor, currency)
        decimals = -int(value.as_tuple().exponent)
        pattern = "#,##0." + "0" * decimals if decimals > 0 else "#,##0"
        return format_decimal(value, format=pattern, locale=self._locale)
