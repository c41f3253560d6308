"""Real clients for the tests: GraphQL over HTTP and over WebSocket, against a server that is running."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import orjson
import uvicorn
from websockets.asyncio.client import ClientConnection, connect

from api.service import Service
from domain.actors import Actor, Scope, system
from domain.tokens import authenticate, create_token
from models import EffectPosition, OrderEvent

ALL_SCOPES = tuple(Scope)
LONG_DOCUMENTS: dict[str, Any] = {
    "max_tokens": 10_000,
    "max_selections": 5_000,
    "max_aliases": 5_000,
}  # settings that allow them
WAIT = 60  # seconds after which a test gives up waiting for something that should have come, on a machine that is busy


@dataclass
class Server:
    """A server that listens on `http://127.0.0.1:PORT`; `token` is good for everything."""

    port: int
    http: httpx.AsyncClient
    token: str
    service: Service
    running: uvicorn.Server

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/graphql"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/graphql"

    async def new_token(self, *scopes: Scope, channels: tuple[str, ...] = (), name: str = "test") -> str:
        """A token with these scopes (all of them by default), bound to these channels (to none by default)."""
        actor = system("tests")
        _, secret = await create_token(actor=actor, name=name, scopes=scopes or ALL_SCOPES, channels=channels)
        return secret

    async def actor(self, token: str | None = None) -> Actor:
        actor = await authenticate(token or self.token)
        assert actor is not None
        return actor

    async def send(self, query: str, variables: dict[str, Any] | None = None, token: str | None = "") -> dict[str, Any]:
        """The whole answer. `token=None` sends none; by default the token that is good for everything."""
        secret = self.token if token == "" else token
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        response = await self.http.post(self.url, json={"query": query, "variables": variables}, headers=headers)
        answer: dict[str, Any] = response.json()
        return answer

    async def ask(self, query: str, variables: dict[str, Any] | None = None, token: str | None = "") -> dict[str, Any]:
        """The data of an operation that must not have errors."""
        answer = await self.send(query, variables, token)
        assert "errors" not in answer, answer["errors"]
        data: dict[str, Any] = answer["data"]
        return data

    async def mutate(
        self, name: str, given: dict[str, Any], fields: str = "id number version status", token: str | None = ""
    ) -> dict[str, Any]:
        """The payload of a mutation: `{"order": …, "userErrors": […]}`."""
        input_type = name[0].upper() + name[1:] + "Input!"
        query = f"""mutation ($input: {input_type}) {{
            {name}(input: $input) {{
                order {{ {fields} }}
                userErrors {{ code message field fromStatus toStatus currentVersion }}
            }}
        }}"""
        payload: dict[str, Any] = (await self.ask(query, {"input": given}, token))[name]
        return payload

    async def do(
        self, name: str, given: dict[str, Any], fields: str = "id number version status", token: str | None = ""
    ) -> dict[str, Any]:
        """The order after a mutation that must succeed."""
        payload = await self.mutate(name, given, fields, token)
        assert payload["userErrors"] == []
        order: dict[str, Any] = payload["order"]
        return order

    async def place(
        self, *, fields: str = "id number version status lines { id quantity }", token: str | None = "", **given: Any
    ) -> dict[str, Any]:
        """A new order in the channel `web`, of two Socks at 9.90 CHF and one Hat at 20.00 CHF unless said otherwise."""
        return await self.do("placeOrder", {**an_order(), **given}, fields, token)


def an_order(**given: Any) -> dict[str, Any]:
    return {
        "channel": "web",
        "currency": "CHF",
        "lines": [
            {"title": "Socks", "sku": "SOCK-1", "quantity": 2, "unitPrice": "9.90"},
            {"title": "Hat", "sku": "HAT-1", "quantity": 1, "unitPrice": "20.00"},
        ],
        **given,
    }


def new_client(**options: Any) -> httpx.AsyncClient:
    """A client that is made in a moment: reading the system's certificates, which nobody asks for, takes longer."""
    return httpx.AsyncClient(**{"timeout": WAIT, "verify": False, "trust_env": False, **options})


async def until(reached: Callable[[], object]) -> None:
    """Waits until the condition holds."""
    async with asyncio.timeout(WAIT):
        while not reached():  # noqa: ASYNC110 — what is waited for tells nobody when it happens
            await asyncio.sleep(0.005)


async def eventually(check: Callable[[], Awaitable[object]]) -> None:
    """Waits until what has to be asked for holds."""
    async with asyncio.timeout(WAIT):
        while not await check():  # noqa: ASYNC110 - what is waited for tells nobody when it happens
            await asyncio.sleep(0.01)


async def planned_to_the_end() -> None:
    """Waits until the server has planned the effects of every event."""

    async def is_planned() -> bool:
        return not await OrderEvent.exists(id__gt=(await EffectPosition.get()).position)

    await eventually(is_planned)


class Live:
    """A graphql-transport-ws client that shows each message as it is."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, message: Any) -> None:
        await self.connection.send(orjson.dumps(message).decode())

    async def receive(self) -> dict[str, Any]:
        """The next message that is not a ping."""
        async with asyncio.timeout(WAIT):
            while True:
                message: dict[str, Any] = orjson.loads(await self.connection.recv())
                if message["type"] != "ping":
                    return message

    async def subscribe(self, query: str, variables: dict[str, Any] | None = None, operation_id: str = "1") -> None:
        payload = {"query": query, "variables": variables}
        await self.send({"id": operation_id, "type": "subscribe", "payload": payload})

    async def next(self, operation_id: str = "1") -> dict[str, Any]:
        """The data of the operation's next answer."""
        message = await self.receive()
        assert (message["type"], message["id"]) == ("next", operation_id), message
        assert "errors" not in message["payload"], message
        data: dict[str, Any] = message["payload"]["data"]
        return data

    async def closed(self) -> tuple[int | None, str | None]:
        """Code and reason, once the server has closed the socket."""
        async with asyncio.timeout(WAIT):
            await self.connection.wait_closed()
        return self.connection.close_code, self.connection.close_reason


@asynccontextmanager
async def open_socket(server: Server) -> AsyncIterator[Live]:
    """A socket on which nothing has been said yet.

    It reads whatever is sent, as a browser does: a client that holds back what it has not been asked for does not see
    the server's answer to its own close frame, and waits for it for ten seconds.
    """
    options: dict[str, Any] = {"subprotocols": ["graphql-transport-ws"], "compression": None, "max_queue": None}
    async with connect(server.ws_url, **options) as connection:
        yield Live(connection)


@asynccontextmanager
async def live(server: Server, token: str = "") -> AsyncIterator[Live]:
    """A socket that is ready for operations."""
    async with open_socket(server) as client:
        secret = token or server.token
        await client.send({"type": "connection_init", "payload": {"Authorization": f"Bearer {secret}"}})
        assert (await client.receive())["type"] == "connection_ack"
        yield client


async def follow(server: Server, client: Live, operation_id: str = "1") -> None:
    """A subscription to all events that runs for sure: it has told of the second of two orders placed for it."""
    events: dict[str, Any] = await server.do("placeOrder", an_order(), "events { nodes { cursor } }")
    await server.place()
    variables = {"after": events["events"]["nodes"][0]["cursor"]}
    query = "subscription ($after: String) { orderEvents(after: $after) { type cursor } }"
    await client.subscribe(query, variables, operation_id)
    assert (await client.next(operation_id))["orderEvents"]["type"] == "ORDER_PLACED"


def key_of(global_id: str) -> UUID:
    """The row's key in a global id."""
    import base64

    return UUID(base64.b64decode(global_id).decode().partition(":")[2])
