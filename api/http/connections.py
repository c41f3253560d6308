"""uvicorn's connections with two changes: a client that does not read holds none, and all end in good order.

uvicorn closes a connection when everything written has been sent. If a client has stopped reading, that is never: its
buffers would stay, and the server could not end. So such a connection is aborted.
"""

import asyncio
import enum
import http
import socket
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame
from websockets.http11 import Request

from api.callers.open_counts import COUNTED, TooManyOpen
from api.execution.answers import refusal
from api.execution.context import Context
from api.execution.errors import RATE_LIMITED, RETRY_SECONDS, UNAVAILABLE
from api.http.admission import ADMISSION, Admission
from api.http.wire import EXTENSION, UNREAD_BYTES

LINGER_SECONDS = 3.0  # for which what was sent may lie unread once a connection is to end
FINISH_SECONDS = 5.0  # for which a query or a mutation may go on once the server is to end

MOST_HEAD_BYTES = 256 * 1024  # of a request before its body
MOST_PIPELINED = 100  # requests that a client may send before the first is answered
MOST_FRAGMENTS = 4096  # frames of one message: an empty one takes memory, too

_LOOK_SECONDS = 0.05
_TURN = "orderstream.turn"
_ABORT = "orderstream.abort"


def abort(scope: Scope) -> bool:
    """Cut the connection of an HTTP request, whatever waits to be sent on it. False under another server."""
    extension = scope.get("extensions", {}).get(_ABORT)
    if extension is None:
        return False
    cast(Callable[[], None], extension["abort"])()
    return True


async def answered(operation: asyncio.Task[Any], context: Context) -> None:
    """Wait until a query or a mutation is over, `FINISH_SECONDS` at most. Do not wait for a subscription.

    What kind of operation it is may be known only a moment after it has begun.
    """
    deadline = asyncio.get_running_loop().time() + FINISH_SECONDS
    while context.operation_kind != "subscription" and asyncio.get_running_loop().time() < deadline:
        await asyncio.wait((operation,), timeout=_LOOK_SECONDS)
        if operation.done():
            return


class _Awaited(enum.Enum):
    """The part of a request that has not arrived yet."""

    HEAD = enum.auto()
    BODY = enum.auto()


