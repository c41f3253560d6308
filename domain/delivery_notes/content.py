"""What a delivery note shows: all of it, and nothing that must be looked up elsewhere.

It is made once, when the note gets its number, and kept with it; what becomes of the order later changes nothing.
"""

import datetime
from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Letterhead:
    """The merchant's side of the page.

    `sender` is the small line above the address, `header` the lines beside the logo, `footer` up to four columns of
    lines. `country_code` (ISO 3166-1) is where the merchant is: an address there is written without its country.
    `window` is the side of the envelope's window: left as in DIN 5008 form B, right as in Switzerland.
    """

    sender: str | None = None
    header: tuple[str, ...] = ()
    footer: tuple[tuple[str, ...], ...] = ()
    country_code: str = "CH"
    window: Literal["left", "right"] = "left"


@dataclass(frozen=True, slots=True)
class Position:
    """A line of the order, in units. `ordered` is what is due, `remaining` what is still to come after this delivery.

    `weight_grams` is the weight of one unit. `unit_price` and `total` (of the units delivered) are in minor units of
    the note's currency, and None if no prices are wanted.
    """

    sku: str | None
    title: str
    variant_title: str | None
    requires_shipping: bool
    ordered: int
    delivered: int
    remaining: int
    weight_grams: int | None = None
    unit_price: int | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Parcel:
    """A tracking number, its carrier, and the address at which it can be followed."""

    number: str
    carrier: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class NoteContent:
    """`channel` is the channel's name for people, `channel_code` the one by which the merchant's settings know it.

    `recipient` are the lines of the address. There are none if the goods are picked up: `customer` says by whom.

    `recipient_country` (ISO 3166-1) tells how the lines are written. Days are those of the merchant's time zone;
    `locale` is one of `domain.locales`; `replaces` is the number of the note that this one corrects.
    """

    number: str
    date: datetime.date
    locale: str
    replaces: str | None
    order_number: str
    order_date: datetime.date
    external_reference: str | None
    channel: str
    channel_code: str
    customer: str | None
    recipient: tuple[str, ...]
    recipient_country: str | None
    currency: str
    prices: bool
    positions: tuple[Position, ...]
    parcels: tuple[Parcel, ...]
    letterhead: Letterhead

    def as_data(self) -> dict[str, Any]:
        """Return the content as JSON has it."""
        return {**asdict(self), "date": self.date.isoformat(), "order_date": self.order_date.isoformat()}

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> "NoteContent":
        """Return the content from what `as_data` returned, also after a way through JSON."""
        letterhead = data["letterhead"]
        return cls(
            **{
                **data,
                "date": datetime.date.fromisoformat(data["date"]),
                "order_date": datetime.date.fromisoformat(data["order_date"]),
                "recipient": tuple(data["recipient"]),
                "positions": tuple(Position(**each) for each in data["positions"]),
                "parcels": tuple(Parcel(**each) for each in data["parcels"]),
                "letterhead": Letterhead(
                    **{
                        **letterhead,
                        "header": tuple(letterhead["header"]),
                        "footer": tuple(tuple(column) for column in letterhead["footer"]),
                    }
                ),
            }
        )
