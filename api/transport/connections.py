"""uvicorn's connections, of which a client that does not read can hold none.

uvicorn closes a connection when what was written has been sent. To a client that has stopped reading that is never:
its buffers would stay, and the server could not end. So such a connection is aborted.
"""

from collections.abc import Callable
from typing import Any, cast

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

LINGER_SECONDS = 3.0  # for which a closed WebSocket may go on fetching what was sent to it
_ABORT = "orderstream.abort"


def abort(scope: Scope) -> bool:
    """Cut the connection of an HTTP request, whatever waits to be sent on it. False under another server."""
    extension = scope.get("extensions", {}).get(_ABORT)
    if extension is None:
        return False
    cast(Callable[[], None], extension["abort"])()
    return True


class HTTPConnection(HttpToolsProtocol):
    """Tells the application (`stopping` in the lifespan's state) at once that the server is to end.

    An event stream never ends by itself: the server would wait for it until it gives up.
    """

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {_ABORT: {"abort": self.transport.abort}}

    def shutdown(self) -> None:
        self.app_state["stopping"].set()
        super().shutdown()


class WebSocketConnection(WebSocketsSansIOProtocol):
    """Is gone `LINGER_SECONDS` after the application is done with it."""

    async def send(self, message: Any) -> None:
        if message["type"] == "websocket.close":
            self.writable.set()  # a close frame must not wait for a peer that does not read
        await super().send(message)

    async def run_asgi(self) -> None:
        await super().run_asgi()
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)
