"""What all that is answered over HTTP has in common, whether it is GraphQL or not."""

from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from api.execution import RETRY_SECONDS, UNAVAILABLE, outage, refusal
from models.errors import DatabaseUnavailable

RETRY: Final[Mapping[str, str]] = {"Retry-After": str(RETRY_SECONDS)}


class TooLarge(Exception):
    """A body has more bytes than are taken."""


async def read_body(request: Request, most_bytes: int) -> bytes:
    """The body, of which no more is read than that. Raises `TooLarge`, and Starlette's `ClientDisconnect`."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most_bytes:
            raise TooLarge
    return bytes(body)


def refused(status: int, message: str, code: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error in JSON, of the shape that GraphQL's errors have."""
    return Response(refusal(message, code).as_json(), status, headers, media_type="application/json")


def unavailable(error: DatabaseUnavailable) -> Response:
    """503 during an outage of the database, which is logged."""
    return refused(503, outage(error)["message"], UNAVAILABLE, RETRY)
