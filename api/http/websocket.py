"""Subscriptions, and all other operations, over WebSocket by the graphql-transport-ws protocol.

https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md

In one point this is more tolerant than the protocol: a message that makes no sense closes the socket with 4400 only
while nothing runs on it. With operations under way it is answered or ignored, so that one broken message does not cost
a dashboard its subscriptions.
"""

import asyncio
import contextlib
import logging
from typing import Any

from graphql import OperationType
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketDisconnected

from api.callers.issuer_keys import IssuerUnavailable
from api.callers.open_counts import TooManyOpen
from api.callers.rates import caller_of
from api.callers.token_watch import InvalidToken
from api.execution.answers import SUCCESS, Answer, refusal
from api.execution.context import Context
from api.execution.errors import RATE_LIMITED, fault
from api.execution.execution import ANY, run, understand
from api.execution.requests import MalformedRequest, Request, parse_request
from api.execution.subscriptions import Subscription, Subscriptions, failure
from api.http import origins
from api.http import websocket_messages as messages
from api.http.connections import wait_for_answer
from api.http.plain import RETRY, refused
from api.http.websocket_messages import Senseless
from api.http.writers import writer_of
from api.service import Service
from domain.actors import Actor
from models.engine.errors import DatabaseUnavailable

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
    """Raised to close the socket with this code and reason.

    With `answer_first`, queries and mutations that run are answered first. `cut_off` is the metrics' word for an end
    that the client has not caused.
    """

    def __init__(self, code: int, reason: str, *, cut_off: str | None = None, answer_first: bool = False) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason.encode()[:_LONGEST_REASON].decode(errors="ignore")
        self.cut_off = cut_off
        self.answer_first = answer_first


class GraphQLWebSocket:
    """The ASGI application for WebSockets.

    Starlette would wrap a function in three more, whose frames take 2 KiB for as long as the socket is open.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one WebSocket, from its handshake to its end."""
        websocket = WebSocket(scope, receive, send)
        if not origins.is_origin_allowed(Headers(scope=scope), self._service.settings):
            await origins.refuse(websocket)
            return
        if SUBPROTOCOL not in scope.get("subprotocols", ()):
            await websocket.accept()
            await websocket.close(SUBPROTOCOL_NOT_ACCEPTABLE, "Subprotocol not acceptable")
            return
        try:
            with self._service.open_counts.connection_from(scope), self._service.metrics.track_socket():
                await websocket.accept(SUBPROTOCOL)
                await _Connection(websocket, self._service).run()
        except TooManyOpen as error:
            await websocket.send_denial_response(refused(429, str(error), RATE_LIMITED, RETRY))


