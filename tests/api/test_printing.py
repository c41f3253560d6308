"""Creating and printing delivery notes through the API, with real processes that render them."""

import asyncio
import re
from pathlib import Path
from typing import Any

import httpx
import pypdfium2
import pytest

from api.app import create_app
from api.schema import ids
from api.settings import Settings
from domain.actors import Scope
from domain.change import Target
from effects.delivery_notes.printing import Printing
from effects.delivery_notes.renderer import Renderer
from effects.delivery_notes.settings import load
from models import DeliveryNote
from models.engine.fields import new_key
from tests.clients import Server, key_of, live
from tests.database import all_rows

pytestmark = [pytest.mark.wire, pytest.mark.rendering]

NOTE = "id number locale url createdAt fulfillment { id } replaces { number } replacedBy { number }"
CREATE = f"""mutation ($input: CreateDeliveryNoteInput!) {{ createDeliveryNote(input: $input) {{
    deliveryNote {{ {NOTE} }} order {{ id version }} userErrors {{ code message field }}
}} }}"""
CREATE_MANY = """mutation ($input: CreateDeliveryNotesInput!) { createDeliveryNotes(input: $input) {
    results { fulfillmentId deliveryNote { number url } userErrors { code field message } }
    url userErrors { code field message }
} }"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The merchant's folder; a test may put something into it before its server starts."""
    folder = tmp_path / "merchant"
    folder.mkdir()
    return folder


@pytest.fixture
def settings(database_url: str, folder: Path) -> Settings:
    return Settings(database_url=database_url, render_processes=1, render_seconds=10.0, delivery_notes_folder=folder)


async def create(server: Server, **given: Any) -> dict[str, Any]:
    payload: dict[str, Any] = (await server.ask(CREATE, {"input": given}))["createDeliveryNote"]
    return payload


async def create_many(server: Server, fulfillments: list[str], token: str = "", **given: Any) -> dict[str, Any]:
    variables = {"input": {"fulfillmentIds": fulfillments, **given}}
    payload: dict[str, Any] = (await server.ask(CREATE_MANY, variables, token))["createDeliveryNotes"]
    return payload


async def ready(server: Server, **given: Any) -> tuple[dict[str, Any], str]:
    """An order that is ready to ship, and its fulfillment's id."""
    order = await server.place(**given)
    await server.do("confirmOrder", {"orderId": order["id"]})
    order = await server.do("markReadyToShip", {"orderId": order["id"]}, "id number fulfillments { id }")
    return order, order["fulfillments"][0]["id"]


async def fetch(server: Server, url: str) -> httpx.Response:
    return await server.http.get(f"http://127.0.0.1:{server.port}{url}")


def pages_of(content: bytes) -> list[str]:
    document = pypdfium2.PdfDocument(content)
    try:
        return [page.get_textpage().get_text_range() for page in document]
    finally:
        document.close()


async def test_a_note_is_created_printed_and_stays_the_same(server: Server) -> None:
    order, fulfillment = await ready(server, locale="fr", externalReference="R-77")
    payload = await create(server, orderId=order["id"])
    note = payload["deliveryNote"]
    assert (payload["userErrors"], payload["order"]) == ([], {"id": order["id"], "version": 4})
    assert (note["locale"], note["fulfillment"], note["replaces"], note["replacedBy"]) == (
        "fr-CH",
        {"id": fulfillment},
        None,
        None,
    )
    first = await fetch(server, note["url"])
    assert first.status_code == 200
    [text] = pages_of(first.content)
    for expected in (note["number"], order["number"], "R-77", "Socks", "SOCK-1", "Bulletin de livraison"):
        assert expected in text

    await server.do("markShipped", {"orderId": order["id"], "tracking": [{"number": "T-1"}]})
    query = f"query ($id: ID!) {{ node(id: $id) {{ ... on DeliveryNote {{ {NOTE} }} }} }}"
    again = (await server.ask(query, {"id": note["id"]}))["node"]
    assert (again["number"], again["createdAt"]) == (note["number"], note["createdAt"])
    assert (await fetch(server, again["url"])).content == first.content

    corrected = (await create(server, orderId=order["id"], replaces=note["id"]))["deliveryNote"]
    assert corrected["replaces"] == {"number": note["number"]}
    [text] = pages_of((await fetch(server, corrected["url"])).content)
    assert note["number"] in text
    assert "T-1" in text
    query = """query ($id: ID!) { order(id: $id) {
        deliveryNotes { number replacedBy { number } } fulfillments { deliveryNote { number } }
    } }"""
    shown = (await server.ask(query, {"id": order["id"]}))["order"]
    assert shown == {
        "deliveryNotes": [
            {"number": note["number"], "replacedBy": {"number": corrected["number"]}},
            {"number": corrected["number"], "replacedBy": None},
        ],
        "fulfillments": [{"deliveryNote": {"number": corrected["number"]}}],
    }
    found = await server.ask("query ($s: String) { orders(search: $s) { nodes { id } } }", {"s": corrected["number"]})
    assert found["orders"]["nodes"] == [{"id": order["id"]}]


