"""What stands on a delivery note, and where: read back from the file."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest

from domain.delivery_notes.content import NoteContent
from effects.delivery_notes.page import direction
from effects.delivery_notes.presentation import Presentation
from effects.merchant.formats import Formats
from tests.effects.notes import LONG_WORD, NOTES, PRESENTATION
from tests.effects.paper import Box, Paper

pytestmark = pytest.mark.usefixtures("needs_pango")

Open = Callable[[str], Paper]

# DIN 5008, form B: the address field, with the zone for the sender's line above that for the address.
FIELD = Box(20, 45, 105, 90)
SENDER, ADDRESS = Box(20, 45, 105, 62.7), Box(20, 62.7, 105, 90)
INFORMATION = Box(125, 50, 200, 98.5)
RIGHT_ADDRESS = Box(118, 50, 198, 78)
FOOT = Box(20, 265, 200, 297)


def letters(text: str) -> str:
    """Without what a reader makes of the ends of lines."""
    return "".join(character for character in text if character.isalnum())


def inside(box: Box, field: Box) -> bool:
    return box.left >= field.left and box.top >= field.top and box.right <= field.right and box.bottom <= field.bottom


def test_a_window_on_the_left(paper: Open) -> None:
    short = paper("short")
    assert short.within(SENDER) == ["Alpenfaden AG · Langstrasse 12 · 8004 Zürich"]
    assert short.within(ADDRESS) == ["Ladina Großenbacher", "Atelier Flurina GmbH", "Via Maistra 7", "7500 St. Moritz"]
    assert short.place("Ladina").left == pytest.approx(25, abs=0.5)
    assert short.within(INFORMATION) == [
        "Lieferschein LS-2026-000042",
        "Datum 24. November 2026",
        "Bestellung 1042",
        "Bestelldatum 21. November 2026",
        "Referenz W-2026-7781",
        "Verkaufskanal Webshop",
        "Versand durch Die Schweizerische Post",
        "Sendungsnummer 99.00.123456.12345678",
    ]
    assert short.place("Datum").left == pytest.approx(125, abs=0.5)
    assert short.within(Box(0, 90, 210, 98.5)) == []


def test_a_window_on_the_right(paper: Open) -> None:
    right = paper("right")
    assert letters("".join(right.within(RIGHT_ADDRESS))) == letters("".join(NOTES["right"].recipient))
    assert right.within(Box(110, 44, 210, 50)) == ["Alpenfaden AG · Langstrasse 12 · 8004 Zürich"]
    assert right.place("Wolfgang").left == pytest.approx(118, abs=0.5)
    assert right.place("Datum").left == pytest.approx(25, abs=0.5)
    assert right.within(Box(105, 78, 210, 98.5)) == []


def test_a_long_address_stays_in_its_field(paper: Open) -> None:
    crowded = paper("crowded")
    assert letters("".join(crowded.within(ADDRESS))) == letters("".join(NOTES["crowded"].recipient))
    assert inside(crowded.place("Wolfgang"), FIELD)
    assert inside(crowded.place("AM ENDE DER"), FIELD)


def test_an_address_is_as_large_as_it_can_be(paper: Open) -> None:
    short, crowded = paper("short").place("Ladina"), paper("crowded").place("Wolfgang")
    assert short.bottom - short.top > 1.4 * (crowded.bottom - crowded.top)


@pytest.mark.parametrize(
    ("name", "title", "heading", "page", "day", "weight"),
    [
        ("de-CH", "Lieferschein", "Bezeichnung", "Seite 1 von 1", "24. November 2026", "0.095 kg"),
        ("de-DE", "Lieferschein", "Bezeichnung", "Seite 1 von 1", "24. November 2026", "0,095 kg"),
        ("fr-CH", "Bulletin de livraison", "Désignation", "Page 1 sur 1", "24 novembre 2026", "0,095 kg"),
        ("it-CH", "Bollettino di consegna", "Descrizione", "Pagina 1 di 1", "24 novembre 2026", "0.095 kg"),
        ("en", "Delivery note", "Description", "Page 1 of 1", "24 November 2026", "0.095 kg"),
    ],
)
def test_languages(paper: Open, name: str, title: str, heading: str, page: str, day: str, weight: str) -> None:
    text = paper(name).text().replace("\xa0", " ").replace("\u202f", " ")
    assert f"{title} LS-2026-000042" in text
    assert heading in text
    assert page in text
    assert day in text
    assert weight in text
    assert "Ladina Großenbacher" in text


def test_a_name_keeps_its_sharp_s(paper: Open) -> None:
    swiss, german = paper("de-CH").text(), paper("de-DE").text()
    assert "freundliche Grüsse" in swiss
    assert "freundliche Grüße" in german
    assert "Großenbacher" in swiss


def test_a_long_note(paper: Open) -> None:
    long = paper("long")
    assert len(long) == 3
    numbers: list[int] = []
    for page in range(len(long)):
        text = long.text(page)
        assert f"Seite {page + 1} von 3" in text
        assert long.within(FOOT, page)[1:] != []
        head = "Lieferschein LS-2026-000042 · Bestellung 1042 · 24. November 2026"
        assert (long.within(Box(20, 5, 200, 20), page) == [head]) == (page > 0)
        assert "Bezeichnung" in text
        column = [int(line) for line in long.within(Box(24, 120 if page == 0 else 34, 30, 262), page) if line.isdigit()]
        numbers += column
        for line in column:  # a row is not torn: what it begins with, and what it ends with, are on one page
            title = NOTES["long"].positions[line - 1].title
            assert title.split()[0] in text
    assert numbers == list(range(1, 41))


def test_no_row_is_torn(paper: Open) -> None:
    """Each kind of row has so many lines of text; on every page, they come in full."""
    long = paper("long")
    for page in range(len(long)):
        text = long.text(page)
        for first, last in (("Merinosocken", "anthrazit"), ("Wollmütze", "naturweiss"), ("Leinentuch", "140 × 200 cm")):
            assert text.count(first) == text.count(last)


def test_what_is_delivered_and_what_is_still_to_come(paper: Open) -> None:
    short = paper("short")
    assert short.row("Merinosocken") == "1SOCKE-SAENTIS-40Merinosocken«Säntis»1100.095kg"
    assert short.row("Wollmütze") == "2MUETZE-PALUE-01Wollmütze«PizPalü»3300.36kg"
    assert short.row("Gesamt") == "Gesamt40.455kg"
    assert short.row("Leinentuch") == "3TUCH-LEINEN-140Leinentuch,handgewebt505"
    heights = [short.place(text).top for text in ("Wollmütze", "Gesamt", "Folgt mit einer", "Leinentuch")]
    assert heights == sorted(heights)


def test_prices_only_where_they_are_wanted(paper: Open) -> None:
    unpriced = paper("short").text()
    assert "CHF" not in unpriced
    assert "29.00" not in unpriced
    priced = paper("priced").text()
    assert "Einzelpreis\nEUR" in priced or "Einzelpreis EUR" in priced
    for amount in ("29,00", "147,00", "945,00", "1.121,00"):
        assert amount in priced
    yen = paper("yen").text()
    assert "4,900" in yen
    assert "49.00" not in yen


def test_a_note_that_replaces_another(paper: Open) -> None:
    assert "Ersetzt Lieferschein LS-2026-000041" in paper("priced").text()
    assert "Ersetzt" not in paper("short").text()
    assert "Referenz" not in paper("priced").text()


def test_goods_that_are_picked_up(paper: Open) -> None:
    pick_up = paper("pick-up")
    assert pick_up.within(FIELD) == ["Abholung", "Großenbacher, Ladina"]
    assert "Versand durch" not in pick_up.text()
    assert pick_up.codes["QR Code"] == "1042"
    assert "Bestellung 1042" in pick_up.within(Box(45, 120, 200, 260))


def test_odd_positions(paper: Open) -> None:
    odd = paper("odd")
    text = odd.text()
    assert LONG_WORD * 4 in text.replace("\n", "")
    assert "<img src='file:///etc/passwd'>" in text.replace("\n", "")
    assert "{{ 1 + 1 }} & Co." in text
    assert "kein Versand nötig" in text
    assert "mind." in text
    assert all(place.right <= 190.5 for place in map(odd.place, ("12’345", "mind.", "UPS")))


def test_several_parcels(paper: Open) -> None:
    lines = paper("odd").within(INFORMATION)
    assert lines[-5:] == [
        "Versand durch UPS",
        "Sendungsnummern 1Z999AA10123456784",
        "1Z999AA10123456785",
        "Versand durch DHL",
        "Sendungsnummer 00340434161094042557",
    ]


def test_codes_can_be_scanned(paper: Open) -> None:
    url = "https://service.post.ch/ekp-web/ui/entry/search/990012345612345678"
    assert paper("short").codes == {"Code 128": "LS-2026-000042", "QR Code": url}
    assert "Sendung verfolgen" in paper("short").text()
    assert paper("odd").codes == {"Code 128": "LS-2026-000042", "QR Code": "1042"}  # javascript: is no link
    assert paper("long").codes["Code 128"] == "LS-2026-000042"


def test_marks_for_folding(paper: Open) -> None:
    def dark_rows(name: str) -> list[float]:
        picture = paper(name).picture(dots_per_inch=254).crop((42, 0, 78, 2970))
        rows = [y / 10 for y in range(picture.height) if picture.crop((0, y, 36, y + 1)).getextrema()[0] < 200]
        return [row for row, next_row in pairwise([*rows, 999.0]) if next_row - row > 1]

    assert dark_rows("short") == pytest.approx([105, 148.5, 210], abs=0.3)
    assert dark_rows("right") == pytest.approx([148.5], abs=0.3)


@pytest.mark.parametrize("name", ["arabic", "hebrew", "japanese", "korean", "chinese", "taiwanese"])
def test_names_from_everywhere(paper: Open, name: str) -> None:
    document, page = NOTES[name], paper(name)
    assert sorted(letters("".join(page.within(ADDRESS)))) == sorted(letters("".join(document.recipient)))
    assert len(page.within(Box(24, 62.7, 28, 90))) == len(document.recipient)  # all begin, or end, at the left edge


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Zürich", "ltr"), ("שלום 12", "rtl"), ("12 دبي", "rtl"), ("12345", "ltr"), ("", "ltr"), ("A שלום", "ltr")],
)
def test_direction(text: str, expected: str) -> None:
    assert direction(text) == expected


def test_formats() -> None:
    assert Formats("de-CH").quantity(12_345) == "12’345"
    assert Formats("de-DE").quantity(12_345) == "12.345"
    assert Formats("de-CH").weight(1_234_500) == "1’234.5 kg"
    assert Formats("de-CH").amount(123_456, "CHF") == "1’234.56"
    assert Formats("de-DE").amount(1_234_567, "BHD") == "1.234,567"
    assert Formats("en").amount(1_234, "JPY") == "1,234"


def test_an_own_template_extends_the_built_in_one(render: Callable[[NoteContent, Presentation], bytes]) -> None:
    own = """{% extends "default/template.html" %}
        {% block style %}<style>h1 { margin-left: 50mm }</style>{% endblock %}
        {% block title %}<h1>Hello {{ document.number }}</h1>{% endblock %}"""
    texts = {**PRESENTATION.texts, "de-CH": {**PRESENTATION.texts["de-CH"], "pick_up": "Im Laden"}}
    page = Paper(render(NOTES["pick-up"], replace(PRESENTATION, template=own, texts=texts)))
    assert "Hello LS-2026-000042" in page.text()
    assert page.place("Hello").left == pytest.approx(75, abs=0.6)
    assert page.within(FIELD)[0] == "Im Laden"
    assert "Code 128" not in page.codes
    page.close()
