"""What the merchant's folders have in common: a `settings.toml`, and files that replace built-in ones."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypeVar
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StringConstraints, ValidationError

from domain.locales import LOCALES
from effects.merchant import texts
from effects.merchant.texts import Texts


class Strict(BaseModel):
    """Settings that cannot change. Unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _time_zone(name: object) -> object:
    try:
        return ZoneInfo(name) if isinstance(name, str) else name
    except (KeyError, ValueError, OSError):
        raise ValueError("this is not a time zone, such as Europe/Zurich") from None


def _locale(locale: str) -> str:
    if locale not in LOCALES:
        raise ValueError(f"the locales are {', '.join(LOCALES)}")
    return locale


TimeZone = Annotated[ZoneInfo, BeforeValidator(_time_zone)]
LocaleName = Annotated[str, AfterValidator(_locale)]
CountryCode = Annotated[str, StringConstraints(pattern="^[A-Z]{2}$")]  # ISO 3166-1
Line = Annotated[str, StringConstraints(max_length=200)]

S = TypeVar("S", bound=Strict)


def require_folder(folder: Path | None) -> None:
    """Raise ValueError if the path is not a folder."""
    if folder is not None and not folder.is_dir():
        raise ValueError(f"{folder} is not a folder.")


def read_settings(folder: Path | None, kind: type[S]) -> S:
    """Read the folder's `settings.toml`. Return the defaults if there is none.

    Raise ValueError, one sentence that names the file and the field.
    """
    path = folder and folder / "settings.toml"
    if path is None or not path.exists():
        return kind()
    try:
        return kind.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path}: {error}") from error
    except ValidationError as error:
        raise ValueError(f"{path}: {_first(error)}") from error


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg'].removeprefix('Value error, ')}."


def read_texts(folder: Path | None, built_in: Mapping[str, Texts]) -> dict[str, Texts]:
    """Return the texts of each locale. Those of the folder's `texts/LOCALE.toml` replace the built-in ones.

    Raise ValueError as `texts.overlay` does, and for a file of an unknown locale.
    """
    files = [] if folder is None else sorted((folder / "texts").glob("*.toml"))
    merged = dict(built_in)
    for path in files:
        if path.stem not in merged:
            raise ValueError(f"{path}: the locales are {', '.join(LOCALES)}.")
        merged[path.stem] = texts.overlay(merged[path.stem], path)
    return merged


def read_source(path: Path) -> str | None:
    """Return the text of a file, None if it does not exist. Raise ValueError, which names it, if it is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8") if path.exists() else None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: {error}") from error
