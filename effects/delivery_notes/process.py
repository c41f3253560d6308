"""One process that renders: a worker, seen from the server."""

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
from effects.delivery_notes.messages import Message, packed, receive

log = logging.getLogger(__name__)

ROOT: Final = Path(__file__).resolve().parents[2]
START_SECONDS: Final = 60.0  # for a new process to be ready: on a machine that is busy, importing takes its time
END_SECONDS: Final = 1.0  # for a process that has closed its output to be gone

_BUFFER: Final = 2**20  # bytes of an answer that are read ahead
_LAST_WORDS: Final = 4_000  # bytes of what a process said that are kept until it ends


class ProcessEnded(Exception):
    """The process has ended without an answer. `had_begun` tells whether it had taken up the request."""

    def __init__(self, had_begun: bool) -> None:
        super().__init__()
        self.had_begun = had_begun


class Process:
    """A worker process. Whatever goes wrong in it, `end` must be called, which also may be done at any other time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self._requests, self._answers = process.stdin, process.stdout
        self._said = b""
        self._listening = asyncio.create_task(self._listen(process.stderr))
        self._to_end = False
        self.jobs = 0  # that it has been asked to do

    @classmethod
    async def start(cls, folder: Path) -> "Process":
        """A new process, which knows nothing of the server's settings.

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
        """Whether somebody has told the process to end, before it could ignore that."""
        code = self._process.returncode
        return code is not None and -code in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

    async def greeting(self) -> Message:
        """The first that it says, once it is ready or knows that it cannot be.

        Raises `ProcessEnded` and `TimeoutError`.
        """
        async with asyncio.timeout(START_SECONDS):
            return await self._answer(had_begun=False)

    async def ask(self, data: dict[str, Any], files: Sequence[bytes], seconds: float) -> Message:
        """Its answer. Raises `ProcessEnded`, and `TimeoutError` where it takes longer once it has begun."""
        self.jobs += 1
        async with asyncio.timeout(START_SECONDS):
            with contextlib.suppress(ConnectionError):  # then there will be no answer, either
                self._requests.write(packed({**data, "seconds": seconds}, files))
                await self._requests.drain()
            await self._answer(had_begun=False)
        async with asyncio.timeout(seconds):
            return await self._answer(had_begun=True)

    async def _answer(self, *, had_begun: bool) -> Message:
        try:
            return await receive(self._answers)
        except (EOFError, ConnectionError):
            with contextlib.suppress(TimeoutError):  # asyncio forgets how a process has ended if it is killed just then
                async with asyncio.timeout(END_SECONDS):
                    await self._process.wait()
            raise ProcessEnded(had_begun) from None

    async def _listen(self, stderr: asyncio.StreamReader) -> None:
        while said := await stderr.read(_BUFFER):
            log.debug("process [%d] says: %s", self.pid, said.decode(errors="replace").rstrip())
            self._said = (self._said + said)[-_LAST_WORDS:]

    def kill(self) -> None:
        """Returns at once; `end` waits for it to be gone."""
        self._to_end = True
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def end(self) -> None:
        """It is gone after this, and all that was open between it and the server is closed."""
        unexpected = not self._to_end
        self.kill()
        self._requests.close()
        await self._answers.read()  # a stream that still has something in it would never be closed
        await self._listening
        code = await self._process.wait()
        if unexpected and self._said:
            said = self._said.decode(errors="replace").rstrip()
            log.warning("process [%d] has ended (%d) and has said: %s", self.pid, code, said)
