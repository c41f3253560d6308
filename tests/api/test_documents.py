"""Delivery notes over HTTP: who is given them, and how."""

import asyncio
import hashlib
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from api.http.files import FILE_COST
from api.links import DOWNLOAD_SECONDS
from api.settings import Settings
from domain.actors import Scope
from domain.delivery_notes.commands import create_delivery_note
from domain.delivery_notes.queries import store_file
from domain.orders.commands import confirm_order
from domain.signing import signature, signing_key
from models import DeliveryNote
from models.engine.fields import new_key
from tests.api.test_callers import SHARE, reach, withheld
from tests.clients import Server, key_of
from tests.domain.shop import ADA, ISSUER, on, place

pytestmark = pytest.mark.wire

CONTENT = bytes(range(256)) * 40


async def printed(content: bytes = CONTENT, **given: Any) -> DeliveryNote:
    """A delivery note whose file is there already."""
    order = await confirm_order(actor=ADA, target=on(await place(**given)))
    note = await create_delivery_note(actor=ADA, target=on(order), issuer=ISSUER)
    await store_file(note.id, content)
    return note


def path_of(note: DeliveryNote) -> str:
    return f"/delivery-notes/{note.id}.pdf"


async def fetch(server: Server, path: str, token: str | None = None, **headers: str) -> httpx.Response:
    if token:
        headers["Authorization"] = f"Bearer {token}"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await server.http.get(f"http://127.0.0.1:{server.port}{path}", headers=named)


async def link_to(server: Server, note: DeliveryNote) -> str:
    path: str = await server.service.links.delivery_note(note.id)
    return path


