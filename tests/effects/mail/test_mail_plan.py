"""Which e-mails follow from which events, and what they say about a real order."""

from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from domain.fulfillments.commands import TrackingInfo, mark_shipped
from domain.fulfillments.requests import request_fulfillments
from domain.fulfillments.services import save_service
from domain.global_ids import global_id
from domain.orders.commands import cancel_order, confirm_order
from domain.orders.placing import NewCustomer, NewLine, NewPayment
from domain.payments.commands import Amount, refund_payment
from effects.mail.eml import FolderTransport
from effects.mail.mailing import Mailing
from effects.mail.settings import load
from models import Order, OrderEvent
from models.enums import CancelReason, EffectState, OrderSource, TransactionKind
from tests.domain.shop import ADA, HAT, SOCKS, fulfillments_of, lines_of, on, place, units
from tests.effects.mail.post import (
    ADDRESS,
    LADINA,
    ST_MORITZ,
    PostOffice,
    attempted,
    effect_of,
    effects_of,
    link,
    mailing,
    part,
    post_office,
    shop,
)

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.wire]

PATTERN = NewLine(
    title="Pattern", quantity=1, unit_price=Decimal("5.00"), requires_shipping=False, download_url="https://x.ch/1.pdf"
)
VOUCHER = NewLine(title="Voucher", quantity=1, unit_price=Decimal("5.00"), requires_shipping=False)
HEADERS = {
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "Content-Language",
    "MIME-Version",
    "Content-Type",
}
NOTICES = 'from = "Faden <a@faden.ch>"\nnotices = ["a@faden.ch", "b@faden.ch"]\nchannels.till.notices = []'


@pytest.fixture
async def office() -> AsyncIterator[PostOffice]:
    async with post_office() as office:
        yield office


async def planned(sending: Mailing, order: Order) -> list[tuple[str, str]]:
    return [(effect.subject, effect.target) for effect in await effects_of(order, sending)]


@pytest.mark.parametrize("source", OrderSource)
async def test_an_order_that_is_placed(source: OrderSource, tmp_path: Path) -> None:
    sending = mailing(FolderTransport(tmp_path), shop(tmp_path, NOTICES))
    to_customer = "POS_RECEIPT" if source is OrderSource.POS else "ORDER_CONFIRMATION"
    to_merchant = [("NEW_ORDER", "a@faden.ch"), ("NEW_ORDER", "b@faden.ch")]
    order = await place(source=source, customer=LADINA)
    assert await planned(sending, order) == [(to_customer, ADDRESS), *to_merchant]
    assert await planned(sending, await place(source=source, customer=NewCustomer(name="Nobody"))) == to_merchant
    assert await planned(sending, await place(source=source)) == to_merchant
    assert await planned(sending, await place(source=source, customer=LADINA, channel="till")) == [
        (to_customer, ADDRESS)
    ]


@pytest.mark.parametrize("source", [OrderSource.ONLINE, OrderSource.POS])
@pytest.mark.parametrize(
    ("lines", "kinds"),
    [
        ([SOCKS, HAT], ["SHIPPING_CONFIRMATION"]),
        ([SOCKS, PATTERN], ["SHIPPING_CONFIRMATION", "DOWNLOADS"]),
        ([PATTERN, VOUCHER], ["DOWNLOADS"]),
        ([VOUCHER], []),
    ],
)
async def test_an_order_that_is_shipped(
    source: OrderSource, lines: list[NewLine], kinds: list[str], tmp_path: Path
) -> None:
    order = await place(source=source, customer=LADINA, lines=lines)
    if source is not OrderSource.POS:  # where all leaves at once
        await confirm_order(actor=ADA, target=on(order))
        await mark_shipped(actor=ADA, target=on(order))
    expected = [kind for kind in kinds if source is not OrderSource.POS or kind != "SHIPPING_CONFIRMATION"]
    found = await planned(mailing(FolderTransport(tmp_path)), order)
    assert found[1:] == [(kind, ADDRESS) for kind in expected]


