"""The messages between the server and its rendering processes: JSON, followed by files."""

import asyncio
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

_LENGTH: Final = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class Message:
    data: dict[str, Any]
    files: tuple[bytes, ...] = ()


def pack(data: dict[str, Any], files: Sequence[bytes] = ()) -> bytes:
    """Return the message as bytes."""
    head = json.dumps({"data": data, "sizes": [len(file) for file in files]}).encode()
    return b"".join((_LENGTH.pack(len(head)), head, *files))


async def receive(stream: asyncio.StreamReader) -> Message:
    """Return the next message. Raise EOFError if the stream ends first."""
    (length,) = _LENGTH.unpack(await stream.readexactly(_LENGTH.size))
    head = json.loads(await stream.readexactly(length))
    return Message(head["data"], tuple([await stream.readexactly(size) for size in head["sizes"]]))


def read(stream: BinaryIO) -> Message:
    """Wait for the next message and return it. Raise EOFError if the stream ends first."""
    (length,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    head = json.loads(_exactly(stream, length))
    return Message(head["data"], tuple(_exactly(stream, size) for size in head["sizes"]))


def _exactly(stream: BinaryIO, size: int) -> bytes:
    content = stream.read(size)
    if len(content) < size:
        raise EOFError
    return content
