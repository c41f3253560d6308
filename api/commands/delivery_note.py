"""A sample delivery note: what the merchant's settings make of it, before a customer sees it."""

import asyncio
from datetime import date
from pathlib import Path
from typing import Annotated, Final

import typer

from api.commands.environment import read_settings
from domain.delivery_notes.content import NoteContent, Parcel, Position
from domain.errors import DomainError
from domain.locales import LOCALES
from effects.delivery_notes.renderer import Renderer
from effects.delivery_notes.settings import Merchant, load

CHANNEL: Final = "web"

_ARTICLES: Final = (
    ("Merinosocken «Säntis»", "Gr. 39–42, anthrazit", "SOCKE-SAENTIS-40", 95, 2900),
    ("Wollmütze «Piz Palü»", "Einheitsgrösse, naturweiss", "MUETZE-PALUE-01", 120, 4900),
    ("Leinentuch, handgewebt", "140 × 200 cm", "TUCH-LEINEN-140", 680, 18900),
    ("Strickgarn Alpaka, 10 Knäuel zu 50 g", "Farbe 207 Arvengrün", "GARN-ALPAKA-207", 525, 8450),
    ("Geschenkgutschein", None, "GUTSCHEIN-50", None, 5000),
    ("Holzknöpfe aus Zwetschgenholz, 12 Stück", "18 mm", "KNOPF-HOLZ-18", 35, 1280),
)


def sample(merchant: Merchant, *, locale: str = "de-CH", positions: int = 3, channel: str = CHANNEL) -> NoteContent:
    """Return a made-up note of this merchant, with so many positions. The last of several is still to come."""
    letterhead, prices = merchant.letterhead(channel), merchant.prices(channel)
    return NoteContent(
        number=f"{merchant.series.name(2026)}-{42:0{merchant.series.width}}",
        date=date(2026, 11, 24),
        locale=locale,
        replaces=None,
        order_number="1042",
        order_date=date(2026, 11, 21),
        external_reference="W-2026-7781",
        channel="Webshop",
        channel_code=channel,
        customer="Ladina Großenbacher",
        recipient=("Ladina Großenbacher", "Atelier Flurina GmbH", "Via Maistra 7", "7500 St. Moritz"),
        recipient_country="CH",
        currency="CHF",
        prices=prices,
        positions=tuple(_position(index, index > 0 and index == positions - 1) for index in range(positions)),
        parcels=(
            Parcel(
                number="99.00.123456.12345678",
                carrier="Die Schweizerische Post",
                url="https://service.post.ch/ekp-web/ui/entry/search/990012345612345678",
            ),
        ),
        letterhead=letterhead,
    )


def _position(index: int, to_follow: bool) -> Position:
    title, variant_title, sku, weight_grams, price = _ARTICLES[index % len(_ARTICLES)]
    ordered = 1 + index * 7 % 5
    delivered = 0 if to_follow else ordered
    return Position(
        sku=sku,
        title=title,
        variant_title=variant_title,
        requires_shipping=weight_grams is not None,
        ordered=ordered,
        delivered=delivered,
        remaining=ordered - delivered,
        weight_grams=weight_grams,
        unit_price=price,
        total=price * delivered,
    )


app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def main(
    file: Annotated[Path, typer.Argument(help="The PDF file to write.")],
    folder: Annotated[
        Path | None, typer.Option(help="The merchant's folder. By default DELIVERY_NOTES_FOLDER.", show_default=False)
    ] = None,
    locale: Annotated[str | None, typer.Option(help=f"The language: {', '.join(LOCALES)}.", show_default=False)] = None,
    positions: Annotated[int, typer.Option(min=1, max=1000, help="How many positions it has.")] = 3,
    channel: Annotated[str, typer.Option(help="The code of the channel whose settings it shows.")] = CHANNEL,
) -> None:
    """Write a sample delivery note, as the merchant's settings, texts and template make it."""
    try:
        merchant = load(folder or read_settings().delivery_notes_folder)
        locale = locale or merchant.default_locale
        if locale not in LOCALES:
            raise ValueError(f"A delivery note is written in {', '.join(LOCALES)}.")
        content = asyncio.run(_render(merchant, locale, positions, channel))
        file.write_bytes(content)
    except (DomainError, ValueError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    typer.echo(file)


async def _render(merchant: Merchant, locale: str, positions: int, channel: str) -> bytes:
    renderer = Renderer(processes=1)
    try:
        document = sample(merchant, locale=locale, positions=positions, channel=channel)
        return await renderer.render(document, merchant.presentation(channel))
    finally:
        await renderer.close()


if __name__ == "__main__":
    app(prog_name="scripts/delivery-note")
