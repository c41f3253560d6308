"""What every HTTP answer needs, whether it is GraphQL or not."""

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, Final, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from api.execution.answers import refusal
from api.execution.errors import RETRY_SECONDS, UNAVAILABLE, outage
from models.engine.errors import DatabaseUnavailable

T = TypeVar("T")

RETRY: Final[Mapping[str, str]] = {"Retry-After": str(RETRY_SECONDS)}


class TooLarge(Exception):
    """A body has more bytes than are accepted."""


async def read_body(request: Request, most_bytes: int) -> bytes:
    """Return the body, and stop reading after so many bytes. Raise `TooLarge`, and Starlette's `ClientDisconnect`."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most_bytes:
            raise TooLarge
    return bytes(body)


async def run_unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Run the work to its end, but cancel it if the client goes. Then raise Starlette's `ClientDisconnect`."""
    running = asyncio.ensure_future(work)
    gone = asyncio.create_task(_disconnect(request))
    try:
        await asyncio.wait((running, gone), return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            return running.result()
        raise ClientDisconnect
    finally:
        for task in (running, gone):
            task.cancel()
        await asyncio.gather(running, gone, return_exceptions=True)


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def refused(status: int, message: str, code: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return an error as JSON in the shape of GraphQL's errors."""
    return Response(refusal(message, code).as_json(), status, headers, media_type="application/json")


def unavailable(error: DatabaseUnavailable) -> Response:
    """Log an outage of the database, and return 503."""
    return refused(503, outage(error)["message"], UNAVAILABLE, RETRY)
