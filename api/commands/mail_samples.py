"""Sample e-mails: what the merchant's settings make of them, before a customer sees one."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Annotated, Final

import typer

from domain.locales import LOCALES
from effects.mail.contents import write_contents
from effects.mail.letter import Download, Item, Letter, Parcel, Payment, Person, Sums
from effects.mail.settings import load
from effects.merchant.templates import TemplateFault
from models.enums import CancelReason, EmailKind

CHANNEL: Final = "web"

_ADDRESS: Final = ("Ladina Großenbacher", "Atelier Flurina GmbH", "Via Maistra 7", "7500 St. Moritz")
_SUMS: Final = Sums(
    discount=1000,
    subtotal=33980,
    shipping=900,
    tax=2614,
    taxes_included=True,
    total=34880,
    paid=34880,
    outstanding=0,
)

_ORDER: Final = Letter(
    kind=EmailKind.ORDER_CONFIRMATION,
    locale="de-CH",
    date=date(2026, 11, 24),
    order_number="W-2026-7781",
    own_number="1042",
    order_date=date(2026, 11, 21),
    channel="Webshop",
    channel_code=CHANNEL,
    customer=Person("Ladina Großenbacher", "ladina@example.com", "+41 81 555 01 23"),
    currency="CHF",
    sums=_SUMS,
    items=(
        Item("Merinosocken «Säntis»", "Gr. 39–42, anthrazit", "SOCKE-SAENTIS-40", 4, 2900, 580, 11020),
        Item("Wollmütze «Piz Palü»", "Einheitsgrösse, naturweiss", "MUETZE-PALUE-01", 1, 4900, 0, 4900),
        Item("Leinentuch, handgewebt", "140 × 200 cm", "TUCH-LEINEN-140", 1, 18900, 0, 18900),
        Item("Strickmuster als PDF", None, None, 1, 160, 0, 160),
    ),
    shipping_address=_ADDRESS,
    billing_address=("Atelier Flurina GmbH", "Buchhaltung", "Postfach 12", "7500 St. Moritz"),
)

_PARCEL: Final = Parcel(
    "99.00.123456.12345678",
    "Die Schweizerische Post",
    "https://service.post.ch/ekp-web/ui/entry/search/990012345612345678",
)


def samples(locale: str = "de-CH", channel: str = CHANNEL) -> dict[str, Letter]:
    """Made-up letters of each kind, by the names of their files."""
    order = replace(_ORDER, locale=locale, channel_code=channel)
    return {
        "order_confirmation": order,
        "pos_receipt": replace(
            order,
            kind=EmailKind.POS_RECEIPT,
            channel="Ladengeschäft",
            order_number="1042",
            sums=replace(_SUMS, paid=30000, outstanding=4880),
            payments=(Payment("cash", 10000), Payment("card", 20000)),
        ),
        "shipping_confirmation": replace(
            order, kind=EmailKind.SHIPPING_CONFIRMATION, items=order.items[:3], parcels=(_PARCEL,)
        ),
        "shipped_in_parts": replace(
            order,
            kind=EmailKind.SHIPPING_CONFIRMATION,
            items=order.items[:1],
            parcels=(_PARCEL, Parcel("1Z999AA10123456784", "UPS", None)),
            in_parts=True,
        ),
        "downloads": replace(
            order,
            kind=EmailKind.DOWNLOADS,
            downloads=(Download("Strickmuster als PDF", "https://shop.example/downloads/4f1c?expires=1&signature=2"),),
        ),
        "cancellation": replace(
            order,
            kind=EmailKind.CANCELLATION,
            sums=replace(_SUMS, paid=0),
            reason=CancelReason.INVENTORY,
        ),
        "refund": replace(order, kind=EmailKind.REFUND, amount=4900),
        "fulfillment_request": replace(
            order, kind=EmailKind.FULFILLMENT_REQUEST, request="RnVsZmlsbG1lbnQ6MDFhMjBkNjYtOWM2OS03N2Vl"
        ),
        "new_order": replace(
            order, kind=EmailKind.NEW_ORDER, note="Bitte als Geschenk verpacken.\nDie Rechnung bitte nicht beilegen."
        ),
    }


app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def main(
    target: Annotated[Path, typer.Argument(help="The folder to write the samples to, as HTML and as text.")],
    folder: Annotated[Path | None, typer.Option(help="The merchant's folder.", show_default=False)] = None,
    locale: Annotated[str | None, typer.Option(help=f"The language: {', '.join(LOCALES)}.", show_default=False)] = None,
    channel: Annotated[str, typer.Option(help="The code of the channel whose settings they show.")] = CHANNEL,
) -> None:
    """Write a sample of each e-mail, as the merchant's settings, texts and templates make it."""
    try:
        settings = load(folder)
        locale = locale or settings.default_locale
        if locale not in LOCALES:
            raise ValueError(f"E-mails are written in {', '.join(LOCALES)}.")
        target.mkdir(parents=True, exist_ok=True)
        for name, letter in samples(locale, channel).items():
            contents = write_contents(letter, settings)
            (target / f"{name}.html").write_text(contents.html, encoding="utf-8")
            (target / f"{name}.txt").write_text(f"{contents.subject}\n\n{contents.text}", encoding="utf-8")
    except (TemplateFault, ValueError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    typer.echo(target)


if __name__ == "__main__":
    app(prog_name="scripts/mail-samples")
