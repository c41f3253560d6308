"""Pauses between things that are done again and again."""

import asyncio
import contextlib
import time


async def apart(seconds: float, begun: float) -> None:
    """Returns so many seconds after what has `begun` (`time.monotonic`): at once, where they have passed."""
    if (left := begun + seconds - time.monotonic()) > 0:
        await asyncio.sleep(left)


async def set_within(event: asyncio.Event, seconds: float) -> bool:
    """Waits for it to be set, and for so long at most. Whether it is set then."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
