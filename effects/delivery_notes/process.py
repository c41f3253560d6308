"""A rendering process, seen from the server."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from effects.delivery_notes.fonts import FILE_NAME
from effects.delivery_notes.messages import Message, pack, receive

log = logging.getLogger(__name__)

ROOT: Final = Path(__file__).resolve().parents[2]
START_SECONDS: Final = 60.0  # for a new process to be ready: on a busy machine, importing takes a while
END_SECONDS: Final = 1.0  # for a process that has closed its output to be gone

_BUFFER: Final = 2**20  # bytes of an answer that are read ahead
_LAST_WORDS: Final = 4_000  # bytes of a process's stderr that are kept for the log


class ProcessEnded(Exception):
    """The process has ended without an answer. `had_begun` is set if it had started with the request."""

    def __init__(self, had_begun: bool) -> None:
        super().__init__()
        self.had_begun = had_begun


class Process:
    """A worker process. `end` must be called after any error, and may be called at any time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self._requests, self._answers = process.stdin, process.stdout
        self._said = b""
        self._listening = asyncio.create_task(self._listen(process.stderr))
        self._to_end = False
        self.jobs = 0  # that it has been given

    @classmethod
    async def start(cls, folder: Path) -> "Process":
        """Start a new process, which knows nothing of the server's settings.

        The folder has fontconfig's configuration in it, and gets what the process leaves behind.
        """
        environment = {
            "PATH": os.defpath,
            "LANG": "C.UTF-8",
            "TMPDIR": str(folder),
            "FONTCONFIG_FILE": str(folder / FILE_NAME),
            "SOURCE_DATE_EPOCH": "0",  # otherwise fontTools writes the time into each font, and no file is like another
            "PYTHONPATH": str(ROOT),
            "PYTHONSAFEPATH": "1",
        }
        if sys.platform == "darwin":  # where Homebrew puts Pango is not looked at by default
            environment["DYLD_FALLBACK_LIBRARY_PATH"] = "/opt/homebrew/lib:/usr/local/lib:/usr/lib"
        return cls(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "effects.delivery_notes.worker"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=_BUFFER,
                cwd=folder,
                env=environment,
                start_new_session=True,  # a signal to the server's process group is not for it: it ends with its stdin
            )
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process.returncode is None

    @property
    def was_stopped(self) -> bool:
        """Whether a signal has ended the process before it could ignore signals."""
        code = self._process.returncode
        return code is not None and -code in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

    async def greeting(self) -> Message:
        """Return its first message, once it is ready or knows that it cannot be.

        Raise ProcessEnded and TimeoutError.
        """
        async with asyncio.timeout(START_SECONDS):
            return await self._answer(had_begun=False)

    async def ask(self, data: dict[str, Any], files: Sequence[bytes], seconds: float) -> Message:
        """Return its answer. Raise ProcessEnded, and TimeoutError if it takes longer after it has begun."""
        self.jobs += 1
        async with asyncio.timeout(START_SECONDS):
            with contextlib.suppress(ConnectionError):  # then there is no answer, either
                self._requests.write(pack({**data, "seconds": seconds}, files))
                await self._requests.drain()
            await self._answer(had_begun=False)
        async with asyncio.timeout(seconds):
            return await self._answer(had_begun=True)

    async def _answer(self, *, had_begun: bool) -> Message:
        try:
            return await receive(self._answers)
        except (EOFError, ConnectionError):
            # asyncio may lose the exit code of a process that is killed just then.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(END_SECONDS):
                    await self._process.wait()
            raise ProcessEnded(had_begun) from None

    async def _listen(self, stderr: asyncio.StreamReader) -> None:
        while said := await stderr.read(_BUFFER):
            log.debug("process [%d] says: %s", self.pid, said.decode(errors="replace").rstrip())
            self._said = (self._said + said)[-_LAST_WORDS:]

    def kill(self) -> None:
        """Kill the process, without waiting until it is gone as `end` does."""
        self._to_end = True
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def end(self) -> None:
        """Kill the process, wait until it is gone, and close its pipes."""
        unexpected = not self._to_end
        self.kill()
        self._requests.close()
        await self._answers.read()  # a stream with unread data would never be closed
        await self._listening
        code = await self._process.wait()
        if unexpected and self._said:
            said = self._said.decode(errors="replace").rstrip()
            log.warning("process [%d] has ended (%d) and has said: %s", self.pid, code, said)
