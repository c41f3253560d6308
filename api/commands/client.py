"""A client of the API, for the commands that are users of it: GraphQL over HTTP, subscriptions over WebSocket."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

SECONDS = 60  # for which one answer is waited for


class ApiError(Exception):
    """The API answered with errors, or with what is no GraphQL."""


class Client:
    """Speaks to the API at `url` (`http://…/graphql`) under a token."""

    def __init__(self, http: httpx.AsyncClient, url: str, token: str) -> None:
        self._http = http
        self._url = url
        self._authorization = f"Bearer {token}"

    async def ask(self, query: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
        """The data of a query or mutation. Raises `ApiError`, and `httpx.HTTPError` where there was no answer."""
        response = await self._http.post(
            self._url,
            content=orjson.dumps({"query": query, "variables": variables}),
            headers={"Authorization": self._authorization, "Content-Type": "application/json"},
        )
        try:
            answer = response.json()
        except ValueError as error:
            raise ApiError(f"HTTP {response.status_code}, and no GraphQL") from error
        return _data(answer)

    async def mutate(self, name: str, given: dict[str, Any], fields: str) -> dict[str, Any]:
        """The order after a mutation. Raises `ApiError` for a refusal, too."""
        input_type = f"{name[0].upper()}{name[1:]}Input!"
        payload = (
            await self.ask(
                f"mutation ($input: {input_type}) {{"
                f" {name}(input: $input) {{ order {{ {fields} }} userErrors {{ code message }} }} }}",
                {"input": given},
            )
        )[name]
        if payload["userErrors"]:
            raise ApiError("; ".join(f"{error['code']}: {error['message']}" for error in payload["userErrors"]))
        order: dict[str, Any] = payload["order"]
        return order

    async def follow(self, query: str, variables: dict[str, Any] | None = None) -> AsyncGenerator[dict[str, Any], None]:
        """The data of a subscription's answers, until the server ends it.

        Raises `ApiError` for errors, and `websockets.ConnectionClosed` where the connection breaks.
        """
        async with connect(
            self._url.replace("http", "ws", 1),
            subprotocols=[Subprotocol("graphql-transport-ws")],
            compression=None,
            max_size=None,
            proxy=None,
        ) as socket:

            async def send(message: dict[str, Any]) -> None:
                await socket.send(orjson.dumps(message), text=True)

            await send({"type": "connection_init", "payload": {"Authorization": self._authorization}})
            async for text in socket:
                message = orjson.loads(text)
                match message["type"]:
                    case "connection_ack":
                        request = {"query": query, "variables": variables}
                        await send({"id": "1", "type": "subscribe", "payload": request})
                    case "ping":
                        await send({"type": "pong"})
                    case "next":
                        yield _data(message["payload"])
                    case "error":
                        _data({"errors": message["payload"]})
                    case "complete":
                        return


def _data(answer: Any) -> dict[str, Any]:
    if not isinstance(answer, dict) or "errors" in answer or not isinstance(answer.get("data"), dict):
        errors = answer.get("errors") if isinstance(answer, dict) else None
        raise ApiError("; ".join(error["message"] for error in errors) if errors else "this is no GraphQL API")
    data: dict[str, Any] = answer["data"]
    return data


@asynccontextmanager
async def client_of(url: str, token: str) -> AsyncIterator[Client]:
    """A client whose connections are closed with the block. It goes to the server directly, past any proxy."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(timeout=SECONDS, limits=limits, trust_env=False) as http:
        yield Client(http, url, token)
