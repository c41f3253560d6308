"""uvicorn's HTTP connection with two changes: a client that does not read cannot hold it, and it ends in good order.

uvicorn closes a connection when everything written has been sent. If a client has stopped reading, that is never: its
buffers would stay, and the server could not end. So such a connection is aborted.
"""

import asyncio
import enum
import http
from collections import deque
from typing import Any

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.callers.open_counts import COUNTED, TooManyOpen
from api.execution.answers import refusal
from api.execution.errors import RATE_LIMITED, RETRY_SECONDS, UNAVAILABLE
from api.http.admission import ADMISSION, Admission
from api.http.connections import ABORT, abort_once_stalled, limit_buffers

MOST_HEAD_BYTES = 256 * 1024  # of a request before its body
MOST_PIPELINED = 100  # requests that a client may send before the first is answered


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
        self._extensions: dict[str, Any] = {ABORT: {"abort": transport.abort}}
        self._refusal: str | None = None
        limit_buffers(transport)
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
        abort_once_stalled(self, self._is_idle)

    def _is_idle(self) -> bool:
        """Return whether no request is worked on. A request whose body does not come does not count."""
        return self.cycle is None or self.cycle.response_complete or self.cycle.more_body


class _Flow(FlowControl):
    """Stops reading while pipelined requests wait. The last of them may need the rest of its body."""

    def __init__(self, transport: asyncio.Transport, sent_ahead: deque[Any]) -> None:
        super().__init__(transport)
        self._sent_ahead = sent_ahead

    def resume_reading(self) -> None:
        if not self._sent_ahead:
            super().resume_reading()


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