def refusal_of(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["errors"][0]["extensions"]["code"]


async def test_a_link_needs_no_token(server: Server) -> None:
    note = await printed()
    response = await fetch(server, await link_to(server, note))
    assert response.status_code == 200
    assert response.content == CONTENT
    headers = response.headers
    assert headers["Content-Type"] == "application/pdf"
    title = f"Lieferschein {note.number}"
    assert headers["Content-Disposition"] == (
        f"inline; filename=\"{title}.pdf\"; filename*=UTF-8''{title.replace(' ', '%20')}.pdf"
    )
    assert headers["ETag"] == f'"{hashlib.sha256(CONTENT).hexdigest()}"'
    assert (headers["Accept-Ranges"], headers["Cache-Control"]) == ("bytes", "private, no-cache")


async def test_the_link_is_the_url_of_the_note(server: Server) -> None:
    note = await printed()
    query = "query ($id: ID!) { order(id: $id) { deliveryNotes { url number } } }"
    order = await server.ask("{ orders { nodes { id } } }")
    [found] = (await server.ask(query, {"id": order["orders"]["nodes"][0]["id"]}))["order"]["deliveryNotes"]
    parts = urlsplit(found["url"])
    assert (found["number"], parts.path, sorted(parse_qs(parts.query))) == (
        note.number,
        path_of(note),
        ["expires", "signature"],
    )
    assert (await fetch(server, found["url"])).content == CONTENT


async def test_a_link_expires(server: Server) -> None:
    note = await printed()
    key = await signing_key()
    for seconds, status in ((60, 200), (-1, 403)):
        path, given = path_of(note), f"expires={int(time.time()) + seconds}"
        signed = f"{path}?{given}&signature={signature(key, f'{path}?{given}')}"
        assert (await fetch(server, signed)).status_code == status
    response = await fetch(server, signed)
    assert refusal_of(response) == (403, "FORBIDDEN")
    assert response.json()["errors"][0]["message"] == "This link is not valid any more: read the note's url anew."


async def test_a_link_opens_nothing_else(server: Server) -> None:
    note, other = await printed(), await printed()
    link = await link_to(server, note)
    query = urlsplit(link).query
    later = str(int(time.time()) + 10**6)
    for changed in (
        f"{path_of(other)}?{query}",
        link.replace(parse_qs(query)["expires"][0], later),
        link[:-1] + ("0" if link[-1] != "0" else "1"),
        f"{path_of(note)}?signature=",
        f"{link}&x=1",
        f"{path_of(note)}?expires={later}&signature=é",
    ):
        assert refusal_of(await fetch(server, changed)) == (403, "FORBIDDEN"), changed
    assert refusal_of(await fetch(server, path_of(note))) == (401, "UNAUTHENTICATED")
    assert (await fetch(server, link)).status_code == 200


async def test_all_workers_sign_with_one_key(server: Server) -> None:
    assert len(set(await asyncio.gather(*(signing_key() for _ in range(8))))) == 1


async def test_the_plain_path_needs_a_token(server: Server) -> None:
    note = await printed()
    response = await fetch(server, path_of(note))
    assert refusal_of(response) == (401, "UNAUTHENTICATED")
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert refusal_of(await fetch(server, path_of(note), "ost_nobody")) == (401, "UNAUTHENTICATED")
    needed = {Scope.ORDERS_READ, Scope.CUSTOMERS_READ}  # there is an address on it
    for lacking in needed:
        everything_else = await server.new_token(*(set(Scope) - {lacking}))
        assert refusal_of(await fetch(server, path_of(note), everything_else)) == (403, "FORBIDDEN")
    assert (await fetch(server, path_of(note), await server.new_token(*needed))).content == CONTENT


async def test_a_note_of_another_channel_does_not_exist(server: Server) -> None:
    mine, foreign = await printed(channel="a"), await printed(channel="b")
    token = await server.new_token(channels=("a",))
    assert (await fetch(server, path_of(mine), token)).status_code == 200
    refused = await fetch(server, path_of(foreign), token)
    assert refusal_of(refused) == (404, "NOT_FOUND")
    for unknown in (f"/delivery-notes/{new_key()}.pdf", "/delivery-notes/x.pdf", "/delivery-notes/%00.pdf"):
        assert (await fetch(server, unknown, token)).json() == refused.json()
    both = await fetch(server, f"/delivery-notes.pdf?ids={mine.id},{foreign.id}", token)
    assert refusal_of(both) == (404, "NOT_FOUND")


async def test_what_a_file_of_several_is_made_of(server: Server) -> None:
    note = await printed()
    for ids in ("", ",", "x"):
        assert refusal_of(await fetch(server, f"/delivery-notes.pdf?ids={ids}", server.token)) == (404, "NOT_FOUND")
    many = ",".join([note.id.hex] * 101)
    refused = await fetch(server, f"/delivery-notes.pdf?ids={many}", server.token)
    assert refusal_of(refused) == (400, "BAD_USER_INPUT")
    alone = await fetch(server, await server.service.links.delivery_notes([note.id]))
    assert alone.content == CONTENT


@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [
        ("bytes=0-0", 206, slice(0, 1)),
        ("bytes=10-19", 206, slice(10, 20)),
        ("bytes=10000-", 206, slice(10000, None)),
        ("bytes=-5", 206, slice(-5, None)),
        ("bytes=-99999", 206, slice(0, None)),
        ("bytes=5-99999", 206, slice(5, None)),
        ("bytes=10240-", 416, slice(0, 0)),
        ("bytes=-0", 416, slice(0, 0)),
        ("bytes=9-3", 416, slice(0, 0)),
        ("bytes=-", 200, slice(0, None)),
        ("bytes=0-1,4-5", 200, slice(0, None)),
        ("lines=0-1", 200, slice(0, None)),
        ("bytes=a-b", 200, slice(0, None)),
    ],
)
async def test_a_part_of_the_file(server: Server, asked: str, status: int, part: slice) -> None:
    response = await fetch(server, await link_to(server, await printed()), Range=asked)
    assert (response.status_code, response.content) == (status, CONTENT[part])
    if status == 206:
        first, end, _ = part.indices(len(CONTENT))
        assert response.headers["Content-Range"] == f"bytes {first}-{end - 1}/{len(CONTENT)}"
    assert response.headers.get("Content-Range") == (
        "bytes */10240" if status == 416 else response.headers.get("Content-Range")
    )


async def test_what_is_known_already_is_not_sent_again(server: Server) -> None:
    link = await link_to(server, await printed())
    etag = (await fetch(server, link)).headers["ETag"]
    cases: list[tuple[Mapping[str, str], int, int]] = [
        ({"If_None_Match": etag}, 304, 0),
        ({"If_None_Match": f'"x", W/{etag}'}, 304, 0),
        ({"If_None_Match": "*"}, 304, 0),
        ({"If_None_Match": '"x"'}, 200, len(CONTENT)),
        ({"Range": "bytes=0-3", "If_Range": etag}, 206, 4),
        ({"Range": "bytes=0-3", "If_Range": '"x"'}, 200, len(CONTENT)),
    ]
    for headers, status, size in cases:
        response = await fetch(server, link, **headers)
        assert (response.status_code, len(response.content)) == (status, size), headers
        assert response.headers["ETag"] == etag
    head = await server.http.head(f"http://127.0.0.1:{server.port}{link}")
    assert (head.status_code, head.content, head.headers["Content-Length"]) == (200, b"", str(len(CONTENT)))
    posted = await server.http.post(f"http://127.0.0.1:{server.port}{link}")
    assert posted.status_code == 405


