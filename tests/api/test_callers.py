"""What one caller asks for, and what the others notice of it."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import thread_time
from typing import Any

import pytest

from api.schema import ids
from api.settings import Settings
from domain.stream.event_log import cursor_at, parse_cursor
from models import OrderLine
from models.engine.database import connect
from models.engine.fields import new_key
from tests.clients import WAIT, Server, follow, live

SHARE = 2  # half of the five connections that a test's pool has
TAGS = "{ orders { nodes { tags } } }"


@pytest.fixture
def settings(database_url: str, request: pytest.FixtureRequest) -> Settings:
    given = getattr(request, "param", "")
    if isinstance(given, dict):
        return Settings(database_url=database_url, **given)
    return Settings(database_url=database_url + given)


@asynccontextmanager
async def withheld(url: str, table: str) -> AsyncIterator[Any]:
    """While the block runs, nobody can read the table. Gives what counts those who wait for it."""
    holding, looking = await connect(url), await connect(url)

    async def count_waiting() -> int:
        count: int = await looking.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return count

    async with holding.transaction():
        await holding.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield count_waiting
    await holding.close()
    await looking.close()


async def reach(count: Any, wanted: int) -> None:
    async with asyncio.timeout(WAIT):
        while await count() < wanted:  # noqa: ASYNC110 - the database tells nobody
            await asyncio.sleep(0.005)


@pytest.mark.postgres
async def test_a_caller_with_slow_queries_leaves_connections_to_others(server: Server, database_url: str) -> None:
    await server.place()
    other = await server.new_token()
    async with live(server) as client:
        async with withheld(database_url, "order_tags") as count_waiting:
            asking = [asyncio.create_task(server.ask(TAGS)) for _ in range(5)]
            await client.subscribe(f"{{ {' '.join(f'a{number}: {TAGS[2:-2]}' for number in range(5))} }}")
            await reach(count_waiting, SHARE)
            for _ in range(3):
                assert await server.ask("{ orders { nodes { status } } }", token=other)
            assert await count_waiting() == SHARE
        assert await asyncio.gather(*asking) == [{"orders": {"nodes": [{"tags": []}]}}] * 5
        assert set(await client.next()) == {f"a{number}" for number in range(5)}


@pytest.mark.postgres
async def test_waiting_for_the_own_share_is_no_outage(
    server: Server, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it takes until the caller's other statements are done."""
    await server.place()
    monkeypatch.setattr("domain.stream.event_log.SETTLE_SECONDS", 0.1)
    monkeypatch.setattr("models.engine.postgres.ACQUIRE_SECONDS", 0.1)
    pages = " ".join(f"a{number}: orderEvents(first: 100) {{ nodes {{ type }} }}" for number in range(90))
    async with withheld(database_url, "order_events") as count_waiting:
        asking = asyncio.create_task(server.ask(f"{{ {pages} }}"))
        await reach(count_waiting, SHARE)
        await asyncio.sleep(0.3)
    assert set(map(str, (await asking).values())) == {"{'nodes': [{'type': 'ORDER_PLACED'}]}"}


@pytest.mark.postgres
@pytest.mark.parametrize("settings", ["&command_timeout=1"], indirect=True)
@pytest.mark.parametrize("query", [TAGS, "{ a: orders { nodes { number } } orders { nodes { tags } } }"])
async def test_a_query_that_timed_out_is_not_run_again(
    server: Server, database_url: str, caplog: pytest.LogCaptureFixture, query: str
) -> None:
    await server.place(tags=["gift"])
    async with withheld(database_url, "order_tags"):
        with caplog.at_level(logging.DEBUG, "tortoise.db_client"):
            response = await server.http.post(
                server.url, json={"query": query}, headers={"Authorization": f"Bearer {server.token}"}
            )
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert [error["extensions"]["code"] for error in response.json()["errors"]] == ["UNAVAILABLE"]
    assert [record.getMessage().count('FROM "order_tags"') for record in caplog.records].count(1) == 1


