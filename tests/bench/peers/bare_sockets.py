"""The limit of a Python server: a ready frame is written straight to the transports of all sockets under uvicorn.

There is no GraphQL in it and no broker: as much of the protocol as its subscribers need to believe that they are
subscribed. What is posted to `/publish` becomes one frame, which is the same for everybody.
"""

import sys
from typing import Any

import orjson
import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode

SUBPROTOCOL = "graphql-transport-ws"
ACKNOWLEDGED = '{"type":"connection_ack"}'
_open: set["Connection"] = set()


class Connection(WebSocketsSansIOProtocol):
    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        _open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        _open.discard(self)


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await _subscriber(receive, send)
    else:
        await _publish(receive, send)


async def _subscriber(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL})
    while (message := await receive())["type"] != "websocket.disconnect":
        if orjson.loads(message["text"])["type"] == "connection_init":
            await send({"type": "websocket.send", "text": ACKNOWLEDGED})


async def _publish(receive: Any, send: Any) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    for event in orjson.loads(body or b"[]"):
        text = orjson.dumps({"id": "1", "type": "next", "payload": {"data": {"orderEvents": event}}})
        frame = Frame(Opcode.TEXT, text).serialize(mask=False)
        for connection in _open:
            connection.transport.write(frame)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"{}"})


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", lifespan="off", ws=Connection)
