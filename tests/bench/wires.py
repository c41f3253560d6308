"""Many connections on one thread, as lean as Python can be: the server is to be the bottleneck, not its client."""

import re
import select
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

READ_BYTES = 1 << 18
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


class Disagreement(Exception):
    """What a server sent is not what it should have sent: its figures would be worth nothing."""


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int
    path: str

    @classmethod
    def of(cls, url: str) -> "Address":
        parts = urlsplit(url)
        return cls(parts.hostname or "127.0.0.1", parts.port or 80, parts.path)

    def at(self, path: str) -> "Address":
        return Address(self.host, self.port, path)

    def connect(self) -> socket.socket:
        """Not blocking any more, and sending at once."""
        connection = socket.create_connection((self.host, self.port), timeout=30)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)
        return connection


class Loop:
    """Calls who has something to read. Connections that are left are closed with it."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._readers: dict[int, Callable[[], None]] = {}
        self._connections: dict[int, socket.socket] = {}

    def hear(self, connection: socket.socket, readable: Callable[[], None]) -> None:
        """From now on; who was called until now is called no more."""
        file = connection.fileno()
        if file not in self._connections:
            self._epoll.register(file, select.EPOLLIN)
            self._connections[file] = connection
        self._readers[file] = readable

    def drop(self, connection: socket.socket) -> None:
        """Closes the connection."""
        self._epoll.unregister(connection)
        del self._readers[connection.fileno()]
        del self._connections[connection.fileno()]
        connection.close()

    def turn(self, seconds: float) -> None:
        """One look at all connections; it waits for so long where there is nothing to read."""
        for file, _ in self._epoll.poll(seconds, 1024):
            self._readers[file]()

    def until(self, done: Callable[[], bool], seconds: float) -> None:
        """Raises `TimeoutError`."""
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline:
                raise TimeoutError(f"nothing more came within {seconds:.0f} s")
            self.turn(0.05)

    def run(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.turn(left)

    def close(self) -> None:
        for connection in list(self._connections.values()):
            self.drop(connection)
        self._epoll.close()


class Line:
    """One HTTP connection. Requests may be sent before the last is answered: answers come in the same order.

    It is made when it is needed, and anew where the server has waited in vain for the next request.
    """

    def __init__(self, loop: Loop, address: Address) -> None:
        self._loop = loop
        self._address = address
        self._buffer = b""
        self._waiting: deque[Callable[[bytes], None]] = deque()
        self._connection: socket.socket | None = None

    def send(self, request: bytes, answered: Callable[[bytes], None]) -> None:
        """`answered` is given the answer's body; it may send the next request."""
        if self._connection is None:
            self._connection = connection = self._address.connect()
            self._loop.hear(connection, lambda: self._read(connection))
        self._waiting.append(answered)
        self._connection.setblocking(True)  # a request may be larger than the kernel takes at once
        self._connection.sendall(request)
        self._connection.setblocking(False)

    def _read(self, connection: socket.socket) -> None:
        data = connection.recv(READ_BYTES)
        self._buffer = self._buffer + data if self._buffer else data
        if not data:
            if self._waiting:
                raise Disagreement(f"the server closed the connection after {self._buffer!r}")
            self._loop.drop(connection)
            self._connection = None
        while (end := self._buffer.find(b"\r\n\r\n") + 4) >= 4:
            length = _LENGTH.search(self._buffer, 0, end)
            if not self._buffer.startswith(b"HTTP/1.1 200") or length is None:
                raise Disagreement(f"the server answered {self._buffer[:500]!r}")
            over = end + int(length[1])
            if len(self._buffer) < over:
                return
            body, self._buffer = self._buffer[end:over], self._buffer[over:]
            self._waiting.popleft()(body)


def post(address: Address, body: bytes, token: str | None = None) -> bytes:
    """The bytes of an HTTP request."""
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    head = (
        f"POST {address.path} HTTP/1.1\r\nHost: bench\r\n{authorization}"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
