"""/metrics: what it counts, and that several processes count as one."""

import asyncio
import os
import signal
from collections.abc import Collection
from typing import Any
from uuid import UUID

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.client import connect

from api.commands.temporary_server import server_process
from api.settings import Settings
from domain.actors import Scope, system
from domain.tokens import create_token, revoke_token
from models.engine.database import connected
from tests.api.test_health import another_writer
from tests.clients import WAIT, Server, an_order, follow, live, new_client, until
from tests.database import run_sql

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def settings(database_url: str, request: pytest.FixtureRequest) -> Settings:
    return Settings(database_url=database_url + getattr(request, "param", ""), metrics=True)


async def scrape(client: httpx.AsyncClient, port: int) -> Samples:
    """Every sample by its name and labels, but for the buckets of histograms."""
    response = await client.get(f"http://127.0.0.1:{port}/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=")
    families = text_string_to_metric_families(response.text)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
        if not sample.name.endswith(("_bucket", "_created"))
    }


def of(samples: Samples, name: str) -> dict[Any, float]:
    """The samples of one name, by the values of their labels; a single value stands for itself."""
    found = {tuple(value for _, value in labels): value for (each, labels), value in samples.items() if each == name}
    return {labels[0] if len(labels) == 1 else labels: value for labels, value in found.items()}


def one(samples: Samples, name: str) -> float:
    return samples[name, ()]


@pytest.mark.wire
async def test_mutations_are_counted_by_their_outcome(server: Server) -> None:
    order, elsewhere = await server.place(), await server.place(channel="elsewhere")
    reader, bound = await server.new_token(Scope.ORDERS_READ), await server.new_token(channels=("web",))
    confirm = "mutation ($input: ConfirmOrderInput!) { confirmOrder(input: $input) { order { id } } }"
    await server.do("confirmOrder", {"orderId": order["id"]})
    await server.mutate("confirmOrder", {"orderId": order["id"], "expectedVersion": 1})
    await server.mutate("confirmOrder", {"orderId": elsewhere["id"]}, token=bound)
    await server.mutate("confirmOrder", {"orderId": "nonsense"})
    await server.send(confirm, {"input": {"orderId": order["id"]}}, reader)
    await server.send(confirm, {"input": {"orderId": order["id"]}}, None)
    samples = await scrape(server.http, server.port)
    assert of(samples, "orderstream_mutations_total") == {
        ("placeOrder", "success"): 2,
        ("confirmOrder", "success"): 1,
        ("confirmOrder", "INVALID_INPUT"): 1,
        ("confirmOrder", "VERSION_CONFLICT"): 1,
        ("confirmOrder", "NOT_FOUND"): 1,
        ("confirmOrder", "FORBIDDEN"): 1,
        ("confirmOrder", "UNAUTHENTICATED"): 1,
    }


@pytest.mark.wire
async def test_a_mutation_that_breaks_is_counted(server: Server) -> None:
    await run_sql("ALTER TABLE order_numbers RENAME TO away")
    await assert_counted(server, "INTERNAL")


@pytest.mark.sqlite
@pytest.mark.parametrize("settings", ["&busy_timeout=50"], indirect=True)
async def test_a_mutation_during_an_outage_is_counted(server: Server, database_url: str) -> None:
    with another_writer(database_url):
        await assert_counted(server, "UNAVAILABLE")


async def assert_counted(server: Server, code: str) -> None:
    """Place an order, which fails with this code, and find it counted."""
    query = "mutation ($input: PlaceOrderInput!) { placeOrder(input: $input) { order { id } } }"
    answer = await server.send(query, {"input": an_order()})
    assert answer["errors"][0]["extensions"]["code"] == code
    samples = await scrape(server.http, server.port)
    assert of(samples, "orderstream_mutations_total") == {("placeOrder", code): 1}
    assert of(samples, "orderstream_graphql_operations_total") == {("mutation", code): 1}


@pytest.mark.wire
async def test_operations_are_counted_by_kind_and_outcome(server: Server) -> None:
    await server.ask("{ channels { code } }")
    await server.send("{ channels { code } }", token=None)
    await server.send("{ nothing }")
    await server.send("{")
    await server.place()
    samples = await scrape(server.http, server.port)
    assert of(samples, "orderstream_graphql_operations_total") == {
        ("query", "success"): 1,
        ("query", "UNAUTHENTICATED"): 1,
        ("query", "BAD_USER_INPUT"): 1,
        ("unknown", "BAD_USER_INPUT"): 1,
        ("mutation", "success"): 1,
    }


@pytest.mark.wire
async def test_requests_are_counted_by_route(server: Server) -> None:
    base = f"http://127.0.0.1:{server.port}"
    for path in ("/healthz", "/healthz", "/made/up", "/another", "/graphiql/nothing", "/graphql"):
        await server.http.get(base + path)
    samples = await scrape(server.http, server.port)
    assert of(samples, "orderstream_http_request_duration_seconds_count") == {
        ("GET", "/healthz", "200"): 2,
        ("GET", "other", "404"): 2,
        ("GET", "/graphiql", "404"): 1,
        ("GET", "/graphql", "400"): 1,
    }


