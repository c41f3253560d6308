"""What operations cost, how much of it a caller may ask for in a time, and how much it may have open."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from graphql import GraphQLObjectType, get_named_type
from redis.asyncio import Redis
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from api.callers.rates import Rates, caller_of
from api.callers.slots import Slots
from api.commands.temporary_server import server_process
from api.execution.costs import VALUE_WEIGHTS, WEIGHTS
from api.schema.root import schema
from api.settings import Settings
from tests.clients import WAIT, Server, live, open_socket, until
from tests.services import ValkeyServer, valkey_server

pytestmark = pytest.mark.wire

LIMIT = 10_000
MUCH = 20_000
REFILL = 0.001  # a second: next to nothing


@pytest.fixture
def settings(database_url: str, request: pytest.FixtureRequest) -> Settings:
    """A test may have others by `with_settings`."""
    given = {"rate_limit": LIMIT, "rate_refill": REFILL, **getattr(request, "param", {})}
    return Settings(database_url=database_url, **given)


def with_settings(**given: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("settings", [given], indirect=True, ids=[" ".join(given)])


PAGE = "query ($first: Int, $last: Int) { orders(first: $first, last: $last) { nodes { id total { amount } } } }"

COUNTS = "query ($filter: OrderFilter) { orderCounts(filter: $filter) { total } }"

EVENTS = """query ($orders: [ID!], $filter: OrderEventFilter) {
    a: orderEvents(first: 1, filter: { orderIds: $orders }) { nodes { id } }
    b: orderEvents(first: 1, filter: $filter) { nodes { id } } }"""

COSTS: list[tuple[str, dict[str, Any] | None, int]] = [
    ("{ __typename }", None, 1),
    ("{ viewer { name } }", None, 1 + 10 + 1),
    ("{ viewer { scopes channels { code name } } }", None, 1 + 10 + 1 + (1 + 5 * (1 + 2))),
    ('{ orders(first: 3, search: "x") { nodes { id } } }', None, 1 + 10 + 90 + 1 + 3 * (1 + 1)),
    ("{ orders { nodes { id } edges { cursor } } }", None, 1 + 10 + 2 * (1 + 50 * (1 + 1))),
    ("{ orderCounts { total byStatus { count } } }", None, 1 + 100 + 1 + 1 + 5 * (1 + 1)),
    ("{ orders(first: 2) { nodes { events(first: 10) { nodes { id } } } } }", None, 12 + 2 * (1 + 1 + 1 + 10 * 2)),
    ("{ orders(first: 2) { nodes { lines { sku } } } }", None, 12 + 2 * (1 + 1 + 5 * 2)),
    (
        "{ ...a ... { ...a } } fragment a on Query { orders(first: 7) { ...b } }"
        " fragment b on OrderConnection { nodes { id } }",
        None,
        2 * (12 + 7 * 2),
    ),
    ("{ node(id: 1) { id ... on Order { number channel { code } } ... on Channel { code } } }", None, 11 + 1 + 3 + 1),
    (PAGE, None, 12 + 50 * 4),
    (PAGE, {"first": None}, 12 + 50 * 4),
    (PAGE, {"first": 20}, 12 + 20 * 4),
    (PAGE, {"last": 30}, 12 + 30 * 4),
    (PAGE, {"first": 20, "last": 30}, 12 + 30 * 4),
    (PAGE, {"first": 0}, 12 + 1 * 4),
    (PAGE, {"first": -1_000_000}, 12 + 1 * 4),
    (PAGE, {"first": 2_000_000_000}, 12 + 100 * 4),
    (PAGE, {"first": 1e300}, 12 + 100 * 4),
    (PAGE, {"first": "20"}, 12 + 50 * 4),
    (PAGE, {"first": [20]}, 12 + 50 * 4),
    (PAGE.replace("$first: Int", "$first: Int = 5"), {}, 12 + 5 * 4),
    (PAGE.replace("$first: Int", "$first: Int! = 5"), {"first": 6}, 12 + 6 * 4),
    ('{ orderCounts(filter: { or: [{ archived: true }, { tags: ["a"] }] }) { total } }', None, 1 + 100 + 6 * 300 + 1),
    (COUNTS, {"filter": {"or": [{"archived": True}, {"tags": ["a"]}]}}, 1 + 100 + 6 * 300 + 1 + 36 // 10),
    (COUNTS, {"filter": {"not": {"and": []}}}, 1 + 100 + 2 * 300 + 1 + 22 // 10),
    (COUNTS, {"filter": None}, 1 + 100 + 1),
    (COUNTS, {"filter": 5}, 1 + 100 + 1),
    (COUNTS.replace("OrderFilter", "OrderFilter = { tags: [] }"), {}, 1 + 100 + 300 + 1),
    (
        "query ($f: [OrderFilter!], $s: [OrderStatus!]) {"
        " orders(first: 1, filter: { or: $f, status: $s }) { nodes { id } } }",
        {"f": [{}], "s": ["PENDING", "SHIPPED"]},
        12 + 2 + (2 + 1 + 2) * 150 + 13 // 10,
    ),
    (EVENTS, {"orders": ["x", "y"], "filter": {"types": ["NOTE_ADDED"]}}, 2 * (11 + 3) + (3 + 2) * 20 + 13 // 10),
    (
        'mutation { confirmOrder(input: { orderId: "x" }) { order { id } userErrors { code } } }',
        None,
        101 + 2 + 1 + 5 * 2,
    ),
]


async def post(server: Server, query: str, variables: dict[str, Any] | None = None, **headers: str) -> httpx.Response:
    given = {"Authorization": f"Bearer {server.token}", **headers}
    return await server.http.post(server.url, json={"query": query, "variables": variables}, headers=given)


def cost_of(response: httpx.Response) -> dict[str, Any]:
    cost: dict[str, Any] = response.json()["extensions"]["cost"]
    return cost


def test_weights_are_those_of_fields_that_exist() -> None:
    for name in WEIGHTS:
        type_name, _, rest = name.partition(".")
        type_ = schema._schema.type_map[type_name]
        assert isinstance(type_, GraphQLObjectType)
        field, _, argument = rest.partition("(")
        assert not field or not argument or argument.removesuffix(")") in type_.fields[field].args, name
        assert not field or field in type_.fields, name


@pytest.mark.parametrize("root", ["Query", "Subscription"])
def test_every_filter_costs_what_its_values_do(root: str) -> None:
    """A new one would cost nothing, however long it is."""
    type_ = schema._schema.type_map[root]
    assert isinstance(type_, GraphQLObjectType)
    filters = {
        f"{root}.{name}({argument})"
        for name, field in type_.fields.items()
        for argument, given in field.args.items()
        if get_named_type(given.type).name.endswith("Filter")
    }
    assert filters
    assert filters == {name for name in VALUE_WEIGHTS if name.startswith(root)}


@with_settings(rate_limit=MUCH)
async def test_what_operations_cost(server: Server) -> None:
    left = MUCH
    for query, variables, cost in COSTS:
        left -= cost
        answered = cost_of(await post(server, query, variables))
        assert answered == {"asked": cost, "left": left, "limit": MUCH, "refillRate": REFILL}, (query, variables)


NOTE = "mutation ($i: CreateDeliveryNoteInput!) { createDeliveryNote(input: $i) { userErrors { code } } }"
NOTES = "mutation ($i: CreateDeliveryNotesInput!) { createDeliveryNotes(input: $i) { userErrors { code } } }"
CONFIRM = "mutation ($i: ConfirmOrderInput!) { confirmOrder(input: $i) { userErrors { code } } }"


@with_settings(rate_limit=1_500, rate_refill=REFILL)
async def test_pdf_files_are_dear(server: Server) -> None:
    """One costs more than any other change. A caller who can pay for one cannot pay for a hundred."""
    nobody = (await server.place())["id"]
    step = cost_of(await post(server, CONFIRM, {"i": {"orderId": nobody}}))["asked"]
    note = cost_of(await post(server, NOTE, {"i": {"orderId": nobody, "fulfillmentId": nobody}}))
    assert note["asked"] > 1.5 * step
    assert note["left"] > note["asked"]
    refused = (await post(server, NOTES, {"i": {"fulfillmentIds": [nobody]}})).json()
    assert "which is the limit (RATE_LIMIT)" in refused["errors"][0]["message"]


async def test_a_bucket_that_is_empty(server: Server) -> None:
    """Nothing is executed; each token has a bucket of its own, and so has who sends none."""
    other = await server.new_token()
    place = 'mutation { placeOrder(input: { channel: "web", currency: "CHF", lines: [] }) { order { id } } }'
    dear = "{ orders(first: 100) { nodes { events(first: 48) { nodes { id } } } } }"  # 9,912
    assert cost_of(await post(server, dear))["left"] == LIMIT - 9_912
    response = await post(server, place)
    assert response.status_code == 429
    assert response.headers["retry-after"] == "15000"
    assert response.json() == {
        "errors": [
            {
                "message": "This costs 103, and there is 88 left of 10,000, of which 0.001 come back each second."
                " Try again in 15000 s.",
                "extensions": {"code": "RATE_LIMITED"},
            }
        ],
        "extensions": {"cost": {"asked": 103, "left": 88, "limit": LIMIT, "refillRate": REFILL}},
    }
    async with live(server) as client:
        await client.subscribe("subscription { orderCountsChanged { total } }")
        message = await client.receive()
        assert (message["type"], message["payload"][0]["extensions"]) == ("error", {"code": "RATE_LIMITED"})
        await client.subscribe("subscription { orderEvents { id } }", operation_id="2")
        await client.subscribe("{ __typename }", operation_id="3")
        assert (await client.receive())["payload"]["extensions"]["cost"]["left"] == 88 - 12 - 1
    assert cost_of(await post(server, "{ __typename }", Authorization=f"Bearer {other}"))["left"] == LIMIT - 1


async def test_who_sends_no_token_is_known_by_the_address(server: Server) -> None:
    """That which a trusted proxy says; of IPv6, one site has as many as it likes."""
    for address, left in (
        ("192.0.2.1", LIMIT - 1),
        ("192.0.2.2", LIMIT - 1),
        ("203.0.113.9, 192.0.2.2", LIMIT - 2),  # only what the proxy has seen itself is believed
        ("::ffff:192.0.2.2", LIMIT - 3),
        ("2001:db8::1", LIMIT - 1),
        ("2001:db8::1234:5678", LIMIT - 2),
        ("2001:db8:0:1::1", LIMIT - 1),
    ):
        headers = {"X-Forwarded-For": address}
        response = await server.http.post(server.url, json={"query": "{ __typename }"}, headers=headers)
        assert cost_of(response)["left"] == left, address


async def test_counting_again_is_charged_again_as_long_as_half_of_the_bucket_is_left(server: Server) -> None:
    caller = caller_of(await server.actor(), None)
    assert server.service.rates is not None
    buckets = server.service.rates._own
    other = await server.new_token()
    async with live(server) as client:
        await client.subscribe("subscription { orderCountsChanged { total } }")
        for number in range(3):
            assert await client.next() == {"orderCountsChanged": {"total": number}}
            left = LIMIT - (number + 2) * 102
            await until(lambda left=left: int((buckets.get(caller) or [0])[0]) == left)  # type: ignore[misc]
            await server.place(token=other)


async def test_what_is_longer_than_expected_is_charged_afterwards(server: Server) -> None:
    order = await server.place(lines=[{"title": f"Sock {n}", "quantity": 1, "unitPrice": "1"} for n in range(50)])
    left = int((await server.send("{ __typename }"))["extensions"]["cost"]["left"])
    query = f'{{ order(id: "{order["id"]}") {{ lines {{ title sku }} }} }}'
    expected, asked = 11 + 1 + 5 * 3, 11 + 1 + 50 * 3
    for _ in range(2):
        left -= asked
        assert cost_of(await post(server, query)) == {
            "asked": asked, "left": left, "limit": LIMIT, "refillRate": REFILL
        }  # fmt: skip
    while left > asked:
        left -= asked
        await post(server, query)
    assert expected < left  # so the answer is made, and takes all there is
    answered = cost_of(await post(server, query))
    assert (answered["asked"], answered["left"]) == (asked, 0)
    assert (await post(server, query)).status_code == 429


@with_settings(rate_limit=250)
async def test_who_sends_what_is_not_understood_is_not_read_for_a_while(server: Server) -> None:
    for left in (150, 50):
        response = await post(server, "{ nothing }")
        assert (response.status_code, cost_of(response)["left"]) == (200, left)
    for query in ("{", "{ __typename }"):
        response = await post(server, query)
        assert (response.status_code, response.headers["retry-after"]) == (429, "50000")
    response = await post(
        server, "{ orders { nodes { id number status version } } }", Authorization=f"Bearer {await server.new_token()}"
    )
    assert response.json()["errors"][0]["message"] == (
        "The operation costs 262: more than 250, which is the limit (RATE_LIMIT)."
    )


@with_settings(rate_limit=20, rate_refill=1_000.0)
async def test_a_bucket_fills_again_up_to_its_limit(server: Server) -> None:
    for _ in range(3):
        response = await post(server, "{ viewer { name } }")
        while response.status_code == 429:
            response = await post(server, "{ viewer { name } }")
        assert cost_of(response)["left"] <= 8
    assert cost_of(response)["refillRate"] == 1_000


@with_settings(rate_limit=20_000, rate_refill=None)
async def test_a_twentieth_comes_back_each_second_by_default(server: Server) -> None:
    assert cost_of(await post(server, "{ __typename }"))["refillRate"] == 1_000


@with_settings(rate_limit=None)
async def test_without_a_limit_nothing_is_said_of_costs(server: Server) -> None:
    assert (await post(server, "{ __typename }")).json() == {"data": {"__typename": "Query"}}


@pytest.fixture
async def valkey() -> AsyncIterator[ValkeyServer]:
    """One of the test's own, which may be stopped."""
    async with valkey_server() as valkey:
        yield valkey


