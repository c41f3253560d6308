"""People with the JWTs of an OpenID Connect issuer: who is let in, as whom, and for how long."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from api.settings import Settings
from domain.actors import Actor, Scope
from models import OrderEvent
from models.enums import ActorKind
from tests.api.test_sse import COMPLETE, EVENTS, open_stream
from tests.api.test_tokens_live import ENDED
from tests.clients import Server, an_order, live, open_socket, until
from tests.effects.service import serving
from tests.local_issuer import AUDIENCE, LocalIssuer, new_key, published, rsa_key

pytestmark = pytest.mark.wire

VIEWER = "{ viewer { name scopes allChannels channels { code } } }"
ROLES = {"warehouse": ["orders:read", "fulfillment:write"], "clerk": ["orders:read"]}


@pytest.fixture
def settings(database_url: str, issuer: LocalIssuer, request: pytest.FixtureRequest) -> Settings:
    """A test may have others by indirect parameters."""
    given = getattr(request, "param", {})
    return Settings(database_url=database_url, oidc_issuer=issuer.url, oidc_audience=AUDIENCE, **given)


async def answered(server: Server, token: str) -> tuple[int, Any]:
    """The status and, where it is no success, the code of an operation with this token."""
    headers = {"Authorization": f"Bearer {token}"}
    response = await server.http.post(server.url, json={"query": VIEWER}, headers=headers)
    answer = response.json()
    return response.status_code, answer["errors"][0]["extensions"]["code"] if "errors" in answer else None


async def closed_with(server: Server, token: str) -> int | None:
    async with open_socket(server) as client:
        await client.send({"type": "connection_init", "payload": {"Authorization": f"Bearer {token}"}})
        return (await client.closed())[0]


@pytest.mark.parametrize("kid", ["rs", "es", "ed"])
async def test_a_person_is_let_in(server: Server, issuer: LocalIssuer, kid: str) -> None:
    viewer = {
        "name": "Ada",
        "scopes": ["CUSTOMERS_READ", "ORDERS_PLACE", "ORDERS_READ", "ORDERS_WRITE"],
        "allChannels": True,
    }
    token = issuer.token(kid, headers={"typ": "at+jwt"}, aud=["account", AUDIENCE])
    assert await server.ask(VIEWER, token=token) == {"viewer": {**viewer, "channels": []}}
    async with live(server, token) as client:
        await client.subscribe(VIEWER)
        assert await client.next() == {"viewer": {**viewer, "channels": []}}


async def test_clocks_may_differ_by_a_minute(server: Server, issuer: LocalIssuer) -> None:
    now = int(time.time())
    for claims in ({"exp": now - 50}, {"nbf": now + 50}, {"iat": now + 50}, {"exp": 10**18}):
        assert await answered(server, issuer.signed(issuer.claims(**claims))) == (200, None)


@pytest.mark.usefixtures("_impatient")
async def test_an_issuer_with_one_key_need_not_name_it(server: Server, issuer: LocalIssuer) -> None:
    for kid in ("rs", "ed"):
        del issuer.keys[kid]
    assert await answered(server, jwt.encode(issuer.claims(), issuer.keys["es"][1], "ES256")) == (200, None)


def encoded(header: Any, claims: Any, signature: bytes = b"") -> str:
    """A JWT of exactly these parts."""
    parts = (each if isinstance(each, bytes) else json.dumps(each).encode() for each in (header, claims, signature))
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def by_secret(issuer: LocalIssuer, secret: bytes, kid: str = "rs") -> str:
    """Signed by HS256 with what everybody can read, as if that were a secret."""
    unsigned = encoded({"alg": "HS256", "kid": kid, "typ": "JWT"}, issuer.claims()).rpartition(".")[0]
    signature = hmac.digest(secret, unsigned.encode(), hashlib.sha256)
    return f"{unsigned}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def stranger(issuer: LocalIssuer, headers: dict[str, Any]) -> str:
    """Signed with a key that the issuer does not have, which is offered in the headers."""
    return jwt.encode(issuer.claims(), STRANGERS_KEY, "ES256", {"kid": "es", **headers})


STRANGERS_KEY = new_key("ES256")
STRANGERS_JWK = published("es", "ES256", STRANGERS_KEY)
NOW = int(time.time())
SECRET_JWK = {"kty": "oct", "kid": "shared", "k": base64.urlsafe_b64encode(b"k" * 32).decode().rstrip("=")}


def pem(issuer: LocalIssuer) -> bytes:
    public: bytes = issuer.keys["rs"][1].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return public


def with_part(token: str, place: int, part: str) -> str:
    parts = token.split(".")
    parts[place] = part
    return ".".join(parts)


# Each is refused as a token that nobody has: 401 over HTTP, 4403 over WebSocket.
ATTACKS: dict[str, Callable[[LocalIssuer], str]] = {
    "no signature, alg none": lambda it: encoded({"alg": "none"}, it.claims()),
    "alg None": lambda it: encoded({"alg": "None", "kid": "es"}, it.claims()),
    "alg NONE with a signature": lambda it: encoded({"alg": "NONE", "kid": "es"}, it.claims(), b"x" * 64),
    "no alg": lambda it: encoded({"kid": "es"}, it.claims(), b"x" * 64),
    "alg no text": lambda it: encoded({"alg": ["ES256"], "kid": "es"}, it.claims(), b"x" * 64),
    "HS256 with the public key": lambda it: by_secret(it, pem(it)),
    "HS256 with the public key, trimmed": lambda it: by_secret(it, pem(it).strip()),
    "HS256 with nothing": lambda it: by_secret(it, b""),
    "HS256 with a published secret": lambda it: by_secret(it, b"k" * 32, "shared"),
    "an algorithm of the same key that is not taken": lambda it: jwt.encode(
        it.claims(), rsa_key(), "RS512", {"kid": "rs"}
    ),
    "the algorithm of another key": lambda it: jwt.encode(it.claims(), it.keys["es"][1], "ES256", {"kid": "rs"}),
    "a weak key": lambda it: jwt.encode(it.claims(), rsa_key(1024), "RS256", {"kid": "weak"}),
    "a key for something else": lambda it: jwt.encode(it.claims(), STRANGERS_KEY, "ES256", {"kid": "encrypting"}),
    "a stranger's key": lambda it: stranger(it, {}),
    "a stranger's key that comes along": lambda it: stranger(it, {"jwk": STRANGERS_JWK}),
    "a stranger's key that is offered elsewhere": lambda it: stranger(it, {"jku": f"{it.url}/strangers"}),
    "a stranger's certificate": lambda it: stranger(it, {"x5u": f"{it.url}/strangers", "x5c": ["MIIB"]}),
    "an unknown key": lambda it: jwt.encode(it.claims(), STRANGERS_KEY, "ES256", {"kid": "unknown"}),
    "no key named, of several": lambda it: jwt.encode(it.claims(), it.keys["es"][1], "ES256"),
    "a key that is a path": lambda it: by_secret(it, b"", "../../../../dev/null"),
    "a key that is no text": lambda it: encoded({"alg": "ES256", "kid": {"es": 1}}, it.claims(), b"x" * 64),
    "signature cut off": lambda it: with_part(it.token(), 2, ""),
    "signature of zeros": lambda it: with_part(it.token(), 2, "A" * 86),
    "signature of another token": lambda it: with_part(it.token(), 2, it.token(sub="bob").split(".")[2]),
    "claims exchanged": lambda it: with_part(it.token(), 1, it.token(scope="tokens:write").split(".")[1]),
    "headers exchanged": lambda it: with_part(it.token(), 0, it.token(headers={"typ": "at+jwt"}).split(".")[0]),
    "unknown critical header": lambda it: it.token(headers={"crit": ["exp"], "exp": NOW}),
    "detached payload": lambda it: encoded(
        {"alg": "ES256", "kid": "es", "b64": False, "crit": ["b64"]}, b"", b"x" * 64
    ),
    "for logging out": lambda it: it.token(headers={"typ": "logout+jwt"}),
    "type no text": lambda it: encoded({"alg": "ES256", "kid": "es", "typ": ["JWT"]}, it.claims(), b"x" * 64),
    "another audience": lambda it: it.token(aud="https://other.example"),
    "part of the audience": lambda it: it.token(aud=AUDIENCE[:-1]),
    "no audience": lambda it: it.token(aud=None),
    "no audience in a list": lambda it: it.token(aud=[]),
    "another issuer": lambda it: it.token(iss="https://other.example"),
    "the issuer and more": lambda it: it.token(iss=f"{it.url}/"),
    "no issuer": lambda it: it.token(iss=None),
    "expired": lambda it: it.token(exp=NOW - 61),
    "no expiry": lambda it: it.token(exp=None),
    "endless": lambda it: it.token(exp=float("inf")),
    "expiry no number": lambda it: it.token(exp="never"),
    "not good yet": lambda it: it.token(nbf=NOW + 3600),
    "issued tomorrow": lambda it: it.token(iat=NOW + 86_400),
    "nobody": lambda it: it.token(sub=None),
    "nobody's name": lambda it: it.token(sub=" "),
    "claims no object": lambda it: jwt.PyJWS().encode(b"[]", it.keys["es"][1], "ES256", {"kid": "es"}),
    "nested deeply": lambda it: encoded(b"[" * 8000, it.claims()),
    "huge, and signed": lambda it: it.token(padding="x" * 20_000),
    "two dots": lambda it: "..",
    "encrypted": lambda it: it.token() + ".AAAA.AAAA",
    "twice": lambda it: f"{it.token()} {it.token()}",
    "an API token's beginning": lambda it: f"ost_{it.token()}",
}


@pytest.fixture
def _bad_keys(issuer: LocalIssuer) -> None:
    """Published beside the good ones, so that a token may name them."""
    issuer.more_keys = [
        SECRET_JWK,
        published("weak", "RS256", rsa_key(1024)),
        {**published("encrypting", "ES256", STRANGERS_KEY), "use": "enc"},
        "no key",
    ]


@pytest.mark.usefixtures("_bad_keys")
async def test_attacks(server: Server, issuer: LocalIssuer) -> None:
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        tokens = {name: make(issuer) for name, make in ATTACKS.items()}
    outcomes = {name: await answered(server, token) for name, token in tokens.items()}
    assert outcomes == dict.fromkeys(tokens, (401, "UNAUTHENTICATED"))
    codes = await asyncio.gather(*(closed_with(server, token) for token in tokens.values()))
    assert set(codes) == {4403}
    assert set(issuer.asked) == {"/.well-known/openid-configuration", "/jwks"}
    assert await answered(server, issuer.token()) == (200, None)


async def test_an_immense_token_is_refused(server: Server) -> None:
    for token in ("." * 500_000, "x" * 250_000 + ".." + "x" * 250_000):
        assert await closed_with(server, token) == 4403
        assert await answered(server, token[:60_000]) == (401, "UNAUTHENTICATED")


async def test_a_person_acts_under_their_own_name(server: Server, issuer: LocalIssuer) -> None:
    """The log has the person, always with the same id; nobody else's idempotency keys are theirs."""
    ada, ada_later = issuer.token(), issuer.token("rs", name=None, preferred_username="ada.l")
    bob = issuer.token(sub="bob", name="\x00Bob\ud800" + "b" * 300)
    order = await server.place(token=ada, idempotencyKey="k", fields="id events { nodes { actor { kind id name } } }")
    assert await server.place(token=ada_later, idempotencyKey="k", fields="id") == {"id": order["id"]}
    other = await server.place(token=bob, idempotencyKey="k", fields="id events { nodes { actor { kind id name } } }")
    assert other["id"] != order["id"]
    digest = hashlib.sha256(f"{issuer.url}\nada".encode()).digest()
    expected = f"person-{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"
    assert order["events"]["nodes"][0]["actor"] == {"kind": "PERSON", "id": expected, "name": "Ada"}
    assert other["events"]["nodes"][0]["actor"]["name"] == "Bob" + "b" * 252
    assert await OrderEvent.filter(actor_kind=ActorKind.PERSON).count() == 2


