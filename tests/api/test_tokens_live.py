"""What is open under a token ends soon after the token does, and what is used is known as used."""

import asyncio
import gc
import os
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from websockets.asyncio.client import ClientConnection, connect

from api.callers import token_watch
from api.commands.temporary_server import server_process
from domain.actors import Actor, Scope, system
from domain.tokens import create_token, revoke_token, rotate_token
from models import ApiToken, RetiredSecret
from models.engine.database import connected
from models.engine.rows import reload
from tests.api.test_sse import COMPLETE, EVENTS, open_stream
from tests.api.test_workers import replaced, workers_of
from tests.clients import ALL_SCOPES, WAIT, Server, follow, live, open_socket, until
from tests.database import run_sql

pytestmark = [pytest.mark.wire, pytest.mark.usefixtures("watchful")]

PROMPT = 4  # seconds: twice what is promised, for a machine that is busy with other tests

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
        await until(lambda: server.service.subscriptions.count == 2)
        await follow(server, following)
        await follow(server, other)
        for each in (stream, other_stream):
            for _ in range(4):
                assert (await each.event())[0] == "next"
        await revoke_token(actor=system("tests"), token_id=token.id)
        assert await following.closed() == (4403, "Forbidden: the token has ended")
        assert await idle.closed() == (4403, "Forbidden: the token has ended")
        assert await stream.event() == ("next", {"errors": [ENDED]})
        assert await stream.event() == COMPLETE
        await stream.ended()
        await until(lambda: server.service.subscriptions.count == 2)
        await server.place()
        assert (await other.next())["orderEvents"]["type"] == "ORDER_PLACED"
        assert (await other_stream.event())[0] == "next"
        async with open_socket(server) as again:
            await again.send({"type": "connection_init", "payload": {"Authorization": f"Bearer {secret}"}})
            assert await again.closed() == (4403, "Forbidden: the token is not valid")


async def test_tokens_are_watched_again_after_an_outage(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    token, secret = await create_token(actor=system("tests"), name="partner", scopes=list(Scope))
    async with live(server, secret) as client:
        await run_sql("ALTER TABLE api_tokens RENAME TO away")
        await until(lambda: "the tokens could not be checked" in caplog.text)
        await run_sql("ALTER TABLE away RENAME TO api_tokens")
        await revoke_token(actor=system("tests"), token_id=token.id)
        assert await client.closed() == (4403, "Forbidden: the token has ended")


async def test_who_has_called_is_forgotten(server: Server) -> None:
    """Otherwise the memory would fill up with tokens that are not used any more."""
    secret = await server.new_token(name="passer-by")

    def is_known() -> bool:
        gc.collect()
        return any(type(each) is Actor and each.name == "passer-by" for each in gc.get_objects())

    async with live(server, secret):
        assert is_known()
    await until(lambda: not is_known())


async def test_a_token_that_expires_loses_its_socket(server: Server) -> None:
    _, secret = await create_token(
        actor=system("tests"), name="short", scopes=ALL_SCOPES, expires_at=datetime.now(UTC) + timedelta(seconds=2)
    )
    async with live(server, secret) as client, live(server) as other:
        assert await client.closed() == (4403, "Forbidden: the token has ended")
        await other.subscribe("{ viewer { name } }")
        assert await other.next() == {"viewer": {"name": "everything"}}


async def test_a_secret_that_was_exchanged_loses_its_sockets_after_its_grace(server: Server) -> None:
    """Those that were opened before the exchange, too; what is open under the new secret goes on."""
    token, first = await create_token(actor=system("tests"), name="partner", scopes=list(Scope))
    async with live(server, first) as before, live(server) as other:
        _, second = await rotate_token(actor=system("tests"), token_id=token.id)
        async with live(server, first) as old, live(server, second) as new:
            await asyncio.sleep(10 * token_watch.WATCH_SECONDS)
            for each in (before, old, new):
                await each.subscribe("{ viewer { name } }")
                assert await each.next() == {"viewer": {"name": "partner"}}
                assert (await each.receive())["type"] == "complete"
            await RetiredSecret.all().update(good_until=datetime.now(UTC))
            for each in (before, old):
                assert await each.closed() == (4403, "Forbidden: the token has ended")
            for each, name in ((new, "partner"), (other, "everything")):
                await each.subscribe("{ viewer { name } }")
                assert await each.next() == {"viewer": {"name": name}}


async def test_the_last_use_is_written_beside_the_requests(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.callers.token_watch.USE_PERIOD", timedelta(0))
    used, secret = await create_token(actor=system("tests"), name="used", scopes=list(Scope))
    unused, _ = await create_token(actor=system("tests"), name="unused", scopes=list(Scope))
    await server.ask("{ viewer { name } }", token=secret)
    await last_use_is_written(used)
    async with live(server, secret):
        for _ in range(2):  # the second time it is known by the socket alone
            await ApiToken.filter(id=used.id).update(last_used_at=None)
            await last_use_is_written(used)
    await reload(unused)
    assert unused.last_used_at is None


async def last_use_is_written(token: ApiToken) -> None:
    async with asyncio.timeout(WAIT):
        while await ApiToken.exists(id=token.id, last_used_at=None):  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.01)


@asynccontextmanager
async def sockets_on_each(url: str, process: Process, secret: str) -> AsyncIterator[list[ClientConnection]]:
    """As many sockets under the token as it takes for each worker to have one."""

    def files(worker: int) -> int:
        return len(os.listdir(f"/proc/{worker}/fd"))

    before = {worker: files(worker) for worker in workers_of(process)}
    init = orjson.dumps({"type": "connection_init", "payload": {"Authorization": f"Bearer {secret}"}}).decode()
    async with AsyncExitStack() as stack:
        sockets: list[ClientConnection] = []
        while len(sockets) < 4 or not all(files(worker) > count + 1 for worker, count in before.items()):
            assert len(sockets) < 200
            to = connect(url.replace("http", "ws"), subprotocols=["graphql-transport-ws"])  # type: ignore[list-item]
            sockets.append(await stack.enter_async_context(to))
            await sockets[-1].send(init)
            assert orjson.loads(await sockets[-1].recv())["type"] == "connection_ack"
        yield sockets


@pytest.mark.slow
async def test_every_worker_ends_what_is_open(database_url: str) -> None:
    """Within two seconds of the revocation, and of the end of a grace period."""
    async with (
        connected(database_url),
        server_process(database_url, "--workers", "2") as (url, process),
    ):
        await replaced(process)
        token, first = await create_token(actor=system("tests"), name="partner", scopes=list(Scope))
        async with sockets_on_each(url, process, first) as old:
            _, second = await rotate_token(actor=system("tests"), token_id=token.id, grace=timedelta(0))
            rotated = time.monotonic()
            await asyncio.gather(*(socket.wait_closed() for socket in old))
            assert time.monotonic() - rotated < PROMPT
            assert {socket.close_code for socket in old} == {4403}
        async with sockets_on_each(url, process, second) as new:
            await revoke_token(actor=system("tests"), token_id=token.id)
            revoked = time.monotonic()
            await asyncio.gather(*(socket.wait_closed() for socket in new))
            assert time.monotonic() - revoked < PROMPT
            assert {socket.close_code for socket in new} == {4403}
