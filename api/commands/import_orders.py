"""Orders from another system's files: `scripts/import-orders`."""

import asyncio
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from api.commands.database import describe
from api.commands.environment import read_settings
from domain.errors import InvalidInput
from domain.imports.format import Format
from domain.imports.formats import FORMATS, find_format
from domain.imports.running import Result, import_orders
from models.engine.database import config, connected, migrate
from models.engine.errors import DatabaseUnavailable, WrongVersion

_FORMATS = "; ".join(f"{each.name}: {each.description}" for each in FORMATS.values())
_FIRST_FORMAT = next(iter(FORMATS))


def command(
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="The file, which has that format. - reads stdin."),
    ],
    channel: Annotated[
        str,
        typer.Option(
            metavar="CODE", help="The sales channel of the orders. It is opened if there is none of this code."
        ),
    ],
    format: Annotated[
        str, typer.Option(metavar="|".join(FORMATS), help=f"Whose orders they are. {_FORMATS}.")
    ] = _FIRST_FORMAT,
    with_effects: Annotated[
        bool,
        typer.Option(
            "--with-effects",
            help="Send e-mail and let automations and fulfillment services act on these orders, as if they were new.",
        ),
    ] = False,
    database_url: Annotated[
        str | None,
        typer.Option(
            help="sqlite://PATH or postgres://USER:PASSWORD@HOST/NAME, instead of DATABASE_URL.", show_default=False
        ),
    ] = None,
) -> None:
    """Import orders with all that has happened to them: payments, refunds, shipments with tracking, cancellations.

    An import has no effects unless --with-effects is given: no e-mail is sent, no automation acts, and no fulfillment
    service is asked. Subscribers see its events. What staff do with an imported order later has effects as usual.

    A second run imports nothing twice. Each order is imported whole or not at all; one that cannot be is reported
    with its place in the file, and the others are imported all the same. Bad orders and warnings go to stderr, the
    sums to stdout.

    Exit code: 0 if all orders are in, 1 if some failed, 2 if nothing could be imported at all.
    """
    try:
        chosen = find_format(format)
    except ValueError as error:
        _stop(f"--format: {error}")
    try:
        entries = chosen.read_entries(_content(file))
    except (OSError, ValueError) as error:
        _stop(f"{file}: {error}")
    try:
        url = database_url or read_settings().database_url
        config(url)
    except ValueError as error:
        _stop(str(error))
    try:
        counts = asyncio.run(_run(url, chosen, channel, entries, with_effects))
    except InvalidInput as refusal:
        _stop(f"--channel {channel}: {refusal.message}")
    except (DatabaseUnavailable, WrongVersion) as error:
        _stop(describe(error))
    typer.echo(", ".join(f"{counts[result]} {result}" for result in Result))
    raise typer.Exit(1 if counts[Result.FAILED] else 0)


def _content(file: str) -> bytes:
    return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()


def _stop(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(2)


async def _run(
    url: str, format: Format, channel: str, entries: list[tuple[str, Any]], with_effects: bool
) -> Counter[Result]:
    await migrate(url)
    names = {path: format.describe(entry) for path, entry in entries}
    counts: Counter[Result] = Counter()
    async with connected(url):
        async for report in import_orders(channel, entries, format.read_order, with_effects=with_effects):
            counts[report.result] += 1
            kind = "failed" if report.result is Result.FAILED else "warning"
            for message in report.messages:
                typer.echo(f"{' '.join(filter(None, (report.path, names[report.path])))}: {kind}: {message}", err=True)
    return counts


app = typer.Typer(add_completion=False, rich_markup_mode=None)
app.command()(command)

if __name__ == "__main__":
    app(prog_name="scripts/import-orders")
