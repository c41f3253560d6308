"""uvicorn's WebSocket connection, which writes many messages with one system call and ends in good order."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame
from websockets.http11 import Request

from api.callers.open_counts import COUNTED
from api.http.admission import ADMISSION
from api.http.connections import abort_after_lingering, abort_once_stalled
from api.http.writers import EXTENSION, UNREAD_BYTES

MOST_FRAGMENTS = 4096  # frames of one message: an empty one takes memory, too

_TURN = "orderstream.turn"


class WebSocketConnection(WebSocketsSansIOProtocol):
    """A `MessageWriter`: it takes messages as bytes, and puts them into frames itself.

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
            self._turn.add(self)
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

    async def flush_in_order(self) -> None:
        """Do nothing: what is sent keeps its order."""

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
        abort_after_lingering(self)

    def shutdown(self) -> None:
        self.app_state["stopping"].set()
        if self.close_sent or not self.handshake_complete:
            super().shutdown()
        else:
            self.queue.put_nowait({"type": "websocket.disconnect", "code": 1012})
        abort_once_stalled(self, lambda: False)


class _Turn:
    """One pass of the event loop, at whose end all connections of a server send what was written to them.

    One call for all is cheaper than one for each: docs/decisions/0012-hot-paths.md.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._connections: list[WebSocketConnection] = []

    def add(self, connection: WebSocketConnection) -> None:
        """Send what is written to the connection when the pass ends."""
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