async def actor_of(server: Server, token: str) -> Actor:
    actor = await server.service.tokens.actor_of(f"Bearer {token}")
    assert actor is not None
    return actor


@pytest.mark.parametrize("settings", [{"oidc_roles": json.dumps(ROLES)}], indirect=True)
async def test_scopes_come_from_scopes_and_roles(server: Server, issuer: LocalIssuer) -> None:
    """The mapping does not know customers:read: those who read orders go on to see who bought."""
    read, ship = {Scope.ORDERS_READ, Scope.CUSTOMERS_READ}, {Scope.FULFILLMENT_WRITE}
    for given, scopes in (
        ("orders:read", read),
        ("warehouse", read | ship),
        (["clerk", "payments:write"], read | {Scope.PAYMENTS_WRITE}),
        ("customers:read", {Scope.CUSTOMERS_READ}),
        ("openid profile admin orders:READ *", set()),
        ([["orders:read"], 1, None], set()),
        ({"orders:read": True}, set()),
        (None, set()),
    ):
        assert (await actor_of(server, issuer.token(scope=given))).scopes == scopes, given


@pytest.mark.parametrize("settings", [{"oidc_roles": json.dumps(ROLES | {"desk": ["customers:read"]})}], indirect=True)
async def test_a_mapping_that_knows_customers_read_gives_no_more_than_it_says(
    server: Server, issuer: LocalIssuer
) -> None:
    for given, scopes in (
        ("orders:read", {Scope.ORDERS_READ}),
        ("warehouse", {Scope.ORDERS_READ, Scope.FULFILLMENT_WRITE}),
        ("warehouse desk", {Scope.ORDERS_READ, Scope.FULFILLMENT_WRITE, Scope.CUSTOMERS_READ}),
    ):
        assert (await actor_of(server, issuer.token(scope=given))).scopes == scopes, given


