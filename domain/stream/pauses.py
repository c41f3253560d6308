"""Pauses between repeated work."""

import asyncio
import contextlib
import time


async def apart(seconds: float, begun: float) -> None:
    """Return when so many seconds have passed since `begun` (`time.monotonic`)."""
    if (left := begun + seconds - time.monotonic()) > 0:
        await asyncio.sleep(left)


async def set_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait for the event to be set, at most so long. Return whether it is set."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
