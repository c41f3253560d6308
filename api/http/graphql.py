"""GraphQL over HTTP (https://graphql.github.io/graphql-over-http/draft/)."""

from collections.abc import Mapping
from typing import Any

import orjson
from graphql import OperationType
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HTTPRequest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.callers.issuer_keys import IssuerUnavailable
from api.callers.open_counts import TooManyOpen
from api.callers.rates import address_of
from api.callers.token_watch import InvalidToken
from api.execution.answers import Answer, refusal
from api.execution.context import OPERATION, Context
from api.execution.errors import RATE_LIMITED, UNAVAILABLE, fault, outage
from api.execution.execution import ANY, FOLLOWING, ONE_ANSWER, READING, OperationNotAllowed, run, understand
from api.execution.requests import MalformedRequest, Request, parse_request
from api.http.graphiql import page as graphiql_page
from api.http.negotiation import best_match
from api.http.plain import RETRY, TooLarge, read_body, refused, run_unless_gone
from api.http.sse import EVENT_STREAM, EventStream
from api.service import Service
from domain.actors import Actor
from models.engine.errors import DatabaseUnavailable

JSON = "application/json"
GRAPHQL_JSON = "application/graphql-response+json"
HTML = "text/html"


class _Refused(Exception):
    """The request is answered with this status and message, and nothing is executed."""

    def __init__(
        self, status: int, message: str, code: str = "BAD_USER_INPUT", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.answer = refusal(message, code)
        self.headers = headers


class GraphQLHTTP:
    """The endpoint as an ASGI application. Starlette would wrap a function with another handler of errors."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self._service.open_counts.connection_from(scope):
                response = await _handle(HTTPRequest(scope, receive, send), self._service)
                await response(scope, receive, send)
        except TooManyOpen as error:
            await refused(429, str(error), RATE_LIMITED, RETRY)(scope, receive, send)


async def _handle(request: HTTPRequest, service: Service) -> Response:
    """Answer one GraphQL request."""
    accept = request.headers.get("accept")
    if _wants_graphiql(request, accept, service):
        return graphiql_page()
    media_type = _media_type(accept)
    try:
        if media_type is None:
            raise _Refused(406, f"This answers in {GRAPHQL_JSON}, {JSON} or {EVENT_STREAM}.")
        actor = await _authenticate(request, service)
        operation = await _read(request, service.settings.max_body_bytes)
        if media_type == EVENT_STREAM:
            return _stream(request, operation, actor, service)
        try:
            allowed = READING if request.method == "GET" else ONE_ANSWER
            answer = await _execute(request, operation, _context(request, actor, service), allowed, service)
        except OperationNotAllowed as error:
            if error.kind is OperationType.SUBSCRIPTION and EVENT_STREAM in (accept or ""):
                return _stream(request, operation, actor, service)
            raise _not_allowed(error) from error
    except ClientDisconnect:
        return Response(status_code=400)  # which nobody reads
    except _Refused as declined:
        return _response(declined.answer, declined.status, media_type, declined.headers)
    except DatabaseUnavailable as error:
        unavailable = Answer({"errors": [outage(error)]}, executed=False, unavailable=True)
        return _response(unavailable, 503, media_type, RETRY)
    except Exception as error:
        return _response(Answer({"errors": [fault(error, request.url.path)]}, executed=False), 500, media_type)
    status = _status(answer, media_type)
    return _response(answer, status, media_type, _headers(answer, status))


async def _execute(
    request: HTTPRequest, operation: Request, context: Context, allowed: frozenset[OperationType], service: Service
) -> Answer:
    """Run the operation. One that must wait for others of its caller is given up if the client goes.

    One that runs is not: it keeps its slot until its work is over, so that no client can have more done by going.
    """
    understood = await understand(service.operations, operation, context, allowed & ONE_ANSWER)
    if isinstance(understood, Answer):
        return understood
    running = run(understood, operation, context)
    if not service.open_counts.operations.are_taken(context.caller):
        return await running
    return await run_unless_gone(request, running)


async def refuse(request: HTTPRequest, error: Exception) -> Response:
    """Return the answer if no route matches, or none with this method."""
    assert isinstance(error, HTTPException)
    return _response(refusal(error.detail), error.status_code, JSON, dict(error.headers or {}))


def _wants_graphiql(request: HTTPRequest, accept: str | None, service: Service) -> bool:
    return (
        request.method == "GET"
        and service.settings.graphiql
        and request.query_params.keys().isdisjoint(("query", "documentId", "extensions"))
        and accept is not None
        and best_match(accept, (JSON, HTML)) == HTML
    )


def _media_type(accept: str | None) -> str | None:
    """Return the media type of the answer: the newer one for clients that accept it, plain JSON for all others."""
    offers = (GRAPHQL_JSON, JSON, EVENT_STREAM) if GRAPHQL_JSON in (accept or "") else (JSON, EVENT_STREAM)
    return best_match(accept, offers)


def _stream(request: HTTPRequest, operation: Request, actor: Actor | None, service: Service) -> EventStream:
    allowed = FOLLOWING if request.method == "GET" else ANY
    context = _context(request, actor, service)
    return EventStream(service.subscriptions.stream(operation, context, allowed), context, actor, service)


def _context(request: HTTPRequest, actor: Actor | None, service: Service) -> Context:
    """Return the context. It is stored with the request, so that the request's log line can name the operation."""
    context = service.context(actor, address_of(request.scope))
    request.scope[OPERATION] = context
    return context


def _not_allowed(error: OperationNotAllowed) -> _Refused:
    if error.kind is OperationType.SUBSCRIPTION:
        return _Refused(400, f"A subscription is answered over WebSocket, or with Accept: {EVENT_STREAM}.")
    return _Refused(405, f"Send a {error.kind.value} with POST.", headers={"Allow": "POST"})


def _status(answer: Answer, media_type: str) -> int:
    """Return the status of the answer.

    With the newer media type, a document that was not executed is the client's error; with the older one it has 200.
    With both, an outage without data is the server's error and too many requests are reported, so that a client or a
    proxy can try again.
    """
    if answer.unavailable and answer.payload.get("data") is None:
        return 503
    if answer.retry_seconds is not None:
        return 429
    return 400 if media_type == GRAPHQL_JSON and not answer.executed else 200


def _headers(answer: Answer, status: int) -> Mapping[str, str] | None:
    if answer.retry_seconds is not None:
        return {"Retry-After": str(answer.retry_seconds)}
    return RETRY if status == 503 else None


def _response(
    answer: Answer, status: int, media_type: str | None, headers: Mapping[str, str] | None = None
) -> Response:
    media_type = GRAPHQL_JSON if media_type == GRAPHQL_JSON else JSON
    return Response(answer.as_json(), status, headers, media_type=f"{media_type}; charset=utf-8")


async def _authenticate(request: HTTPRequest, service: Service) -> Actor | None:
    try:
        return await service.tokens.actor_of(request.headers.get("authorization"))
    except InvalidToken as error:
        raise _Refused(401, str(error), "UNAUTHENTICATED", {"WWW-Authenticate": "Bearer"}) from error
    except IssuerUnavailable as error:
        raise _Refused(503, str(error), UNAVAILABLE, RETRY) from error


async def _read(request: HTTPRequest, most_bytes: int) -> Request:
    if request.method not in ("GET", "POST"):  # Starlette routes HEAD as GET
        raise _Refused(405, "Use GET or POST.", headers={"Allow": "GET, POST"})
    payload = _parameters(request) if request.method == "GET" else await _body(request, most_bytes)
    if isinstance(payload, list):
        raise _Refused(400, "Batches are not supported: send one request at a time.")
    try:
        return parse_request(payload)
    except MalformedRequest as error:
        raise _Refused(400, str(error)) from error


def _parameters(request: HTTPRequest) -> dict[str, Any]:
    parameters: dict[str, Any] = dict(request.query_params)
    for name in ("variables", "extensions"):
        if name in parameters:
            parameters[name] = _json(parameters[name], f"The parameter {name}") if parameters[name] else None
    return parameters


async def _body(request: HTTPRequest, most_bytes: int) -> Any:
    media_type, _, parameters = request.headers.get("content-type", "").lower().partition(";")
    if media_type.strip() != JSON:
        raise _Refused(415, f"Send {JSON}.")
    if "charset" in parameters and "utf-8" not in parameters and "utf8" not in parameters:
        raise _Refused(415, "Send UTF-8.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise _Refused(415, "Send it as it is, without a Content-Encoding.", headers={"Accept-Encoding": "identity"})
    try:
        body = await read_body(request, most_bytes)
    except TooLarge as error:
        raise _Refused(413, f"A request has at most {most_bytes} bytes.") from error
    except ClientDisconnect as error:
        raise _Refused(400, "The request broke off.") from error
    return _json(body, "The body")


def _json(text: str | bytes, name: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _Refused(400, f"{name} is not valid JSON.") from error
