"""Made-up letters that show what each e-mail looks like."""

from datetime import date
from typing import Final

from effects.mail.emails import EMAILS
from effects.mail.letter import Item, Letter, Person, Sums
from models.enums import EmailKind

CHANNEL: Final = "web"


def samples(locale: str = "de-CH", channel: str = CHANNEL) -> dict[str, Letter]:
    """Return the samples of all e-mails, by the names of their files."""
    order = _order(locale, channel)
    return {name: letter for email in EMAILS.values() for name, letter in email.samples(order).items()}


def _order(locale: str, channel: str) -> Letter:
    return Letter(
        kind=EmailKind.ORDER_CONFIRMATION,
        locale=locale,
        date=date(2026, 11, 24),
        order_number="W-2026-7781",
        own_number="1042",
        order_date=date(2026, 11, 21),
        channel="Webshop",
        channel_code=channel,
        customer=Person("Ladina Großenbacher", "ladina@example.com", "+41 81 555 01 23"),
        currency="CHF",
        sums=Sums(
            discount=1000,
            subtotal=33980,
            shipping=900,
            tax=2614,
            taxes_included=True,
            total=34880,
            paid=34880,
            outstanding=0,
        ),
        items=(
            Item("Merinosocken «Säntis»", "Gr. 39–42, anthrazit", "SOCKE-SAENTIS-40", 4, 2900, 580, 11020),
            Item("Wollmütze «Piz Palü»", "Einheitsgrösse, naturweiss", "MUETZE-PALUE-01", 1, 4900, 0, 4900),
            Item("Leinentuch, handgewebt", "140 × 200 cm", "TUCH-LEINEN-140", 1, 18900, 0, 18900),
            Item("Strickmuster als PDF", None, None, 1, 160, 0, 160),
        ),
        shipping_address=("Ladina Großenbacher", "Atelier Flurina GmbH", "Via Maistra 7", "7500 St. Moritz"),
        billing_address=("Atelier Flurina GmbH", "Buchhaltung", "Postfach 12", "7500 St. Moritz"),
    )