@pytest.mark.wire
async def test_those_who_follow_are_counted_while_they_do(server: Server) -> None:
    samples = await scrape(server.http, server.port)
    assert one(samples, "orderstream_websockets") == one(samples, "orderstream_subscriptions") == 0
    async with live(server) as client:
        await follow(server, client)
        await server.place()
        await client.next()
        samples = await scrape(server.http, server.port)
        assert one(samples, "orderstream_websockets") == one(samples, "orderstream_subscriptions") == 1
        assert one(samples, "orderstream_feed_position") == server.service.feed.position
        assert one(samples, "orderstream_bell_connected") == 1
        assert 0 <= one(samples, "orderstream_feed_lag_seconds") < WAIT
    samples = await _until(server, lambda samples: one(samples, "orderstream_websockets") == 0)
    assert one(samples, "orderstream_subscriptions") == 0
    assert one(samples, "orderstream_events_delivered_total") == 2
    assert of(samples, "orderstream_graphql_operations_total")["subscription", "success"] == 1
    assert of(samples, "orderstream_cut_offs_total") == {}


@pytest.mark.wire
async def test_those_who_are_cut_off_are_counted(server: Server) -> None:
    token = await server.new_token(Scope.ORDERS_READ)
    async with live(server, token) as client:
        await revoke_token(actor=system("tests"), token_id=UUID((await server.actor(token)).id))
        assert (await client.closed())[0] == 4403
    samples = await scrape(server.http, server.port)
    assert of(samples, "orderstream_cut_offs_total") == {"token ended": 1}


async def _until(server: Server, reached: Any) -> Samples:
    async with asyncio.timeout(WAIT):
        while not reached(samples := await scrape(server.http, server.port)):  # noqa: ASYNC110 — nobody tells when it happens
            await asyncio.sleep(0.01)
    return samples


@pytest.mark.postgres
async def test_the_pool_is_told(server: Server) -> None:
    samples = await scrape(server.http, server.port)
    limit = one(samples, "orderstream_database_connections_limit")
    assert limit == 5  # as the tests' database URLs have it
    assert 1 <= one(samples, "orderstream_database_connections_open") <= limit
    assert one(samples, "orderstream_database_connections_in_use") <= limit
    assert one(samples, "orderstream_database_connections_waiting") == 0


@pytest.mark.sqlite
async def test_there_is_no_pool_on_sqlite(server: Server) -> None:
    samples = await scrape(server.http, server.port)
    assert one(samples, "orderstream_database_connections_limit") == 0


@pytest.mark.wire
async def test_metrics_are_shown_where_they_are_wanted_only(database_url: str) -> None:
    async with server_process(database_url) as (url, _), new_client() as client:
        assert (await client.get(url.replace("/graphql", "/metrics"))).status_code == 404


@pytest.mark.slow
@pytest.mark.wire
async def test_workers_count_together_and_the_dead_are_forgotten(database_url: str) -> None:
    async with connected(database_url):
        _, token = await create_token(actor=system("tests"), name="everything", scopes=list(Scope))
    started = server_process(database_url, "--workers", "2", environment={"METRICS": "true"})
    headers = {"Authorization": f"Bearer {token}", "Connection": "close"}  # a connection, and so a worker, for each
    async with started as (url, parent), new_client(headers=headers) as client:
        port = httpx.URL(url).port or 0
        workers = await _workers(parent.pid, 2)
        query = "mutation ($input: PlaceOrderInput!) { placeOrder(input: $input) { order { id } } }"
        placing = {"query": query, "variables": {"input": an_order()}}
        for _ in range(10):
            answer = await client.post(url, json=placing)
            assert "errors" not in answer.json()
        async with connect(url.replace("http:", "ws:"), subprotocols=["graphql-transport-ws"]):  # type: ignore[list-item]
            for _ in range(4):
                samples = await scrape(client, port)
                assert of(samples, "orderstream_mutations_total") == {("placeOrder", "success"): 10}
                assert one(samples, "orderstream_websockets") == 1
            for worker in workers:
                os.kill(worker, signal.SIGKILL)
            await _workers(parent.pid, 2, without=workers)
            samples = await scrape(client, port)
        assert of(samples, "orderstream_mutations_total") == {("placeOrder", "success"): 10}
        assert one(samples, "orderstream_websockets") == 0
        assert not any("pid" in dict(labels) for _, labels in samples)


async def _workers(parent: int, number: int, without: Collection[int] = ()) -> list[int]:
    """The processes that serve, once there are so many."""
    found: list[int] = []

    def look() -> bool:
        with open(f"/proc/{parent}/task/{parent}/children", encoding="ascii") as children:
            processes = [int(child) for child in children.read().split()]
        found[:] = [process for process in processes if process not in without and _serves(process)]
        return len(found) == number

    await until(look)
    return found


def _serves(process: int) -> bool:
    try:
        with open(f"/proc/{process}/cmdline", encoding="utf-8") as command:
            return "spawn_main" in command.read()
    except FileNotFoundError:
        return False
