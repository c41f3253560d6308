"""What a subscriber sees of a database that cannot be used for a while: never an answer in place of an event."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from tempfile import TemporaryFile
from typing import IO, Any

import pytest

from api.commands.temporary_server import free_port, server_process
from api.settings import ROOT
from domain.actors import Scope, system
from domain.tokens import create_token
from models.engine.database import connect, connected, migrate
from tests.api.test_sse import open_stream
from tests.clients import WAIT, Server, follow, live, new_client, open_socket, until
from tests.services import PostgresServer, create_database, postgres_server

LINES = "subscription ($after: String!) { orderEvents(after: $after) { cursor type order { lines { title } } } }"
AGAIN = (1013, "Try again later: resume with after")
EXIT_SECONDS = 10  # in which a server ends, whatever its database does
UNAVAILABLE = {"code": "UNAVAILABLE"}


ORDER = {"channel": "web", "currency": "CHF", "lines": [{"title": "Socks", "quantity": 1, "unitPrice": "9.90"}]}
NOTED = {"type": "NOTE_ADDED", "order": {"lines": [{"title": "Socks"}]}}


@asynccontextmanager
async def lines_withheld(url: str) -> AsyncIterator[Any]:
    """While the block runs, nobody can read an order's lines, and who waits for them loses its connection."""
    holding, ending = await connect(url), await connect(url)

    async def end_who_waits() -> None:
        ended = 0
        while not ended:
            ended = await ending.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )

    async with holding.transaction():
        await holding.execute("LOCK TABLE order_lines IN ACCESS EXCLUSIVE MODE")
        yield end_who_waits
    await holding.close()
    await ending.close()


@pytest.mark.postgres
async def test_a_socket_is_closed_in_place_of_an_event(server: Server, database_url: str) -> None:
    async with live(server) as client, live(server) as other:
        await follow(server, other)
        order = await server.do("placeOrder", ORDER, "id events { nodes { cursor } }")
        variables = {"after": order["events"]["nodes"][-1]["cursor"]}
        assert (await other.next())["orderEvents"]["type"] == "ORDER_PLACED"
        async with lines_withheld(database_url) as end_who_waits:
            await server.do("addOrderNote", {"orderId": order["id"], "note": "x"}, "id")
            await client.subscribe(LINES, variables)
            await end_who_waits()
            assert await client.closed() == AGAIN
        async with live(server) as again:
            await again.subscribe(LINES, variables)
            event = (await again.next())["orderEvents"]
            assert {**event, "cursor": None} == {**NOTED, "cursor": None}
        assert (await other.next())["orderEvents"]["type"] == "NOTE_ADDED"


@pytest.mark.postgres
async def test_a_stream_ends_in_place_of_an_event(server: Server, database_url: str) -> None:
    order = await server.do("placeOrder", ORDER, "id events { nodes { cursor } }")
    variables = {"after": order["events"]["nodes"][-1]["cursor"]}
    async with AsyncExitStack() as stack:
        async with lines_withheld(database_url) as end_who_waits:
            await server.do("addOrderNote", {"orderId": order["id"], "note": "x"}, "id")
            stream = await stack.enter_async_context(open_stream(server, LINES, variables))
            await end_who_waits()
            await stream.ended()
        again = await stack.enter_async_context(open_stream(server, LINES, variables))
        name, payload = await again.event()
        event = payload["data"]["orderEvents"]
        assert (name, {**event, "cursor": None}) == ("next", {**NOTED, "cursor": None})


@pytest.fixture
async def postgres() -> AsyncIterator[PostgresServer]:
    """A server of the test's own, to do with as it likes."""
    async with postgres_server() as postgres:
        yield postgres


@pytest.fixture
async def its_database(postgres: PostgresServer) -> str:
    url = await create_database(postgres.url(), "orders")
    await migrate(url)
    return url