@pytest.mark.parametrize("url", [None, "https://lager.example"])
async def test_a_service_that_is_asked_to_ship(url: str | None, office: PostOffice) -> None:
    """By e-mail where it has no URL, in the merchant's language."""
    await save_service(actor=ADA, code="lager", name="Lager", email="lager@faden.ch", url=url)
    lines = [replace(SOCKS, service="lager"), HAT]
    order = await confirm_order(actor=ADA, target=on(await place(lines=lines, shipping_address=ST_MORITZ, locale="fr")))
    await request_fulfillments(actor=ADA, target=on(order))
    sending = mailing(office.transport())
    asked = [effect for effect in await effects_of(order, sending) if effect.subject == "FULFILLMENT_REQUEST"]
    assert [effect.target for effect in asked] == ["lager@faden.ch"] * (url is None)
    for effect in asked:
        assert (await attempted(sending, effect)).state is EffectState.DONE
        text = part(office.messages[0], "plain")
        assert office.messages[0]["Subject"] == f"Bitte versenden: Bestellung {order.number}"
        assert "2 × Socks (Art.-Nr. SOCK-1)" in text
        assert "Hat" not in text
        [fulfillment] = await fulfillments_of(order)
        assert global_id("Fulfillment", fulfillment.id) in text


async def say(sending: Mailing, order: Order, office: PostOffice) -> dict[str, Any]:
    """All e-mails of an order that was not written about before, by their kind and number."""
    effects = [await attempted(sending, effect) for effect in await effects_of(order, sending)]
    assert [effect.state for effect in effects] == [EffectState.DONE] * len(effects), [each.error for each in effects]
    assert len(office.messages) == len(effects)
    return {f"{each.subject} {n}": office.messages[n] for n, each in enumerate(effects)}


async def test_all_that_is_said_about_an_order(office: PostOffice, tmp_path: Path) -> None:
    sending = mailing(office.transport(), shop(tmp_path, 'from = "Faden <a@faden.ch>"\nnotices = ["n@faden.ch"]'))
    order = await place(
        customer=replace(LADINA, phone="+41 81 555"),
        locale="de-CH",
        external_number="W-77",
        lines=[replace(SOCKS, discount=Decimal("1.80"), tax=Decimal("1.35"), variant_title="39"), HAT, PATTERN],
        taxes_included=True,
        order_discount=Decimal("2.00"),
        shipping_price=Decimal("7.00"),
        shipping_address=ST_MORITZ,
        billing_address=ST_MORITZ,
        payments=[NewPayment(TransactionKind.SALE, Decimal("48.00"))],
        note="Bitte läuten",
    )
    await confirm_order(actor=ADA, target=on(order))
    post = TrackingInfo("99.00", "Die Post", "https://post.ch/99?a=1&b=2")
    await mark_shipped(actor=ADA, target=on(order), lines=await units(order, 1), tracking=[post])
    await mark_shipped(actor=ADA, target=on(order))
    await refund_payment(actor=ADA, target=on(order), amount=Amount(Decimal("9.50")))
    said = await say(sending, order, office)
    assert list(said) == [
        "ORDER_CONFIRMATION 0",
        "NEW_ORDER 1",
        "SHIPPING_CONFIRMATION 2",
        "SHIPPING_CONFIRMATION 3",
        "DOWNLOADS 4",
        "REFUND 5",
    ]
    assert [message["Subject"] for message in said.values()] == [
        "Ihre Bestellung W-77",
        "Neue Bestellung 1001: CHF 48.00",
        "Ein Teil Ihrer Bestellung W-77 ist unterwegs",
        "Ihre Bestellung W-77 ist unterwegs",
        "Ihre Downloads zur Bestellung W-77",
        "Rückerstattung zu Ihrer Bestellung W-77",
    ]
    confirmation = part(said["ORDER_CONFIRMATION 0"], "plain")
    assert confirmation.split("\n\n")[3] == (
        "2 × Socks, 39 (Art.-Nr. SOCK-1)\n    CHF 18.00 (2 × CHF 9.90), abzüglich Rabatt CHF 1.80\n"
        "1 × Hat (Art.-Nr. HAT-1)\n    CHF 20.00\n1 × Pattern\n    CHF 5.00"
    )
    assert confirmation.split("\n\n")[4:6] == [
        "Rabatt: −CHF 2.00\nZwischensumme: CHF 41.00\nVersand: CHF 7.00\nGesamtbetrag: CHF 48.00\n"
        "davon Mehrwertsteuer: CHF 1.35",
        "Lieferadresse\nLadina Großenbacher\nVia Maistra 7\n7500 St. Moritz",
    ]
    notice = part(said["NEW_ORDER 1"], "plain")
    assert "Kundschaft: Ladina Großenbacher\nE-Mail: ladina@example.com\nTelefon: +41 81 555\n" in notice
    assert "Nummer des Kanals: W-77\n" in notice
    assert "Bemerkung\nBitte läuten\n" in notice
    first, second = (part(said[f"SHIPPING_CONFIRMATION {n}"], "plain") for n in (2, 3))
    assert "1 × Socks, 39 (Art.-Nr. SOCK-1)\n\nDie Post: 99.00\nhttps://post.ch/99?a=1&b=2\n" in first
    assert "Hat" not in first
    assert "1 × Socks, 39 (Art.-Nr. SOCK-1)\n1 × Hat (Art.-Nr. HAT-1)\n\nLieferadresse" in second
    assert "Pattern" not in second
    assert 'href="https://post.ch/99?a=1&amp;b=2"' in part(said["SHIPPING_CONFIRMATION 2"], "html")
    pattern = (await lines_of(order))[2]
    assert f"Pattern\n{await link(pattern.id)}\n" in part(said["DOWNLOADS 4"], "plain")
    assert "Wir haben Ihnen zu Ihrer Bestellung CHF 9.50 zurückerstattet." in part(said["REFUND 5"], "plain")


