"""Whatever fails, no token is written down: neither one that is good nor one that is not."""

import json
import logging
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from tempfile import TemporaryFile
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from api.commands.temporary_server import server_process
from api.http.logs import formatter
from domain.actors import Scope, system
from domain.tokens import create_token, revoke_token, rotate_token
from models import ApiToken
from models.engine.database import connected
from models.engine.errors import DatabaseUnavailable
from tests.clients import Server, new_client, open_socket
from tests.local_issuer import AUDIENCE, LocalIssuer

pytestmark = pytest.mark.wire

QUERY = {"query": "{ viewer { name } }"}
ACTOR = system("tests")


async def api_tokens() -> list[str]:
    """One of each kind: good, exchanged for another, expired, revoked, and unknown."""
    made = [await create_token(actor=ACTOR, name="x", scopes=list(Scope)) for _ in range(3)]
    _, rotated = await rotate_token(actor=ACTOR, token_id=made[0][0].id)
    await ApiToken.filter(id=made[1][0].id).update(expires_at=datetime.now(UTC) - timedelta(days=1))
    await revoke_token(actor=ACTOR, token_id=made[2][0].id)
    return [rotated, *(secret for _, secret in made), "ost_" + "Q" * 43]


def jwts(issuer: LocalIssuer) -> list[str]:
    good, other = issuer.token(), issuer.token(sub="somebody-else")
    forged = f"{good.rpartition('.')[0]}.{other.rpartition('.')[2]}"
    return [good, forged, issuer.token(exp=1), issuer.token(aud="other"), issuer.token(headers={"kid": "new"})]


def pieces(token: str) -> list[str]:
    """What must not be found: more than the readable beginning of an API token, and each secret part of a JWT."""
    return [token[10:22]] if token.startswith("ost_") else [part[10:30] for part in token.split(".")[1:]]


async def try_everywhere(http: httpx.AsyncClient, url: str, token: str) -> None:
    """As a caller would send it, and where nobody should."""
    root = url.removesuffix("/graphql")
    for authorization in (f"Bearer {token}", f"Basic {token}", token, f"Bearer {token} {token}"):
        await http.post(url, json=QUERY, headers={"Authorization": authorization})
    bearer = {"Authorization": f"Bearer {token}"}
    await http.post(url, json=QUERY, headers={**bearer, "Accept": "text/event-stream"})
    await http.post(url, content=b"{", headers={**bearer, "Content-Type": "application/json"})
    await http.post(url, json=QUERY, headers={"X-Request-ID": token[:128]})
    await http.post(url, json={"query": f"query {{ {token} }}", "operationName": token})
    for path in (
        f"/graphql?token={token}",
        f"/graphql/{token}",
        f"/{token}",
        f"/delivery-notes/{token}.pdf?signature={token}",
    ):
        await http.get(root + path, headers=bearer)
    address = f"{url.replace('http', 'ws')}?token={token}"
    for payload in ({"Authorization": f"Bearer {token}"}, {"authorization": [token]}, token):
        async with connect(address, subprotocols=["graphql-transport-ws"]) as socket:  # type: ignore[list-item]
            with suppress(ConnectionClosed):  # by the first of these already, where the token is not good
                await socket.send(json.dumps({"type": "connection_init", "payload": payload}))
                await socket.send(token)
            await socket.wait_closed()


@pytest.mark.slow
async def test_a_server_writes_no_token_down(database_url: str, issuer: LocalIssuer) -> None:
    async with connected(database_url):
        tokens = [*await api_tokens(), *jwts(issuer)]
    environment = {"LOG_LEVEL": "debug", "OIDC_ISSUER": issuer.url, "OIDC_AUDIENCE": AUDIENCE}
    with TemporaryFile() as log:
        async with server_process(database_url, environment=environment, log=log) as (url, _), new_client() as http:
            for token in tokens:
                await try_everywhere(http, url, token)
            issuer.down = True
            await http.post(url, json=QUERY, headers={"Authorization": f"Bearer {issuer.token(headers={'kid': 'z'})}"})
        log.seek(0)
        text = log.read().decode()
    assert text.count('"event":"request"') > 10 * len(tokens)
    assert "refused a JWT: ExpiredSignatureError" in text
    for token in tokens:
        assert [piece for piece in pieces(token) if piece in text] == []


class Text(logging.Handler):
    """Everything that is logged, as JSON and as text for a terminal."""

    def __init__(self) -> None:
        super().__init__()
        self.all = ""
        self._formatters = [formatter(as_json=True), formatter(as_json=False)]

    def emit(self, record: logging.LogRecord) -> None:
        self.all += "".join(f"{each.format(record)}\n" for each in self._formatters)


@pytest.fixture
def text() -> Iterator[Text]:
    handler, root, ours = Text(), logging.getLogger(), logging.getLogger("api")
    root.addHandler(handler)
    ours.setLevel(logging.DEBUG)
    yield handler
    ours.setLevel(logging.NOTSET)
    root.removeHandler(handler)


@pytest.mark.parametrize("kind", [RuntimeError, DatabaseUnavailable])
async def test_a_fault_that_tells_a_token_does_not_write_it_down(
    server: Server, issuer: LocalIssuer, text: Text, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    async def broken(token: str) -> Any:  # no fault that is known says the token, so none can be brought about
        raise kind(f"nobody can read {token}")

    monkeypatch.setattr("domain.tokens.authenticate", broken)
    for token in (server.token, issuer.token()):
        bearer = {"Authorization": f"Bearer {token}"}
        for url in (server.url, server.url.replace("graphql", "delivery-notes/x.pdf")):
            assert (await server.http.get(url, params=QUERY, headers=bearer)).status_code in (500, 503)
        async with open_socket(server) as client:
            await client.send({"type": "connection_init", "payload": bearer})
            assert (await client.closed())[0] in (4500, 1013)
        assert [piece for piece in pieces(token) if piece in text.all] == []
    assert text.all.count("nobody can read ost_") == text.all.count("nobody can read eyJ") > 0