async def test_who_goes_just_as_it_gets_a_slot_gives_it_back() -> None:
    slots = Slots(1)
    await slots.take("somebody")
    waiting = asyncio.create_task(slots.take("somebody"))
    await asyncio.sleep(0)
    slots.free("somebody")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not slots.are_taken("somebody")


class TestShared:
    @pytest.fixture
    def settings(self, database_url: str, valkey: ValkeyServer) -> Settings:
        return Settings(
            database_url=database_url, broadcast_url=valkey.url, rate_limit=LIMIT, rate_refill=REFILL, poll_seconds=0.1
        )

    @pytest.mark.slow
    async def test_by_two_servers(
        self, server: Server, settings: Settings, valkey: ValkeyServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        environment = {
            "BROADCAST_URL": valkey.url,
            "RATE_LIMIT": str(LIMIT),
            "RATE_REFILL": str(REFILL),
        }
        async with server_process(settings.database_url, environment=environment) as (url, _):
            for left in (LIMIT - 1, LIMIT - 3):
                assert cost_of(await post(server, "{ __typename }"))["left"] == left
                headers = {"Authorization": f"Bearer {server.token}"}
                there = await server.http.post(url, json={"query": "{ __typename }"}, headers=headers)
                assert cost_of(there)["left"] == left - 1
            await valkey.stop()
            for left in (LIMIT - 1, LIMIT - 2):  # its own bucket, which was full
                assert cost_of(await post(server, "{ __typename }"))["left"] == left
        said = [record for record in caplog.records if record.name == "api.callers.rates"]
        assert [record.levelname for record in said] == ["WARNING"]


async def test_a_redis_that_is_silent_is_asked_once_and_then_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    """Otherwise each operation would wait for it."""
    asked, ended = 0, asyncio.Event()

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        while await reader.read(1_000):
            pass
        writer.close()
        ended.set()

    async with await asyncio.start_server(hear, "127.0.0.1", 0) as silent:
        rates = Rates(50, REFILL, f"redis://127.0.0.1:{silent.sockets[0].getsockname()[1]}")
        async with asyncio.timeout(10):
            charges = [await rates.take("somebody", 1) for _ in range(20)]
        assert [int(each.left) for each in charges] == list(range(49, 29, -1))  # of its own bucket
        await rates.close()
        await ended.wait()
    assert (asked, len(caplog.records)) == (1, 1)


async def test_redis_keeps_no_bucket_that_is_full_again(redis_url: str) -> None:
    rates, caller = Rates(50, 10.0, redis_url), uuid4().hex
    await rates.take(caller, 50)
    async with Redis.from_url(redis_url) as redis:
        assert 0 < await redis.pttl(f"orderstream:rate:{caller}") <= 6_000
    await rates.close()


async def test_a_bucket_in_redis_fills_also_if_its_clock_was_set_back(redis_url: str) -> None:
    rates, caller = Rates(50, 1.0, redis_url), uuid4().hex
    await rates.take(caller, 50)
    async with Redis.from_url(redis_url) as redis:
        put_ahead = redis.register_script("redis.call('HINCRBYFLOAT', KEYS[1], 'at', 3600)")
        await put_ahead(keys=[f"orderstream:rate:{caller}"])
    assert (await rates.take(caller, 50)).taken
    await rates.close()


async def test_many_that_ask_at_once_get_no_more_than_there_is(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.callers.redis_rates.ANSWER_SECONDS", WAIT)  # this machine may be busy: that is no outage
    workers = [Rates(50, REFILL, redis_url) for _ in range(2)]
    caller = uuid4().hex
    charges = await asyncio.gather(*(worker.take(caller, 1) for worker in workers for _ in range(60)))
    assert sum(charge.taken for charge in charges) == 50
    assert sorted(int(charge.left) for charge in charges if charge.taken) == list(range(50))
    for worker in workers:
        await worker.close()


class TestOpen:
    @with_settings(rate_limit=None, max_connections_per_token=2)
    async def test_connections_with_one_token(self, server: Server) -> None:
        async with live(server), live(server):
            async with open_socket(server) as third:
                await third.send({"type": "connection_init", "payload": {"Authorization": f"Bearer {server.token}"}})
                assert await third.closed() == (1013, "There may be at most 2 connections with one token.")
            response = await post(server, "{ viewer { name } }", Accept="text/event-stream")
            assert (response.status_code, response.headers["retry-after"]) == (429, "1")
            assert response.json()["errors"] == [
                {
                    "message": "There may be at most 2 connections with one token.",
                    "extensions": {"code": "RATE_LIMITED"},
                }
            ]
            async with live(server, await server.new_token()):
                pass
        await until(lambda: not server.service.open_counts._open)
        async with live(server):
            pass

    @with_settings(rate_limit=None, max_connections_per_address=1)
    async def test_connections_from_one_address(self, server: Server) -> None:
        async with open_socket(server):
            with pytest.raises(InvalidStatus) as refused:
                await connect(server.ws_url, subprotocols=["graphql-transport-ws"])  # type: ignore[list-item]
            assert refused.value.response.status_code == 429
        await until(lambda: not server.service.open_counts._open)
        async with live(server):
            pass

    @with_settings(rate_limit=None, max_subscriptions_per_token=1)
    async def test_subscriptions_with_one_token(self, server: Server) -> None:
        counts = "subscription { orderCountsChanged { total } }"
        async with live(server) as one, live(server) as other:
            await one.subscribe(counts)
            assert await one.next() == {"orderCountsChanged": {"total": 0}}
            await other.subscribe(counts)
            assert await other.receive() == {
                "id": "1",
                "type": "error",
                "payload": [
                    {
                        "message": "There may be at most 1 subscriptions with one token.",
                        "extensions": {"code": "RATE_LIMITED"},
                    }
                ],
            }
            await one.send({"id": "1", "type": "complete"})
            await until(lambda: not any("subscriptions" in what for what, _ in server.service.open_counts._open))
            await other.subscribe(counts)
            assert await other.next() == {"orderCountsChanged": {"total": 0}}
