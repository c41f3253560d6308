"""How messages are written to a WebSocket's client: at once, so that a message for many clients waits for none of them.

Our own server's connection is a writer itself (`api.http.websocket_connection`). Under any other ASGI server,
`writer_of` returns one that does the same through `websocket.send`.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketDisconnected

EXTENSION: Final = "orderstream.writer"  # where a WebSocket's scope has the server's own writer
UNREAD_BYTES: Final = 64 * 1024  # that wait for one client in the process, and again in the kernel, before it is full


class MessageWriter(Protocol):
    """Writes text messages to one client."""

    full: bool  # so much waits that no more should be written; what is written all the same is kept, too

    def attach(self, on_change: Callable[[], None], on_lost: Callable[[], None]) -> None:
        """Call `on_change` whenever `full` changes, and `on_lost` when the client has gone."""

    def keep(self) -> None:
        """Note that the client is known: the connection gives way to no other any more."""

    def write(self, message: bytes) -> None:
        """Write a text message. Drop it if the client has gone."""

    async def flush_in_order(self) -> None:
        """Wait until a close frame would come after everything that was written."""


def writer_of(websocket: WebSocket) -> MessageWriter:
    writer: MessageWriter | None = websocket.scope.get("extensions", {}).get(EXTENSION)
    return _ASGIWriter(websocket) if writer is None else writer


class _ASGIWriter:
    """Writes under another ASGI server. A task sends messages while there are any."""

    def __init__(self, websocket: WebSocket) -> None:
        self.full = False
        self._websocket = websocket
        self._on_change: Callable[[], None] = lambda: None
        self._on_lost: Callable[[], None] = lambda: None
        self._waiting: deque[str] = deque()
        self._waiting_bytes = 0
        self._sending: asyncio.Task[None] | None = None

    def attach(self, on_change: Callable[[], None], on_lost: Callable[[], None]) -> None:
        self._on_change = on_change
        self._on_lost = on_lost

    def keep(self) -> None:
        """Do nothing: another server decides for itself which connections it holds."""

    def write(self, message: bytes) -> None:
        self._waiting.append(message.decode())
        self._waiting_bytes += len(message)
        if self._sending is None:
            self._sending = asyncio.create_task(self._send())
        if self._waiting_bytes > UNREAD_BYTES and not self.full:
            self.full = True
            self._on_change()

    async def flush_in_order(self) -> None:
        if self._sending is not None:
            await asyncio.wait((self._sending,))

    async def _send(self) -> None:
        try:
            while self._waiting:
                message = self._waiting.popleft()
                await self._websocket.send_text(message)
                self._waiting_bytes -= len(message.encode())
                if self.full and self._waiting_bytes <= UNREAD_BYTES // 4:
                    self.full = False
                    self._on_change()
            self._sending = None
        except (WebSocketDisconnect, WebSocketDisconnected):
            self._on_lost()
