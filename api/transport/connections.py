"""uvicorn's connections, of which a client that does not read can hold none, and which end in good order.

uvicorn closes a connection when what was written has been sent. To a client that has stopped reading that is never:
its buffers would stay, and the server could not end. So such a connection is aborted.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, cast

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from api.context import Context
from api.execution import RETRY_SECONDS, UNAVAILABLE, refusal
from api.transport.wire import EXTENSION, UNREAD_BYTES

LINGER_SECONDS = 3.0  # for which what was sent may lie unread once a connection is to end
FINISH_SECONDS = 5.0  # for which a query or a mutation may go on once the server is to end

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
    """Wait for a query or a mutation to be over, for `FINISH_SECONDS` at most; a subscription is not waited for.

    What an operation is may be known only a moment after it has begun.
    """
    deadline = asyncio.get_running_loop().time() + FINISH_SECONDS
    while context.operation_kind != "subscription" and asyncio.get_running_loop().time() < deadline:
        await asyncio.wait((operation,), timeout=_LOOK_SECONDS)
        if operation.done():
            return


class HTTPConnection(HttpToolsProtocol):
    """Tells the application (`stopping` in the lifespan's state) at once that the server is to end.

    An event stream never ends by itself: the server would wait for it until it gives up. What is being worked on is
    answered; what comes after is refused, and the connection ends.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        _bound(transport)
        if self.app_state["stopping"].is_set():  # it was accepted as the server began to end
            self._refuse_what_comes()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {_ABORT: {"abort": self.transport.abort}}

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._abort_once_idle()

    def shutdown(self) -> None:
        self.app_state["stopping"].set()
        self._refuse_what_comes()
        super().shutdown()

    def _refuse_what_comes(self) -> None:
        self.app = _restarting
        self._abort_once_idle()

    def _abort_once_idle(self) -> None:
        _abort_once_stalled(self, self._is_idle)

    def _is_idle(self) -> bool:
        """No request is worked on. One whose body does not come is none."""
        return self.cycle is None or self.cycle.response_complete or self.cycle.more_body


class WebSocketConnection(WebSocketsSansIOProtocol):
    """A `Wire`: it takes messages as bytes, and puts them into frames itself.

    It is gone `LINGER_SECONDS` after the application is done with it. When the server is to end, the application
    receives a disconnect, with 1012 (Service Restart). It may still send, and closes the connection itself.
    """

    full = False
    _on_change: Callable[[], None] | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._frames_of_turn: list[bytes] = []
        self._bytes_of_turn = 0
        self._turn = self.app_state.setdefault(_TURN, _Turn(self.loop))

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.response.status_code == 101:
            cast(dict[str, Any], self.scope)["extensions"][EXTENSION] = self

    def attach(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change

    def write(self, message: bytes) -> None:
        """What is written in one turn of the loop leaves with one system call.

        A system call takes more than half of the time of a delivery: with this, a delivery takes three quarters of the
        CPU time that it took before (`scripts/bench fanout`).
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
    """One turn of the loop, at whose end all connections of a server send what was written to them.

    A call for each of them would take a tenth of the time of a delivery.
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
    """Before the payload of a text message that is whole, as a server sends it (RFC 6455, section 5.2)."""
    if length < 126:
        return bytes((0x81, length))
    if length < 65_536:
        return b"\x81\x7e" + length.to_bytes(2)
    return b"\x81\x7f" + length.to_bytes(8)


async def _restarting(scope: Scope, receive: Receive, send: Send) -> None:
    """The application that refuses: nothing has been done, and the same request can be sent again."""
    answer = refusal("The server is restarting. Send this again.", UNAVAILABLE)
    headers = {"Connection": "close", "Retry-After": str(RETRY_SECONDS)}
    response = Response(answer.as_json(), 503, headers, media_type="application/json; charset=utf-8")
    await response(scope, receive, send)


def _bound(transport: asyncio.Transport) -> None:
    """At most so much waits for this client, however slowly it reads.

    The kernel would let its own buffer grow to megabytes. Of what is on its way to the client there may be more: that
    is how a far one gets its data quickly.
    """
    transport.set_write_buffer_limits(high=UNREAD_BYTES)
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNREAD_BYTES)


def _abort_once_stalled(connection: HTTPConnection | WebSocketConnection, is_idle: Callable[[], bool]) -> None:
    """From now on, abort the connection when its client has fetched nothing of what waits for it for a while.

    So is one that is idle, with nothing to fetch.
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
