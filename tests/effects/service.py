"""A fulfillment service for the tests: a server that takes calls, and answers as it is told, also badly."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from domain.egress import Egress

LOCAL: Final = Egress.allowing(["127.0.0.0/8"])  # lets calls go to this machine

Send = Callable[[bytes], Awaitable[None]]
Answer = Callable[[Send], Awaitable[None]]


@dataclass
class Service:
    """A fulfillment service's own server: what it was sent, and what it answers, in turns; 200 where nothing is set.

    An answer is a status, `None` for a connection that is cut without one, bytes, or a function that sends whatever it
    likes until the caller has gone. `sent` is how many bytes of answers went out: up to the system's buffers, this is
    what callers have read.
    """

    url: str = ""
    heard: list[tuple[dict[str, str], str]] = field(default_factory=list)
    answers: list[int | bytes | Answer | None] = field(default_factory=list)
    sent: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)  # an answer came to its end, or its caller has gone

    @property
    def port(self) -> int:
        return int(self.url.split("/")[2].rpartition(":")[2])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = head.split("\r\n")[1:-2]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = (await reader.readexactly(int(headers.get("content-length", "0")))).decode()
        self.heard.append((headers, body))

        async def send(data: bytes) -> None:
            if writer.is_closing():
                raise ConnectionResetError
            writer.write(data)
            await writer.drain()
            self.sent += len(data)

        answer = self.answers.pop(0) if self.answers else 200
        with suppress(ConnectionError):
            if isinstance(answer, int):
                await send(f"HTTP/1.1 {answer} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            elif isinstance(answer, bytes):
                await send(answer)
            elif answer is not None:
                await answer(send)
        self.ended.set()
        writer.close()


@asynccontextmanager
async def serving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Service]:
    service = Service()
    server = await asyncio.start_server(service.serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        scheme = "http" if tls is None else "https"
        service.url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/requests?x=1"
        yield service


async def endless_body(send: Send) -> None:
    """A success with three gigabytes after it."""
    await send(b"HTTP/1.1 200 OK\r\nContent-Length: 3000000000\r\n\r\n")
    block = b"x" * 1_000_000
    for _ in range(3_000):
        await send(block)


async def dribbled_head(send: Send) -> None:
    """A header of which a byte comes now and then, for ever."""
    await send(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        await send(b"x")
        await asyncio.sleep(0.02)


async def dribbled_body(send: Send) -> None:
    await send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        await send(b"x")
        await asyncio.sleep(0.02)


async def endless_head(send: Send) -> None:
    await send(b"HTTP/1.1 200 OK\r\n")
    while True:
        await send(b"X-More: " + b"x" * 10_000 + b"\r\n")


async def endless_interim_answers(send: Send) -> None:
    while True:
        await send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 1_000)