class _Connection:
    """The protocol's state for one socket.

    `_tasks` are the operations whose work is not over yet, with their contexts, and the subscriptions that are being
    begun. `_uncounted` are those of them that do not count for the limit: the client has completed them before they had
    work that goes on, or they have begun a subscription. `_outboxes` are those of the subscriptions. `_ids` are the
    client's ids of operations and subscriptions. An id is free for another operation once it is complete, also if its
    work goes on.

    A socket has no task but the one that the server runs it in, and a subscription has none:
    docs/decisions/0011-transports.md says what they would cost.
    """

    __slots__ = (
        "_actor",
        "_closing",
        "_heard",
        "_ids",
        "_initialized",
        "_listening",
        "_loop",
        "_mute",
        "_outboxes",
        "_pinging",
        "_room",
        "_senders",
        "_service",
        "_settings",
        "_stalling",
        "_tasks",
        "_uncounted",
        "_websocket",
        "_writer",
    )

    def __init__(self, websocket: WebSocket, service: Service) -> None:
        self._websocket = websocket
        self._writer = writer_of(websocket)
        self._service = service
        self._settings = service.settings
        self._loop = asyncio.get_running_loop()
        self._ids: dict[str, asyncio.Task[None] | _SocketOutbox] = {}
        self._outboxes: dict[_SocketOutbox, None] = {}
        self._tasks: dict[asyncio.Task[None], Context] = {}
        self._uncounted: set[asyncio.Task[None]] = set()
        self._actor: Actor | None = None
        self._initialized = False
        self._listening: asyncio.Timeout | None = None
        self._closing: _Close | None = None
        self._mute = False  # nothing more is sent but the close frame
        self._heard = True
        self._senders = 0  # of whom some may wait until the writer is no longer full
        self._room: asyncio.Event | None = None
        self._stalling: asyncio.TimerHandle | None = None
        self._pinging = self._loop.call_later(self._settings.ping_seconds, self._ping)

    async def run(self) -> None:
        """Run until either side closes the socket. Every operation is over then."""
        self._writer.attach(self._writer_changed, self._client_lost)
        try:
            with contextlib.suppress(TimeoutError):  # which is how `_close` ends it
                async with asyncio.timeout(None) as self._listening:
                    await self._receive()
            self._listening = None
            if self._closing is not None and self._closing.answer_first:
                await asyncio.gather(*(wait_for_answer(task, context) for task, context in self._tasks.items()))
        finally:
            self._pinging.cancel()
            if self._stalling is not None:
                self._stalling.cancel()
            await self._end_operations()
        if self._closing is not None:
            await self._send_close(self._closing)

    async def _end_operations(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        self._ids.clear()
        for outbox in list(self._outboxes):
            outbox.close()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _close(self, close: _Close) -> None:
        """Begin to close the socket. The first call decides code and reason."""
        self._mute = self._mute or not close.answer_first
        if self._closing is not None:
            return
        self._closing = close
        if self._listening is not None:
            self._listening.reschedule(self._loop.time())
        if close.cut_off is not None:
            self._service.metrics.count_cut_off(close.cut_off)

    async def _send_close(self, close: _Close) -> None:
        # A server whose close frames wait behind what a client does not read is not waited for.
        with contextlib.suppress(TimeoutError, WebSocketDisconnected, WebSocketDisconnect):
            async with asyncio.timeout(1):
                if close.answer_first:
                    await self._writer.flush_in_order()
                await self._websocket.close(close.code, close.reason)

    async def _receive(self) -> None:
        try:
            actor = await self._expect_init()
            if actor is None:
                return
            counted = self._service.open_counts.connection_of(caller_of(actor, None))
            with counted, self._service.tokens.on_token_end(actor, self._end_of_token):
                self.write(b'{"type":"connection_ack"}')
                while (text := await self._next_text()) is not None:
                    await self._handle(text)
        except _Close as close:
            self._close(close)
        except TooManyOpen as error:
            self._close(_Close(TRY_AGAIN_LATER, str(error), cut_off="too many"))
        except Exception:
            log.exception("a WebSocket's message could not be handled")
            self._close(_Close(INTERNAL_ERROR, "Something went wrong on our side"))

    def _end_of_token(self) -> None:
        self._close(_Close(FORBIDDEN, "Forbidden: the token has ended", cut_off="token ended"))

    async def _expect_init(self) -> Actor | None:
        """Wait for the connection_init and return its caller, or None if the client goes before."""
        try:
            async with asyncio.timeout(self._settings.init_timeout_seconds):
                message = await self._first_message()
        except TimeoutError:
            raise _Close(TIMEOUT, "Connection initialisation timeout") from None
        if message is not None:
            self._actor = await self._authenticate(message)
            self._initialized = True
            self._writer.keep()
        return self._actor

    async def _first_message(self) -> dict[str, Any] | None:
        """Return the connection_init, or None if the client goes before. Pings may come before it."""
        while (text := await self._next_text()) is not None:
            try:
                message = messages.parse(text)
                if message["type"] == "connection_init":
                    return message
                if message["type"] == "subscribe":
                    raise _Close(UNAUTHORIZED, "Unauthorized")
                await self._handle_message(message)
            except Senseless as error:
                raise _Close(BAD_REQUEST, str(error)) from error
        return None

    async def _next_text(self) -> str | bytes | None:
        """Return the client's next message, or None if it has gone. The server refuses messages that are too long.

        Raise `_Close` when the server is to end. A message that has just come is not begun, and the client is not told
        about it: it sends the message again elsewhere.
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
        payload = message.get("payload") or {}
        given = next((value for name, value in payload.items() if name.lower() == "authorization"), None)
        given = self._websocket.headers.get("authorization") if given is None else given
        try:
            actor = await self._service.tokens.actor_of(given)
        except InvalidToken as error:
            raise _Close(FORBIDDEN, "Forbidden: the token is not valid") from error
        except (DatabaseUnavailable, IssuerUnavailable) as error:
            raise _Close(TRY_AGAIN_LATER, "Try again later", cut_off="unavailable") from error
        if actor is None:
            raise _Close(FORBIDDEN, "Forbidden: send a token as Authorization in the connection_init payload")
        return actor

    async def _handle(self, text: str | bytes) -> None:
        try:
            await self._handle_message(messages.parse(text))
        except Senseless as error:
            if not self._ids:
                raise _Close(BAD_REQUEST, str(error)) from error
            log.info("passed over a message on a WebSocket with operations under way: %s", error)

    async def _handle_message(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "ping":
                await self._send(messages.pong(message))
            case "pong":
                pass
            case "subscribe":
                await self._subscribe(message)
            case "complete":
                match self._ids.pop(messages.id_of(message), None):
                    case asyncio.Task() as task:
                        task.cancel()
                        if (context := self._tasks.get(task)) is not None and not context.work:
                            self._uncounted.add(task)
                    case _SocketOutbox() as outbox:
                        outbox.close()
            case "connection_init":
                raise _Close(TOO_MANY_INITS, "Too many initialisation requests")
            case _:
                raise Senseless("There is no such type of message")

    async def _subscribe(self, message: dict[str, Any]) -> None:
        operation_id = messages.id_of(message)
        if operation_id in self._ids:
            raise _Close(SUBSCRIBER_EXISTS, f"Subscriber for {operation_id} already exists")
        try:
            request = parse_request(message.get("payload"))
        except MalformedRequest as error:
            if self._ids:
                await self._send(messages.errors(operation_id, refusal(str(error))))
            raise Senseless(str(error)) from error
        limit = self._settings.max_operations_per_socket
        if self._busy() >= limit:
            answer = refusal(f"A socket runs at most {limit} operations at a time.", RATE_LIMITED)
            await self._send(messages.errors(operation_id, answer))
            return
        context = self._service.context(self._actor)
        task = asyncio.create_task(self._run(operation_id, request, context))
        self._ids[operation_id] = task
        self._tasks[task] = context
        task.add_done_callback(self._task_done)

    def _busy(self) -> int:
        """Return how many operations run. One that the client has completed is counted until its work is over."""
        return len(self._tasks) - len(self._uncounted) + len(self._outboxes)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        """Forget an operation once all of its work is over."""
        self._uncounted.discard(task)
        left = self._tasks[task].work
        if left:
            next(iter(left)).add_done_callback(lambda _: self._task_done(task))
        else:
            del self._tasks[task]

    async def _run(self, operation_id: str, request: Request, context: Context) -> None:
        """Answer an operation, or begin a subscription. A cancelled operation is complete and sends nothing more."""
        try:
            answer = await self._answer(operation_id, request, context)
        except Exception as error:
            answer = Answer({"errors": [fault(error)]}, executed=False)
        if answer is None:
            return
        if answer.executed:
            await self._send(messages.head_of_next(operation_id) + answer.as_json() + b"}")
        self.forget(operation_id, asyncio.current_task())
        await self._send(
            messages.about("complete", operation_id) if answer.executed else messages.errors(operation_id, answer)
        )

    async def _answer(self, operation_id: str, request: Request, context: Context) -> Answer | None:
        """Return the answer, or None if the operation goes on as a subscription or cannot begin for now."""
        operation = await understand(self._service.operations, request, context, ANY)
        if isinstance(operation, Answer):
            return operation
        if operation.kind is not OperationType.SUBSCRIPTION:
            return await run(operation, request, context)
        outbox = _SocketOutbox(self, operation_id, self._service.subscriptions)
        subscription = await self._service.subscriptions.subscribe(operation, request, context, outbox)
        if isinstance(subscription, Answer):
            if not subscription.unavailable:
                return subscription
            self.unavailable()
            return None
        outbox.subscription = subscription
        outbox.full = self._writer.full
        self._ids[operation_id] = outbox
        self._outboxes[outbox] = None
        if (task := asyncio.current_task()) is not None:
            self._uncounted.add(task)  # the subscription counts from here on
        return None

    def close_outbox(self, outbox: "_SocketOutbox") -> None:
        self._outboxes.pop(outbox, None)

    def forget(self, operation_id: str, holder: object) -> None:
        """Free the id of an operation before its last message goes out, because the client may use it again then."""
        if self._ids.get(operation_id) is holder:
            del self._ids[operation_id]

    def unavailable(self) -> None:
        """Close the socket, because a subscription cannot go on for now."""
        reason = "Try again later: resume with after"
        self._close(_Close(TRY_AGAIN_LATER, reason, cut_off="unavailable", answer_first=True))

    def write(self, message: bytes) -> None:
        """Write a message now, or after those that wait already."""
        if not self._mute:
            self._writer.write(message)

    async def _send(self, message: bytes) -> None:
        """Write with back-pressure: wait for room in the socket's buffer first."""
        self._senders += 1
        try:
            while self._writer.full and not self._mute:
                self._room = self._room or asyncio.Event()
                await self._room.wait()
        finally:
            self._senders -= 1
        self.write(message)
        self._flush()

    def _writer_changed(self) -> None:
        for outbox in list(self._outboxes):
            outbox.full = self._writer.full
        if self._writer.full:
            if self._stalling is None:
                self._stalling = self._loop.call_later(self._settings.stall_seconds, self._stalled)
            return
        if self._stalling is not None:
            self._stalling.cancel()
            self._stalling = None
        self._let_senders_on()
        self._flush()

    def _client_lost(self) -> None:
        """Let nothing wait for room any more."""
        self._mute = True
        self._let_senders_on()

    def _let_senders_on(self) -> None:
        if self._room is not None:
            self._room.set()
            self._room = None

    def _flush(self) -> None:
        """Let subscriptions go on, unless single messages wait for room: those go first."""
        if self._senders:
            return
        for outbox in list(self._outboxes):
            if self._writer.full:
                return
            outbox.flush()

    def _stalled(self) -> None:
        self._close(_Close(TIMEOUT, "Too slow: resume with after", cut_off="stalled"))

    def _ping(self) -> None:
        """Ping the client. Close the socket if nothing has come from it since the last ping."""
        self._pinging = self._loop.call_later(self._settings.ping_seconds, self._ping)
        if not self._initialized:
            return
        if not self._heard:
            self._close(_Close(TIMEOUT, "No answer to a ping: resume with after", cut_off="no pong"))
            return
        self._heard = False
        self.write(b'{"type":"ping"}')


class _SocketOutbox:
    """The outbox of a subscription on this socket."""

    __slots__ = ("_connection", "_head", "_id", "_outcome", "_subscriptions", "full", "subscription")

    full: bool  # as the writer is: an attribute because it is read for each answer (docs/decisions/0012-hot-paths.md)
    subscription: Subscription

    def __init__(self, connection: _Connection, operation_id: str, subscriptions: Subscriptions) -> None:
        self._connection = connection
        self._subscriptions = subscriptions
        self._id = operation_id
        self._head = messages.head_of_next(operation_id)
        self._outcome = SUCCESS
        self.full = False

    def send(self, answer: Answer) -> None:
        self._outcome = answer.outcome
        self._connection.write(self._head + answer.as_json() + b"}")
        self._subscriptions.count_delivery()

    def end(self, error: Exception | None) -> None:
        answer = None if error is None else failure(error)
        self._outcome = self._outcome if answer is None else answer.outcome
        self._connection.forget(self._id, self)
        if answer is None:
            self._connection.write(messages.about("complete", self._id))
        elif answer.unavailable:
            self._connection.unavailable()
        else:
            self._connection.write(messages.errors(self._id, answer))
        self.close()

    def flush(self) -> None:
        self.subscription.flush()

    def close(self) -> None:
        self._connection.close_outbox(self)
        self._subscriptions.unsubscribe(self.subscription, self._outcome)
        del self.subscription  # which refers to this: it is not left for the garbage collector to find
