"""What is open under a token ends soon after the token does."""

from datetime import timedelta

import pytest

from domain.actors import Scope, system
from domain.tokens import create_token, revoke_token
from tests.api.test_sse import COMPLETE, EVENTS, open_stream
from tests.clients import ALL_SCOPES, Server, follow, live, open_socket, until

pytestmark = pytest.mark.wire

ENDED = {
    "message": "This token is not valid: it is unknown, expired or revoked.",
    "extensions": {"code": "UNAUTHENTICATED"},
}


async def test_a_revoked_token_loses_its_sockets_and_streams(server: Server) -> None:
    token, secret = await create_token(actor=system("tests"), name="partner", scopes=list(Scope))
    async with (
        live(server, secret) as following,
        live(server, secret) as idle,
        live(server) as other,
        open_stream(server, EVENTS, token=secret) as stream,
        open_stream(server, EVENTS) as other_stream,
    ):
        await until(lambda: server.service.live.count == 2)
        await follow(server, following)
        await follow(server, other)
        for each in (stream, other_stream):
            for _ in range(4):
                assert (await each.event())[0] == "next"
        await revoke_token(actor=system("tests"), prefix_or_id=str(token.id))
        assert await following.closed() == (4403, "Forbidden: the token has ended")
        assert await idle.closed() == (4403, "Forbidden: the token has ended")
        assert await stream.event() == ("next", {"errors": [ENDED]})
        assert await stream.event() == COMPLETE
        await stream.ended()
        await until(lambda: server.service.live.count == 2)
        await server.place()
        assert (await other.next())["orderEvents"]["type"] == "ORDER_PLACED"
        assert (await other_stream.event())[0] == "next"
        async with open_socket(server) as again:
            await again.send({"type": "connection_init", "payload": {"Authorization": f"Bearer {secret}"}})
            assert await again.closed() == (4403, "Forbidden: the token is not valid")


async def test_a_token_that_expires_loses_its_socket(server: Server) -> None:
    _, secret = await create_token(
        actor=system("tests"), name="short", scopes=ALL_SCOPES, expires_in=timedelta(seconds=2)
    )
    async with live(server, secret) as client, live(server) as other:
        assert await client.closed() == (4403, "Forbidden: the token has ended")
        await other.subscribe("{ viewer { name } }")
        assert await other.next() == {"viewer": {"name": "everything"}}
