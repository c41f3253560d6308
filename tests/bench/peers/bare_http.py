"""The limit of a Python server on PostgreSQL: SQL by hand through asyncpg, dictionaries, and orjson, under uvicorn.

There is no GraphQL in it: the path says what is wanted, and of the request's body only the variables are looked at.
Each request looks its token up, as the product does. Confirming takes the product's statements, the lock that holds
back the readers of the event log included; it does not ring, and nobody follows the log.
"""

import hashlib
import os
import sys
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import uvicorn

CONNECTIONS = 10  # as many as the product has
CALLER = "SELECT * FROM api_tokens WHERE hash = $1"
LOCK = "SELECT * FROM orders WHERE id = $1 FOR NO KEY UPDATE"
UPDATE = "UPDATE orders SET confirmed_at = $1, status = $2, updated_at = $3, version = $4 WHERE id = $5"
ANNOUNCE = """
    SELECT pg_advisory_xact_lock_shared((20307::bigint << 48) + last_value - CASE WHEN is_called THEN 0 ELSE 1 END)
    FROM order_events_id_seq
"""
RECORD = """
    INSERT INTO order_events (order_version, type, occurred_at, actor_kind, actor_id, actor_name, from_status,
        to_status, message, data, channel_id, order_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING id
"""
ORDER = "SELECT id, number, status, payment_status, total, currency FROM orders WHERE id = $1"
ORDERS = """
    SELECT id, number, status, payment_status, fulfillment_status, total, currency FROM orders
    ORDER BY placed_at DESC, id DESC LIMIT $1
"""
LINES = """
    SELECT order_id, sku, title, quantity, unit_price, total FROM order_lines WHERE order_id = ANY($1)
    ORDER BY order_id, position
"""


class App:
    def __init__(self) -> None:
        self._pool: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self._pool is None:
            self._pool = await asyncpg.create_pool(
                os.environ["DATABASE_URL"], min_size=CONNECTIONS, max_size=CONNECTIONS, reset=_leave
            )
        answer = {} if scope["method"] == "GET" else await self._answer(scope, await _variables(receive))
        body = orjson.dumps(answer)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Any, variables: dict[str, Any]) -> dict[str, Any]:
        secret = dict(scope["headers"])[b"authorization"].removeprefix(b"Bearer ")
        async with self._pool.acquire() as connection:
            token = await connection.fetchrow(CALLER, hashlib.sha256(secret).hexdigest())
            match scope["path"]:
                case "/confirm":
                    return await _confirm(connection, token, UUID(variables["input"]["orderId"]))
                case "/order":
                    return await _order(connection, UUID(variables["id"]))
                case _:
                    return await _orders(connection, variables["first"])


async def _confirm(connection: Any, token: Any, order_id: UUID) -> dict[str, Any]:
    async with connection.transaction():
        order = await connection.fetchrow(LOCK, order_id)
        now, version = datetime.now(UTC), order["version"] + 1
        await connection.execute(UPDATE, now, "CONFIRMED", now, version, order_id)
        await connection.execute(ANNOUNCE)
        by = ("TOKEN", str(token["id"]), token["name"])
        statuses = (order["status"], "CONFIRMED")
        happening = ("The order was confirmed.", "{}", order["channel_id"], order_id)
        await connection.fetchval(RECORD, version, "ORDER_CONFIRMED", now, *by, *statuses, *happening)
    shown = {"id": str(order_id), "number": str(order["number"]), "status": "CONFIRMED", "version": version}
    return {"data": {"confirmOrder": {"order": shown, "userErrors": []}}}


async def _order(connection: Any, order_id: UUID) -> dict[str, Any]:
    row = await connection.fetchrow(ORDER, order_id)
    shown = {
        "id": str(row["id"]),
        "number": str(row["number"]),
        "status": row["status"],
        "paymentStatus": row["payment_status"],
        "total": _money(row["total"], row["currency"]),
    }
    return {"data": {"order": shown}}


async def _orders(connection: Any, first: int) -> dict[str, Any]:
    rows = await connection.fetch(ORDERS, first)
    lines: dict[UUID, list[Any]] = {row["id"]: [] for row in rows}
    for line in await connection.fetch(LINES, list(lines)):
        lines[line["order_id"]].append(line)
    nodes = [
        {
            "number": str(row["number"]),
            "status": row["status"],
            "paymentStatus": row["payment_status"],
            "fulfillmentStatus": row["fulfillment_status"],
            "total": _money(row["total"], row["currency"]),
            "lines": [
                {
                    "sku": line["sku"],
                    "title": line["title"],
                    "quantity": line["quantity"],
                    "unitPrice": {"amount": _amount(line["unit_price"])},
                    "total": _money(line["total"], row["currency"]),
                }
                for line in lines[row["id"]]
            ],
        }
        for row in rows
    ]
    return {"data": {"orders": {"nodes": nodes}}}


def _money(minor: int, currency: str) -> dict[str, str]:
    return {"amount": _amount(minor), "currencyCode": currency}


def _amount(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02}"


async def _leave(_: Any) -> None:
    """A connection goes back into the pool as it is: there is nothing to reset."""


async def _variables(receive: Any) -> dict[str, Any]:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    variables: dict[str, Any] = orjson.loads(body)["variables"]
    return variables


if __name__ == "__main__":
    uvicorn.run(App(), port=int(sys.argv[1]), log_level="warning", lifespan="off")