async def test_a_note_is_told_live(server: Server) -> None:
    order, fulfillment = await ready(server)
    cursor = (await server.ask("{ orderEvents { pageInfo { endCursor } } }"))["orderEvents"]["pageInfo"]["endCursor"]
    query = """subscription ($after: String) { orderEvents(after: $after, filter: { types: [DELIVERY_NOTE_CREATED] }) {
        message data order { deliveryNotes { id number } }
    } }"""
    async with live(server) as client:
        await client.subscribe(query, {"after": cursor})
        payload = await create(server, orderId=order["id"])
        event = (await client.next())["orderEvents"]
    note = payload["deliveryNote"]
    assert event["message"] == f"Delivery note {note['number']} was created."
    assert event["order"]["deliveryNotes"] == [{"id": note["id"], "number": note["number"]}]
    assert event["data"] == {
        "deliveryNoteId": note["id"],
        "fulfillmentId": fulfillment,
        "number": note["number"],
        "replacesId": None,
        "replacesNumber": None,
    }


@pytest.mark.slow
async def test_many_notes_are_one_file_in_the_order_asked(server: Server) -> None:
    made = [await ready(server) for _ in range(3)]
    pending = await server.place()
    await server.do("confirmOrder", {"orderId": pending["id"]})
    cancelled, gone = await ready(server)
    await server.do("cancelOrder", {"orderId": cancelled["id"], "reason": "STAFF"})
    existing = (await create(server, orderId=made[2][0]["id"]))["deliveryNote"]["number"]
    unknown = ids.encode("Fulfillment", new_key())
    asked = [made[2][1], gone, made[0][1], unknown, made[1][1], made[0][1]]
    payload = await create_many(server, asked, locale="en")
    assert payload["userErrors"] == []
    results = payload["results"]
    assert [each["fulfillmentId"] for each in results] == asked
    assert [[(error["code"], error["field"]) for error in each["userErrors"]] for each in results] == [
        [],
        [("INVALID_TRANSITION", None)],
        [],
        [("NOT_FOUND", ["fulfillmentIds", "3"])],
        [],
        [],
    ]
    numbers = [each["deliveryNote"]["number"] for each in results if each["deliveryNote"]]
    assert numbers[0] == existing
    assert numbers[1] == numbers[3]
    assert len(set(numbers)) == 3
    response = await fetch(server, payload["url"])
    pages = pages_of(response.content)
    assert len(pages) == 4
    assert all(number in page for number, page in zip(numbers, pages, strict=True))
    assert (await fetch(server, payload["url"])).headers["ETag"] == response.headers["ETag"]


@pytest.mark.slow
async def test_what_is_asked_of_many_notes(server: Server) -> None:
    before = await all_rows()
    for fulfillments, field in (([], ["fulfillmentIds"]), (["x"] * 3, ["fulfillmentIds", "0"])):
        payload = await create_many(server, fulfillments)
        assert (payload["results"], payload["url"]) == ([], None)
        assert [(error["code"], error["field"]) for error in payload["userErrors"]] == [("INVALID_INPUT", field)]
    payload = await create_many(server, [ids.encode("Fulfillment", new_key())] * 101)
    assert payload["userErrors"][0]["message"] == "Name 1 to 100 fulfillments."
    assert await all_rows() == before
    _, foreign = await ready(server, channel="b")
    token = await server.new_token(Scope.FULFILLMENT_WRITE, channels=("a",))
    payload = await create_many(server, [foreign], token)
    assert [error["code"] for error in payload["results"][0]["userErrors"]] == ["NOT_FOUND"]
    assert payload["url"] is None
    assert await DeliveryNote.all().count() == 0


