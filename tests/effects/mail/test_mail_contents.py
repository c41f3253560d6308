"""Each kind of e-mail in each locale, in words."""

import pytest

from api.commands.mail_samples import samples
from domain.locales import LOCALES
from effects.mail.contents import write_contents
from effects.mail.page import _readable_on
from effects.mail.settings import load
from effects.merchant.texts import parts

SETTINGS = load(None)
KINDS = tuple(samples())
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
SUBJECTS = {
    "de": (
        "Ihre Bestellung W-2026-7781",
        "Ihr Beleg 1042",
        "Ihre Bestellung W-2026-7781 ist unterwegs",
        "Ein Teil Ihrer Bestellung W-2026-7781 ist unterwegs",
        "Ihre Downloads zur Bestellung W-2026-7781",
        "Ihre Bestellung W-2026-7781 wurde storniert",
        "Rückerstattung zu Ihrer Bestellung W-2026-7781",
        "Bitte versenden: Bestellung 1042",
        "Neue Bestellung 1042: {total}",
    ),
    "fr": (
        "Votre commande W-2026-7781",
        "Votre quittance 1042",
        "Votre commande W-2026-7781 est en route",
        "Une partie de votre commande W-2026-7781 est en route",
        "Vos téléchargements pour la commande W-2026-7781",
        "Votre commande W-2026-7781 a été annulée",
        "Remboursement de votre commande W-2026-7781",
        "À expédier : commande 1042",
        "Nouvelle commande 1042 : {total}",
    ),
    "it": (
        "Il suo ordine W-2026-7781",
        "La sua ricevuta 1042",
        "Il suo ordine W-2026-7781 è in viaggio",
        "Una parte del suo ordine W-2026-7781 è in viaggio",
        "I suoi download per l’ordine W-2026-7781",
        "Il suo ordine W-2026-7781 è stato annullato",
        "Rimborso per il suo ordine W-2026-7781",
        "Da spedire: ordine 1042",
        "Nuovo ordine 1042: {total}",
    ),
    "en": (
        "Your order W-2026-7781",
        "Your receipt 1042",
        "Your order W-2026-7781 is on its way",
        "Part of your order W-2026-7781 is on its way",
        "Your downloads for order W-2026-7781",
        "Your order W-2026-7781 has been cancelled",
        "Refund for your order W-2026-7781",
        "Please ship: order 1042",
        "New order 1042: {total}",
    ),
}
OF_KIND = {  # what must be in both the text and the HTML, wherever in the world
    "order_confirmation": ["Merinosocken «Säntis»", "Gr. 39–42, anthrazit", "{total}", "7500 St. Moritz", "{day}"],
    "pos_receipt": ["Merinosocken «Säntis»", "{total}", "{day}"],
    "shipping_confirmation": ["Merinosocken «Säntis»", "99.00.123456.12345678", "Die Schweizerische Post", "{day}"],
    "shipped_in_parts": ["Merinosocken «Säntis»", "1Z999AA10123456784", "UPS", "{day}"],
    "downloads": ["Strickmuster als PDF", "https://shop.example/downloads/4f1c?expires=1", "{day}"],
    "cancellation": ["Merinosocken «Säntis»", "{total}", "{day}"],
    "refund": ["{day}"],
    "fulfillment_request": ["Merinosocken «Säntis»", "7500 St. Moritz", "RnVsZmlsbG1lbnQ6MDFhMjBkNjYtOWM2OS03N2Vl"],
    "new_order": ["Merinosocken «Säntis»", "{total}", "{day}", "ladina@example.com", "+41 81 555 01 23", "W-2026-7781"],
}


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_in_every_locale(kind: str, locale: str) -> None:
    contents = write_contents(samples(locale)[kind], SETTINGS)
    values = {"total": TOTALS[locale], "day": DAYS[locale]}
    assert contents.subject == SUBJECTS[locale[:2]][KINDS.index(kind)].format(**values)
    for words in OF_KIND[kind]:
        for text in (contents.text, contents.html):
            assert words.format(**values) in text.replace("\u00a0", " ")
    assert f'<html lang="{locale}">' in contents.html
    assert ("ß" in contents.text.replace("Großenbacher", "")) == (
        locale == "de-DE" and kind not in ("new_order", "fulfillment_request")
    )


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