class HTTPConnection(HttpToolsProtocol):
    """A connection that a client can hold only while it takes part.

    A request must arrive in time and within bounds, and its answer must be read. Pipelined requests are not read before
    those in front of them are answered.

    It tells the application (`stopping` in the lifespan's state) at once that the server is to end. An event stream
    never ends by itself, so the server would wait for it until it gives up. Requests that are under way are answered.
    Later ones are refused, and the connection ends.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = _Flow(transport, self.pipeline)
        self._awaited: _Awaited | None = None
        self._received = 0  # bytes of the part that is awaited
        self._deadline: asyncio.TimerHandle | None = None
        self._stalling: asyncio.TimerHandle | None = None
        self._extensions: dict[str, Any] = {_ABORT: {"abort": transport.abort}}
        self._refusal: str | None = None
        _bound(transport)
        self._admission: Admission = self.app_state[ADMISSION]
        self._settings = self._admission.settings
        self._admission.open(transport)
        self._count()
        self._expect(self._settings.headers_seconds)
        if self.app_state["stopping"].is_set():  # it was accepted as the server began to end
            self._refuse_what_comes()

    def _count(self) -> None:
        """Count the connection for its client. Behind a trusted proxy, only each request says who that is."""
        if self.client is None or self.client[0] in getattr(self.config.loaded_app, "trusted_hosts", ()):
            return
        try:
            self._admission.count(self.transport, self.client[0])
        except TooManyOpen as error:
            self._refusal = str(error)
            self.app = _refusing(429, self._refusal, RATE_LIMITED)
        self._extensions[COUNTED] = {}

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_nothing()
        self._stop_stalling()
        self._admission.close(self.transport)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return
        if self._awaited is None:
            if self._is_idle() and self.timeout_keep_alive_task is None:
                self._expect(self._settings.headers_seconds)  # it was no more than an empty line
            return
        self._received += len(data)
        if self._awaited is _Awaited.HEAD:
            self._expect(self._settings.headers_seconds)
            if self._received > MOST_HEAD_BYTES:
                self._refuse(431, f"The headers of a request have at most {MOST_HEAD_BYTES:,} bytes.")
        else:
            self._expect(self._settings.body_seconds)
            if self._received > _most_bytes_of_body(self._settings.max_body_bytes):
                self._refuse(413, f"A request has at most {self._settings.max_body_bytes} bytes.")

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= MOST_PIPELINED:
            raise OverflowError("Too many requests were sent ahead.")  # the parser stops, and 400 is answered
        super().on_message_begin()
        self._awaited, self._received = _Awaited.HEAD, 0
        self.scope["extensions"] = self._extensions

    def on_headers_complete(self) -> None:
        self._expect_nothing()
        self._awaited, self._received = _Awaited.BODY, 0
        super().on_headers_complete()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._awaited is _Awaited.HEAD:  # what comes after the body would be added to the headers
            super().on_header(name, value)

    def on_message_complete(self) -> None:
        self._expect_nothing()
        self._awaited = None
        self._admission.work(self.transport)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._abort_once_idle()
        elif self.cycle.response_complete:
            self._admission.wait(self.transport)

    def handle_websocket_upgrade(self) -> None:
        self._expect_nothing()
        self._stop_stalling()
        if self._refusal is not None:
            self._refuse(429, self._refusal, RATE_LIMITED)
            return
        self._admission.wait(self.transport)
        super().handle_websocket_upgrade()

    def _expect(self, seconds: float) -> None:
        """Give the client so long to send what is awaited, unless its time runs already."""
        if self._deadline is None:
            self._deadline = self.loop.call_later(seconds, self._end_wait)

    def _expect_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end_wait(self) -> None:
        self._deadline = None
        if not self._is_idle():  # a request in front of it is being worked on
            self._expect(self._settings.headers_seconds)
            return
        self._admission.count_cut_off("slow request")
        if self._awaited is None:
            self.transport.close()
            self._abort_once_idle()
        else:
            self._refuse(408, "The request did not arrive in time.")

    def _refuse(self, status: int, message: str, code: str = "BAD_USER_INPUT") -> None:
        """Answer what cannot be read to its end, and close the connection."""
        answering = self.cycle is not None and not self.cycle.response_complete
        if not answering or not self.cycle.response_started:
            self.transport.write(_answer(status, message, code))
        if answering:
            self.cycle.disconnected = True
        self.transport.close()
        self._abort_once_idle()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_stalling()

    def _expect_reader(self) -> None:
        """Abort the connection if its client fetches nothing for `stall_seconds`, and again if it goes on slowly."""

        def look(waiting_before: int) -> None:
            if self.transport.get_write_buffer_size() < waiting_before:
                self._expect_reader()
                return
            self._admission.count_cut_off("stalled")
            self.transport.abort()

        waiting = self.transport.get_write_buffer_size()
        self._stalling = self.loop.call_later(self._settings.stall_seconds, look, waiting)

    def _stop_stalling(self) -> None:
        if self._stalling is not None:
            self._stalling.cancel()
            self._stalling = None

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._abort_once_idle()

    def shutdown(self) -> None:
        self.app_state["stopping"].set()
        self._refuse_what_comes()
        super().shutdown()

    def _refuse_what_comes(self) -> None:
        self.app = _refusing(503, "The server is restarting. Send this again.", UNAVAILABLE)
        self._abort_once_idle()

    def _abort_once_idle(self) -> None:
        _abort_once_stalled(self, self._is_idle)

    def _is_idle(self) -> bool:
        """No request is worked on. One whose body does not come is none."""
        return self.cycle is None or self.cycle.response_complete or self.cycle.more_body


class _Flow(FlowControl):
    """Stops reading while pipelined requests wait. The last of them may need the rest of its body."""

    def __init__(self, transport: asyncio.Transport, sent_ahead: deque[Any]) -> None:
        super().__init__(transport)
        self._sent_ahead = sent_ahead

    def resume_reading(self) -> None:
        if not self._sent_ahead:
            super().resume_reading()


class WebSocketConnection(WebSocketsSansIOProtocol):
    """A `Wire`: it takes messages as bytes, and puts them into frames itself.

    It is gone `LINGER_SECONDS` after the application is done with it. When the server is to end, the application
    receives a disconnect, with 1012 (Service Restart). It may still send, and closes the connection itself.
    """

    full = False
    _on_change: Callable[[], None] | None = None
    _on_lost: Callable[[], None] | None = None
    _pongs_wait = False  # nothing is read until the client has read what waits for it

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._frames_of_turn: list[bytes] = []
        self._bytes_of_turn = 0
        self._turn = self.app_state.setdefault(_TURN, _Turn(self.loop))

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.response.status_code == 101:
            extensions = cast(dict[str, Any], self.scope)["extensions"]
            extensions[EXTENSION] = self
            if self.app_state[ADMISSION].is_counted(self.transport):
                extensions[COUNTED] = {}

    def connection_lost(self, exc: Exception | None) -> None:
        self.app_state[ADMISSION].close(self.transport)
        super().connection_lost(exc)
        if self._on_lost is not None:
            self._on_lost()

    def attach(self, on_change: Callable[[], None], on_lost: Callable[[], None]) -> None:
        self._on_change = on_change
        self._on_lost = on_lost

    def keep(self) -> None:
        self.app_state[ADMISSION].work(self.transport)

    def handle_ping(self) -> None:
        super().handle_ping()
        if self.full and not self._pongs_wait:
            self._pongs_wait = True
            self.transport.pause_reading()

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) >= MOST_FRAGMENTS:
            self.conn.fail(CloseCode.MESSAGE_TOO_BIG, "too many fragments")
            self.handle_parser_exception()
            return
        super().handle_cont(event)

    async def receive(self) -> Any:
        message = await super().receive()
        if self._pongs_wait:
            self.transport.pause_reading()
        return message

    def write(self, message: bytes) -> None:
        """Add a message to what leaves with one system call at the end of this pass of the loop.

        System calls are most of the cost of a delivery: docs/decisions/0012-hot-paths.md.
        """
        frames = self._frames_of_turn
        if not frames:
            self._turn.ends_with(self)
        length = len(message)
        frames += (_frame_head(length), message)
        self._bytes_of_turn += length
        if self._bytes_of_turn > UNREAD_BYTES:
            self.end_turn()

    def end_turn(self) -> None:
        frames = self._frames_of_turn
        if frames and not self.close_sent and not self.transport.is_closing():
            self.transport.write(b"".join(frames))
        frames.clear()
        self._bytes_of_turn = 0

    async def flushed(self) -> None:
        """What is sent keeps its order."""

    def pause_writing(self) -> None:
        super().pause_writing()
        self._change(full=True)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._pongs_wait:
            self._pongs_wait = False
            if not self.read_paused:
                self.transport.resume_reading()
        self._change(full=False)

    def _change(self, *, full: bool) -> None:
        self.full = full
        if self._on_change is not None:
            self._on_change()

    async def send(self, message: Any) -> None:
        if message["type"] == "websocket.close":
            self.writable.set()  # a close frame must not wait for a peer that does not read
        self.end_turn()
        await super().send(message)
        if message["type"] == "websocket.accept":
            del self.request, self.response  # of no use from here on, and 4 of the 34 KiB that a socket took

    async def run_asgi(self) -> None:
        await super().run_asgi()
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def shutdown(self) -> None:
        self.app_state["stopping"].set()
        if self.close_sent or not self.handshake_complete:
            super().shutdown()
        else:
            self.queue.put_nowait({"type": "websocket.disconnect", "code": 1012})
        _abort_once_stalled(self, lambda: False)


class _Turn:
    """One pass of the event loop, at whose end all connections of a server send what was written to them.

    One call for all is cheaper than one for each: docs/decisions/0012-hot-paths.md.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._connections: list[WebSocketConnection] = []

    def ends_with(self, connection: WebSocketConnection) -> None:
        if not self._connections:
            self._loop.call_soon(self._end)
        self._connections.append(connection)

    def _end(self) -> None:
        connections, self._connections = self._connections, []
        for connection in connections:
            connection.end_turn()


