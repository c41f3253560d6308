"""Health checks: `/healthz` says that the process lives, `/readyz` whether it can be given work.

Both are open to everybody. A problem is named by its kind alone, because messages name hosts and users.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from api.service import Service
from effects.engine import Engine
from models.engine.database import ping
from models.engine.errors import DatabaseUnavailable, StorageFailure, WrongVersion
from models.engine.versions import compare

log = logging.getLogger(__name__)

DATABASE_SECONDS: Final = 2.0  # in which the database must answer

# How long ago the feed may have read the log: some polls, and the time that a slow read takes.
_POLLS: Final = 3
_GRACE_SECONDS: Final = 2.0

_HEADERS: Final = {"Cache-Control": "no-store"}


async def alive(_request: Request) -> Response:
    """Answer 200: the process answers, and nothing else is checked."""
    return _response(200, {"status": "ok"})


class Readiness:
    """Checks database and feed, within `DATABASE_SECONDS` whatever is dead.

    A bell that is down is reported, but the process stays ready, because the feed polls. It also stays ready if effects
    cannot be planned: another server would not plan them either, and all else works.
    """

    def __init__(self, service: Service, engine: Engine | None) -> None:
        self._service = service
        self._engine = engine
        self._asking: asyncio.Task[None] | None = None
        self._is_version_known = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Ask the open database no more than the block lasts. Raise `WrongVersion` if another version migrated it."""
        with suppress(DatabaseUnavailable):  # it is asked again
            await self._require_version()
        try:
            yield
        finally:
            if self._asking is not None:
                self._asking.cancel()
                await asyncio.wait((self._asking,), timeout=DATABASE_SECONDS)

    async def _require_version(self) -> None:
        (await compare()).require_equal()
        self._is_version_known = True

    async def answer(self, _request: Request) -> Response:
        """Answer 200 if the process can take work, else 503."""
        if self._service.stopping.is_set():
            return _response(503, {"status": "stopping"})
        database = await self._database()
        feed = self._feed()
        ready = database["status"] == feed["status"] == "ok"
        return _response(
            200 if ready else 503,
            {
                "status": "ready" if ready else "not ready",
                "database": database,
                "feed": feed,
                "bell": self._bell(),
                "effects": self._effects(),
            },
        )

    async def _database(self) -> dict[str, Any]:
        # A question that is not answered yet goes on, and the next request waits for the same: to a database that is
        # silently dead there is one on its way, not one for each look, and none holds up the answer by its end.
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        asking = self._asking
        await asyncio.wait((asking,), timeout=DATABASE_SECONDS)
        if not asking.done():
            asking.add_done_callback(_log_late_error)
            return {"status": "unreachable", "problem": f"no answer within {DATABASE_SECONDS:g} seconds"}
        error = asking.exception()
        if isinstance(error, StorageFailure):
            return {"status": "failing", "problem": error.problem}
        if isinstance(error, WrongVersion):
            return {"status": "of another version", "problem": str(error)}
        if error is not None:
            return {"status": "unreachable", "problem": type(error.__cause__ or error).__name__}
        return {"status": "ok"}

    async def _ask(self) -> None:
        await ping()
        if not self._is_version_known:  # it could not be reached when the process started
            await self._require_version()

    def _feed(self) -> dict[str, Any]:
        feed = self._service.feed
        if feed.last_read is None:
            return {"status": "not started", "lagSeconds": round(feed.lag_seconds, 3)}
        silence = time.monotonic() - feed.last_read
        return {
            "status": "stalled" if self._is_too_long(silence) else "ok",
            "secondsSinceRead": round(silence, 3),
            "lagSeconds": round(feed.lag_seconds, 3),
        }

    def _effects(self) -> dict[str, Any]:
        """Return whether the effects of events are being planned."""
        if self._engine is None:
            return {"status": "off"}
        if self._engine.last_planned is None:
            return {"status": "not started"}
        silence = time.monotonic() - self._engine.last_planned
        return {"status": "stalled" if self._is_too_long(silence) else "ok", "secondsSincePlanned": round(silence, 3)}

    def _is_too_long(self, silence: float) -> bool:
        return silence > _POLLS * self._service.settings.poll_seconds + _GRACE_SECONDS

    def _bell(self) -> dict[str, Any]:
        state = self._service.feed.bell.state
        told = {"status": "connected" if state.connected else "reconnecting", "since": state.since.isoformat()}
        return told if state.problem is None else {**told, "problem": state.problem}


def _log_late_error(asking: asyncio.Task[None]) -> None:
    """Retrieve the error of a check that nobody waits for any more. It was reported as having no answer."""
    if not asking.cancelled() and (error := asking.exception()) is not None:
        log.debug("a late answer of the database: %r", error)


def _response(status: int, told: dict[str, Any]) -> Response:
    return Response(orjson.dumps(told), status, _HEADERS, media_type="application/json")
