"""Pauses between things that are done again and again."""

import asyncio
import time


async def apart(seconds: float, begun: float) -> None:
    """Returns so many seconds after what has `begun` (`time.monotonic`): at once, where they have passed."""
    if (left := begun + seconds - time.monotonic()) > 0:
        await asyncio.sleep(left)