async def test_what_is_refused_is_asked_once(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    order = await server.place()
    token = await server.new_token()
    query = f'{{ order(id: "{order["id"]}") {{ number }} orders(after: "x") {{ nodes {{ id }} }} }}'
    with caplog.at_level(logging.DEBUG, "tortoise.db_client"):
        answer = await server.send(query, token=token)
    assert [error["path"] for error in answer["errors"]] == [["orders"]]
    assert [record.getMessage().count('FROM "orders"') for record in caplog.records].count(1) <= 1


FIELDS = " ".join(f"f{number}: title" for number in range(80))
LONG = f"{{ orders {{ nodes {{ lines {{ {FIELDS} }} }} }} }}"


async def place_long_orders(server: Server, count: int = 2) -> None:
    lines = [{"title": f"Sock {number}", "quantity": 1, "unitPrice": "1"} for number in range(100)]
    for _ in range(count):
        await server.place(lines=lines)


async def longest_pass(server: Server, query: str) -> float:
    """How long everything else waits for its turn meanwhile, in seconds of CPU time: the best of three attempts."""
    headers = {"Authorization": f"Bearer {server.token}"}
    longest = []
    for _ in range(3):
        task = asyncio.create_task(server.http.post(server.url, json={"query": query}, headers=headers))
        passes = [0.0]
        while not task.done():
            begun = thread_time()
            await asyncio.sleep(0)
            passes.append(thread_time() - begun)
        await task
        longest.append(max(passes))
    return min(longest)


@pytest.mark.slow
@pytest.mark.wire
@pytest.mark.parametrize("query", [LONG, LONG.replace("{ orders", "{ __schema { queryType { name } } orders")])
async def test_a_long_answer_is_made_in_pieces(server: Server, monkeypatch: pytest.MonkeyPatch, query: str) -> None:
    """By a plan as by graphql-core; it stays the same answer."""
    await place_long_orders(server, 4)
    monkeypatch.setattr("api.execution.steps.PIECE", 10**9)
    monkeypatch.setattr("api.execution.executor.LIST_PIECE", 10**9)
    monkeypatch.setattr("api.execution.encoding.PIECE_BYTES", 10**9)
    whole = await server.ask(query + " ")
    at_once = await longest_pass(server, query + " ")
    monkeypatch.undo()
    assert await server.ask(query) == whole
    in_pieces = await longest_pass(server, query)
    assert in_pieces < at_once / 2


@pytest.mark.wire
@pytest.mark.sqlite  # PostgreSQL's column holds no number that is too large for GraphQL's Int
async def test_the_path_of_an_error_in_a_long_list(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Report the index in the whole list, though graphql-core makes it in pieces."""
    await place_long_orders(server, 1)
    monkeypatch.setattr("api.execution.executor.LIST_PIECE", 2)
    await OrderLine.filter(title="Sock 37").update(title="Sock 37", quantity=2**31)
    answer = await server.send("{ orders { nodes { lines { quantity } } } }")
    assert [error["path"] for error in answer["errors"]] == [["orders", "nodes", 0, "lines", 37, "quantity"]]


BY_CORE = "__schema { queryType { name } }"  # no plan has that


@pytest.mark.postgres
async def test_what_graphql_core_reads_ends_with_the_operation(server: Server, database_url: str) -> None:
    """As with a plan: what its slot stands for is over."""
    await server.place()
    async with withheld(database_url, "order_lines") as count_waiting, live(server) as client:
        await client.subscribe(f"{{ {BY_CORE} orders {{ nodes {{ lines {{ id }} }} }} }}")
        await reach(count_waiting, 1)
        await client.send({"type": "complete", "id": "1"})
        async with asyncio.timeout(WAIT):
            while await count_waiting():  # noqa: ASYNC110 - the database tells nobody
                await asyncio.sleep(0.005)


@pytest.mark.wire
@pytest.mark.parametrize("settings", [{"max_cost": 10_000}], indirect=True)
@pytest.mark.parametrize(("besides", "cost"), [("", "16,216"), (BY_CORE, "16,219")])
async def test_an_answer_that_turns_out_too_long(server: Server, besides: str, cost: str) -> None:
    """Whether a plan makes it or graphql-core."""
    await place_long_orders(server)
    query = LONG.replace("orders {", f"{besides} orders(first: 2) {{")
    for _ in range(2):
        answer = await server.send(query)
        message = f"The answer costs {cost}: more than 10,000, which is the limit (MAX_COST)."
        assert answer == {"data": None, "errors": [{"message": message, "extensions": {"code": "BAD_USER_INPUT"}}]}
    assert "errors" not in await server.send(query.replace("first: 2", "first: 1"))


@pytest.mark.wire
@pytest.mark.parametrize("settings", [{"max_cost": 1_000}], indirect=True)
@pytest.mark.parametrize("besides", ["", 'second: addOrderNote(input: {orderId: $id, note: "x"}) { order { id } }'])
async def test_what_a_mutation_has_done_is_told_also_if_it_is_too_much_to_show(server: Server, besides: str) -> None:
    await place_long_orders(server, 1)
    order = (await server.ask("{ orders { nodes { id status } } }"))["orders"]["nodes"][0]
    query = f"""mutation ($id: ID!) {{ confirmOrder(input: {{ orderId: $id }}) {{
        order {{ status lines {{ {FIELDS} }} }} userErrors {{ code }} }} {besides} }}"""
    answer = await server.send(query, {"id": order["id"]})
    assert answer["data"].pop("confirmOrder") == {"order": None, "userErrors": []}
    assert answer["data"] == ({"second": {"order": {"id": order["id"]}}} if besides else {})
    [error] = answer["errors"]
    assert (error["path"], error["extensions"]["code"]) == (["confirmOrder", "order", "lines"], "BAD_USER_INPUT")
    assert error["message"].endswith("more than 1,000, which is the limit (MAX_COST).")
    answer = await server.ask("{ orders { nodes { status } } }")
    assert answer["orders"]["nodes"] == [{"status": "CONFIRMED"}]


@pytest.mark.wire
@pytest.mark.parametrize("settings", [{"max_cost": 1_000}], indirect=True)
async def test_an_event_that_is_too_much_leaves_those_around_it_alone(server: Server) -> None:
    """They have their cursors, and so has the error."""
    fields = f"cursor order {{ lines {{ {' '.join(FIELDS.split()[:80])} }} }}"
    query = f"subscription ($after: String) {{ orderEvents(after: $after) {{ {fields} }} }}"
    for count in (1, 100, 1):
        await server.place(
            lines=[{"title": f"Sock {number}", "quantity": 1, "unitPrice": "1"} for number in range(count)]
        )
    async with live(server) as client:
        await client.subscribe(query, {"after": cursor_at(0)})
        assert len((await client.next())["orderEvents"]["order"]["lines"]) == 1
        message = await client.receive()
        assert (message["type"], message["payload"]["data"]) == ("next", None)
        [error] = message["payload"]["errors"]
        assert (error["extensions"]["code"], parse_cursor(error["extensions"]["cursor"]).position) == (
            "BAD_USER_INPUT",
            2,
        )
        last = (await client.next())["orderEvents"]
        await client.subscribe(query, {"after": error["extensions"]["cursor"]}, "2")
        assert (await client.next("2"))["orderEvents"] == last


@pytest.mark.wire
async def test_the_details_of_events_are_made_in_turns(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    await place_long_orders(server, 12)
    query = "{ orderEvents { nodes { data } } }"
    in_turns = await longest_pass(server, query)
    monkeypatch.setattr("api.execution.compiler.TURN_SECONDS", 10**9)
    assert in_turns < await longest_pass(server, query)


@pytest.mark.wire
async def test_the_details_of_one_event_under_many_names(server: Server) -> None:
    await place_long_orders(server, 1)
    details = [f"a{number}: data" for number in range(60)]
    one = await longest_pass(server, f"{{ orderEvents {{ nodes {{ {details[0]} }} }} }}")
    assert await longest_pass(server, f"{{ orderEvents {{ nodes {{ {' '.join(details)} }} }} }}") < one * 15


@pytest.mark.wire
@pytest.mark.parametrize("settings", [{"max_cost": 10_000}], indirect=True)
@pytest.mark.parametrize("besides", ["", BY_CORE])
async def test_long_texts_are_charged(server: Server, besides: str) -> None:
    names = " ".join(f"a{number}: note" for number in range(100))
    query = f"{{ {besides} orders(first: 2) {{ nodes {{ {names} }} }} }}"
    await server.place(note="A note of usual length.")
    assert "errors" not in await server.send(query)
    await server.place(note="😀" * 5_000)
    answer = await server.send(query)
    assert answer["errors"][0]["message"].startswith("The answer costs 10,")
    assert "errors" not in await server.send(query.replace("first: 2", 'search: "1001"'))


@pytest.mark.wire
@pytest.mark.parametrize("settings", [{"max_cost": 25_000}], indirect=True)
@pytest.mark.parametrize("besides", ["", BY_CORE])
async def test_an_answer_of_too_many_bytes(server: Server, besides: str) -> None:
    """Of texts that are not long, each of them."""
    lines = [{"title": "😀" * 250, "quantity": 1, "unitPrice": "1"} for _ in range(5)]
    for _ in range(10):
        await server.place(lines=lines)
    names = " ".join(f"a{number}: title" for number in range(100))
    query = f"{{ {besides} orders(first: %d) {{ nodes {{ lines {{ {names} }} }} }} }}"
    assert "errors" not in await server.send(query % 1)
    [error] = (await server.send(query % 45))["errors"]
    assert error["message"].startswith("The answer has more than 1,250,000 bytes")
    assert error["extensions"]["code"] == "BAD_USER_INPUT"


@pytest.mark.wire
@pytest.mark.parametrize("settings", [{"max_cost": 2_000_000}], indirect=True)
async def test_what_is_resolved_under_many_names_is_resolved_in_turns(server: Server) -> None:
    for _ in range(20):
        await server.place()
    names = [f"a{number}: availableActions {{ code }}" for number in range(60)]
    one = await longest_pass(server, f"{{ orders {{ nodes {{ {names[0]} }} }} }}")
    assert await longest_pass(server, f"{{ orders {{ nodes {{ {' '.join(names)} }} }} }}") < one * 30


@pytest.mark.wire
async def test_filters_are_put_together_one_after_another(server: Server) -> None:
    """Sixty of them in one operation, and between each two of them something else."""
    counts = [f'a{number}: orderCounts(filter: {{ tags: ["x"] }}) {{ total }}' for number in range(60)]
    one = await longest_pass(server, f"{{ {counts[0]} }}")
    assert await longest_pass(server, f"{{ {' '.join(counts)} }}") < one * 15


COUNTS = "subscription ($filter: OrderFilter) { orderCountsChanged(filter: $filter) { %s } }"
COUNTING = 2  # statements that one count takes


def count_statements(caplog: pytest.LogCaptureFixture) -> int:
    return sum("COUNT(" in record.getMessage() for record in caplog.records)


async def test_counts_that_are_the_same_are_made_once(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever is selected of them, and however the same filter is sent."""
    other = await server.new_token()
    wanted = {"filter": {"status": ["PENDING"]}}
    async with live(server) as one, live(server, other) as two:
        await one.subscribe(COUNTS % "total", wanted)
        await one.subscribe(COUNTS % "archived total", {**wanted, "unused": 1}, "2")
        literal = "subscription { orderCountsChanged(filter: { status: PENDING }) { total } }"
        await two.subscribe(literal)
        for client in (one, one, two):
            assert (await client.receive())["payload"]["data"]["orderCountsChanged"]["total"] == 0
        with caplog.at_level(logging.DEBUG, "tortoise.db_client"):
            await server.place()
            for client in (one, one, two):
                assert (await client.receive())["payload"]["data"]["orderCountsChanged"]["total"] == 1
            assert count_statements(caplog) == COUNTING


async def test_many_counts_delay_no_event_of_others(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    count = 40
    async with live(server) as counting, live(server, await server.new_token()) as other:
        await follow(server, other)
        for number in range(count):
            await counting.subscribe(COUNTS % "total", {"filter": {"totalFrom": number / 100}}, str(number))
        begun = {(await counting.receive())["id"] for _ in range(count)}
        assert len(begun) == count
        with caplog.at_level(logging.DEBUG, "tortoise.db_client"):
            await server.place()
            assert (await other.next())["orderEvents"]["type"] == "ORDER_PLACED"
            assert count_statements(caplog) < count * COUNTING
        assert {(await counting.receive())["id"] for _ in range(count)} == begun


async def test_a_filter_that_is_refused_ends_those_who_follow_it(server: Server) -> None:
    async with live(server) as client:
        for number in range(2):
            await client.subscribe(COUNTS % "total", {"filter": {"currency": "?"}}, str(number))
            message = await client.receive()
            assert (message["id"], message["type"]) == (str(number), "error")
            assert message["payload"][0]["extensions"]["code"] == "BAD_USER_INPUT"
        assert server.service.feed.subscriber_count == 0


@pytest.mark.wire
async def test_pages_of_events_are_put_together_one_after_another(server: Server) -> None:
    """Sixty of them in one operation, and between each two of them something else."""
    orders = ", ".join(f'"{ids.encode("Order", new_key())}"' for _ in range(100))
    pages = [f"a{number}: orderEvents(filter: $filter) {{ nodes {{ id }} }}" for number in range(60)]
    ask = "query ($filter: OrderEventFilter = {orderIds: [%s]}) { %s }"
    one = await longest_pass(server, ask % (orders, pages[0]))
    assert await longest_pass(server, ask % (orders, " ".join(pages))) < one * 15


@pytest.mark.slow
@pytest.mark.wire
async def test_long_lists_are_shown_in_turns(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where one operation asks for the same of them under many names."""
    await place_long_orders(server, 8)
    query = f"{{ orders {{ nodes {{ {' '.join(f'a{number}: lines {{ sku }}' for number in range(150))} }} }} }}"
    in_turns = await longest_pass(server, query)
    monkeypatch.setattr("api.execution.steps.SHOWN_TOGETHER", 10**9)
    assert in_turns < await longest_pass(server, query)


@pytest.mark.wire
@pytest.mark.parametrize(("name", "word"), [("types", "ORDER_PLACED"), ("toStatus", "SHIPPED")])
async def test_a_list_of_an_event_filter_names_so_many_at_most(server: Server, name: str, word: str) -> None:
    answer = await server.send(f"{{ orderEvents(filter: {{ {name}: [{f'{word} ' * 201}] }}) {{ nodes {{ id }} }} }}")
    assert answer["errors"][0]["message"] == "At most 200 can be named."
    assert answer["errors"][0]["extensions"]["field"] == ["filter", name]
