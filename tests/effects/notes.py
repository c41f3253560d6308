"""Delivery notes for the tests: variations of the sample, as the sample shop prints it."""

from dataclasses import replace
from typing import Any, Final

from api.commands.delivery_note import CHANNEL, sample
from api.settings import ROOT
from domain.delivery_notes.content import NoteContent, Parcel, Position
from domain.locales import LOCALES
from effects.delivery_notes.settings import load

MERCHANT: Final = load(ROOT / "api" / "commands" / "demo_shop")
PRESENTATION: Final = MERCHANT.presentation(CHANNEL)
LONG_WORD: Final = "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen"


def note(*, positions: int = 3, locale: str = "de-CH", **changes: Any) -> NoteContent:
    """The sample, changed. `window` is the letterhead's."""
    document = sample(MERCHANT, positions=positions, locale=locale)
    if window := changes.pop("window", None):
        document = replace(document, letterhead=replace(document.letterhead, window=window))
    return replace(document, **changes)


def to(country_code: str, *lines: str) -> NoteContent:
    return note(recipient=lines, recipient_country=country_code, parcels=())


def _goods(**changes: Any) -> Position:
    return replace(note().positions[0], **changes)


_CROWDED: Final = (
    "Wolfgang Maximilian Großenbacher-von der Hohenzollern und Brandenburg-Ansbach",
    "Vereinigte Schweizerische Handarbeits- und Textilgenossenschaft Ostschweiz GmbH & Co. KG",
    "Abteilung für Einkauf, Warenannahme und Qualitätssicherung, z. Hd. Frau Dr. Müller-Lüdenscheidt",
    "Hinterhaus, 3. Stock links, Klingel «Großenbacher/Meier»",
    LONG_WORD + "straße 123456",
    "9000 St. Gallen",
    "ÜBERSEEISCHE GEBIETE DER VEREINIGTEN KÖNIGREICHE UND REPUBLIKEN AM ENDE DER ADRESSE",
)

NOTES: Final[dict[str, NoteContent]] = {
    "short": note(),
    "right": note(window="right", recipient=_CROWDED),
    "crowded": note(recipient=_CROWDED),
    "long": note(positions=40, prices=True, currency="CHF"),
    "priced": note(
        prices=True,
        currency="EUR",
        locale="de-DE",
        positions=4,
        external_reference=None,
        replaces="LS-2026-000041",
    ),
    "yen": note(prices=True, currency="JPY", locale="en"),
    "pick-up": note(recipient=(), recipient_country=None, parcels=(), customer="Großenbacher, Ladina"),
    "odd": replace(
        note(),
        positions=(
            _goods(sku="A" * 60, title=LONG_WORD * 4, ordered=12_345, delivered=12_345, weight_grams=1_234),
            _goods(title="<img src='file:///etc/passwd'>", variant_title="{{ 1 + 1 }} & Co.", weight_grams=None),
            _goods(title="سجادة صوف 120 سم", requires_shipping=False, weight_grams=None),
        ),
        parcels=(
            Parcel("1Z999AA10123456784", "UPS", "javascript:alert(1)"),
            Parcel("00340434161094042557", "DHL"),
            Parcel("1Z999AA10123456785", "UPS"),
        ),
    ),
    "arabic": to("AE", "محمد عبد الله", "شارع الشيخ زايد 123", "دبي", "VEREINIGTE ARABISCHE EMIRATE"),
    "hebrew": to("IL", "ישראל ישראלי", "רחוב הרצל 12", "תל אביב"),
    "japanese": to("JP", "〒106-0032", "東京都港区六本木", "直原 今日子"),
    "korean": to("KR", "서울특별시 종로구", "김지훈"),
    "chinese": to("CN", "北京市朝阳区", "直骨 张伟"),
    "taiwanese": to("TW", "臺北市中正區", "直骨 陳雅婷"),
    **{locale: note(locale=locale, positions=2) for locale in LOCALES},
}
