"""What is loaded for an answer is loaded once, with the columns that somebody asks for."""

import asyncio
import re
from uuid import UUID

import pytest

from api.execution.loaders import Loaders
from models.engine.rows import Columns
from tests.database import Statement, statements
from tests.domain.shop import place

NUMBER: Columns = frozenset({"number"})
STATUS: Columns = frozenset({"status"})


@pytest.fixture
async def order_id(database: str) -> UUID:
    return (await place()).id


async def test_who_asks_at_the_same_time_for_other_columns_shares_the_statement(order_id: UUID) -> None:
    loaders = Loaders()
    with statements() as seen:
        first, second = await asyncio.gather(
            loaders.of("orders", NUMBER).load(order_id), loaders.of("orders", STATUS).load(order_id)
        )
    assert first is second
    assert columns_of(seen) == [{"id", "number", "status"}]


async def test_what_has_been_loaded_is_loaded_again_for_more_columns_alone(order_id: UUID) -> None:
    loaders = Loaders()
    narrow = await loaders.of("orders", NUMBER).load(order_id)
    with pytest.raises(KeyError):
        narrow.status  # noqa: B018 - it was not asked for
    with statements() as seen:
        wider = await loaders.of("orders", STATUS).load(order_id)
        assert (wider.number, wider.status) == (narrow.number, "PENDING")
        assert await loaders.of("orders", NUMBER).load(order_id) is wider
        whole = await loaders.orders.load(order_id)
        assert await loaders.of("orders", STATUS).load(order_id) is whole
    more, everything = columns_of(seen)
    assert more == {"id", "number", "status"}
    assert everything > {*more, "total", "currency"}


async def test_what_is_worked_out_from_columns_needs_all_of_them(order_id: UUID) -> None:
    order = await Loaders().of("orders", frozenset({"outstanding"})).load(order_id)
    assert order.outstanding == order.total - order.paid_total


def columns_of(seen: list[Statement]) -> list[set[str]]:
    """Of each statement that reads orders."""
    found = [re.match(r'SELECT (.*) FROM "orders"', each.sql) for each in seen]
    return [set(re.findall(r'"(\w+)"', each[1])) for each in found if each]
