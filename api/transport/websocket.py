"""Subscriptions, and everything else, over WebSocket by the graphql-transport-ws protocol.

https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md

In one point this is kinder than the protocol: a message that makes no sense closes the socket with 4400 only while
nothing runs on it. With operations under way it is answered or passed over, so that one broken message does not
cost a dashboard its subscriptions.
"""

import asyncio
import contextlib
import logging
from contextlib import aclosing
from typing import Any

import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketDisconnected

from api.auth import InvalidToken, actor_of
from api.context import Context
from api.execution import Answer, fault, refusal, stream
from api.operations import MalformedRequest, Request, parse_request
from api.service import Service
from api.transport.connections import answered
from domain.actors import Actor
from models.errors import DatabaseUnavailable

log = logging.getLogger(__name__)

SUBPROTOCOL = "graphql-transport-ws"

# WebSocket's own close codes (RFC 6455, section 7.4, and IANA's registry): clients take both for "connect again".
SERVICE_RESTART = 1012
TRY_AGAIN_LATER = 1013

# The protocol's close codes.
BAD_REQUEST = 4400
UNAUTHORIZED = 4401
FORBIDDEN = 4403
SUBPROTOCOL_NOT_ACCEPTABLE = 4406
TIMEOUT = 4408
SUBSCRIBER_EXISTS = 4409
TOO_MANY_INITS = 4429
INTERNAL_ERROR = 4500

_LONGEST_REASON = 123  # bytes that a close frame has room for (RFC 6455, section 5.5)


class _Close(Exception):
    """The socket is to be closed with this code and reason.

    `answer_first`: after the queries and mutations that run on it have been answered. `cut_off` is what the metrics
    call it where it is nothing that the client has done.
    """

    def __init__(self, code: int, reason: str, *, cut_off: str | None = None, answer_first: bool = False) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason.encode()[:_LONGEST_REASON].decode(errors="ignore")
        self.cut_off = cut_off
        self.answer_first = answer_first


class _Senseless(Exception):
    """A message is none of the protocol's: why is the message of this."""


class _Gone(Exception):
    """Nothing can be sent any more."""


async def handle(websocket: WebSocket, service: Service) -> None:
    """One WebSocket, from its handshake to its end."""
    if SUBPROTOCOL not in websocket.scope.get("subprotocols", ()):
        await websocket.accept()
        await websocket.close(SUBPROTOCOL_NOT_ACCEPTABLE, "Subprotocol not acceptable")
        return
    await websocket.accept(SUBPROTOCOL)
    with service.metrics.socket():
        await _Connection(websocket, service).run()


