"""The JavaScript libraries with which others build clients, and the audits that they publish."""

import asyncio
import contextlib
import json
import re
from asyncio.subprocess import Process
from typing import Any

import pytest

from api.commands.temporary_server import free_port, server_process
from api.settings import ROOT, Settings
from domain.actors import Scope, system
from domain.orders.placing import place_order
from domain.stream.event_log import cursor_at, cursor_of
from domain.tokens import create_token
from models import Order, OrderEvent
from models.engine.database import connected
from tests import npm
from tests.clients import Server, an_order, new_client
from tests.domain.shop import new_order

pytestmark = pytest.mark.wire

AUDITS = 61  # of graphql-http, of which a failed one is `warn` or `error`
LIBRARIES = ("graphqlWs", "graphqlSse", "apollo", "urql")
PLACE = "mutation ($input: PlaceOrderInput!) { placeOrder(input: $input) { userErrors { code } } }"
PATIENCE = 30  # seconds, while the machine is busy with other tests


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Show the schema to everybody: the audits have no token."""
    return settings.model_copy(update={"introspection": "all"})


async def test_graphql_https_audits(server: Server) -> None:
    async with npm.running("audit.mjs", server.url) as process:
        output, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    results = json.loads(output)
    assert [result for result in results if result["status"] != "ok"] == []
    assert len({result["id"] for result in results}) == AUDITS


class Followers:
    """What the libraries have seen so far."""

    def __init__(self, process: Process) -> None:
        assert process.stdout is not None
        self._lines = process.stdout
        self.cursors: dict[str, list[str]] = {name: [] for name in LIBRARIES}
        self.connections: dict[str, int] = {}

    async def see(self, count: int) -> None:
        """Reads on until each has seen so many events."""
        async with asyncio.timeout(PATIENCE):
            while any(len(cursors) < count for cursors in self.cursors.values()):
                line: dict[str, Any] = json.loads(await self._lines.readline())
                self.cursors[line["client"]].append(line["cursor"])
                self.connections[line["client"]] = line["connections"]


async def place_orders(url: str, token: str, count: int) -> None:
    async with new_client(headers={"Authorization": f"Bearer {token}"}) as http:
        for _ in range(count):
            answer = await http.post(url, json={"query": PLACE, "variables": {"input": an_order()}})
            assert answer.json() == {"data": {"placeOrder": {"userErrors": []}}}


@pytest.mark.slow
async def test_each_library_resumes_after_the_server_was_killed(database_url: str) -> None:
    port = free_port()
    async with connected(database_url):
        _, token = await create_token(actor=system("tests"), name="everything", scopes=list(Scope))
    async with server_process(database_url, port=port) as (url, server):
        await place_orders(url, token, 2)
        async with npm.running("subscribers.mjs", url, token, cursor_at(0)) as process:
            followers = Followers(process)
            await followers.see(2)
            await place_orders(url, token, 3)
            server.kill()  # while the last events may be on their way, to some of them
            await server.wait()
            async with server_process(database_url, port=port):
                await place_orders(url, token, 3)
                await followers.see(8)
    async with connected(database_url):
        log = [cursor_of(event) for event in await OrderEvent.all().order_by("id")]
    assert followers.cursors == dict.fromkeys(LIBRARIES, log)
    assert followers.connections == dict.fromkeys(LIBRARIES, 2)


@pytest.mark.slow
async def test_the_readmes_script_misses_nothing_when_the_server_was_killed(database_url: str) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    script = readme.partition("```js\n")[2].partition("```")[0]
    port = free_port()
    async with connected(database_url):
        _, token = await create_token(actor=system("tests"), name="everything", scopes=list(Scope))
    script = script.replace("127.0.0.1:8000", f"127.0.0.1:{port}").replace("TOKEN", token)
    script = "import { WebSocket } from 'ws'; globalThis.WebSocket ??= WebSocket\n" + script  # which Node 22 has

    async def see(number: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while not seen or seen[-1] != str(number):
                if found := re.search(rb"number: '(\d+)'", await process.stdout.readline()):  # type: ignore[union-attr]
                    seen.append(found[1].decode())

    seen: list[str] = []
    async with server_process(database_url, port=port) as (url, server):
        await place_orders(url, token, 2)
        async with npm.running_text(script) as process:
            while not seen:  # it begins at some moment from now on
                await place_orders(url, token, 1)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.2):
                        await see(0)
            async with connected(database_url):
                placed = await Order.all().count()
            await see(1000 + placed)
            server.kill()
            await server.wait()
            async with connected(database_url):
                await place_order(actor=system("tests"), new=new_order())
            async with server_process(database_url, port=port):
                await place_orders(url, token, 2)
                await see(1000 + placed + 3)
    assert seen == [str(number) for number in range(int(seen[0]), 1000 + placed + 4)]


async def test_the_automatic_persisted_queries_of_apollo_and_urql(server: Server) -> None:
    async with npm.running("persisted.mjs", server.url, server.token) as process:
        output, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert json.loads(output) == {
        name: {
            "answers": ["everything", "everything"],
            "sent": [["GET", False], [with_text, True], ["GET", False]],  # the hash, then the text with it, then again
        }
        for name, with_text in (("apollo", "POST"), ("urql", "GET"))
    }
