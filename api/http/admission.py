"""Which connections a process holds: fewer than it may open files, and not too many from one address."""

import asyncio
import logging
import time
from typing import Final

from api.callers.open_counts import OpenCounts, TooManyOpen, most_connections
from api.callers.rates import network_of
from api.metrics import Metrics
from api.settings import Settings

ADMISSION: Final = "admission"  # its key in the lifespan's state
QUIET_SECONDS: Final = 10.0  # between two lines of the log about the same shortage

log = logging.getLogger(__name__)


class Admission:
    """The open connections of a process.

    A connection waits while its client owes it something: a request, the rest of one, or a WebSocket's
    `connection_init`. If there is no room for a new connection, the one that has waited longest is aborted. So clients
    that send nothing cannot keep others out.
    """

    def __init__(self, settings: Settings, counts: OpenCounts, metrics: Metrics) -> None:
        self.settings = settings
        self._counts = counts
        self._metrics = metrics
        self._most = most_connections(settings)
        self._networks: dict[asyncio.BaseTransport, str | None] = {}  # of all that are open; None is not counted
        self._refused: dict[asyncio.Transport, None] = {}  # these give way first
        self._waiting: dict[asyncio.Transport, None] = {}  # the longest first
        self._aborted = 0
        self._last_line = -QUIET_SECONDS

    def open(self, transport: asyncio.Transport) -> None:
        """Add a connection, which waits. Abort one if there are too many, this one if no other waits."""
        self._networks[transport] = None
        self._waiting[transport] = None
        if self._most is not None and len(self._networks) > self._most:
            self._abort(next(iter(self._refused or self._waiting)))

    def count(self, transport: asyncio.Transport, address: str) -> None:
        """Count the connection for its address. Raise TooManyOpen if that has too many; it gives way first then."""
        network = network_of(address)
        try:
            self._counts.add_connection(network)
        except TooManyOpen:
            self._waiting.pop(transport, None)
            self._refused[transport] = None
            raise
        self._networks[transport] = network

    def is_counted(self, transport: asyncio.Transport) -> bool:
        """Return whether the connection is counted for its address."""
        return self._networks.get(transport) is not None

    def wait(self, transport: asyncio.Transport) -> None:
        """Note that the connection waits for its client from now on."""
        if transport in self._networks and transport not in self._refused:
            self._waiting[transport] = None

    def work(self, transport: asyncio.Transport) -> None:
        """Note that the connection waits no longer: it does not give way."""
        self._waiting.pop(transport, None)

    def close(self, transport: asyncio.BaseTransport) -> None:
        """Forget a connection that has ended. May be called more than once."""
        network = self._networks.pop(transport, None)
        if network is not None:
            self._counts.remove_connection(network)
        self._waiting.pop(transport, None)  # type: ignore[call-overload]
        self._refused.pop(transport, None)  # type: ignore[call-overload]

    def count_cut_off(self, reason: str) -> None:
        """Count a connection that the server ends because of its client."""
        self._metrics.count_cut_off(reason)

    def _abort(self, transport: asyncio.Transport) -> None:
        transport.abort()
        self.close(transport)
        self.count_cut_off("no room")
        self._aborted += 1
        now = time.monotonic()
        if now - self._last_line >= QUIET_SECONDS:
            log.warning(
                "%s connections are open, which is the limit (MAX_CONNECTIONS, by default from `ulimit -n`): to make"
                " room, %s that sent no request had to be closed",
                self._most,
                self._aborted,
            )
            self._aborted, self._last_line = 0, now
