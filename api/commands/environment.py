"""The settings of a command, and what about the environment they come from looks like a mistake."""

import os
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from typing import Final

import typer
from pydantic import ValidationError

from api.settings import Settings

# How much of two names is the same, from 0 to 1, if one is taken for a misspelling of the other. METRIC and METRICS are
# at 0.92, MAIL_URI and MAIL_URL at 0.88, STRIPE_KEY and STRIPE_API_KEY at 0.83.
_ALIKE: Final = 0.85
_ALIKE_IN_A_FAMILY: Final = 0.75  # if both begin with the same word, which other software hardly uses
_OTHERS_FAMILIES: Final = ("DATABASE", "LOG", "MAX", "PUBLIC", "RENDER")  # render.com sets RENDER_SERVICE_ID, say
_OUR_PREFIX: Final = "ORDERSTREAM_"

_KNOWN: Final = {name.upper() for name in Settings.model_fields} | {"FORWARDED_ALLOW_IPS"}


def read_settings() -> Settings:
    """Read the settings from the environment. Warn of names that look misspelt.

    Exit with a line for each value that is wrong.
    """
    for name, meant in find_misspelt(os.environ):
        typer.echo(f"{name} is not a setting and is ignored: is {meant} meant?", err=True)
    try:
        return Settings()
    except ValidationError as error:
        for each in error.errors():
            message = each["msg"].removeprefix("Value error, ")
            typer.echo(f"{'_'.join(map(str, each['loc'])).upper()}: {message}", err=True)
        raise typer.Exit(2) from error


def find_misspelt(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each variable that is no setting, but is spelt much like one, with the setting that may be meant."""
    for name in environment:
        if name.upper() not in _KNOWN and (meant := _meaning(name.upper().removeprefix(_OUR_PREFIX))):
            yield name, meant


def _meaning(name: str) -> str | None:
    if name in _KNOWN:
        return name
    alike = {_likeness(name, each): each for each in sorted(_KNOWN) if _may_be(name, each)}
    return alike[max(alike)] if alike else None


def _may_be(name: str, setting: str) -> bool:
    if not name or name.startswith(f"{setting}_"):  # DATABASE_URL_OF_THE_TESTS is meant as it is spelt
        return False
    family, _, rest = name.partition("_")
    is_family = bool(rest) and setting.startswith(f"{family}_") and family not in _OTHERS_FAMILIES
    return name[0] == setting[0] and _likeness(name, setting) >= (_ALIKE_IN_A_FAMILY if is_family else _ALIKE)


def _likeness(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other, autojunk=False).ratio()
