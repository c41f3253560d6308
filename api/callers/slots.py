"""How many operations of one caller run at a time. Each process counts its own."""

import asyncio
from collections import deque
from collections.abc import Collection


class Slots:
    """Slots for operations: at most `most` for each caller. If all are taken, further operations wait in turn.

    An operation keeps its slot until all of its work is over. That may be after it was cancelled, because a command
    that has begun is carried out.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: dict[str, int] = {}
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    def are_taken(self, caller: str) -> bool:
        """Return whether the caller's next operation must wait."""
        return self._taken.get(caller, 0) >= self._most

    async def take(self, caller: str) -> None:
        """Wait for one of the caller's slots, in the order of calls. Give it back with `free`."""
        if not self.are_taken(caller):
            self._taken[caller] = self._taken.get(caller, 0) + 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(caller, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it has got a slot meanwhile
                self.free(caller)
            raise

    def free(self, caller: str, work: Collection[asyncio.Future[object]] = ()) -> None:
        """Give a slot back once all of this work is over. Tasks that are done are removed from `work`."""
        if work:
            next(iter(work)).add_done_callback(lambda _: self.free(caller, work))
            return
        waiting = self._waiting.get(caller)
        while waiting:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._waiting.pop(caller, None)
        self._taken[caller] -= 1
        if not self._taken[caller]:
            del self._taken[caller]