class TestADatabaseThatIsDown:
    @pytest.fixture
    def database_url(self, its_database: str) -> str:
        return its_database

    @pytest.mark.slow
    async def test_sockets_live_through_it(
        self, server: Server, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("domain.tokens.KNOWN_SECONDS", 0.0)
        order = await server.do("placeOrder", ORDER, "events { nodes { cursor } }")
        cursor = order["events"]["nodes"][-1]["cursor"]
        follow_after = "subscription ($after: String!) { orderEvents(after: $after) { type } }"
        async with live(server) as quiet, live(server) as client, open_socket(server) as early:
            await follow(server, quiet)
            await postgres.stop()

            await early.send({"type": "connection_init", "payload": {"Authorization": f"Bearer {server.token}"}})
            assert await early.closed() == (1013, "Try again later")

            await client.subscribe("{ orders { nodes { id } } }")
            answer = await client.receive()
            assert (answer["type"], answer["payload"]["data"]) == ("next", None)
            assert [error["extensions"] for error in answer["payload"]["errors"]] == [UNAVAILABLE]
            assert await client.receive() == {"id": "1", "type": "complete"}
            await client.subscribe(follow_after, {"after": cursor}, "2")
            assert await client.closed() == AGAIN

            await postgres.start()
            await until_it_answers(server)
            await server.place()
            assert (await quiet.next())["orderEvents"]["type"] == "ORDER_PLACED"
            async with live(server) as again:
                await again.subscribe(follow_after, {"after": cursor})
                for _ in range(3):
                    assert await again.next() == {"orderEvents": {"type": "ORDER_PLACED"}}


@pytest.mark.slow
async def test_a_silent_database_does_not_hold_a_server_that_is_to_end(
    postgres: PostgresServer, its_database: str
) -> None:
    async with connected(its_database):
        _, token = await create_token(actor=system("tests"), name="everything", scopes=list(Scope))
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        server_process(its_database) as (one, process),
        server_process(its_database, "--workers", "2") as (other, supervisor),
        new_client(headers=headers, timeout=60) as http,
    ):
        request = {"query": "{ orders { nodes { id } } }"}
        for url in (one, other):
            assert (await http.post(url, json=request)).json() == {"data": {"orders": {"nodes": []}}}
        postgres.pause()
        requests = [request, {"query": "subscription { orderEvents { type } }"}]
        asking = [asyncio.create_task(http.post(url, json=json)) for url in (one, other) for json in requests]
        await asyncio.sleep(0)
        begun = time.monotonic()
        for server in (process, supervisor):
            server.terminate()
        for server in (process, supervisor):
            await server.wait()
        assert time.monotonic() - begun < EXIT_SECONDS
        await asyncio.gather(*asking, return_exceptions=True)


@pytest.mark.slow
@pytest.mark.wire
async def test_a_start_without_a_database_says_so_once_and_gives_up() -> None:
    url = f"postgres://nobody@127.0.0.1:{free_port()}/orders"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "api.commands.serve", "--wait-for-database", "2"),
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    waiting = (await process.stderr.readline()).decode()
    process.send_signal(signal.SIGHUP)  # which asks a server to reload, and is not to end it
    out, err = (text.decode() for text in await process.communicate())
    assert (process.returncode, out) == (1, "")
    [end] = err.splitlines()
    assert waiting.startswith("The database cannot be reached yet, waiting for it: ")
    assert end.startswith("The database cannot be reached: ")


@pytest.mark.slow
async def test_a_start_waits_for_the_database(postgres: PostgresServer, its_database: str) -> None:
    await postgres.stop()
    with TemporaryFile() as log:
        serving = asyncio.create_task(_answer_of_server(its_database, log))
        await until(lambda: b"waiting for it" in _all_of(log))
        await postgres.start()
        assert await serving == {"data": {"__typename": "Query"}}


async def _answer_of_server(database_url: str, log: IO[bytes]) -> Any:
    async with server_process(database_url, log=log) as (url, _), new_client() as http:
        return (await http.post(url, json={"query": "{ __typename }"})).json()


def _all_of(log: IO[bytes]) -> bytes:
    return os.pread(log.fileno(), 1_000_000, 0)


async def until_it_answers(server: Server) -> None:
    answers: list[dict[str, Any]] = []
    async with asyncio.timeout(WAIT):
        while not answers or "errors" in answers[-1]:
            answers.append(await server.send("{ channels { code } }"))
