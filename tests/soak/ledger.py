"""What is in the database, read from PostgreSQL itself without the product's code."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import orjson

from api.commands.watching import EventKey

APPLICATION = "scripts/soak"  # by which PostgreSQL tells our own connections from the server's

_EVENTS = """
    SELECT o.number::text AS number, e.order_version AS version, c.code AS channel, e.type, e.from_status, e.to_status,
           e.data::text AS data,
           e.to_status IS NOT NULL OR e.to_payment_status IS NOT NULL OR e.to_fulfillment_status IS NOT NULL
               OR e.type IN ('ORDER_ARCHIVED', 'ORDER_UNARCHIVED') AS changes_status
    FROM order_events e JOIN orders o ON o.id = e.order_id JOIN channels c ON c.id = e.channel_id
    ORDER BY e.id
"""
_ORDERS = "SELECT number::text AS number, version, status, note FROM orders"
_KEYS = """
    SELECT k.key, o.number::text AS number FROM idempotency_records k JOIN orders o ON o.id = k.order_id
"""
_NUMBERS = """
    SELECT number AS mark FROM tracking UNION ALL SELECT reference FROM transactions WHERE reference IS NOT NULL
"""
_CONNECTIONS = """
    SELECT coalesce(state, '') AS state FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend' AND application_name <> $1
"""
# A constraint trigger that is deferred runs within COMMIT, when all has been written and nothing can be seen yet.
_SLOW_COMMITS = """
    CREATE FUNCTION soak_commit_slowly() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF random() < 0.15 THEN PERFORM pg_sleep(0.02 + 0.2 * random()); END IF;
        RETURN NULL;
    END $$;
    CREATE CONSTRAINT TRIGGER soak_slow_commits AFTER INSERT ON order_events
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION soak_commit_slowly();
"""
_USUAL_COMMITS = """
    DROP TRIGGER IF EXISTS soak_slow_commits ON order_events; DROP FUNCTION IF EXISTS soak_commit_slowly();
"""


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event of the log. Statuses are `None` where it did not change the order's status."""

    key: EventKey
    channel: str = ""
    type: str = ""
    from_status: str | None = None
    to_status: str | None = None
    changes_status: bool = False


@dataclass(frozen=True, slots=True)
class StoredOrder:
    number: str
    version: int
    status: str


@dataclass
class Ledger:
    """The log in its order; the orders; which order each idempotency key acted on; how often each mark is there."""

    events: list[LoggedEvent] = field(default_factory=list)
    orders: list[StoredOrder] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)
    marks: Counter[str] = field(default_factory=Counter)


@asynccontextmanager
async def _connected(database_url: str) -> AsyncIterator[Any]:
    address = urlunsplit(urlsplit(database_url)._replace(query=""))  # its options are Tortoise's
    connection = await asyncpg.connect(address, server_settings={"application_name": APPLICATION}, timeout=10)
    try:
        yield connection
    finally:
        await connection.close()


async def read_ledger(database_url: str) -> Ledger:
    """All of it as it was at one moment."""
    async with _connected(database_url) as connection, connection.transaction(isolation="repeatable_read"):
        events = await connection.fetch(_EVENTS)
        orders = await connection.fetch(_ORDERS)
        keys = await connection.fetch(_KEYS)
        numbers = await connection.fetch(_NUMBERS)
    marks = Counter(row["mark"] for row in numbers)
    marks.update(row["note"].partition("\n")[0] for row in orders if row["note"])
    marks.update(orjson.loads(row["data"])["note"].partition(" ")[0] for row in events if row["type"] == "NOTE_ADDED")
    return Ledger(
        events=[
            LoggedEvent(
                key=(row["number"], row["version"]),
                **{name: row[name] for name in ("channel", "type", "from_status", "to_status", "changes_status")},
            )
            for row in events
        ],
        orders=[StoredOrder(row["number"], row["version"], row["status"]) for row in orders],
        keys={row["key"]: row["number"] for row in keys},
        marks=marks,
    )


async def connections(database_url: str) -> Counter[str]:
    """The states of everybody's connections to the database but our own, counted."""
    async with _connected(database_url) as connection:
        return Counter(row["state"] for row in await connection.fetch(_CONNECTIONS, APPLICATION))


async def is_empty(database_url: str) -> bool:
    """Whether there is no order yet in a database that is migrated."""
    async with _connected(database_url) as connection:
        return not await connection.fetchval("SELECT EXISTS (SELECT FROM orders)")


async def commit_slowly(database_url: str) -> None:
    """Has the database take up to some tenths of a second for some commits of new events.

    So transactions commit in another order than they took their numbers, as they do where disks or replicas are slow,
    often enough to be seen.
    """
    async with _connected(database_url) as connection:
        await connection.execute(_SLOW_COMMITS)


async def commit_as_usual(database_url: str) -> None:
    """The end of what `commit_slowly` began."""
    async with _connected(database_url) as connection:
        await connection.execute(_USUAL_COMMITS)
