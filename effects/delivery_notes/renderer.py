"""Documents to PDF files, in processes of their own."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from domain.delivery_notes.content import NoteContent
from effects.delivery_notes.errors import RenderingFailed
from effects.delivery_notes.pool import Pool
from effects.delivery_notes.presentation import Presentation

log = logging.getLogger(__name__)


class Renderer:
    """Turns delivery notes into PDF files, in `processes` processes that are reused.

    They are started with the first call. A job may take `seconds` after a process has begun it, and `waiting` jobs may
    wait for a process. The processes belong to the event loop of the first call; another event loop gets new ones.
    """

    def __init__(self, *, processes: int = 2, seconds: float = 20.0, waiting: int = 200) -> None:
        self._processes = processes
        self._seconds = seconds
        self._waiting = waiting
        self._pool: Pool | None = None
        self._is_available = False
        self._is_stopping = False

    async def require(self) -> None:
        """Raise RenderingUnavailable if this machine lacks a library that rendering needs.

        Only success is remembered, because the library may be installed while the server runs.
        """
        if not self._is_available:
            await self._do({"do": "nothing"})
            self._is_available = True

    async def render(self, content: NoteContent, presentation: Presentation) -> bytes:
        """Return the note as a PDF. Raise RenderingFailed, RenderingBusy and RenderingUnavailable."""
        request = {"do": "render", "content": content.as_data(), "presentation": presentation.as_data()}
        return await self._do(request)

    async def merge(self, files: Sequence[bytes], title: str) -> bytes:
        """Return all pages of these PDF files in one, in their order. Raise as `render` does."""
        return await self._do({"do": "merge", "title": title}, files)

    async def _do(self, request: dict[str, Any], files: Sequence[bytes] = ()) -> bytes:
        answer = await self._open_pool().do(request, files)
        match answer.data["kind"]:
            case "done":
                return answer.files[0]
            case "refused":
                raise RenderingFailed(answer.data["message"])
        log.error("a document could not be rendered:\n%s", answer.data["trace"])
        raise RenderingFailed("This document could not be rendered; the server's log says why.")

    def _open_pool(self) -> Pool:
        """Return the pool of the running event loop, which is opened by the first call."""
        if self._pool is not None and self._pool.loop is not asyncio.get_running_loop():
            self._pool.abandon()
            self._pool = None
        if self._pool is None:
            self._pool = Pool(processes=self._processes, seconds=self._seconds, waiting=self._waiting)
            if self._is_stopping:
                self._pool.stop()
        return self._pool

    def stop(self) -> None:
        """Refuse what is not being rendered yet with RenderingBusy. The rest goes on until `close`."""
        self._is_stopping = True
        if self._pool is not None:
            self._pool.stop()

    async def close(self) -> None:
        """End the processes at once. Refuse their jobs with RenderingBusy. May be called several times."""
        pool, self._pool = self._pool, None
        if pool is not None and pool.loop is asyncio.get_running_loop():
            await pool.close()
        elif pool is not None:
            pool.abandon()
