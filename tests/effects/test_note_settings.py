"""The merchant's folder: what it says, and what is said of it where it is wrong."""

import struct
import zlib
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from api.settings import ROOT
from domain.delivery_notes.content import Letterhead
from domain.delivery_notes.numbers import NumberSeries
from domain.locales import LOCALES
from effects.delivery_notes.settings import load
from effects.merchant import texts

TEXTS = ROOT / "effects" / "delivery_notes" / "texts"
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"/>'


def png(width: int, height: int, rows: int | None = None) -> bytes:
    """A white picture, which may have fewer rows than it says."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    pixels = zlib.compress((b"\0" + b"\xff" * ((width + 7) // 8)) * (height if rows is None else rows), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_everything_has_a_default() -> None:
    merchant = load(None)
    assert merchant.series == NumberSeries("LS", 6, True)
    assert (merchant.time_zone, merchant.default_locale) == (ZoneInfo("Europe/Zurich"), "de-CH")
    assert merchant.letterhead("web") == Letterhead()
    assert merchant.prices("web") is False
    presentation = merchant.presentation("web")
    assert tuple(presentation.texts) == LOCALES
    assert (presentation.template, presentation.style, presentation.logo) == (None, None, None)


def test_an_empty_folder_changes_nothing(folder: Path) -> None:
    assert load(folder) == load(None)


def test_all_of_a_folder(folder: Path) -> None:
    (folder / "settings.toml").write_text(
        """
        time_zone = "Europe/Berlin"
        default_locale = "de-DE"
        prices = true
        window = "right"
        [numbers]
        prefix = "DN"
        width = 4
        yearly = false
        [sender]
        line = "Faden GmbH · Bonn"
        header = ["Faden GmbH"]
        footer = [["a", "b"], ["c"]]
        country_code = "DE"
        [channels.market]
        window = "left"
        prices = false
        logo = "market.png"
        [channels.market.sender]
        line = "Markt · Bonn"
        """,
        encoding="utf-8",
    )
    (folder / "logo.svg").write_text(SVG, encoding="utf-8")
    (folder / "market.png").write_bytes(png(10, 10))
    (folder / "template.html").write_text("<p>ß</p>", encoding="utf-8")
    (folder / "style.css").write_text("p { color: red }", encoding="utf-8")
    merchant = load(folder)
    assert merchant.series == NumberSeries("DN", 4, False)
    assert (merchant.time_zone, merchant.default_locale) == (ZoneInfo("Europe/Berlin"), "de-DE")
    footer = (("a", "b"), ("c",))
    assert merchant.letterhead("web") == Letterhead("Faden GmbH · Bonn", ("Faden GmbH",), footer, "DE", "right")
    assert merchant.letterhead("market") == Letterhead("Markt · Bonn", ("Faden GmbH",), footer, "DE", "left")
    assert (merchant.prices("web"), merchant.prices("market")) == (True, False)
    web, market = merchant.presentation("web"), merchant.presentation("market")
    assert (web.template, web.style) == (market.template, market.style) == ("<p>ß</p>", "p { color: red }")
    assert web.logo is not None
    assert web.logo.startswith("data:image/svg+xml;base64,")
    assert market.logo is not None
    assert market.logo.startswith("data:image/png;base64,")


def test_a_text_can_be_replaced_in_one_locale(folder: Path) -> None:
    (folder / "texts").mkdir()
    texts = 'title = "Begleitschein {number}, groß"\nclosing = ""\n'
    (folder / "texts" / "de-DE.toml").write_text(texts, encoding="utf-8")
    own, built_in = load(folder).presentation("web").texts, load(None).presentation("web").texts
    assert own["de-DE"] == {**built_in["de-DE"], "title": "Begleitschein {number}, groß", "closing": ""}
    assert own["de-CH"] == built_in["de-CH"]


@pytest.mark.parametrize(
    ("file", "content", "complaint"),
    [
        ("settings.toml", "prices = 'perhaps'", "prices: Input should be a valid boolean, unable to interpret input."),
        ("settings.toml", "colour = 'red'", "colour: Extra inputs are not permitted."),
        ("settings.toml", "prices", "Expected '=' after a key"),
        ("settings.toml", "time_zone = 'Europe/Atlantis'", "time_zone: this is not a time zone"),
        ("settings.toml", "time_zone = '../../etc/passwd'", "time_zone: this is not a time zone"),
        ("settings.toml", "default_locale = 'rm'", "default_locale: the locales are de-CH, de-DE"),
        ("settings.toml", "window = 'above'", "window: Input should be 'left' or 'right'."),
        ("settings.toml", "[numbers]\nprefix = 'L/S'", "numbers.prefix: String should match pattern"),
        ("settings.toml", "[numbers]\nwidth = 0", "numbers.width: Input should be greater than or equal to 1."),
        ("settings.toml", "[sender]\nfooter = [[],[],[],[],[]]", "sender.footer: Tuple should have at most 4 items"),
        ("settings.toml", "[channels.web]\nlogo = '../logo.svg'", "../logo.svg is not a file in"),
        ("settings.toml", "[channels.web]\nlogo = 'none.svg'", "none.svg is not a file in"),
        ("settings.toml", "[channels.web]\nnumbers = 1", "channels.web.numbers: Extra inputs are not permitted."),
        ("logo.svg", "<html/>", "a logo is an SVG or a PNG image"),
        ("logo.svg", "<svg", "a logo is an SVG or a PNG image"),
        ("logo.png", SVG, "a logo is an SVG or a PNG image"),
        ("logo.png", png(10, 10)[:-30], "a logo is an SVG or a PNG image"),
        ("logo.png", png(100_000, 100_000, rows=1), "a logo has at most 4 megapixels."),
        ("logo.png", png(3_000, 1_500), "a logo has at most 4 megapixels."),
        ("logo.svg", SVG + " " * 1_000_000, "a logo has at most 1 MB."),
        ("texts/de-AT.toml", "", "the locales are de-CH, de-DE, fr-CH, it-CH, en."),
        ("texts/en.toml", "titel = 'x'", "there is no text titel."),
        ("texts/en.toml", "title = 1", "title is not a text."),
        ("texts/en.toml", "title = 'Note'", "the placeholders of title must be {number}."),
        ("texts/en.toml", "title = '{number} {order}'", "the placeholders of title must be {number}."),
        ("texts/en.toml", "title = '{number.__class__}'", "title has a brace that is not part of a placeholder"),
        ("texts/en.toml", "title = '{number!r:>9}'", "title has a brace that is not part of a placeholder"),
        ("texts/en.toml", "title = '{number'", "title has a brace that is not part of a placeholder"),
        ("texts/en.toml", "closing = '{number}'", "the placeholders of closing must be none."),
        ("texts/en.toml", b"closing = '\xff'", "'utf-8' codec can't decode byte 0xff"),
        ("template.html", b"\xff", "'utf-8' codec can't decode byte 0xff"),
    ],
)
def test_what_is_wrong_is_said_with_the_file(folder: Path, file: str, content: str | bytes, complaint: str) -> None:
    path = folder / file
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ValueError, match=r"^/\S+: ") as raised:
        load(folder)
    assert str(raised.value).startswith(f"{path}: ")
    assert complaint in str(raised.value)


def test_a_folder_must_be_one(folder: Path) -> None:
    with pytest.raises(ValueError, match="is not a folder"):
        load(folder / "none")


def test_all_locales_have_the_same_texts() -> None:
    built_in = texts.built_in(TEXTS)
    english = {key: sorted(name for _, name in texts.parts(text) if name) for key, text in built_in["en"].items()}
    for locale in LOCALES:
        own = {key: sorted(name for _, name in texts.parts(text) if name) for key, text in built_in[locale].items()}
        assert own == english, locale


def test_switzerland_has_no_sharp_s() -> None:
    built_in = texts.built_in(TEXTS)
    assert "freundliche Grüße" in built_in["de-DE"]["closing"]
    assert "freundliche Grüsse" in built_in["de-CH"]["closing"]
    assert not any("ß" in text for text in built_in["de-CH"].values())


def test_the_sample_shop() -> None:
    merchant = load(ROOT / "api" / "commands" / "demo_shop")
    assert merchant.letterhead("web").header[0] == "Alpenfaden AG"
    assert merchant.presentation("web").logo is not None