REALM = {"oidc_scopes_claim": "realm_access.roles", "oidc_channels_claim": "https://shop.example/channels"}


@pytest.mark.parametrize("settings", [REALM], indirect=True)
async def test_channels_come_from_their_claim(server: Server, issuer: LocalIssuer) -> None:
    """Whoever has none sees nothing: no order, no event, no channel."""
    for channel in ("web", "till"):
        await server.place(channel=channel)
    query = """{ viewer { allChannels } channels { code } orders { nodes { channel { code } } }
        orderEvents { nodes { id } } }"""
    claims: dict[str, Any] = {"realm_access": {"roles": ["orders:read", "orders:place"]}, "scope": "tokens:write"}
    for given, seen in (
        (["web", "nowhere", "\x00"], ["web"]),
        ("till web", ["till", "web"]),
        ("*", ["till", "web"]),
        ("nowhere", []),
        ([], []),
        (7, []),
        (None, []),
    ):
        token = issuer.token(**claims | {REALM["oidc_channels_claim"]: given})
        data = await server.ask(query, token=token)
        assert sorted(node["channel"]["code"] for node in data["orders"]["nodes"]) == seen, given
        assert [channel["code"] for channel in data["channels"]] == seen
        assert len(data["orderEvents"]["nodes"]) == len(seen)
        assert data["viewer"]["allChannels"] is (given == "*")
        if not seen:
            payload = await server.mutate("placeOrder", an_order(), token=token)
            assert payload["userErrors"][0]["field"] == ["channel"]


