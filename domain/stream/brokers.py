"""The brokers that carry rings between processes: broadcaster's backends, and our own for PostgreSQL."""

import asyncio
from typing import Any

from broadcaster import Broadcast, BroadcastBackend, Event

from models.engine import database
from models.engine.errors import DatabaseUnavailable


def broadcast_of(url: str) -> Broadcast:
    """Return a broker that is not connected yet, for `memory://`, `redis://`, `rediss://` or `postgres://`."""
    if database.is_postgres(url):
        return Broadcast(backend=PostgresBackend(url))
    if url.startswith("redis"):
        from domain.stream.redis_broker import (
            TidyRedisBackend,  # a tenth of a second that most processes need not spend
        )

        return Broadcast(backend=TidyRedisBackend(url))
    return Broadcast(url)


class PostgresBackend(BroadcastBackend):
    """LISTEN and NOTIFY on one connection. broadcaster's own backend cannot publish twice at the same time.

    It publishes outside the transactions that it announces. NOTIFY in them would make their commits wait for one
    another, because of a lock over the whole server (https://www.postgresql.org/docs/current/sql-notify.html).
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Any = None
        self._publishing = asyncio.Lock()
        self._heard: asyncio.Queue[Event | None] = asyncio.Queue()

    async def connect(self) -> None:
        self._connection = await database.connect(self._url)
        self._connection.add_termination_listener(self._on_end)

    async def disconnect(self) -> None:
        self._connection.terminate()

    async def subscribe(self, channel: str) -> None:
        await self._connection.add_listener(channel, self._on_notification)

    async def unsubscribe(self, channel: str) -> None:
        if not self._connection.is_closed():
            await self._connection.remove_listener(channel, self._on_notification)

    async def publish(self, channel: str, message: Any) -> None:
        async with self._publishing:
            await self._connection.execute("SELECT pg_notify($1, $2)", channel, message)

    async def next_published(self) -> Event:
        """Wait for the next message, for broadcaster. Raise `DatabaseUnavailable` if the connection has ended."""
        event = await self._heard.get()
        if event is None:
            raise DatabaseUnavailable("the connection that listens has ended")
        return event

    def _on_notification(self, _connection: Any, _pid: int, channel: str, payload: Any) -> None:
        self._heard.put_nowait(Event(channel, payload))

    def _on_end(self, _connection: Any) -> None:
        self._heard.put_nowait(None)
