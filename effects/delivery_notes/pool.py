"""The pool of rendering processes. They are started with the first jobs, and reused."""

import asyncio
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final

from effects.delivery_notes.errors import RenderingBusy, RenderingFailed, RenderingUnavailable
from effects.delivery_notes.fonts import FOLDER_PREFIX, write_configuration
from effects.delivery_notes.memory import LEAST, limit
from effects.delivery_notes.messages import Message
from effects.delivery_notes.process import Process, ProcessEnded

log = logging.getLogger(__name__)

MOST_JOBS: Final = 500  # of one process, because WeasyPrint and Pango leak memory with each file (decision 0009)

_UNAVAILABLE: Final = (
    "Delivery notes need Pango, which is missing here: install it with apt-get install libpango-1.0-0"
    " libpangoft2-1.0-0 libharfbuzz-subset0 (Debian, Ubuntu) or brew install pango (macOS)."
)
_LITTLE_MEMORY: Final = (
    "Delivery notes need {} MiB of address space for each process, and {} MiB are allowed: raise the limit (ulimit -v,"
    " or LimitAS= in systemd)."
)
_ENDED: Final = "The process that rendered this has ended: it may have needed more memory than it is allowed."
_STOPPING: Final = "The server is stopping: ask again in a moment."


class Pool:
    """At most so many processes, each with one job at a time. Belongs to the event loop that it is made in.

    A job whose caller has gone is finished nevertheless, so that its process can be reused.
    """

    def __init__(self, *, processes: int, seconds: float, waiting: int) -> None:
        self.loop = asyncio.get_running_loop()
        self._seconds = seconds
        self._most_waiting = waiting
        self._waiting = 0
        self._turns = asyncio.Semaphore(processes)
        self._folder: Path | None = None
        self._processes: set[Process] = set()
        self._starting: set[Process] = set()
        self._idle: list[Process] = []
        self._jobs: set[asyncio.Task[Message]] = set()
        self._closed = False

    async def do(self, data: dict[str, Any], files: Sequence[bytes] = ()) -> Message:
        """Return the answer of a process.

        Raise RenderingBusy if too many jobs wait or the pool is closed, RenderingUnavailable, and RenderingFailed if
        the process takes too long or ends.
        """
        if self._turns.locked() and self._waiting >= self._most_waiting:
            raise RenderingBusy(f"{self._waiting} documents wait to be rendered already: ask again in a moment.")
        self._waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1
        job = asyncio.create_task(self._job(data, files))
        self._jobs.add(job)
        job.add_done_callback(self._forget)
        return await asyncio.shield(job)

    def _forget(self, job: asyncio.Task[Message]) -> None:
        self._jobs.discard(job)
        self._turns.release()
        if not job.cancelled():
            job.exception()  # so that asyncio does not complain if the caller has gone

    async def _job(self, data: dict[str, Any], files: Sequence[bytes]) -> Message:
        while True:
            process, is_new = await self._take()
            try:
                answer = await process.ask(data, files, self._seconds)
            except ProcessEnded as ended:
                await self._let_go(process)
                if ended.had_begun or is_new:
                    raise self._refusal(_ENDED) from ended
                # It died while it was idle: another one does the job.
            except TimeoutError:
                await self._let_go(process)
                raise self._refusal(f"It took longer than {self._seconds:g} seconds to render this.") from None
            except BaseException:
                await self._let_go(process)
                raise
            else:
                await self._put_back(process)
                return answer

    def _refusal(self, message: str) -> RenderingBusy | RenderingFailed:
        return RenderingBusy(_STOPPING) if self._closed else RenderingFailed(message)

    async def _take(self) -> tuple[Process, bool]:
        """Return a process that is ready, and whether it is new."""
        while self._idle and not self._closed:
            process = self._idle.pop()
            if process.runs:
                return process, False
            await self._let_go(process)
        if self._closed:
            raise RenderingBusy(_STOPPING)
        process = await self._start()
        self._starting.add(process)
        try:
            greeting = await process.greeting()
        except (ProcessEnded, TimeoutError) as error:
            await self._let_go(process)
            if process.was_stopped:
                raise RenderingBusy(_STOPPING) from error
            raise self._refusal(
                "The process that renders documents does not start; the server's log says why."
            ) from error
        except BaseException:
            await self._let_go(process)
            raise
        finally:
            self._starting.discard(process)
        if greeting.data["kind"] != "ready":
            await self._let_go(process)
            log.warning("nothing can be rendered: %s", greeting.data["reason"])
            raise RenderingUnavailable(_UNAVAILABLE)
        return process, True

    async def _put_back(self, process: Process) -> None:
        if process.jobs < MOST_JOBS:
            self._idle.append(process)
        else:
            process.kill()
            await self._let_go(process)

    async def _start(self) -> Process:
        if (memory := limit()) < LEAST:
            log.warning("nothing can be rendered: the limit of the address space is %d bytes", memory)
            raise RenderingUnavailable(_LITTLE_MEMORY.format(LEAST // 2**20, memory // 2**20))
        if self._folder is None:
            self._folder = Path(mkdtemp(prefix=FOLDER_PREFIX))
            write_configuration(self._folder)
        process = await Process.start(self._folder)
        self._processes.add(process)
        if self._closed:
            process.kill()
        return process

    async def _let_go(self, process: Process) -> None:
        await process.end()
        self._processes.discard(process)

    def abandon(self) -> None:
        """Kill all processes without waiting for them, because their event loop is gone."""
        self._kill()
        self._remove_folder()

    def stop(self) -> None:
        """Begin nothing new: refuse what is not being rendered yet with RenderingBusy."""
        self._closed = True
        for process in self._starting:
            process.kill()

    async def close(self) -> None:
        """End all processes and their jobs, and wait until they are gone."""
        self._kill()
        while self._jobs:
            await asyncio.wait(self._jobs)
        for process in list(self._processes):
            await self._let_go(process)
        self._remove_folder()

    def _kill(self) -> None:
        self._closed = True
        for process in self._processes:
            process.kill()

    def _remove_folder(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