@pytest.mark.usefixtures("watchful")
async def test_what_is_open_ends_with_the_token(server: Server, issuer: LocalIssuer) -> None:
    """A minute after it has expired, and nobody else's."""
    short = issuer.token(exp=int(time.time()) - 58)
    async with (
        live(server, short) as client,
        live(server, issuer.token()) as other,
        open_stream(server, EVENTS, token=short) as stream,
    ):
        assert await client.closed() == (4403, "Forbidden: the token has ended")
        assert await stream.event() == ("next", {"errors": [ENDED]})
        assert await stream.event() == COMPLETE
        await other.subscribe("{ viewer { name } }")
        assert await other.next() == {"viewer": {"name": "Ada"}}


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asks the issuer again at once, and anew all the time."""
    monkeypatch.setattr("api.callers.issuer_keys.PAUSE_SECONDS", 0.0)


@pytest.mark.usefixtures("_impatient")
async def test_keys_are_rotated(server: Server, issuer: LocalIssuer) -> None:
    """A new key is fetched when it is first met; one that has been withdrawn is good no longer."""
    old = issuer.token()
    assert await answered(server, old) == (200, None)
    issuer.add("next")
    assert await answered(server, issuer.token("next")) == (200, None)
    assert await answered(server, old) == (200, None)
    del issuer.keys["es"]
    issuer.add("last")
    assert await answered(server, issuer.token("last")) == (200, None)
    assert await answered(server, old) == (401, "UNAUTHENTICATED")


async def test_the_keys_are_fetched_ahead_and_not_for_everybody_who_makes_one_up(
    server: Server, issuer: LocalIssuer
) -> None:
    await until(lambda: len(issuer.asked) == 2)
    made_up = [jwt.encode(issuer.claims(), STRANGERS_KEY, "ES256", {"kid": uuid4().hex}) for _ in range(10)]
    for answers in (made_up, [issuer.token()]):
        await asyncio.gather(*(answered(server, token) for token in answers))
    assert len(issuer.asked) == 2


async def test_an_issuer_that_is_down_is_not_missed(
    server: Server, issuer: LocalIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its keys are kept; what cannot be checked is to be tried again, and works once it is back."""
    assert await answered(server, issuer.token()) == (200, None)
    monkeypatch.setattr("api.callers.issuer_keys.PAUSE_SECONDS", 0.0)
    issuer.down = True
    issuer.add("next")
    assert await answered(server, issuer.token("next")) == (401, "UNAUTHENTICATED")
    assert await answered(server, issuer.token()) == (200, None)
    issuer.down = False
    assert await answered(server, issuer.token("next")) == (200, None)


