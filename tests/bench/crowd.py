"""Hundreds or thousands of subscribers on one thread, by the graphql-transport-ws protocol.

Each sends one subscription. No message is taken on trust: whoever opens the crowd is given every one. Frames of servers
are not masked (RFC 6455, section 5.1), so that a message is a slice of what was read. No compression is offered.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from tests.bench.wires import READ_BYTES, Address, Disagreement, Loop

OPENING_AT_ONCE = 16
OPEN_SECONDS = 60  # for one socket
_TEXT, _PING, _PONG = 0x81, 0x89, 0x8A

Hear = Callable[[int, bytes], None]  # who hears, by number, and the message: `{"id":…,"type":"next","payload":…}`


class Crowd:
    """Sockets numbered from 0 in the order in which they were opened. `hear` is given each event that one is told."""

    def __init__(self, loop: Loop, hear: Hear) -> None:
        self._loop = loop
        self._hear = hear
        self._members: list[_Member] = []

    def open(
        self, address: Address, count: int, request: Callable[[int], Mapping[str, Any]], token: str | None
    ) -> None:
        """The n-th of these asks for `request(n)`.

        Returns once each has been acknowledged and has sent its subscription, which the server may not have begun.
        """
        payload = {"Authorization": f"Bearer {token}"} if token else {}
        greeting = orjson.dumps({"type": "connection_init", "payload": payload})
        members: list[_Member] = []
        for number in range(count):
            subscription = orjson.dumps({"id": "1", "type": "subscribe", "payload": request(number)})
            place = len(self._members) + number
            members.append(_Member(self._loop, address, place, greeting, subscription, self._hear))
            self._loop.until(lambda: _waiting(members[-OPENING_AT_ONCE:]) < OPENING_AT_ONCE, OPEN_SECONDS)
        self._members += members
        self._loop.until(lambda: not _waiting(members), OPEN_SECONDS)

    def close(self) -> None:
        for member in self._members:
            member.close()


def _waiting(members: Sequence["_Member"]) -> int:
    return sum(not member.subscribed for member in members)


class _Member:
    __slots__ = ("_buffer", "_connection", "_greeting", "_hear", "_loop", "_number", "_subscription", "subscribed")

    def __init__(
        self, loop: Loop, address: Address, number: int, greeting: bytes, subscription: bytes, hear: Hear
    ) -> None:
        self._loop = loop
        self._number = number
        self._greeting = greeting
        self._subscription = subscription
        self._hear = hear
        self._buffer = b""
        self.subscribed = False
        self._connection = address.connect()
        loop.hear(self._connection, self._shake_hands)
        self._connection.sendall(
            f"GET {address.path} HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n".encode()
        )

    def close(self) -> None:
        self._loop.drop(self._connection)

    def _shake_hands(self) -> None:
        self._buffer += self._read()
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        if not head.startswith(b"HTTP/1.1 101"):
            raise Disagreement(f"the server would not open a socket: {head!r}")
        self._loop.hear(self._connection, self._readable)
        self._buffer = rest
        self._send(_TEXT, self._greeting)

    def _readable(self) -> None:
        data = self._read()
        if self._buffer:
            data = self._buffer + data
        start, size = 0, len(data)
        while start + 2 <= size:
            length, body = data[start + 1], start + 2
            if length == 126:
                length, body = int.from_bytes(data[start + 2 : start + 4]), start + 4
            elif length == 127:
                length, body = int.from_bytes(data[start + 2 : start + 10]), start + 10
            end = body + length
            if end > size or body > size:
                break
            self._take(data[start], data[body:end])
            start = end
        self._buffer = data[start:]

    def _take(self, kind: int, message: bytes) -> None:
        if kind == _TEXT and b'"next"' in message[:40]:
            self._hear(self._number, message)
        elif kind == _PING:
            self._send(_PONG, message)
        elif kind == _TEXT:
            self._answer(message)
        elif kind != _PONG:
            raise Disagreement(f"the server sent a frame of kind {kind:#x}: {message!r}")

    def _answer(self, message: bytes) -> None:
        content = orjson.loads(message)
        match content["type"]:
            case "connection_ack" if not self.subscribed:
                self._send(_TEXT, self._subscription)
                self.subscribed = True
            case "ping":
                self._send(_TEXT, b'{"type":"pong"}')
            case "next":
                self._hear(self._number, message)
            case _:
                raise Disagreement(f"the server sent {message!r}")

    def _read(self) -> bytes:
        data = self._connection.recv(READ_BYTES)
        if not data:
            raise Disagreement("the server closed a socket")
        return data

    def _send(self, kind: int, message: bytes) -> None:
        self._connection.sendall(_masked(kind, message))


def _masked(kind: int, message: bytes) -> bytes:
    """A frame of a client's (RFC 6455, section 5.3)."""
    mask = os.urandom(4)
    size = len(message)
    head = bytes((kind, 0x80 | size)) if size < 126 else bytes((kind, 0xFE)) + size.to_bytes(2)
    key = int.from_bytes((mask * (size // 4 + 1))[:size])
    return head + mask + (int.from_bytes(message) ^ key).to_bytes(size)


def node_of(message: bytes) -> dict[str, Any]:
    """The event that a message tells. Raises `Disagreement` for one that tells of errors."""
    payload = orjson.loads(message)["payload"]
    if payload.get("errors") or not payload.get("data"):
        raise Disagreement(f"the server sent {message[:500]!r}")
    [node] = payload["data"].values()
    return dict(node)
