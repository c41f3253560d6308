"""Dates, quantities, weights and amounts as a locale writes them, according to CLDR (Babel)."""

from datetime import date
from decimal import Decimal
from typing import Final

from babel import Locale
from babel.dates import format_date
from babel.numbers import format_decimal, get_currency_symbol
from babel.units import format_unit

from domain.money import to_decimal

_REGIONS: Final = {"en": "en-GB"}  # English for the world has the day before the month
_NO_BREAK: Final = "\N{NO-BREAK SPACE}"


class Formats:
    def __init__(self, locale: str) -> None:
        self._locale = Locale.parse(_REGIONS.get(locale, locale), sep="-")

    def date(self, day: date) -> str:
        """Return the date in words, such as 24. November 2026."""
        return format_date(day, format="long", locale=self._locale)

    def quantity(self, units: int) -> str:
        return format_decimal(units, locale=self._locale)

    def weight(self, grams: int) -> str:
        """Return the weight in kilograms, with up to three decimals."""
        return format_unit(
            Decimal(grams).scaleb(-3), "mass-kilogram", length="short", format="#,##0.###", locale=self._locale
        )

    def amount(self, minor: int, currency: str) -> str:
        """Return the amount without its currency, with the decimals that ISO 4217 gives it."""
        value = to_decimal(minor, currency)
        decimals = -int(value.as_tuple().exponent)
        pattern = "#,##0." + "0" * decimals if decimals > 0 else "#,##0"
        text = format_decimal(value, format=pattern, locale=self._locale)
        return self._with_point_of_money(text) if decimals > 0 else text

    def _with_point_of_money(self, text: str) -> str:
        """Use the decimal point of amounts, which differs in Swiss French. CLDR has it, but Babel (2.18) ignores it."""
        symbols = self._locale.number_symbols["latn"]
        whole, _, decimals = text.rpartition(symbols["decimal"])
        return f"{whole}{symbols.get('currencyDecimal', symbols['decimal'])}{decimals}"

    def money(self, minor: int, currency: str) -> str:
        """Return the amount with its currency, such as CHF 39.80 or 39,80 €."""
        amount, symbol = self.amount(minor, currency), get_currency_symbol(currency, self._locale)
        pattern = self._locale.currency_formats["standard"].pattern
        if not pattern.startswith("¤"):
            return f"{amount}{_NO_BREAK}{symbol}"
        apart = pattern[1] != "#" or symbol[-1].isalpha()  # £39.80, but CHF 39.80
        return f"{symbol}{_NO_BREAK if apart else ''}{amount}"