class TestWithABrokenTemplate:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / "template.html").write_text("<title>x</title>{{ document.nothing }}", encoding="utf-8")
        return tmp_path

    @pytest.mark.slow
    async def test_the_number_is_not_lost(self, server: Server, folder: Path) -> None:
        order, fulfillment = await ready(server)
        payload = await create(server, orderId=order["id"])
        note = payload["deliveryNote"]
        assert [error["code"] for error in payload["userErrors"]] == ["RENDERING_FAILED"]
        assert "template.html" in payload["userErrors"][0]["message"]
        assert payload["order"] == {"id": order["id"], "version": 4}
        many = await create_many(server, [fulfillment])
        assert many["results"][0]["deliveryNote"]["number"] == note["number"]
        assert (many["url"], many["results"][0]["userErrors"][0]["code"]) == (None, "RENDERING_FAILED")
        refused = await fetch(server, note["url"])
        assert (refused.status_code, refused.json()["errors"][0]["extensions"]) == (500, {"code": "RENDERING_FAILED"})

        (folder / "template.html").unlink()
        mended = Printing(load(folder), Renderer(processes=1))
        try:
            target = Target(key_of(order["id"]))
            outcome = await mended.create(actor=await server.actor(), target=target)
            assert outcome.note is not None
            assert (outcome.refusal, outcome.note.number) == (None, note["number"])
            [text] = pages_of(await mended.file(outcome.note))
        finally:
            await mended.close()
        assert note["number"] in text
        assert (await fetch(server, note["url"])).status_code == 200


class TestWithATemplateThatNeverEnds:
    @pytest.fixture
    def settings(self, database_url: str, folder: Path) -> Settings:
        loops = '{% set s = "x" * 9999 %}{% for a in s %}{% for b in s %}{% for c in s %}'
        (folder / "template.html").write_text(loops + "{% endfor %}" * 3, encoding="utf-8")
        return Settings(database_url=database_url, render_processes=1, render_seconds=0.3, delivery_notes_folder=folder)

    @pytest.mark.slow
    async def test_it_is_stopped_and_the_server_goes_on(self, server: Server) -> None:
        made = [await ready(server) for _ in range(2)]
        payloads = await asyncio.gather(*(create(server, orderId=order["id"]) for order, _ in made))
        for payload in payloads:
            assert payload["userErrors"] == [
                {
                    "code": "RENDERING_FAILED",
                    "field": None,
                    "message": "It took longer than 0.3 seconds to render this.",
                }
            ]
            assert re.fullmatch(r"LS-\d{4}-00000[12]", payload["deliveryNote"]["number"])


class TestWithSettingsOfTheMerchant:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / "settings.toml").write_text(
            'prices = true\ndefault_locale = "it-CH"\n'
            '[numbers]\nprefix = "BL"\nwidth = 3\nyearly = false\n'
            '[sender]\nline = "Alpenfaden AG, 8004 Zürich"\n',
            encoding="utf-8",
        )
        return tmp_path

    @pytest.mark.slow
    async def test_they_hold(self, server: Server) -> None:
        order, _ = await ready(server, shippingAddress={"name": "Anna Muster", "city": "Zürich"})
        note = (await create(server, orderId=order["id"]))["deliveryNote"]
        assert (note["number"], note["locale"]) == ("BL-001", "it-CH")
        response = await fetch(server, note["url"])
        assert 'filename="Bollettino di consegna BL-001.pdf"' in response.headers["Content-Disposition"]
        [text] = pages_of(response.content)
        for expected in ("Alpenfaden AG, 8004 Zürich", "9.90", "39.80"):
            assert expected in text


@pytest.mark.slow
async def test_what_a_customer_is_called_is_text(server: Server) -> None:
    """And what is on the server's disk or in its network stays there."""
    name = '<img src="file:///etc/passwd"><script>alert(1)</script> {{ 7 * 7 }}'
    address = {"name": name, "city": "Zürich", "postalCode": "8004", "countryCode": "CH"}
    order, _ = await ready(server, shippingAddress=address)
    payload = await create(server, orderId=order["id"])
    assert payload["userErrors"] == []
    [text] = pages_of((await fetch(server, payload["deliveryNote"]["url"])).content)
    assert name.replace(" ", "") in "".join(text.split())


def test_a_folder_that_is_wrong_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("colour = 'red'", encoding="utf-8")
    with pytest.raises(ValueError, match=r"settings\.toml: colour"):
        create_app(Settings(database_url="sqlite://x", delivery_notes_folder=tmp_path))
