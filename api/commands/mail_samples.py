"""Sample e-mails: what the merchant's settings make of them, before a customer sees one."""

from pathlib import Path
from typing import Annotated

import typer

from domain.locales import LOCALES
from effects.mail.contents import write_contents
from effects.mail.samples import CHANNEL, samples
from effects.mail.settings import load
from effects.merchant.templates import TemplateFault

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