@pytest.fixture
def _down(issuer: LocalIssuer) -> None:
    issuer.down = True


@pytest.mark.usefixtures("_down")
async def test_without_keys_nobody_is_refused_for_good(server: Server, issuer: LocalIssuer) -> None:
    """API tokens work meanwhile, and one request in a while asks the issuer."""
    for _ in range(5):
        assert await answered(server, issuer.token()) == (503, "UNAVAILABLE")
    assert await closed_with(server, issuer.token()) == 1013
    note = await server.http.get(
        f"http://127.0.0.1:{server.port}/delivery-notes/{uuid4()}.pdf",
        headers={"Authorization": f"Bearer {issuer.token()}"},
    )
    assert (note.status_code, note.headers["retry-after"]) == (503, "1")
    assert await answered(server, server.token) == (200, None)
    assert issuer.asked == ["/.well-known/openid-configuration"]


@pytest.fixture
def _nonsense(issuer: LocalIssuer, request: pytest.FixtureRequest) -> None:
    issuer.document = request.param


@pytest.mark.parametrize(
    "_nonsense",
    [
        {"issuer": "https://other.example"},
        {"jwks_uri": "http://keys.example/jwks"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": None},
        {"padding": "x" * 2_000_000},
    ],
    indirect=True,
)
@pytest.mark.usefixtures("_nonsense")
async def test_a_document_that_makes_no_sense(
    server: Server, issuer: LocalIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await answered(server, issuer.token()) == (503, "UNAVAILABLE")
    issuer.document = {}
    monkeypatch.setattr("api.callers.issuer_keys.PAUSE_SECONDS", 0.0)
    assert await answered(server, issuer.token()) == (200, None)


@pytest.mark.usefixtures("_impatient")
async def test_an_issuer_leads_nobody_inside(server: Server, issuer: LocalIssuer) -> None:
    """Its own address is the operator's choice; where it says that its keys are is not."""
    async with serving() as other:
        assert await answered(server, issuer.token()) == (200, None)
        issuer.add("next")
        for document in ({"jwks_uri": other.url}, {"jwks_uri": issuer.url.replace("//", "//user:hunter2@") + "/jwks"}):
            issuer.document = document
            assert await answered(server, issuer.token("next")) == (401, "UNAUTHENTICATED")
        assert other.heard == []
        assert "/jwks" not in issuer.asked[3:]
