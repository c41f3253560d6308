"""API tokens as they are managed by GraphQL."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from api.schema import ids
from domain.actors import Scope
from models import ApiToken
from tests.clients import Server
from tests.domain.shop import nothing_changes

pytestmark = pytest.mark.wire

TOKEN = """id name prefix state scopes allChannels registeredOnly channels { code } service { code } createdAt
    createdBy expiresAt lastUsedAt revokedAt revokedBy"""
TOKENS = f"""query ($first: Int, $after: String) {{ tokens(first: $first, after: $after) {{
    nodes {{ {TOKEN} }} edges {{ cursor node {{ id }} }} pageInfo {{ hasNextPage endCursor }} }} }}"""


async def do(server: Server, mutation: str, token: str = "", /, **given: Any) -> dict[str, Any]:
    """The payload of createToken, rotateToken or revokeToken."""
    input_type = mutation[0].upper() + mutation[1:] + "Input!"
    secret = "" if mutation == "revokeToken" else "secret"
    query = f"""mutation ($input: {input_type}) {{
        {mutation}(input: $input) {{ token {{ {TOKEN} }} {secret} userErrors {{ code field message }} }} }}"""
    payload: dict[str, Any] = (await server.ask(query, {"input": given}, token))[mutation]
    return payload


async def test_a_token_is_created_listed_rotated_and_revoked(server: Server) -> None:
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(days=90)
    made = await do(
        server,
        "createToken",
        name="Shop",
        scopes=["ORDERS_READ", "ORDERS_PLACE"],
        channels=["web"],
        expiresAt=end.isoformat(),
    )
    token, secret = made["token"], made["secret"]
    assert made["userErrors"] == []
    assert datetime.fromisoformat(token.pop("createdAt")) <= datetime.now(UTC)
    assert secret.startswith(token["prefix"])
    assert token == {
        "id": token["id"],
        "name": "Shop",
        "prefix": token["prefix"],
        "state": "ACTIVE",
        "scopes": ["ORDERS_PLACE", "ORDERS_READ"],
        "allChannels": False,
        "registeredOnly": False,
        "channels": [{"code": "web"}],
        "service": None,
        "createdBy": "everything",
        "expiresAt": end.isoformat(),
        "lastUsedAt": None,
        "revokedAt": None,
        "revokedBy": None,
    }
    order = await server.place(token=secret, fields="id events { nodes { actor { id name } } }", idempotencyKey="k")

    rotated = await do(server, "rotateToken", tokenId=token["id"], graceSeconds=60)
    new_secret = rotated["secret"]
    assert (rotated["token"]["id"], rotated["token"]["prefix"]) == (token["id"], new_secret[:10])
    for each in (secret, new_secret):  # the same caller: for the log, and for what they have sent before
        again = await server.place(token=each, fields="id events { nodes { actor { id name } } }", idempotencyKey="k")
        assert again == order

    listed = await server.ask(TOKENS)
    assert [node["name"] for node in listed["tokens"]["nodes"]] == ["everything", "Shop"]
    stored = await ApiToken.all()
    for hidden in (secret, new_secret, *(row.hash for row in stored)):
        assert hidden not in str(listed)

    revoked = await do(server, "revokeToken", tokenId=token["id"])
    assert (revoked["token"]["state"], revoked["token"]["revokedBy"]) == ("REVOKED", "everything")
    for each in (secret, new_secret):
        answer = await server.send("{ viewer { name } }", token=each)
        assert answer["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED"}

    app = await do(server, "createToken", name="app", scopes=["ORDERS_READ"], registeredOnly=True)
    answer = await server.send("{ viewer { name } }", token=app["secret"])
    assert app["token"]["registeredOnly"] is True
    assert answer["errors"][0]["extensions"] == {"code": "DOCUMENT_NOT_REGISTERED"}


async def test_pages_of_tokens(server: Server) -> None:
    for name in "abc":
        await server.new_token(Scope.ORDERS_READ, name=name)
    first = (await server.ask(TOKENS, {"first": 3}))["tokens"]
    rest = (await server.ask(TOKENS, {"first": 3, "after": first["pageInfo"]["endCursor"]}))["tokens"]
    assert [node["name"] for node in first["nodes"] + rest["nodes"]] == ["everything", "a", "b", "c"]
    assert (first["pageInfo"]["hasNextPage"], rest["pageInfo"]["hasNextPage"]) == (True, False)
    for variables in ({"first": 0}, {"after": "?"}, {"after": first["pageInfo"]["endCursor"][:-4]}):
        answer = await server.send(TOKENS, variables)
        assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_what_is_refused_changes_nothing(server: Server) -> None:
    """Nobody widens what they have, by whatever way."""
    manager = await server.new_token(Scope.TOKENS_WRITE, Scope.ORDERS_READ, channels=("web",), name="manager")
    more = (await do(server, "createToken", name="more", scopes=["ORDERS_WRITE"], channels=["web"]))["token"]["id"]
    other = (await do(server, "createToken", name="other", scopes=["ORDERS_READ"], channels=["till"]))["token"]["id"]
    created = {"name": "x", "scopes": ["ORDERS_READ"], "channels": ["web"]}
    nowhere = ids.encode("Token", uuid4())
    for name, given, code, field in (
        ("createToken", {**created, "scopes": ["ORDERS_WRITE"]}, "INVALID_INPUT", "scopes"),
        ("createToken", {**created, "scopes": []}, "INVALID_INPUT", "scopes"),
        ("createToken", {**created, "channels": None}, "INVALID_INPUT", "channels"),
        ("createToken", {**created, "channels": []}, "INVALID_INPUT", "channels"),
        ("createToken", {**created, "channels": ["web", "till"]}, "INVALID_INPUT", "channels"),
        ("createToken", {**created, "expiresAt": "2020-01-01T00:00:00Z"}, "INVALID_INPUT", "expiresAt"),
        ("createToken", {**created, "service": "lager"}, "INVALID_INPUT", "scopes"),
        ("rotateToken", {"tokenId": more}, "INVALID_INPUT", "scopes"),
        ("rotateToken", {"tokenId": other}, "NOT_FOUND", "tokenId"),
        ("rotateToken", {"tokenId": nowhere}, "NOT_FOUND", "tokenId"),
        ("rotateToken", {"tokenId": more, "graceSeconds": -1}, "INVALID_INPUT", "graceSeconds"),
        ("revokeToken", {"tokenId": other}, "NOT_FOUND", "tokenId"),
        ("revokeToken", {"tokenId": more}, "INVALID_INPUT", "scopes"),
        ("revokeToken", {"tokenId": more, "withCreated": True}, "INVALID_INPUT", "scopes"),
        ("revokeToken", {"tokenId": ids.encode("Order", uuid4())}, "INVALID_INPUT", "tokenId"),
    ):
        async with nothing_changes():
            payload = await do(server, name, manager, **given)
        [error] = payload["userErrors"]
        assert (error["code"], error["field"], payload["token"]) == (code, [field], None), (name, given)
    names = [node["name"] for node in (await server.ask(TOKENS, token=manager))["tokens"]["nodes"]]
    assert names == ["manager", "more"]


async def test_revoking_a_token_offers_to_revoke_those_that_it_has_created(server: Server) -> None:
    made = await do(server, "createToken", name="partner", scopes=["TOKENS_WRITE", "ORDERS_READ"])
    child = await do(server, "createToken", made["secret"], name="child", scopes=["ORDERS_READ"])
    query = """mutation ($input: RevokeTokenInput!) { revokeToken(input: $input) {
        token { state } created { name state } userErrors { code } } }"""
    for given, state, status in (({}, "ACTIVE", 200), ({"withCreated": True}, "REVOKED", 401)):
        payload = (await server.ask(query, {"input": {"tokenId": made["token"]["id"], **given}}))["revokeToken"]
        assert payload == {
            "token": {"state": "REVOKED"},
            "created": [{"name": "child", "state": state}],
            "userErrors": [],
        }
        headers = {"Authorization": f"Bearer {child['secret']}"}
        response = await server.http.post(server.url, json={"query": "{ viewer { name } }"}, headers=headers)
        assert response.status_code == status
