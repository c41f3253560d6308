"""Delivery notes and downloads over HTTP, by a signed link without a token. A token gives notes as well."""

import hashlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import quote
from uuid import UUID

from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response

from api.callers.issuer_keys import IssuerUnavailable
from api.callers.rates import address_of, caller_of
from api.callers.token_watch import InvalidToken
from api.execution.context import Unauthenticated
from api.execution.errors import RATE_LIMITED, UNAVAILABLE
from api.execution.rights import PERSONAL
from api.http.plain import RETRY, refused, run_unless_gone, unavailable
from api.service import Service
from domain.actors import Actor, Forbidden
from domain.delivery_notes.queries import find_delivery_notes
from domain.errors import DomainError
from domain.orders.queries import download_url
from effects.delivery_notes.errors import RenderingFailed
from effects.delivery_notes.printing import MOST_AT_ONCE
from models import DeliveryNote
from models.engine.errors import DatabaseUnavailable
from models.engine.shares import act_for

FILE_COST: Final = 20  # of one file: to find it, to read it, and to send it

_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)
_BUSY_SECONDS: Final = 5  # after which a client may ask again for what could not be printed just now


class _Refused(Exception):
    """The file is not served. `response` is the answer."""

    def __init__(self, status: int, message: str, code: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.response = refused(status, message, code, headers)


async def delivery_note(request: Request, service: Service) -> Response:
    """Return one delivery note, by the key in the path."""
    return await _answer(request, service, [request.path_params["id"]])


async def delivery_notes(request: Request, service: Service) -> Response:
    """Return several notes in one file: `ids` are their keys, separated by commas."""
    return await _answer(request, service, request.query_params.get("ids", "").split(","))


async def download(request: Request, service: Service) -> Response:
    """Redirect a caller with a signed link to the digital product of an order's line."""
    caller = caller_of(None, address_of(request.scope))
    try:
        async with _admit(request, service, caller, FILE_COST):
            if not await service.links.opens(request.url.path, dict(request.query_params)):
                raise _Refused(403, "This link is not valid any more: ask for a new one.", "FORBIDDEN")
            url = await download_url(UUID(request.path_params["id"]))
    except ClientDisconnect:
        return Response(status_code=400)  # which nobody reads
    except _Refused as refusal:
        return refusal.response
    except DatabaseUnavailable as error:
        return unavailable(error)
    if url is None:
        return refused(404, "There is nothing to download.", "NOT_FOUND")
    return RedirectResponse(url, 302, {"Cache-Control": "no-store"})


async def _answer(request: Request, service: Service, keys: Sequence[str]) -> Response:
    try:
        actor = await _caller(request, service)
        caller = caller_of(actor, address_of(request.scope))
        async with _admit(request, service, caller, FILE_COST * min(len(keys), MOST_AT_ONCE)):
            return await _print(request, service, await _find(actor, keys))
    except ClientDisconnect:
        return Response(status_code=400)  # which nobody reads
    except _Refused as refusal:
        return refusal.response
    except DatabaseUnavailable as error:
        return unavailable(error)
    except RenderingFailed as error:
        return refused(500, error.message, error.code.name)
    except DomainError as error:
        return refused(503, error.message, error.code.name, {"Retry-After": str(_BUSY_SECONDS)})


@asynccontextmanager
async def _admit(request: Request, service: Service, caller: str, cost: int) -> AsyncIterator[None]:
    """Work for the caller within the block, as for an operation: at its cost, with its slot and its share.

    Raise `_Refused` if it has asked for too much, and ClientDisconnect if the client goes while it waits for a slot.
    """
    act_for(caller)
    if service.rates is not None:
        charge = await service.rates.take(caller, cost)
        if not charge.taken:
            raise _Refused(429, charge.refusal, RATE_LIMITED, {"Retry-After": str(charge.retry_seconds)})
    slots = service.open_counts.operations
    if slots.are_taken(caller):
        await run_unless_gone(request, slots.take(caller))
    else:
        await slots.take(caller)
    try:
        yield
    finally:
        slots.free(caller)


async def _print(request: Request, service: Service, notes: Sequence[DeliveryNote]) -> Response:
    """Return the notes as one file."""
    if len(notes) == 1:
        [note] = notes
        return as_file(request, await service.printing.file(note), service.printing.file_name(note))
    return as_file(request, await service.printing.merge(notes), "delivery-notes.pdf")


async def _caller(request: Request, service: Service) -> Actor | None:
    """Return the caller, or None if it has a valid link. Raise `_Refused` if it has neither a link nor a token."""
    if "signature" in request.query_params:
        if await service.links.opens(request.url.path, dict(request.query_params)):
            return None
        raise _Refused(403, "This link is not valid any more: read the note's url anew.", "FORBIDDEN")
    try:
        actor = await service.tokens.actor_of(request.headers.get("authorization"))
        if actor is None:
            raise Unauthenticated
        PERSONAL.require(actor)
    except (InvalidToken, Unauthenticated) as error:
        raise _Refused(401, str(error), "UNAUTHENTICATED", {"WWW-Authenticate": "Bearer"}) from error
    except Forbidden as error:
        raise _Refused(403, str(error), "FORBIDDEN") from error
    except IssuerUnavailable as error:
        raise _Refused(503, str(error), UNAVAILABLE, RETRY) from error
    return actor


async def _find(caller: Actor | None, keys: Sequence[str]) -> list[DeliveryNote]:
    """Return the notes in this order. Raise `_Refused` if one does not exist for the caller, or is no key."""
    if len(keys) > MOST_AT_ONCE:
        raise _Refused(400, f"One file has at most {MOST_AT_ONCE} delivery notes.", "BAD_USER_INPUT")
    try:
        ids = [UUID(key) for key in keys]
        found = await find_delivery_notes(caller, ids)
        return [found[each] for each in ids]
    except (ValueError, KeyError):
        raise _Refused(404, "There is no such delivery note.", "NOT_FOUND") from None


def as_file(request: Request, content: bytes, name: str) -> Response:
    """Return a PDF for the browser's viewer: all of it, the requested part, or that it is known already.

    Conditions and ranges follow RFC 9110, sections 13 and 14. A request for several parts gets the whole file.
    """
    etag = f'"{hashlib.sha256(content).hexdigest()}"'
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Disposition": f"inline; filename=\"{_ascii(name)}\"; filename*=UTF-8''{quote(name, safe='')}",
    }
    if _names(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    asked = _RANGE.fullmatch(request.headers.get("range", "").replace(" ", ""))
    if asked is None or request.headers.get("if-range", etag) != etag or asked.groups() == ("", ""):
        return Response(content, headers=headers, media_type="application/pdf")
    start, end = _part(asked[1], asked[2], len(content))
    if start >= end:
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{len(content)}"})
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(content)}"
    return Response(content[start:end], 206, headers, media_type="application/pdf")


def _part(first: str, last: str, size: int) -> tuple[int, int]:
    """Return the start and the end of the requested part. It is empty if none of it exists."""
    if not first:
        return max(size - int(last), 0), size
    return int(first), min(int(last) + 1, size) if last else size


def _names(condition: str | None, etag: str) -> bool:
    tags = [each.strip().removeprefix("W/") for each in (condition or "").split(",")]
    return etag in tags or tags == ["*"]


def _ascii(name: str) -> str:
    return re.sub(r"[^ -~]|[\"\\/]", "_", name)
