"""Turns for work that keeps the event loop busy."""

import asyncio

from models.engine.turns import take_turn
from tests.clients import WAIT


async def test_who_goes_while_waiting_for_a_turn_holds_nobody_up() -> None:
    waiting = [asyncio.create_task(take_turn()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    async with asyncio.timeout(WAIT):
        await asyncio.gather(waiting[0], waiting[2])
    assert waiting[1].cancelled()