class _Connection:
    """The protocol's state for one socket.

    `_operations` are those that run, by the client's ids. `_tasks` are these and those that are ending, with their
    contexts: an id is free for another operation before the last one's task is over.
    """

    def __init__(self, websocket: WebSocket, service: Service) -> None:
        self._websocket = websocket
        self._service = service
        self._settings = service.settings
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._tasks: dict[asyncio.Task[None], Context] = {}
        self._actor: Actor | None = None
        self._initialized = False
        self._sending = asyncio.Lock()
        self._closing: asyncio.Future[_Close] = asyncio.get_running_loop().create_future()
        self._mute = False  # nothing more is sent but the close frame
        self._heard = True

    async def run(self) -> None:
        """Until either side closes: then every operation is over, too."""
        receiving = asyncio.create_task(self._receive())
        keeping = asyncio.create_task(self._keep_alive())
        try:
            await asyncio.wait((receiving, self._closing), return_when=asyncio.FIRST_COMPLETED)
            receiving.cancel()
            if self._closing.done() and self._closing.result().answer_first:
                await asyncio.gather(*(answered(task, context) for task, context in self._tasks.items()))
        finally:
            tasks = [receiving, keeping, *self._tasks]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._closing.done():
            await self._send_close(self._closing.result())

    def _close(self, close: _Close) -> None:
        """The first one counts."""
        self._mute = self._mute or not close.answer_first
        if self._closing.done():
            return
        self._closing.set_result(close)
        if close.cut_off is not None:
            self._service.metrics.cut_off(close.cut_off)

    async def _send_close(self, close: _Close) -> None:
        # A server whose close frames wait behind what a client does not read is not waited for.
        with contextlib.suppress(TimeoutError, WebSocketDisconnected, WebSocketDisconnect):
            async with asyncio.timeout(1):
                await self._websocket.close(close.code, close.reason)

    async def _receive(self) -> None:
        with contextlib.ExitStack() as stack:
            try:
                await self._expect_init(stack)
                while (text := await self._next_text()) is not None:
                    await self._handle(text)
            except _Close as close:
                self._close(close)
            except _Gone:
                pass
            except Exception:
                log.exception("a WebSocket's message could not be handled")
                self._close(_Close(INTERNAL_ERROR, "Something went wrong on our side"))

    async def _expect_init(self, stack: contextlib.ExitStack) -> None:
        """Reads up to the connection_init and answers it; what is entered into `stack` is to last as the socket."""
        try:
            async with asyncio.timeout(self._settings.init_timeout_seconds):
                message = await self._first_message()
        except TimeoutError:
            raise _Close(TIMEOUT, "Connection initialisation timeout") from None
        self._actor = await self._authenticate(message)
        end = _Close(FORBIDDEN, "Forbidden: the token has ended", cut_off="token ended")
        stack.enter_context(self._service.tokens.ends_with(self._actor, lambda: self._close(end)))
        self._initialized = True
        await self._send(b'{"type":"connection_ack"}')

    async def _first_message(self) -> dict[str, Any]:
        """The connection_init. Pings may come before it."""
        while (text := await self._next_text()) is not None:
            try:
                message = _parse(text)
                if message["type"] == "connection_init":
                    return message
                if message["type"] == "subscribe":
                    raise _Close(UNAUTHORIZED, "Unauthorized")
                await self._handle_message(message)
            except _Senseless as error:
                raise _Close(BAD_REQUEST, str(error)) from error
        raise _Gone

    async def _next_text(self) -> str | bytes | None:
        """What the client sends next, `None` once it has gone. The server refuses what is too long.

        Raises `_Close` once the server is to end. What the client has just sent is not begun, and it is told nothing
        about it: it sends that again elsewhere.
        """
        received = await self._websocket.receive()
        if self._service.stopping.is_set():
            raise _Close(SERVICE_RESTART, "Service Restart", cut_off="stopping", answer_first=True)
        if received["type"] == "websocket.disconnect":
            return None
        self._heard = True
        text: str | None = received.get("text")
        return text if text is not None else bytes(received["bytes"])

    async def _authenticate(self, message: dict[str, Any]) -> Actor:
        payload = message.get("payload")
        if payload is not None and not isinstance(payload, dict):
            raise _Close(BAD_REQUEST, "The payload of a connection_init is an object")
        given = next((value for name, value in (payload or {}).items() if name.lower() == "authorization"), None)
        try:
            actor = await actor_of(self._websocket.headers.get("authorization") if given is None else given)
        except InvalidToken as error:
            raise _Close(FORBIDDEN, "Forbidden: the token is not valid") from error
        except DatabaseUnavailable as error:
            raise _Close(TRY_AGAIN_LATER, "Try again later", cut_off="unavailable") from error
        if actor is None:
            raise _Close(FORBIDDEN, "Forbidden: send a token as Authorization in the connection_init payload")
        return actor

    async def _handle(self, text: str | bytes) -> None:
        try:
            await self._handle_message(_parse(text))
        except _Senseless as error:
            if not self._operations:
                raise _Close(BAD_REQUEST, str(error)) from error
            log.info("passed over a message on a WebSocket with operations under way: %s", error)

    async def _handle_message(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "ping":
                await self._send(_pong(message))
            case "pong":
                pass
            case "subscribe":
                await self._subscribe(message)
            case "complete":
                if (task := self._operations.pop(_id_of(message), None)) is not None:
                    task.cancel()
            case "connection_init":
                raise _Close(TOO_MANY_INITS, "Too many initialisation requests")
            case _:
                raise _Senseless("There is no such type of message")

    async def _subscribe(self, message: dict[str, Any]) -> None:
        operation_id = _id_of(message)
        if operation_id in self._operations:
            raise _Close(SUBSCRIBER_EXISTS, f"Subscriber for {operation_id} already exists")
        try:
            request = parse_request(message.get("payload"))
        except MalformedRequest as error:
            if self._operations:
                await self._send_errors(operation_id, refusal(str(error)))
            raise _Senseless(str(error)) from error
        limit = self._settings.max_operations_per_socket
        if len(self._operations) >= limit:
            answer = refusal(f"A socket runs at most {limit} operations at a time.", "RATE_LIMITED")
            await self._send_errors(operation_id, answer)
            return
        context = self._service.context(self._actor)
        task = asyncio.create_task(self._run(operation_id, request, context))
        self._operations[operation_id] = task
        self._tasks[task] = context
        task.add_done_callback(self._tasks.pop)

    async def _run(self, operation_id: str, request: Request, context: Context) -> None:
        """One operation. A cancelled one is complete for both sides and says nothing more."""
        try:
            await self._send_answers(operation_id, request, context)
        except _Gone:
            pass
        except _Close as close:
            self._close(close)
        except Exception as error:
            self._forget(operation_id)
            with contextlib.suppress(_Gone):
                await self._send_errors(operation_id, Answer({"errors": [fault(error)]}, executed=False))

    async def _send_answers(self, operation_id: str, request: Request, context: Context) -> None:
        """Raises `_Close` where a subscription cannot go on for now.

        What it has to say then must not be sent: the client would take it for the event, and resume after it.
        """
        async with aclosing(stream(self._service.operations, request, context)) as answers:
            async for answer in answers:
                if answer.unavailable and context.operation_kind == "subscription":
                    reason = "Try again later: resume with after"
                    raise _Close(TRY_AGAIN_LATER, reason, cut_off="unavailable", answer_first=True)
                if not answer.executed:
                    self._forget(operation_id)
                    await self._send_errors(operation_id, answer)
                    return
                await self._send(_message("next", operation_id, answer.as_json()))
        self._forget(operation_id)
        await self._send(_message("complete", operation_id))

    def _forget(self, operation_id: str) -> None:
        """Before the last message of an operation goes out: its id may be used again then."""
        if self._operations.get(operation_id) is asyncio.current_task():
            del self._operations[operation_id]

    async def _send_errors(self, operation_id: str, answer: Answer) -> None:
        """The `error` message, which ends the operation."""
        await self._send(_message("error", operation_id, orjson.dumps(answer.payload["errors"], default=str)))

    async def _send(self, message: bytes) -> None:
        """Sends a message; a client that does not read it in time is cut off. Raises `_Gone`.

        One at a time, so that what waits for a slow client does not all reach its buffer at once.
        """
        async with self._sending:
            if self._mute:
                raise _Gone
            try:
                async with asyncio.timeout(self._settings.stall_seconds):
                    await self._websocket.send_text(message.decode())
            except TimeoutError:
                self._close(_Close(TIMEOUT, "Too slow: resume with after", cut_off="stalled"))
                raise _Gone from None
            except (WebSocketDisconnect, WebSocketDisconnected) as error:
                raise _Gone from error

    async def _keep_alive(self) -> None:
        """Pings the client, and gives it up where nothing has come from it since the last ping."""
        with contextlib.suppress(_Gone):
            while True:
                await asyncio.sleep(self._settings.ping_seconds)
                if not self._initialized:
                    continue
                if not self._heard:
                    self._close(_Close(TIMEOUT, "No answer to a ping: resume with after", cut_off="no pong"))
                    return
                self._heard = False
                await self._send(b'{"type":"ping"}')


def _parse(text: str | bytes) -> dict[str, Any]:
    """An object with a type. Raises `_Senseless`."""
    if isinstance(text, bytes):
        raise _Senseless("Messages are text, not binary")
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise _Senseless("This is not JSON") from None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise _Senseless("A message is an object with a type")
    return message


def _id_of(message: dict[str, Any]) -> str:
    """Raises `_Senseless`."""
    operation_id = message.get("id")
    if not isinstance(operation_id, str) or not operation_id:
        raise _Senseless("This message needs an id, which is a string")
    return operation_id


def _pong(ping: dict[str, Any]) -> bytes:
    """With the ping's payload. Raises `_Senseless` for one that is nested too deeply to be given back."""
    try:
        return orjson.dumps({"type": "pong", **{name: ping[name] for name in ("payload",) if name in ping}})
    except TypeError:
        raise _Senseless("This payload cannot be given back") from None


def _message(kind: str, operation_id: str, payload: bytes | None = None) -> bytes:
    """A message about an operation, around a payload that is encoded already."""
    start = b'{"id":' + orjson.dumps(operation_id) + b',"type":"' + kind.encode() + b'"'
    return start + (b"}" if payload is None else b',"payload":' + payload + b"}")
