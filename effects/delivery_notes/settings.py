"""The merchant's folder for delivery notes: the sender, the numbers, the look and the texts.

It may contain `settings.toml`, `logo.svg` or `logo.png`, `texts/LOCALE.toml` with texts that replace the built-in ones,
`template.html` and `style.css`. Everything else is built in.
"""

import base64
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

from pydantic import Field

from domain.delivery_notes.content import Letterhead
from domain.delivery_notes.numbers import NumberSeries
from effects.delivery_notes.presentation import Presentation
from effects.merchant.folder import (
    CountryCode,
    Line,
    LocaleName,
    Strict,
    TimeZone,
    read_settings,
    read_source,
    read_texts,
    require_folder,
)
from effects.merchant.texts import built_in

LARGEST_LOGO: Final = 1_000_000  # bytes
MOST_PIXELS: Final = 4_000_000
_TEXTS: Final = Path(__file__).with_name("texts")
_PNG: Final = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"  # followed by width and height

Window = Literal["left", "right"]


class _Numbers(Strict):
    prefix: str = Field(default="LS", pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,9}$")
    width: int = Field(default=6, ge=1, le=12)
    yearly: bool = True


class _Sender(Strict):
    line: Line | None = None
    header: tuple[Line, ...] = Field(default=(), max_length=6)
    footer: tuple[Annotated[tuple[Line, ...], Field(max_length=6)], ...] = Field(default=(), max_length=4)
    country_code: CountryCode = "CH"


class _Channel(Strict):
    """The settings in which one channel differs."""

    sender: _Sender = _Sender()
    window: Window | None = None
    prices: bool | None = None
    logo: str | None = None


class _Settings(Strict):
    time_zone: TimeZone = ZoneInfo("Europe/Zurich")
    default_locale: LocaleName = "de-CH"
    prices: bool = False
    window: Window = "left"
    numbers: _Numbers = _Numbers()
    sender: _Sender = _Sender()
    channels: Mapping[str, _Channel] = {}


@dataclass(frozen=True, slots=True)
class _Shop:
    letterhead: Letterhead
    prices: bool
    presentation: Presentation


@dataclass(frozen=True, slots=True)
class Merchant:
    """The issuer of delivery notes. Channels are given by their codes; most share the same settings."""

    series: NumberSeries
    time_zone: ZoneInfo
    default_locale: str
    _rest: _Shop
    _channels: Mapping[str, _Shop]

    def letterhead(self, channel: str) -> Letterhead:
        return self._shop(channel).letterhead

    def prices(self, channel: str) -> bool:
        return self._shop(channel).prices

    def presentation(self, channel: str) -> Presentation:
        return self._shop(channel).presentation

    def _shop(self, channel: str) -> _Shop:
        return self._channels.get(channel, self._rest)


def load(folder: Path | None) -> Merchant:
    """Read the settings of this folder, the built-in ones for None. The folder is not read again later.

    Raise ValueError, one sentence that names the file and what is wrong in it.
    """
    require_folder(folder)
    settings = read_settings(folder, _Settings)
    presentation = _presentation(folder)
    return Merchant(
        series=NumberSeries(**settings.numbers.model_dump()),
        time_zone=settings.time_zone,
        default_locale=settings.default_locale,
        _rest=_shop(folder, settings, _Channel(), presentation),
        _channels={code: _shop(folder, settings, channel, presentation) for code, channel in settings.channels.items()},
    )


def _shop(folder: Path | None, settings: _Settings, channel: _Channel, presentation: Presentation) -> _Shop:
    sender = settings.sender.model_copy(update=_given(channel.sender))
    letterhead = Letterhead(
        sender=sender.line,
        header=sender.header,
        footer=sender.footer,
        country_code=sender.country_code,
        window=channel.window or settings.window,
    )
    prices = settings.prices if channel.prices is None else channel.prices
    return _Shop(letterhead, prices, _with_logo(folder, channel.logo, presentation))


def _given(sender: _Sender) -> dict[str, Any]:
    return {name: getattr(sender, name) for name in sender.model_fields_set}


def _presentation(folder: Path | None) -> Presentation:
    texts = read_texts(folder, built_in(_TEXTS))
    if folder is None:
        return Presentation(texts)
    return Presentation(
        texts=texts,
        template=read_source(folder / "template.html"),
        style=read_source(folder / "style.css"),
        logo=next((_logo(path) for path in (folder / "logo.svg", folder / "logo.png") if path.exists()), None),
    )


def _with_logo(folder: Path | None, name: str | None, presentation: Presentation) -> Presentation:
    if folder is None or name is None:
        return presentation
    path = folder / name
    if Path(name).name != name or not path.is_file():
        raise ValueError(f"{folder / 'settings.toml'}: {name} is not a file in {folder}.")
    return Presentation(presentation.texts, presentation.template, presentation.style, _logo(path))


def _logo(path: Path) -> str:
    """Return the image as a `data:` URL. Raise ValueError if it is too large, or neither an SVG nor a PNG."""
    if path.stat().st_size > LARGEST_LOGO:
        raise ValueError(f"{path}: a logo has at most {LARGEST_LOGO // 1_000_000} MB.")
    content = path.read_bytes()
    if path.suffix == ".svg" and _is_svg(content):
        kind = "image/svg+xml"
    elif path.suffix == ".png" and _is_png(content, path):
        kind = "image/png"
    else:
        raise ValueError(f"{path}: a logo is an SVG or a PNG image, and its name ends with .svg or .png.")
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _is_svg(content: bytes) -> bool:
    try:
        return ElementTree.fromstring(content).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 - the merchant's own
    except ElementTree.ParseError:
        return False


def _is_png(content: bytes, path: Path) -> bool:
    from PIL import Image  # slow to import, and only needed for a PNG

    if not content.startswith(_PNG) or len(content) < 24:
        return False
    width, height = struct.unpack(">II", content[16:24])
    if width * height > MOST_PIXELS:
        raise ValueError(f"{path}: a logo has at most {MOST_PIXELS // 1_000_000} megapixels.")
    try:
        with Image.open(BytesIO(content), formats=["PNG"]) as image:
            image.verify()
    except (OSError, SyntaxError, ValueError):  # what Pillow raises for a broken file
        return False
    return True
