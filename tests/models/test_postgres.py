"""The PostgreSQL engine: connections that are never lost, waits that end, and what an outage is called."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from tortoise import connections
from tortoise.transactions import in_transaction

from models import Channel
from models.engine import postgres
from models.engine.database import connect, connected, migrate
from models.engine.errors import DatabaseUnavailable, TransactionConflict
from models.engine.fields import new_key
from models.engine.shares import act_for
from tests.clients import until
from tests.database import run_sql
from tests.services import PostgresServer, create_database, postgres_server

pytestmark = pytest.mark.postgres


def pool() -> Any:
    client: Any = connections.get("default")
    return client._pool


async def idle() -> None:
    """Every connection of the pool is free, and none is in a transaction."""
    await until(lambda: pool().get_idle_size() == pool().get_size())
    states = await run_sql("SELECT state FROM pg_stat_activity WHERE datname = current_database() AND pid <> $1", -1)
    assert [state["state"] for state in states if "transaction" in (state["state"] or "")] == []


async def channel(code: str = "web") -> Channel:
    return await Channel.create(id=new_key(), code=code, name=code, created_at=datetime.now(UTC))


@pytest.mark.slow
@pytest.mark.usefixtures("database")
async def test_four_hundred_tasks_that_are_cancelled_lose_no_connection() -> None:
    await channel("kept")
    chance = random.Random(4)

    async def work(number: int) -> None:
        async with in_transaction():
            await Channel.filter(code="kept").select_for_update().get()
            await channel(f"c{number}")
        await Channel.all().count()

    for _ in range(20):
        tasks = [asyncio.create_task(work(number)) for number in range(20)]
        for task in tasks:
            await asyncio.sleep(chance.random() * 0.002)
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await Channel.exclude(code="kept").delete()
    await idle()
    assert pool().get_size() <= 5
    assert await Channel.all().count() == 1


@asynccontextmanager
async def all_connections_held() -> AsyncIterator[None]:
    """Each connection of the pool is in a transaction while the block runs."""
    release = asyncio.Event()

    async def hold() -> None:
        async with in_transaction():
            await release.wait()

    await asyncio.gather(*(Channel.all().count() for _ in range(20)))  # all of them are made
    holding = [asyncio.create_task(hold()) for _ in range(5)]
    await until(lambda: pool().get_size() - pool().get_idle_size() == 5)
    yield
    release.set()
    await asyncio.gather(*holding)


@pytest.mark.usefixtures("database")
async def test_who_finds_no_free_connection_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async with all_connections_held():
        monkeypatch.setattr(postgres, "ACQUIRE_SECONDS", 0.05)
        with pytest.raises(DatabaseUnavailable):
            await Channel.all().count()
        with pytest.raises(DatabaseUnavailable):
            async with in_transaction():
                pass
    monkeypatch.undo()
    assert await Channel.all().count() == 0


@pytest.mark.usefixtures("database")
async def test_one_caller_holds_half_of_the_connections_and_gives_them_back() -> None:
    release, begun = asyncio.Event(), []

    async def hold(caller: str) -> None:
        act_for(caller)
        async with in_transaction():
            begun.append(caller)
            await release.wait()

    async def read() -> None:
        act_for("one")
        for _ in range(5):
            await Channel.all().count()

    await asyncio.gather(*(Channel.all().count() for _ in range(20)))  # all connections are made
    holding = [asyncio.create_task(hold("one")) for _ in range(4)]
    await until(lambda: len(begun) >= 2)
    holding.append(asyncio.create_task(hold("another")))
    await until(lambda: "another" in begun)
    assert begun == ["one", "one", "another"]
    release.set()
    await asyncio.gather(*holding)
    await asyncio.create_task(read())


@pytest.mark.usefixtures("database")
async def test_a_read_is_one_round_trip(database: str) -> None:
    """asyncpg would reset the session after each, in which nothing was set."""
    await Channel.all().count()
    other = await connect(database)
    rows = await other.fetch("SELECT query FROM pg_stat_activity WHERE datname = current_database()")
    await other.close()
    assert [row["query"] for row in rows if '"channels"' in row["query"]]  # is the last that a connection was sent


@pytest.mark.slow
@pytest.mark.usefixtures("database")
async def test_nobody_waits_for_a_connection_for_long() -> None:
    """Whoever called has given up by then, and asks again."""
    async with all_connections_held(), asyncio.timeout(30):
        with pytest.raises(DatabaseUnavailable):
            await Channel.all().count()


@pytest.mark.usefixtures("database")
async def test_a_deadlock_is_a_conflict() -> None:
    await channel("a")
    await channel("b")
    both = asyncio.Barrier(2)

    async def lock(first: str, second: str) -> None:
        async with in_transaction():
            await Channel.filter(code=first).select_for_update().get()
            await both.wait()
            await Channel.filter(code=second).select_for_update().get()

    results = await asyncio.gather(lock("a", "b"), lock("b", "a"), return_exceptions=True)
    assert [type(result) for result in results if result is not None] == [TransactionConflict]
    await idle()


@pytest.mark.parametrize(
    ("setting", "value"),
    [("statement_timeout", "10s"), ("lock_timeout", "5s"), ("idle_in_transaction_session_timeout", "15s")],
)
@pytest.mark.usefixtures("database")
async def test_every_wait_has_an_end(setting: str, value: str) -> None:
    assert await run_sql(f"SHOW {setting}") == [{setting: value}]


@pytest.mark.parametrize(
    "sql",
    [
        "DO $do$ BEGIN RAISE 'too long' USING ERRCODE = 'query_canceled'; END $do$",
        "DO $do$ BEGIN RAISE 'lock' USING ERRCODE = 'lock_not_available'; END $do$",
        "DO $do$ BEGIN RAISE 'full' USING ERRCODE = 'disk_full'; END $do$",
        "DO $do$ BEGIN RAISE 'standby' USING ERRCODE = 'read_only_sql_transaction'; END $do$",
        "SELECT pg_terminate_backend(pg_backend_pid())",
    ],
)
@pytest.mark.usefixtures("database")
async def test_what_is_an_outage(sql: str) -> None:
    with pytest.raises(DatabaseUnavailable):
        await run_sql(sql)
    assert await Channel.all().count() == 0


@pytest.mark.usefixtures("database")
async def test_a_mistake_is_none() -> None:
    with pytest.raises(Exception, match="does not exist") as caught:
        await run_sql("SELECT nonsense")
    assert not isinstance(caught.value, DatabaseUnavailable)


@pytest.fixture
async def own_server() -> AsyncIterator[tuple[PostgresServer, str]]:
    async with postgres_server() as server:
        url = await create_database(server.url(), "orders")
        await migrate(url)
        yield server, url


async def _stop(server: PostgresServer) -> None:
    await server.stop()


async def _kill(server: PostgresServer) -> None:
    await server.kill()


@pytest.mark.slow
@pytest.mark.parametrize("end", [_stop, _kill])
async def test_a_server_that_comes_back_is_used_again(
    own_server: tuple[PostgresServer, str], end: Callable[[PostgresServer], Awaitable[None]]
) -> None:
    server, url = own_server

    async def during() -> None:
        async with asyncio.timeout(60), in_transaction():
            await channel("during")
            await end(server)

    async with connected(url):
        await asyncio.gather(*(Channel.all().count() for _ in range(5)))  # several connections
        await channel("before")
        with pytest.raises(DatabaseUnavailable):
            await during()
        for _ in range(10):
            with pytest.raises(DatabaseUnavailable):
                await Channel.all().count()
        await server.start()
        assert [row.code for row in await Channel.all()] == ["before"]
        async with in_transaction():
            await channel("after")
        assert await Channel.all().count() == 2
        await idle()


@pytest.mark.slow
async def test_a_server_that_is_silent_is_an_outage(own_server: tuple[PostgresServer, str]) -> None:
    server, url = own_server
    async with connected(f"{url}?command_timeout=0.2&timeout=1&maxsize=3"):
        await channel("before")
        server.pause()
        try:
            results = await asyncio.gather(*(Channel.all().count() for _ in range(3)), return_exceptions=True)
        finally:
            server.resume()
        assert {type(result) for result in results} == {DatabaseUnavailable}
        assert await Channel.all().count() == 1
        await idle()
