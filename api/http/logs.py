"""The server's logs: lines of JSON, or of text for a terminal, each with the request that it is about."""

import asyncio
import json
import logging
import re
import sys
import time
from typing import Any, Final

import orjson
import structlog
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars, merge_contextvars, reset_contextvars
from structlog.stdlib import ExtraAdder, ProcessorFormatter, add_log_level, add_logger_name
from uuid_utils import uuid7

from api.execution.answers import Answer, refusal
from api.execution.context import OPERATION, Context
from api.execution.errors import RETRY_SECONDS, UNAVAILABLE, fault
from api.metrics import Metrics

log = logging.getLogger(__name__)

REQUEST_ID: Final = b"x-request-id"

_SANE_ID: Final = re.compile(rb"[!-~]{1,128}")
_QUIET: Final = frozenset({"/healthz", "/readyz", "/metrics"})  # asked every few seconds by machines
_LONGEST_PATH, _LONGEST_NAME = 200, 100

# API tokens beyond the beginning that lists show, and JWTs. None is ever meant to be logged: this is for those that a
# client puts into a path or an id, and for what a library says of them when it fails.
_TOKENS: Final = re.compile(r"(ost_[\w-]{6})[\w-]++|(eyJ[\w-]{6})[\w-]*+\.[\w-]++(?:\.[\w-]*+)?", re.ASCII)

_OURS: Final = ("api", "effects", "domain", "models")
_FIELDS: Final = ("method", "path", "status", "kind", "operation", "milliseconds")


def log_config(level: str, as_json: bool) -> dict[str, Any]:
    """Return `logging.config`'s configuration of the whole process, to stderr.

    `level` (`debug`, `info`, …) is for the project's own lines. Libraries never log more than `info`: at `debug` they
    log statements with their values, and messages with tokens in them.
    """
    threshold: int = logging.getLevelName(level.upper())
    libraries = max(threshold, logging.INFO)
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"without_noise": {"()": "api.http.logs.WithoutNoise"}},
        "formatters": {"lines": {"()": "api.http.logs.formatter", "as_json": as_json}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lines", "stream": "ext://sys.stderr"}},
        "root": {"level": libraries, "handlers": ["stderr"]},
        "loggers": {
            **{name: {"level": threshold} for name in _OURS},
            "tortoise": {"level": max(threshold, logging.WARNING)},  # it tells of each opening and closing
            "uvicorn": {"level": libraries, "handlers": [], "propagate": True},
            "uvicorn.error": {"level": libraries, "filters": ["without_noise"]},
            "uvicorn.access": {"level": "CRITICAL", "handlers": [], "propagate": False},
        },
    }


def is_for_people() -> bool:
    """Return whether stderr is a terminal."""
    return sys.stderr.isatty()


