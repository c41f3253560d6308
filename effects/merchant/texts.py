"""Texts in each of the locales, and a merchant's own that replace them."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Final

from domain.locales import LOCALES

_PLACEHOLDER: Final = re.compile(r"\{([a-z_]+)\}")

Texts = Mapping[str, str]


@cache
def built_in(folder: Path, *files: Path) -> dict[str, Texts]:
    """Return the texts of each of `LOCALES`.

    The folder has a file for each language. Each of the other files has a table for each language.
    """
    tables = [tomllib.loads(path.read_text(encoding="utf-8")) for path in files]
    return {locale: _texts_of(locale, folder, tables) for locale in LOCALES}


def _texts_of(locale: str, folder: Path, tables: Iterable[Mapping[str, Texts]]) -> Texts:
    language = locale.partition("-")[0]
    texts = dict(read(folder / f"{language}.toml"))
    for table in tables:
        texts |= table[language]
    return to_swiss(texts) if locale == "de-CH" else texts


def to_swiss(texts: Texts) -> Texts:
    """Return German texts in Swiss spelling, which has no ß. Not for names, which keep it."""
    return {key: text.replace("ß", "ss") for key, text in texts.items()}


def overlay(texts: Texts, path: Path) -> Texts:
    """Return the texts, with those of the file in their place.

    Raise ValueError, which names the file and the key, for an unknown text and for one whose placeholders differ from
    those of the text that it replaces.
    """
    own = read(path)
    for key, text in own.items():
        if key not in texts:
            raise ValueError(f"{path}: there is no text {key}.")
        wanted, given = _placeholders(texts[key], path, key), _placeholders(text, path, key)
        if given != wanted:
            names = ", ".join(f"{{{name}}}" for name in sorted(wanted)) or "none"
            raise ValueError(f"{path}: the placeholders of {key} must be {names}.")
    return {**texts, **own}


def read(path: Path) -> Texts:
    """Read the texts of a TOML file. Raise ValueError, which names the file."""
    try:
        texts = tomllib.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path}: {error}") from error
    for key, text in texts.items():
        if not isinstance(text, str):
            raise ValueError(f"{path}: {key} is not a text.")
    return texts


def fill_in(text: str, values: Mapping[str, str]) -> str:
    """Return the text with values in place of its placeholders. Raise KeyError for a placeholder without a value."""
    return _PLACEHOLDER.sub(lambda match: values[match[1]], text)


def parts(text: str) -> list[tuple[str, str | None]]:
    """Split the text into words and the placeholder that follows them, None at the end."""
    pieces = _PLACEHOLDER.split(text)
    return list(zip_longest(pieces[::2], pieces[1::2]))


def _placeholders(text: str, path: Path, key: str) -> set[str]:
    if set("{}") & set(_PLACEHOLDER.sub("", text)):
        raise ValueError(f"{path}: {key} has a brace that is not part of a placeholder, such as {{number}}.")
    return set(_PLACEHOLDER.findall(text))
