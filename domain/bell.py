"""The bell: it says that the event log has grown, and nothing else. A lost ring costs a second, never an event."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from broadcaster import Broadcast

log = logging.getLogger(__name__)

_CHANNEL = "order-events"


class Bell:
    """Rings in every process that listens at the same URL. `memory://` reaches this process alone."""

    def __init__(self, url: str) -> None:
        self._broadcast = Broadcast(url)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[AsyncIterator[None]]:
        """Connects, and gives one ring after another for as long as the block runs."""
        async with self._broadcast, self._broadcast.subscribe(_CHANNEL) as subscriber:

            async def rings() -> AsyncIterator[None]:
                while True:
                    await subscriber.get()
                    yield

            _connected.add(self)
            try:
                yield rings()
            finally:
                _connected.discard(self)

    async def publish(self) -> None:
        await self._broadcast.publish(_CHANNEL, "")


_connected: set[Bell] = set()


async def ring() -> None:
    """Ring this process's bell, if it has one. Never raises: the change that it announces is committed already."""
    for bell in list(_connected):
        try:
            await bell.publish()
        except Exception:
            log.exception("the bell could not be rung; the feed will notice within a second")