def formatter(as_json: bool) -> logging.Formatter:
    """Return a formatter that writes one line of JSON for each record, or a readable line and perhaps a traceback.

    Tokens are removed from both.
    """
    if as_json:
        rendering: list[Any] = [structlog.processors.format_exc_info, _as_json]
    else:
        # The default would show the variables of each frame.
        rendering = [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    return _WithoutTokens(
        foreign_pre_chain=[
            merge_contextvars,
            add_logger_name,
            add_log_level,
            ExtraAdder(allow=_FIELDS),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ],
        processors=[_add_process, ProcessorFormatter.remove_processors_meta, *rendering],
    )


class _WithoutTokens(ProcessorFormatter):
    """Shortens each token to its beginning, wherever it is in the line."""

    def format(self, record: logging.LogRecord) -> str:
        return _TOKENS.sub(r"\1\2…", super().format(record))


def _as_json(_logger: Any, _name: str, event: structlog.typing.EventDict) -> str:
    try:
        return orjson.dumps(event, default=repr).decode()
    except TypeError:  # half a surrogate pair, a number of more than 64 bits
        return json.dumps(event, default=repr)


def _add_process(_logger: Any, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    event["process"] = event["_record"].process
    return event


class WithoutNoise(logging.Filter):
    """Drops lines of uvicorn and websockets that say nothing new.

    Those about each WebSocket lack the request's id and have the query string. The traceback of each task that uvicorn
    cancels at the end follows a line that says how many there are.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError):
            return False
        message = str(record.msg)
        return not (record.levelno <= logging.INFO and message.startswith(("connection ", '%s - "WebSocket ')))


class RequestLog:
    """ASGI middleware that gives each request and WebSocket an id, and logs in one line how it ended.

    The id is the client's `X-Request-ID` if it is visible ASCII and not too long, otherwise a new one. It is sent back
    with the answer, and is on every line that is logged meanwhile. An error that nobody has caught becomes a 500.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        bound = bind_contextvars(request_id=request_id)
        try:
            if scope["type"] == "http":
                await self._request(scope, receive, send, request_id)
            else:
                await self._socket(scope, receive, send, request_id)
        finally:
            reset_contextvars(**bound)

    async def _request(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        begun = time.perf_counter()
        answered: float | None = None
        status = 500

        async def sending(message: Message) -> None:
            nonlocal answered, status
            if message["type"] == "http.response.start":
                answered, status = time.perf_counter(), message["status"]
                _add_request_id(message, request_id)
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except asyncio.CancelledError:
            if answered is not None or not _is_stopping(scope):
                raise
            # It took longer than a server that is to end can wait for it. uvicorn would answer 500.
            body = refusal("The server is restarting. Send this again.", UNAVAILABLE).as_json()
            headers = {"Retry-After": str(RETRY_SECONDS)}
            await Response(body, 503, headers, media_type="application/json")(scope, receive, sending)
        except Exception as error:
            if answered is not None:
                raise
            body = Answer({"errors": [fault(error, _path(scope))]}, executed=False).as_json()
            await Response(body, 500, media_type="application/json")(scope, receive, sending)
        finally:
            ended = time.perf_counter()
            self._metrics.count_request(scope["method"], _route(scope), status, (answered or ended) - begun)
            level = logging.DEBUG if scope["path"] in _QUIET else logging.INFO
            fields = {"method": scope["method"], "path": _path(scope), "status": status, **_operation(scope)}
            _say(level, "request", begun, **fields)

    async def _socket(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        begun = time.perf_counter()
        status = 1006

        def sending(message: Message) -> Any:  # awaits nothing itself: every event of every socket passes here
            nonlocal status
            if message["type"] == "websocket.accept":
                _add_request_id(message, request_id)
            elif message["type"] == "websocket.http.response.start":  # the handshake was refused
                status = message["status"]
                _add_request_id(message, request_id)
            elif message["type"] == "websocket.close":
                status = message.get("code", 1000)
            return send(message)

        async def receiving() -> Message:
            nonlocal status
            message = await receive()
            if message["type"] == "websocket.disconnect":
                status = message.get("code", 1005)
            return message

        try:
            await self._app(scope, receiving, sending)
        finally:
            _say(logging.INFO, "websocket", begun, path=_path(scope), status=status)


def _is_stopping(scope: Scope) -> bool:
    """Return whether the server is about to end, and cancels what takes too long."""
    return bool(scope.get("state") and scope["state"]["stopping"].is_set())


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == REQUEST_ID and _SANE_ID.fullmatch(value):
            given: bytes = value
            return given.decode("ascii")
    return str(uuid7())


def _add_request_id(message: Message, request_id: str) -> None:
    message["headers"] = [*message.get("headers", ()), (REQUEST_ID, request_id.encode())]


def _say(level: int, event: str, begun: float, **fields: Any) -> None:
    if log.isEnabledFor(level):
        milliseconds = round((time.perf_counter() - begun) * 1000, 1)
        log.log(level, event, extra={**fields, "milliseconds": milliseconds})


def _operation(scope: Scope) -> dict[str, str]:
    """Return kind and name of the GraphQL operation, if the request had one that was understood."""
    context: Context | None = scope.get(OPERATION)
    if context is None:
        return {}
    name = {"operation": context.operation_name[:_LONGEST_NAME]} if context.operation_name else {}
    return {"kind": context.operation_kind, **name}


def _path(scope: Scope) -> str:
    """Return the path as it was sent, without the query string."""
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    return path.decode("ascii", "backslashreplace")[:_LONGEST_PATH]


def _route(scope: Scope) -> str:
    """Return the path of the route, so that clients cannot make up new labels."""
    route = scope.get("route")
    return getattr(route, "path", "other")
