"""The SQLite engine: reads that are shared out among callers, and that end when nobody waits for them any more."""

import asyncio
from typing import Any

import pytest
from tortoise import connections

from models.engine.shares import act_for
from tests.clients import WAIT

pytestmark = pytest.mark.sqlite

ENDLESS = "SELECT * FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n)"


async def read(statement: str, caller: str | None = None) -> Any:
    if caller is not None:
        act_for(caller)
    client: Any = connections.get("default")
    return await client.execute_query_dict(statement)


@pytest.mark.usefixtures("database")
async def test_a_read_that_is_cancelled_leaves_the_connection_to_others() -> None:
    await read("SELECT 1")
    for passes in range(1, 6):  # also before the statement has begun
        endless = asyncio.create_task(read(ENDLESS, "a caller"))
        for _ in range(passes):
            await asyncio.sleep(0)
        following = asyncio.create_task(read("SELECT 2 AS two"))
        await asyncio.sleep(0)
        endless.cancel()
        async with asyncio.timeout(WAIT):
            assert await following == [{"two": 2}]
            with pytest.raises(asyncio.CancelledError):
                await endless
            assert await read("SELECT 3 AS three", "a caller") == [{"three": 3}]


@pytest.mark.usefixtures("database")
async def test_nobody_waits_behind_all_that_another_caller_reads() -> None:
    done: list[int] = []

    async def many(number: int) -> None:
        await read("SELECT 1", "a caller")
        done.append(number)

    all_of_them = [asyncio.create_task(many(number)) for number in range(100)]
    await asyncio.sleep(0)  # all of them wait for the connection
    await read("SELECT 1", "another")
    assert len(done) <= 3
    await asyncio.gather(*all_of_them)
    assert done == list(range(100))
