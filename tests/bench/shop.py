"""A shop with orders on a PostgreSQL of its own, and what is told of each order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from tortoise.connection import get_connection

from api.schema import ids
from domain.actors import Scope, system
from domain.orders.placing import NewLine, NewOrder, place_order
from domain.tokens import create_token
from models.engine.database import connected, migrate
from models.enums import OrderSource
from tests.services import PostgresServer, create_database, postgres_server, valkey_server

ACTOR = system("scripts/bench")
LINES = 3  # of each order
_PLACED_AT_ONCE = 10


@dataclass(frozen=True, slots=True)
class Shop:
    """`orders` are the orders' fields as the subscription of `live` asks for them, `keys` their keys, in one order."""

    database_url: str
    bell_url: str
    token: str
    keys: list[UUID]
    orders: list[dict[str, Any]]


@asynccontextmanager
async def services() -> AsyncIterator[tuple[PostgresServer, str]]:
    """A PostgreSQL that writes into memory where it can, so that no disk is measured, and the URL of a Valkey."""
    async with postgres_server() as postgres, valkey_server() as valkey:
        yield postgres, valkey.url


async def open_shop(postgres: PostgresServer, name: str, bell_url: str, orders: int) -> Shop:
    """A new database with so many orders that are pending."""
    url = await create_database(postgres.url(), name)
    await migrate(url)
    async with connected(url):
        _, token = await create_token(actor=ACTOR, name="bench", scopes=list(Scope))
        first = await _place()  # which opens the channel
        waiting = asyncio.Semaphore(_PLACED_AT_ONCE)

        async def place() -> tuple[UUID, dict[str, Any]]:
            async with waiting:
                return await _place()

        placed = [first, *await asyncio.gather(*(place() for _ in range(orders - 1)))]
        # As autovacuum does within a minute: until then, the plans of new tables are those for a handful of rows.
        await get_connection("default").execute_script("ANALYZE")
    return Shop(url, bell_url, token, [key for key, _ in placed], [shown for _, shown in placed])


async def _place() -> tuple[UUID, dict[str, Any]]:
    line = NewLine(title="Merino socks", sku="SOCK-MER", quantity=2, unit_price=Decimal("14.90"))
    new = NewOrder(channel="web", source=OrderSource.ONLINE, currency="CHF", lines=[line] * LINES)
    order = await place_order(actor=ACTOR, new=new)
    return order.id, {
        "id": str(ids.encode("Order", order.id)),
        "number": str(order.number),
        "status": "PENDING",
        "paymentStatus": "PENDING",
        "total": {"amount": "89.40", "currencyCode": "CHF"},
    }
