"""The variables of the template: the note in words, in the order in which the page shows it."""

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from domain.delivery_notes.content import NoteContent, Parcel, Position
from effects.delivery_notes.codes import barcode, qr
from effects.delivery_notes.presentation import Presentation
from effects.merchant.formats import Formats
from effects.merchant.texts import Texts, fill_in, parts

_BARCODE_HEIGHT: Final = 10.0  # millimetres

# Han characters look different in each country. The language selects the font that has the right ones.
_LANGUAGES: Final = {
    "JP": "ja",
    "KR": "ko",
    "KP": "ko",
    "CN": "zh-Hans",
    "SG": "zh-Hans",
    "TW": "zh-Hant",
    "HK": "zh-Hant",
    "MO": "zh-Hant",
}

# An address field has 80 mm by 27.3 mm for the address (DIN 5008, and within the Swiss window, too). The style sheet
# has a class for each of these font sizes, in points; the largest in which the address fits is taken.
_ADDRESS_WIDTH, _ADDRESS_HEIGHT = 80.0, 27.3  # millimetres
_SIZES: Final = (10, 9, 8, 7, 6, 5)
_LINE_HEIGHT: Final = 1.28  # font sizes
_POINT: Final = 25.4 / 72  # millimetres


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table of positions. An unknown or unwanted value is an empty text."""

    number: int
    sku: str
    title: str
    variant_title: str
    requires_shipping: bool
    ordered: str
    delivered: str
    remaining: str
    weight: str
    unit_price: str
    amount: str


@dataclass(frozen=True, slots=True)
class Totals:
    """The totals of all positions that are delivered."""

    delivered: str
    weight: str
    amount: str


@dataclass(frozen=True, slots=True)
class Fact:
    """A line of the information block: a name and its values."""

    name: str
    values: tuple[str, ...]


def page(content: NoteContent, presentation: Presentation) -> dict[str, Any]:
    """Return the variables of the template."""
    texts = presentation.texts[content.locale]
    formats = Formats(content.locale)
    delivered = [each for each in content.positions if each.delivered]
    to_follow = [each for each in content.positions if not each.delivered]
    return {
        "document": content,
        "texts": texts,
        "date": formats.date(content.date),
        "facts": _facts(content, texts, formats),
        "language": _LANGUAGES.get(content.recipient_country or ""),
        "address_size": _address_size(content.recipient),
        "delivered": _rows(delivered, content, formats, first=1),
        "to_follow": _rows(to_follow, content, formats, first=len(delivered) + 1),
        "totals": _totals(delivered, content, texts, formats),
        "has_weights": any(each.weight_grams for each in delivered),
        "barcode": barcode(content.number, _BARCODE_HEIGHT),
        **_qr(content, texts),
        "logo": presentation.logo,
        "page_count": _counters(texts["page"]),
        "footer_lines": max(map(len, content.letterhead.footer), default=0),
    }


def direction(text: str) -> str:
    """Return `rtl` if the first letter is of a script that runs from right to left, such as Arabic, else `ltr`."""
    for character in text:
        kind = unicodedata.bidirectional(character)
        if kind in ("R", "AL"):
            return "rtl"
        if kind == "L":
            break
    return "ltr"


def _facts(content: NoteContent, texts: Texts, formats: Formats) -> list[Fact]:
    facts = [
        Fact(texts["note_number"], (content.number,)),
        Fact(texts["note_date"], (formats.date(content.date),)),
        Fact(texts["order_number"], (content.order_number,)),
        Fact(texts["order_date"], (formats.date(content.order_date),)),
    ]
    if content.external_reference:
        facts.append(Fact(texts["external_reference"], (content.external_reference,)))
    facts.append(Fact(texts["channel"], (content.channel,)))
    for carrier, numbers in _by_carrier(content.parcels).items():
        if carrier:
            facts.append(Fact(texts["carrier"], (carrier,)))
        facts.append(Fact(texts["tracking_number" if len(numbers) == 1 else "tracking_numbers"], tuple(numbers)))
    return facts


def _by_carrier(parcels: Sequence[Parcel]) -> dict[str | None, list[str]]:
    """Return the tracking numbers of each carrier."""
    numbers: dict[str | None, list[str]] = {}
    for parcel in parcels:
        numbers.setdefault(parcel.carrier, []).append(parcel.number)
    return numbers


def _rows(positions: Sequence[Position], content: NoteContent, formats: Formats, first: int) -> list[Row]:
    return [_row(number, each, content, formats) for number, each in enumerate(positions, first)]


def _row(number: int, position: Position, content: NoteContent, formats: Formats) -> Row:
    weight, price, total = position.weight_grams, position.unit_price, position.total
    return Row(
        number=number,
        sku=position.sku or "",
        title=position.title,
        variant_title=position.variant_title or "",
        requires_shipping=position.requires_shipping,
        ordered=formats.quantity(position.ordered),
        delivered=formats.quantity(position.delivered),
        remaining=formats.quantity(position.remaining),
        weight=formats.weight(weight * position.delivered) if weight and position.delivered else "",
        unit_price="" if price is None else formats.amount(price, content.currency),
        amount="" if total is None or not position.delivered else formats.amount(total, content.currency),
    )


def _totals(delivered: Sequence[Position], content: NoteContent, texts: Texts, formats: Formats) -> Totals:
    weight = formats.weight(sum(each.delivered * (each.weight_grams or 0) for each in delivered))
    if any(each.requires_shipping and each.weight_grams is None for each in delivered):
        weight = fill_in(texts["at_least"], {"weight": weight})
    return Totals(
        delivered=formats.quantity(sum(each.delivered for each in delivered)),
        weight=weight,
        amount=formats.amount(sum(each.total or 0 for each in delivered), content.currency),
    )


def _qr(content: NoteContent, texts: Texts) -> dict[str, Any]:
    """Return a code that opens the first parcel's tracking, or else contains the order's number, and its caption."""
    parcel = content.parcels[0] if content.parcels else None
    if parcel and parcel.url and parcel.url.startswith(("https://", "http://")):
        code = qr(parcel.url)
        if code is not None:
            return {"qr": code, "qr_caption": texts["track"], "qr_detail": parcel.number}
    caption = fill_in(texts["order"], {"number": content.order_number})
    return {"qr": qr(content.order_number), "qr_caption": caption, "qr_detail": None}


def _counters(text: str) -> str:
    """Return the text as a value of CSS's `content`, with its counters `page` and `pages`."""
    words = (
        (f'"{_css(part)}"' if part else "", f"counter({counter})" if counter else "") for part, counter in parts(text)
    )
    return " ".join(piece for pair in words for piece in pair if piece)


def _css(text: str) -> str:
    """Escape the text for a CSS string within HTML."""
    return "".join(c if c.isalnum() and c.isascii() else f"\\{ord(c):06x}" for c in text)


def _address_size(lines: Sequence[str]) -> int:
    for size in _SIZES:
        height = size * _LINE_HEIGHT * _POINT
        if sum(_count_lines(line, size) for line in lines) * height <= _ADDRESS_HEIGHT:
            return size
    return _SIZES[-1]


def _count_lines(text: str, size: int) -> int:
    """Return how many lines the text needs, rather one too many than too few."""
    width = sum(_width(character) for character in text) * size * _POINT
    return max(1, math.ceil(width / _ADDRESS_WIDTH * 1.1)) if width > _ADDRESS_WIDTH else 1


def _width(character: str) -> float:
    """Return the width in font sizes, for the usual letters of Noto Sans."""
    if unicodedata.east_asian_width(character) in "WF":
        return 1.0
    return 0.68 if character.isupper() or character in "mwMW@%" else 0.56