async def test_a_download_once_its_line_is_fulfilled(server: Server) -> None:
    line = {
        "title": "E-book",
        "quantity": 1,
        "unitPrice": "5.00",
        "requiresShipping": False,
        "downloadUrl": "https://files.example/e-book.epub?key=1",
    }
    order = await server.place(lines=[line], fields="id lines { id download }")
    assert order["lines"][0]["download"] is None
    key = key_of(order["lines"][0]["id"])
    early = await server.service.links.download(key)
    assert refusal_of(await fetch(server, early)) == (404, "NOT_FOUND")
    await server.do("confirmOrder", {"orderId": order["id"]})
    shipped = await server.do("markShipped", {"orderId": order["id"]}, "lines { download }")
    link = shipped["lines"][0]["download"]
    response = await fetch(server, link)
    assert (response.status_code, response.headers["Location"]) == (302, line["downloadUrl"])
    assert response.headers["Referrer-Policy"] == "no-referrer"
    for changed in (link[:-1] + "x", f"/downloads/{key}", link.replace(str(key), str(new_key()))):
        assert refusal_of(await fetch(server, changed)) == (403, "FORBIDDEN")
    seconds = int(parse_qs(urlsplit(link).query)["expires"][0]) - time.time()
    assert DOWNLOAD_SECONDS - 60 < seconds <= DOWNLOAD_SECONDS


class TestWithARate:
    """Files cost their callers what operations do: those of a link the address that has it, others the token."""

    @pytest.fixture
    def settings(self, database_url: str) -> Settings:
        return Settings(database_url=database_url, rate_limit=2 * FILE_COST + 5, rate_refill=0.001)

    async def test_one_who_asks_for_too_many_is_refused(self, server: Server) -> None:
        note = await printed()
        link, download = await link_to(server, note), await server.service.links.download(new_key())
        for path, token, expected in (
            (path_of(note), server.token, [200, 200, 429]),
            (f"/delivery-notes.pdf?ids={note.id},{note.id},{note.id}", await server.new_token(), [429]),
            (link, None, [200]),
            (download, None, [404, 429]),
            (link, None, [429]),
        ):
            responses = [await fetch(server, path, token) for _ in expected]
            assert [each.status_code for each in responses] == expected, path
        assert refusal_of(responses[0]) == (429, "RATE_LIMITED")
        assert int(responses[0].headers["Retry-After"]) > 1
        assert responses[0].json()["errors"][0]["message"].startswith("This costs 20, and there is 5 left of 45,")


@pytest.mark.postgres
@pytest.mark.parametrize("table", ["delivery_notes", "order_lines"])
async def test_files_take_no_more_than_their_callers_share(server: Server, database_url: str, table: str) -> None:
    note = await printed()
    path = path_of(note) if table == "delivery_notes" else await server.service.links.download(new_key())
    token = server.token if table == "delivery_notes" else None
    async with withheld(database_url, table) as count_waiting:
        asking = [asyncio.create_task(fetch(server, path, token)) for _ in range(5)]
        await reach(count_waiting, SHARE)
        for _ in range(3):
            await server.ask("{ orders { nodes { status } } }", token=await server.new_token())
        assert await count_waiting() == SHARE
    assert len({each.status_code for each in await asyncio.gather(*asking)}) == 1


class TestWithAPublicUrl:
    @pytest.fixture
    def settings(self, database_url: str) -> Settings:
        return Settings(database_url=database_url, public_url="https://orders.example.com/api/")

    async def test_links_begin_with_it(self, server: Server) -> None:
        note = await printed()
        link = await link_to(server, note)
        assert link.startswith(f"https://orders.example.com/api{path_of(note)}?expires=")
        assert (await fetch(server, link.removeprefix("https://orders.example.com/api"))).content == CONTENT


def test_a_public_url_is_an_address() -> None:
    with pytest.raises(ValueError, match="starts with http"):
        Settings(public_url="orders.example.com")