async def test_a_link_that_would_lead_nowhere(office: PostOffice) -> None:
    async def relative(line_id: UUID) -> str:
        return f"/downloads/{line_id}"

    order = await place(source=OrderSource.POS, customer=LADINA, lines=[PATTERN])
    sending = Mailing(load(None), office.transport(), relative)
    [_, downloads] = await effects_of(order, sending)
    waiting = await attempted(sending, downloads)
    assert waiting.state is EffectState.WAITING
    assert waiting.error == ("a link in an e-mail begins with http:// or https://: the server's public URL is not set")
    assert office.messages == []


@pytest.mark.parametrize("reason", CancelReason)
async def test_an_order_that_is_cancelled(reason: CancelReason, office: PostOffice) -> None:
    sending = mailing(office.transport())
    order = await place(customer=LADINA, locale="en-US")
    await cancel_order(actor=ADA, target=on(order), reason=reason)
    [_, cancellation] = (await say(sending, order, office)).values()
    words = {
        CancelReason.CUSTOMER: "We did so at your request.\n",
        CancelReason.INVENTORY: "Unfortunately, we cannot deliver the items that you ordered."
        " We are sorry about that.\n",
        CancelReason.DECLINED: "Unfortunately, the payment did not go through.\n",
    }
    text = part(cancellation, "plain")
    assert cancellation["Subject"] == "Your order 1001 has been cancelled"
    assert f"\n{words.get(reason, '')}You have not been charged.\n\n2 × Socks" in text
    assert all(each not in text for key, each in words.items() if key is not reason)


async def test_a_receipt(office: PostOffice) -> None:
    sending = mailing(office.transport())
    payments = [
        NewPayment(TransactionKind.SALE, Decimal("10.00"), "cash"),
        NewPayment(TransactionKind.SALE, Decimal("20.00"), "Card"),
        NewPayment(TransactionKind.SALE, Decimal("5.00"), "gift_card"),
    ]
    order = await place(source=OrderSource.POS, customer=LADINA, locale="fr", payments=payments)
    [receipt] = (await say(sending, order, office)).values()
    assert receipt["Subject"] == "Votre quittance 1001"
    assert (
        "Total: 39.80 CHF\n\nEspèces: 10.00 CHF\nCarte: 20.00 CHF\ngift card: 5.00 CHF\nPayé: 35.00 CHF\n"
        "Reste à payer: 4.80 CHF\n"
    ) in part(receipt, "plain")


async def test_nothing_of_an_order_is_taken_for_html_or_a_header(office: PostOffice) -> None:
    evil = "<script>alert(1)</script>{{7*7}}\r\nBcc: x@example.com\r\n\r\n<b>"
    sending = mailing(office.transport())
    order = await place(
        customer=NewCustomer(email=ADDRESS, name=evil),
        external_number=evil[:64],
        lines=[replace(HAT, title=evil, variant_title=evil, sku=evil)],
        shipping_address=replace(ST_MORITZ, name=evil, city=evil),
        payments=[NewPayment(TransactionKind.SALE, Decimal("20.00"), "<i>")],
        note=evil,
    )
    effects = await effects_of(order, sending)
    event = await OrderEvent.filter(order_id=order.id).order_by("id").first()
    assert event is not None
    effects += [await effect_of(event, kind, ADDRESS) for kind in ("POS_RECEIPT", "NEW_ORDER", "CANCELLATION")]
    for effect in effects:
        assert (await attempted(sending, effect)).state is EffectState.DONE
    for message in office.messages:
        assert set(message.keys()) == HEADERS
        html = part(message, "html")
        assert all(tag not in html for tag in ("<script", "<b>", "<i>"))
        assert "&lt;script&gt;alert(1)&lt;/script&gt;{{7*7}}" in html
        assert "49" not in html
        assert "<script>alert(1)</script>{{7*7}} Bcc: x@example.com" in part(message, "plain")
