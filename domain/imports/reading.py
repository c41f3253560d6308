"""Reading JSON of other systems. Each value is checked when it is read, and errors name its path."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from domain.errors import InvalidInput
from domain.money import to_minor
from domain.validation import moment

_NUMBER = re.compile(r"[+-]?[0-9]{1,20}(\.[0-9]{1,20})?")
_MOST_DIGITS = 20
_FLOAT_NOISE = Decimal("0.000001")


def path_text(path: Sequence[str]) -> str:
    """Return `("line_items", "0", "price")` as `line_items[0].price`."""
    return "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in path).removeprefix(".")


class JsonObject:
    """An object of a JSON document that knows its path.

    Every method returns None (or an empty list) if the key is missing or null, and raises InvalidInput with the path of
    the value if it is of another kind.
    """

    def __init__(self, members: Mapping[str, Any], path: tuple[str, ...] = ()) -> None:
        self._members = members
        self.path = path

    def at(self, key: str) -> tuple[str, ...]:
        return (*self.path, key)

    def refuse(self, key: str, message: str) -> InvalidInput:
        return InvalidInput(message, *self.at(key))

    def text(self, key: str) -> str | None:
        """Return text without surrounding space, None if it is empty. Numbers, such as ids, are read as text."""
        value = self._members.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise self.refuse(key, "This must be text.")
        return str(value).strip() or None

    def flag(self, key: str, default: bool = False) -> bool:
        value = self._members.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.refuse(key, "This must be true or false.")
        return value

    def whole(self, key: str) -> int | None:
        """Return a whole number, which may be written as text."""
        number = self._number(key)
        if number is None:
            return None
        if number != number.to_integral_value():
            raise self.refuse(key, "This must be a whole number.")
        return int(number)

    def amount(self, key: str, currency: str, *, signed: bool = False) -> Decimal | None:
        """Return an amount: text or a number under the key, or `shop_money` in the money bag of that key with `_set`.

        Raise InvalidInput if it has too many decimals for the currency, or is below zero and not `signed`.
        """
        amount = self._number(key)
        path = self.at(key)
        if amount is None:
            bag = self.object(f"{key}_set")
            money = bag.object("shop_money") if bag else None
            if money is None or (amount := money._number("amount")) is None:
                return None
            path = money.at("amount")
        to_minor(abs(amount) if signed else amount, currency, *path)
        return amount

    def _number(self, key: str) -> Decimal | None:
        value = self._members.get(key)
        if isinstance(value, str):
            value = value.strip()
        if value is None or value == "":
            return None
        if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
            raise self.refuse(key, "This must be a number.")
        if isinstance(value, str) and not _NUMBER.fullmatch(value):
            raise self.refuse(key, "This is not a number.")
        number = Decimal(value)
        if not number.is_finite() or abs(number.adjusted()) > _MOST_DIGITS:
            raise self.refuse(key, "This number is out of range.")
        if isinstance(value, Decimal):
            # Numbers that went through a binary float somewhere arrive as 245.67000000000002.
            return round(value / _FLOAT_NOISE) * _FLOAT_NOISE
        return number

    def time(self, key: str) -> datetime | None:
        """Return a time in UTC, from ISO 8601."""
        value = self._members.get(key)
        if value is None or value == "":
            return None
        try:
            return moment(datetime.fromisoformat(value), *self.at(key))
        except (TypeError, ValueError, OverflowError):
            raise self.refuse(key, "This is not a time (ISO 8601), such as 2024-01-31T10:00:00Z.") from None

    def object(self, key: str) -> "JsonObject | None":
        value = self._members.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.refuse(key, "This must be an object.")
        return JsonObject(value, self.at(key))

    def entries(self, key: str) -> list[Any]:
        value = self._members.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.refuse(key, "This must be a list.")
        return value

    def objects(self, key: str) -> "list[JsonObject]":
        found = []
        for index, value in enumerate(self.entries(key)):
            path = (*self.at(key), str(index))
            if not isinstance(value, dict):
                raise InvalidInput("This must be an object.", *path)
            found.append(JsonObject(value, path))
        return found

    def has(self, key: str) -> bool:
        """Return whether there is a value under the key, and not null."""
        return self._members.get(key) is not None

    def first_text(self, *keys: str) -> str | None:
        """Return the text of the first key that has one."""
        for key in keys:
            if text := self.text(key):
                return text
        return None


class Source:
    """An order that is being read: its JSON, its currency, and warnings about what could not be taken over."""

    def __init__(self, order: JsonObject, currency: str) -> None:
        self.order = order
        self.currency = currency
        self.warnings: list[str] = []

    def warn(self, message: str, path: Sequence[str] = ()) -> None:
        self.warnings.append(f"{path_text(path)}: {message}" if path else message)

    def amount(self, holder: JsonObject, key: str) -> Decimal:
        """Return the amount under the key, zero if there is none."""
        return holder.amount(key, self.currency) or Decimal(0)

    def sum(self, holders: Sequence[JsonObject], key: str) -> Decimal:
        return sum((self.amount(holder, key) for holder in holders), Decimal(0))

    def short(self, text: str | None, longest: int, path: Sequence[str]) -> str | None:
        """Return the beginning of the text, with a warning if it is longer."""
        if text is None or len(text) <= longest:
            return text
        self.warn(f"shortened to {longest} characters", path)
        return text[:longest]