def _frame_head(length: int) -> bytes:
    """Return the head of an unfragmented text message from a server (RFC 6455, section 5.2)."""
    if length < 126:
        return bytes((0x81, length))
    if length < 65_536:
        return b"\x81\x7e" + length.to_bytes(2)
    return b"\x81\x7f" + length.to_bytes(8)


def _refusing(status: int, message: str, code: str) -> ASGIApp:
    """Return an application that refuses: nothing has been done, and the same request can be sent again."""

    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        headers = {"Connection": "close", "Retry-After": str(RETRY_SECONDS)}
        answer = refusal(message, code).as_json()
        response = Response(answer, status, headers, media_type="application/json; charset=utf-8")
        await response(scope, receive, send)

    return refuse


def _answer(status: int, message: str, code: str) -> bytes:
    """Return the bytes of a whole answer, for a request that the application does not get to see."""
    body = refusal(message, code).as_json()
    lines = (
        f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}",
        "Content-Type: application/json; charset=utf-8",
        f"Content-Length: {len(body)}",
        f"Retry-After: {RETRY_SECONDS}",
        "Connection: close",
    )
    return "\r\n".join((*lines, "", "")).encode() + body


def _most_bytes_of_body(most: int) -> int:
    """Return how many bytes may make up so many, in chunks that may be small, and after them what nobody reads."""
    return 8 * most + MOST_HEAD_BYTES


def _bound(transport: asyncio.Transport) -> None:
    """At most so much waits for this client, however slowly it reads.

    The kernel would let its own buffer grow to megabytes. Of what is on its way to the client there may be more: that
    is how a far one gets its data quickly.
    """
    transport.set_write_buffer_limits(high=UNREAD_BYTES)
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNREAD_BYTES)


def _abort_once_stalled(connection: HTTPConnection | WebSocketConnection, is_idle: Callable[[], bool]) -> None:
    """Abort the connection when its client has fetched nothing for a while of what waits for it.

    A connection that is idle, with nothing to fetch, is aborted as well.
    """
    transport, loop = connection.transport, connection.loop

    def look(waiting_before: int) -> None:
        if connection not in connection.connections:
            return
        waiting = transport.get_write_buffer_size()
        if waiting >= waiting_before > 0 or (waiting == 0 and is_idle()):
            transport.abort()
        else:
            loop.call_later(LINGER_SECONDS, look, waiting)

    loop.call_later(LINGER_SECONDS, look, transport.get_write_buffer_size())
