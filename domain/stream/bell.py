"""The bell: says that the event log has grown, and carries nothing. A lost ring costs a second, never an event."""

import asyncio
import logging
import random
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from broadcaster import Broadcast

from domain.stream.brokers import broadcast_of
from domain.stream.pauses import apart, set_within

log = logging.getLogger(__name__)

_CHANNEL = "order_events"
_RING, _HEARTBEAT = "ring", "heartbeat"

HEARTBEAT_SECONDS = 2.0  # of silence after which a heartbeat shows whether messages still come through
ANSWER_SECONDS = 2.0  # for the broker to connect, to take a message, and to bring back our own
APART_SECONDS = 0.004  # from one ring to the next, if there is always something to ring for: see `Bell`
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # seconds between attempts to connect: doubled each time


@dataclass(frozen=True, slots=True)
class BellState:
    """Whether rings reach other processes, since when, and what is wrong if not, in words that name no host."""

    connected: bool
    since: datetime
    problem: str | None = None


class _Silent(Exception):
    """The broker took our message, but did not send it back."""


class Bell:
    """Rings in every process that runs a bell of the same URL: `memory://`, `redis://` or `postgres://`.

    The process's own listener is called at once, whatever the broker does. The echo of its own messages shows whether
    the connection to the broker works. If it is broken or silent, it is made anew with growing pauses.

    After a pause of `APART_SECONDS` it rings in other processes at once. If changes come faster, it rings once for
    several: docs/decisions/0003-bell.md.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._name = secrets.token_hex(8)
        self._hear: Callable[[], None] = _nobody
        self._rung = asyncio.Event()
        self._echo = asyncio.Event()
        self.state = BellState(connected=False, since=datetime.now(UTC))

    @asynccontextmanager
    async def running(self, hear: Callable[[], None]) -> AsyncIterator[None]:
        """Call `hear` for each ring in any process while the block runs. Several rings may be one call."""
        self._hear = hear
        supervising = asyncio.create_task(self._supervise())
        _running.add(self)
        try:
            yield
        finally:
            _running.discard(self)
            supervising.cancel()
            await asyncio.wait((supervising,))
            self._hear = _nobody

    def ring(self) -> None:
        """Return at once. The supervisor tells the broker, once for all rings that wait."""
        self._hear()
        self._rung.set()

    async def _supervise(self) -> None:
        pause = FIRST_PAUSE
        while True:
            connection = asyncio.create_task(self._connection())
            try:
                await asyncio.wait((connection,))
            finally:
                await _end(connection)
            error = _cause(connection)
            if self.state.connected:
                pause = FIRST_PAUSE
            log.warning("the bell is broken: %r; the event log is polled meanwhile", error)
            since = datetime.now(UTC) if self.state.connected else self.state.since
            self.state = BellState(connected=False, since=since, problem=_problem(error))
            self._hear()  # what was rung since it broke was not heard
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads attempts
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _connection(self) -> None:
        """Keep one connection to the broker until it fails."""
        broadcast = broadcast_of(self._url)
        async with asyncio.timeout(ANSWER_SECONDS) as limit:  # for the beginning, and for the end
            async with broadcast, broadcast.subscribe(_CHANNEL) as subscriber:
                try:
                    async with asyncio.TaskGroup() as tasks:
                        tasks.create_task(self._listen(subscriber))
                        await self._publish(broadcast, _HEARTBEAT)
                        limit.reschedule(None)
                        log.info("the bell is connected")
                        self.state = BellState(connected=True, since=datetime.now(UTC))
                        self._hear()
                        await self._keep_ringing(broadcast)
                finally:
                    limit.reschedule(asyncio.get_running_loop().time() + ANSWER_SECONDS)

    async def _listen(self, subscriber: Any) -> None:
        while True:
            event = await subscriber.get()
            kind, _, name = event.message.partition(" ")
            if name == self._name:
                self._echo.set()
            elif kind == _RING:
                self._hear()

    async def _keep_ringing(self, broadcast: Broadcast) -> None:
        while True:
            if await set_within(self._rung, HEARTBEAT_SECONDS):
                self._rung.clear()
                begun = time.monotonic()
                await self._publish(broadcast, _RING)
                await apart(APART_SECONDS, begun)
            else:
                await self._publish(broadcast, _HEARTBEAT)

    async def _publish(self, broadcast: Broadcast, kind: str) -> None:
        """Send a message and wait until it comes back, which shows that messages of others get through."""
        self._echo.clear()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await broadcast.publish(_CHANNEL, f"{kind} {self._name}")
                await self._echo.wait()
        except TimeoutError as error:
            raise _Silent from error


def _nobody() -> None:
    pass


async def _end(task: asyncio.Task[None]) -> None:
    """Cancel the task and wait a limited time for its end, because a client of a dead broker may not let go.

    A task that is cancelled while it subscribes ends with a KeyError of broadcaster's, which means nothing.
    """
    task.cancel()
    task.add_done_callback(_cause)  # taken, so that asyncio does not log that nobody took it
    await asyncio.wait((task,), timeout=ANSWER_SECONDS)


def _cause(ended: asyncio.Task[None]) -> BaseException | None:
    error = None if ended.cancelled() else ended.exception()
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _problem(error: BaseException | None) -> str:
    """Say what is wrong in a few words that name no host."""
    if isinstance(error, (_Silent, TimeoutError)):
        return "the broker does not answer"
    return "the broker cannot be reached" if error is not None else "the connection has ended"


_running: set[Bell] = set()


def ring() -> None:
    """Ring this process's bell, if it has one. Never raise, never wait. What it announces must be committed."""
    for bell in list(_running):
        bell.ring()
