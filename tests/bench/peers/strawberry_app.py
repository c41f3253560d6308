"""Orders by Strawberry, uvicorn and Tortoise as their documentation shows them, for comparison.

The types are dataclasses, the schema and the ASGI application have their defaults, and the events come through
broadcaster in memory: no broker and no database is asked for them. Who watches one order listens to a channel of its
own, so that nobody is woken in vain. `DATABASE_URL` is where the orders are that are read, in the product's tables.
Nobody has to say who they are.
"""

import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any, cast

import orjson
import strawberry
import uvicorn
from broadcaster import Broadcast
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from strawberry.asgi import GraphQL
from tortoise import Tortoise

from tests.bench.peers import tables

ALL_ORDERS = "orders"
broadcast = Broadcast("memory://")


@strawberry.enum
class OrderStatus(Enum):
    PENDING = "PENDING"
    CONFIRMED = "CONFIRMED"
    READY_TO_SHIP = "READY_TO_SHIP"
    SHIPPED = "SHIPPED"
    CANCELLED = "CANCELLED"


@strawberry.enum
class PaymentStatus(Enum):
    PENDING = "PENDING"
    AUTHORIZED = "AUTHORIZED"
    PAID = "PAID"


@strawberry.enum
class FulfillmentStatus(Enum):
    UNFULFILLED = "UNFULFILLED"
    PARTIALLY_FULFILLED = "PARTIALLY_FULFILLED"
    FULFILLED = "FULFILLED"


@strawberry.enum
class OrderEventType(Enum):
    ORDER_PLACED = "ORDER_PLACED"
    ORDER_CONFIRMED = "ORDER_CONFIRMED"
    NOTE_ADDED = "NOTE_ADDED"


@strawberry.type
class Money:
    amount: Decimal
    currency_code: str

    @classmethod
    def of(cls, minor: int, currency: str) -> "Money":
        return cls(amount=Decimal(minor).scaleb(-2), currency_code=currency)


@strawberry.type
class OrderLine:
    sku: str | None
    title: str
    quantity: int
    unit_price: Money
    total: Money


@strawberry.type
class Order:
    row: strawberry.Private[tables.Order]
    id: strawberry.ID
    number: str
    status: OrderStatus
    payment_status: PaymentStatus
    fulfillment_status: FulfillmentStatus
    placed_at: datetime
    total: Money

    @strawberry.field
    def lines(self) -> list[OrderLine]:
        return [
            OrderLine(
                sku=line.sku,
                title=line.title,
                quantity=line.quantity,
                unit_price=Money.of(line.unit_price, self.row.currency),
                total=Money.of(line.total, self.row.currency),
            )
            for line in self.row.lines
        ]

    @classmethod
    def of(cls, row: tables.Order) -> "Order":
        return cls(
            row=row,
            id=strawberry.ID(str(row.id)),
            number=str(row.number),
            status=OrderStatus(row.status),
            payment_status=PaymentStatus(row.payment_status),
            fulfillment_status=FulfillmentStatus(row.fulfillment_status),
            placed_at=row.placed_at,
            total=Money.of(row.total, row.currency),
        )


@strawberry.type
class OrderConnection:
    nodes: list[Order]


@strawberry.type
class WatchedOrder:
    id: strawberry.ID
    number: str
    status: OrderStatus
    payment_status: PaymentStatus
    total: Money


@strawberry.type
class OrderEvent:
    id: strawberry.ID
    cursor: str
    type: OrderEventType
    occurred_at: datetime
    message: str
    order: WatchedOrder

    @classmethod
    def of(cls, given: dict[str, Any]) -> "OrderEvent":
        order, total = given["order"], given["order"]["total"]
        return cls(
            id=given["id"],
            cursor=given["cursor"],
            type=OrderEventType(given["type"]),
            occurred_at=datetime.fromisoformat(given["occurredAt"]),
            message=given["message"],
            order=WatchedOrder(
                id=order["id"],
                number=order["number"],
                status=OrderStatus(order["status"]),
                payment_status=PaymentStatus(order["paymentStatus"]),
                total=Money(amount=Decimal(total["amount"]), currency_code=total["currencyCode"]),
            ),
        )


@strawberry.input
class OrderEventFilter:
    order_ids: list[strawberry.ID]


@strawberry.type
class Query:
    @strawberry.field
    async def order(self, id: strawberry.ID) -> Order | None:
        row = await tables.Order.get_or_none(id=id)
        return Order.of(row) if row else None

    @strawberry.field
    async def orders(self, first: int) -> OrderConnection:
        rows = await tables.Order.all().order_by("-placed_at", "-id").limit(first).prefetch_related("lines")
        return OrderConnection(nodes=[Order.of(row) for row in rows])


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def add_order_note(self, order_id: strawberry.ID, note: str, event: str) -> Order:
        """`event` is the JSON of what the subscribers are told."""
        row = await tables.Order.get(id=order_id)
        row.note = note
        await row.save(update_fields=["note"])
        await tell(orjson.loads(event))
        return Order.of(row)


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def order_events(self, filter: OrderEventFilter | None = None) -> AsyncGenerator[OrderEvent, None]:
        async with broadcast.subscribe(str(filter.order_ids[0]) if filter else ALL_ORDERS) as subscriber:
            async for published in cast(Any, subscriber):
                yield published.message


async def tell(given: dict[str, Any]) -> None:
    event: Any = OrderEvent.of(given)  # made once for all subscribers: in memory, broadcaster hands on what it is given
    await broadcast.publish(ALL_ORDERS, event)
    await broadcast.publish(given["order"]["id"], event)


async def publish(request: Request) -> JSONResponse:
    for given in orjson.loads(await request.body()):
        await tell(given)
    return JSONResponse({})


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    url = os.environ["DATABASE_URL"].replace("postgres://", "asyncpg://")
    await Tortoise.init(
        config={
            "connections": {"default": url},
            "apps": {"models": {"models": [tables.__name__], "default_connection": "default"}},
            "use_tz": True,
            "timezone": "UTC",
        },
        _enable_global_fallback=True,
    )
    async with broadcast:
        yield
    await Tortoise.close_connections()


def create_app() -> Starlette:
    graphql = GraphQL[None, None](strawberry.Schema(query=Query, mutation=Mutation, subscription=Subscription))
    routes = [
        Route("/publish", publish, methods=["POST"]),
        Route("/graphql", graphql),
        WebSocketRoute("/graphql", graphql),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


if __name__ == "__main__":
    uvicorn.run(create_app(), port=int(sys.argv[1]), log_level="warning")
