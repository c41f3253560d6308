"""Looking host names up, in threads of its own.

asyncio's look-ups share their threads with e-mail and with files: a name server that does not answer would stop both.
"""

import asyncio
import socket
from contextlib import suppress
from ipaddress import ip_address
from threading import Thread
from typing import Any, Final

from domain.egress import Address

MOST_AT_ONCE: Final = 32  # names that are looked up


class Resolver:
    """Looks up each name once at a time, so that one that hangs takes a single thread, however often it is asked for.

    A thread cannot be stopped. It counts until its look-up ends, also if nobody waits for that any more, and does not
    hold up the end of the process.
    """

    def __init__(self, most_at_once: int = MOST_AT_ONCE) -> None:
        self._free = asyncio.Semaphore(most_at_once)
        self._under_way: dict[tuple[str, int], asyncio.Task[list[Address]]] = {}

    async def look_up(self, host: str, port: int) -> list[Address]:
        """Return the addresses of the host, which may be an address itself. Raise OSError or UnicodeError for none."""
        with suppress(ValueError):
            return [ip_address(host)]
        task = self._under_way.get((host, port))
        if task is None:
            task = self._under_way[host, port] = asyncio.create_task(self._look_up(host, port))
            task.add_done_callback(lambda done: self._end((host, port), done))
        return await asyncio.shield(task)  # others may wait for it, too

    def close(self) -> None:
        """Let go of what is being looked up."""
        for task in self._under_way.values():
            task.cancel()

    def _end(self, key: tuple[str, int], task: asyncio.Task[list[Address]]) -> None:
        del self._under_way[key]
        if not task.cancelled():
            task.exception()  # asyncio would log an error that nobody waits for

    async def _look_up(self, host: str, port: int) -> list[Address]:
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        found: asyncio.Future[list[Any]] = loop.create_future()

        def work() -> None:
            addresses, error = [], None
            try:
                addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except Exception as failure:
                error = failure
            with suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(answer, addresses, error)

        def answer(addresses: list[Any], error: Exception | None) -> None:
            self._free.release()
            if found.done():  # it was cancelled
                return
            if error is None:
                found.set_result(addresses)
            else:
                found.set_exception(error)

        try:
            Thread(target=work, name=f"look-up of {host}", daemon=True).start()
        except RuntimeError as error:  # this process may have no more of them now
            self._free.release()
            raise OSError(str(error)) from error
        return [ip_address(str(each[4][0])) for each in await found]
