"""The variables of a template: the letter in words, in the order in which the e-mail shows it."""

from dataclasses import dataclass
from typing import Any, Final

from effects.mail.addresses import one_line
from effects.mail.emails import EMAILS
from effects.mail.letter import Item, Letter
from effects.mail.settings import MailSettings
from effects.merchant.formats import Formats
from effects.merchant.texts import Texts, fill_in

_GATEWAYS: Final = ("cash", "card", "manual")  # that have a name for customers; others are shown by their own

# Of the relative luminance of the accent colour (WCAG 2.2, 1.4.3): black is easier to read on it above.
_BRIGHT: Final = 0.179


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table of items. An unknown value is an empty text."""

    quantity: str
    title: str
    variant_title: str
    sku: str
    unit_price: str
    discount: str
    total: str


@dataclass(frozen=True, slots=True)
class Fact:
    """A name and a value. `strong` ones stand out."""

    name: str
    value: str
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """A name and a few lines, such as an address."""

    name: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """A link to a parcel's tracking or to a download. `url` is empty if it is unknown."""

    name: str
    value: str
    url: str


def page(letter: Letter, settings: MailSettings) -> dict[str, Any]:
    """Return the variables of the templates."""
    email = EMAILS[letter.kind]
    texts, formats, sender = settings.texts[letter.locale], Formats(letter.locale), settings.sender(letter.channel_code)
    values = {
        "number": letter.order_number if email.to_customer else letter.own_number,
        "date": formats.date(letter.order_date),
        "total": formats.money(letter.sums.total, letter.currency),
        "amount": formats.money(letter.amount or 0, letter.currency),
        "channel": letter.channel,
        "name": one_line(letter.customer.name or ""),
    }
    prefix = email.text_prefix(letter)
    return {
        "letter": letter,
        "texts": texts,
        "sender": one_line(sender.mailbox.display_name or letter.channel),
        "accent": sender.accent,
        "on_accent": _readable_on(sender.accent),
        "footer": sender.footer,
        "subject": fill_in(texts[f"{prefix}_subject"], values),
        "heading": fill_in(texts[f"{prefix}_heading"], values),
        "reference": fill_in(texts["reference"], values),
        "greeting": fill_in(texts["greeting" if values["name"] else "greeting_nameless"], values),
        "paragraphs": [fill_in(texts[f"{prefix}_intro"], values), *email.paragraphs(letter, texts)],
        "rows": [_row(item, letter, texts, formats) for item in letter.items],
        "sums": _sums(letter, texts, formats),
        "payments": _payments(letter, texts, formats),
        "balance": _balance(letter, texts, formats),
        "addresses": _addresses(letter, texts),
        "parcels": _parcels(letter, texts),
        "downloads": [Link("", one_line(each.title), _web(each.url)) for each in letter.downloads],
        "facts": [Fact(texts[name], one_line(value)) for name, value in email.facts(letter, formats) if value],
        "note": letter.note or "",
    }


def _readable_on(colour: str) -> str:
    """Return black or white, whichever has more contrast to the colour (WCAG 2.2)."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return "#000000" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > _BRIGHT else "#ffffff"


def _row(item: Item, letter: Letter, texts: Texts, formats: Formats) -> Row:
    discount = {"amount": formats.money(item.discount, letter.currency)}
    return Row(
        quantity=formats.quantity(item.quantity),
        title=one_line(item.title),
        variant_title=one_line(item.variant_title or ""),
        sku=one_line(item.sku or ""),
        unit_price=formats.money(item.unit_price, letter.currency),
        discount=fill_in(texts["line_discount"], discount) if item.discount else "",
        total=formats.money(item.total, letter.currency),
    )


def _sums(letter: Letter, texts: Texts, formats: Formats) -> list[Fact]:
    """Return the sums from the items to the total. Leave out those that equal the total."""
    sums = letter.sums
    shown = []
    if sums.subtotal != sums.total:
        shown.append(("subtotal", sums.subtotal))
    if sums.shipping:
        shown.append(("shipping", sums.shipping))
    if sums.tax and not sums.taxes_included:
        shown.append(("tax", sums.tax))
    facts = [Fact(texts[name], formats.money(amount, letter.currency)) for name, amount in shown]
    if sums.discount:
        facts.insert(0, Fact(texts["discount"], f"−{formats.money(sums.discount, letter.currency)}"))
    facts.append(Fact(texts["total"], formats.money(sums.total, letter.currency), strong=True))
    if sums.tax and sums.taxes_included:
        facts.append(Fact(texts["tax_included"], formats.money(sums.tax, letter.currency)))
    return facts


def _payments(letter: Letter, texts: Texts, formats: Formats) -> list[Fact]:
    return [
        Fact(_gateway(each.gateway, texts), formats.money(each.amount, letter.currency)) for each in letter.payments
    ]


def _gateway(gateway: str, texts: Texts) -> str:
    known = gateway.lower()
    return texts[f"gateway_{known}"] if known in _GATEWAYS else one_line(gateway.replace("_", " "))


def _balance(letter: Letter, texts: Texts, formats: Formats) -> list[Fact]:
    paid, outstanding = letter.sums.paid, letter.sums.outstanding
    facts = [Fact(texts["paid"], formats.money(paid, letter.currency), strong=not outstanding)]
    if outstanding:
        facts.append(Fact(texts["outstanding"], formats.money(outstanding, letter.currency), strong=True))
    return facts


def _addresses(letter: Letter, texts: Texts) -> list[Block]:
    """Return the addresses. A billing address that equals the shipping address is left out."""
    shipping, billing = letter.shipping_address, letter.billing_address
    blocks = [("shipping_address", shipping)]
    if billing != shipping:
        blocks.append(("billing_address", billing))
    return [Block(texts[name], tuple(map(one_line, lines))) for name, lines in blocks if lines]


def _parcels(letter: Letter, texts: Texts) -> list[Link]:
    return [
        Link(one_line(each.carrier or texts["tracking_number"]), one_line(each.number), _web(each.url or ""))
        for each in letter.parcels
    ]


def _web(url: str) -> str:
    return url if url.startswith(("https://", "http://")) else ""
