"""Each kind of e-mail in each locale, in words."""

from html import escape

import pytest

from domain.locales import LOCALES
from effects.mail.contents import write_contents
from effects.mail.emails import EMAILS
from effects.mail.page import _readable_on
from effects.mail.samples import samples
from effects.mail.settings import load
from effects.merchant.texts import parts
from models.enums import EmailKind

SETTINGS = load(None)
DAYS = {
    "de-CH": "21. November 2026",
    "de-DE": "21. November 2026",
    "fr-CH": "21 novembre 2026",
    "it-CH": "21 novembre 2026",
    "en": "21 November 2026",
}
TOTALS = {
    "de-CH": "CHF 348.80",
    "de-DE": "348,80 CHF",
    "fr-CH": "348.80 CHF",
    "it-CH": "CHF 348.80",
    "en": "CHF 348.80",
}
CONTENTS = {  # the subject in each language, and what must be in both the text and the HTML
    "order_confirmation": (
        {
            "de": "Ihre Bestellung W-2026-7781",
            "fr": "Votre commande W-2026-7781",
            "it": "Il suo ordine W-2026-7781",
            "en": "Your order W-2026-7781",
        },
        ["Merinosocken «Säntis»", "Gr. 39–42, anthrazit", "{total}", "7500 St. Moritz", "{day}"],
    ),
    "pos_receipt": (
        {
            "de": "Ihr Beleg 1042",
            "fr": "Votre quittance 1042",
            "it": "La sua ricevuta 1042",
            "en": "Your receipt 1042",
        },
        ["Merinosocken «Säntis»", "{total}", "{day}"],
    ),
    "shipping_confirmation": (
        {
            "de": "Ihre Bestellung W-2026-7781 ist unterwegs",
            "fr": "Votre commande W-2026-7781 est en route",
            "it": "Il suo ordine W-2026-7781 è in viaggio",
            "en": "Your order W-2026-7781 is on its way",
        },
        ["Merinosocken «Säntis»", "99.00.123456.12345678", "Die Schweizerische Post", "{day}"],
    ),
    "shipped_in_parts": (
        {
            "de": "Ein Teil Ihrer Bestellung W-2026-7781 ist unterwegs",
            "fr": "Une partie de votre commande W-2026-7781 est en route",
            "it": "Una parte del suo ordine W-2026-7781 è in viaggio",
            "en": "Part of your order W-2026-7781 is on its way",
        },
        ["Merinosocken «Säntis»", "1Z999AA10123456784", "UPS", "{day}"],
    ),
    "downloads": (
        {
            "de": "Ihre Downloads zur Bestellung W-2026-7781",
            "fr": "Vos téléchargements pour la commande W-2026-7781",
            "it": "I suoi download per l’ordine W-2026-7781",
            "en": "Your downloads for order W-2026-7781",
        },
        ["Strickmuster als PDF", "https://shop.example/downloads/4f1c?expires=1", "{day}"],
    ),
    "cancellation": (
        {
            "de": "Ihre Bestellung W-2026-7781 wurde storniert",
            "fr": "Votre commande W-2026-7781 a été annulée",
            "it": "Il suo ordine W-2026-7781 è stato annullato",
            "en": "Your order W-2026-7781 has been cancelled",
        },
        ["Merinosocken «Säntis»", "{total}", "{day}"],
    ),
    "refund": (
        {
            "de": "Rückerstattung zu Ihrer Bestellung W-2026-7781",
            "fr": "Remboursement de votre commande W-2026-7781",
            "it": "Rimborso per il suo ordine W-2026-7781",
            "en": "Refund for your order W-2026-7781",
        },
        ["{day}"],
    ),
    "fulfillment_request": (
        {
            "de": "Bitte versenden: Bestellung 1042",
            "fr": "À expédier : commande 1042",
            "it": "Da spedire: ordine 1042",
            "en": "Please ship: order 1042",
        },
        ["Merinosocken «Säntis»", "7500 St. Moritz", "RnVsZmlsbG1lbnQ6MDFhMjBkNjYtOWM2OS03N2Vl"],
    ),
    "new_order": (
        {
            "de": "Neue Bestellung 1042: {total}",
            "fr": "Nouvelle commande 1042 : {total}",
            "it": "Nuovo ordine 1042: {total}",
            "en": "New order 1042: {total}",
        },
        ["Merinosocken «Säntis»", "{total}", "{day}", "ladina@example.com", "+41 81 555 01 23", "W-2026-7781"],
    ),
}


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("name", CONTENTS)
def test_what_each_says(name: str, locale: str) -> None:
    contents = write_contents(samples(locale)[name], SETTINGS)
    values = {"total": TOTALS[locale], "day": DAYS[locale]}
    subjects, shown = CONTENTS[name]
    assert contents.subject == subjects[locale[:2]].format(**values)
    for words in shown:
        for text in (contents.text, contents.html):
            assert words.format(**values) in text.replace("\u00a0", " ")
    assert ("ß" in contents.text.replace("Großenbacher", "")) == (
        locale == "de-DE" and name not in ("new_order", "fulfillment_request")
    )


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("kind", EmailKind)
def test_every_kind_has_samples_in_every_locale(kind: EmailKind, locale: str) -> None:
    letters = {name: letter for name, letter in samples(locale).items() if letter.kind is kind}
    assert letters
    for letter in letters.values():
        contents = write_contents(letter, SETTINGS)
        assert all((contents.subject, contents.text, f'<html lang="{locale}">' in contents.html))
        heading = contents.text.partition("\n")[0]
        assert f"{escape(heading)}</h1>" in contents.html


def test_every_kind_follows_from_an_event() -> None:
    assert [kind for kind in EmailKind if not EMAILS[kind].events or EMAILS[kind].kind is not kind] == []


def test_all_locales_have_the_same_texts() -> None:
    def placeholders(locale: str) -> dict[str, list[str]]:
        return {key: sorted(name for _, name in parts(text) if name) for key, text in SETTINGS.texts[locale].items()}

    assert all(placeholders(locale) == placeholders("en") for locale in LOCALES)


@pytest.mark.parametrize(
    ("colour", "text"),
    [("#000000", "#ffffff"), ("#1f4d45", "#ffffff"), ("#777777", "#000000"), ("#ffcc00", "#000000")],
)
def test_buttons_can_be_read(colour: str, text: str) -> None:
    assert _readable_on(colour) == text
