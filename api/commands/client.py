"""A client of the API, for the commands that are users of it.

GraphQL over HTTP, subscriptions over WebSocket or as server-sent events.
"""

import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

SECONDS = 60  # for which one answer is waited for


Cut = Callable[[], None]


class ApiError(Exception):
    """The API answered with errors, or with what is no GraphQL.

    `code` is the first error's `extensions.code`, or None if there is none.
    """

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


class Refused(ApiError):
    """The API would not carry out a mutation. `code` is that of the first user error."""


class Client:
    """Speaks to the API at `url` (`http://…/graphql`) under a token."""

    def __init__(self, http: httpx.AsyncClient, url: str, token: str) -> None:
        self._http = http
        self._url = url
        self._authorization = f"Bearer {token}"

    async def ask(self, query: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the data of a query or mutation. Raise `ApiError`, or `httpx.HTTPError` if there was no answer."""
        response = await self._http.post(self._url, **self._request(query, variables))
        return _data(_graphql(response))

    async def mutate(self, name: str, given: dict[str, Any], fields: str) -> dict[str, Any]:
        """Return the order after a mutation. Raise `Refused`, and what `ask` raises."""
        input_type = f"{name[0].upper()}{name[1:]}Input!"
        payload = (
            await self.ask(
                f"mutation ($input: {input_type}) {{"
                f" {name}(input: $input) {{ order {{ {fields} }} userErrors {{ code message }} }} }}",
                {"input": given},
            )
        )[name]
        if errors := payload["userErrors"]:
            raise Refused("; ".join(f"{error['code']}: {error['message']}" for error in errors), errors[0]["code"])
        order: dict[str, Any] = payload["order"]
        return order

    def _request(self, query: str, variables: dict[str, Any] | None) -> dict[str, Any]:
        return {
            "content": orjson.dumps({"query": query, "variables": variables}),
            "headers": {"Authorization": self._authorization, "Content-Type": "application/json"},
        }

    async def follow(
        self, query: str, variables: dict[str, Any] | None = None, opened: Callable[[Cut], None] = lambda _: None
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the data of a subscription's answers, until the server ends it.

        `opened` is given a function that cuts the connection without telling the server. Raise `ApiError` for errors,
        and `websockets.WebSocketException` or `OSError` if the connection breaks.
        """
        async with connect(
            self._url.replace("http", "ws", 1),
            subprotocols=[Subprotocol("graphql-transport-ws")],
            compression=None,
            max_size=None,
            proxy=None,
        ) as connection:
            opened(connection.transport.abort)

            async def send(message: dict[str, Any]) -> None:
                await connection.send(orjson.dumps(message), text=True)

            await send({"type": "connection_init", "payload": {"Authorization": self._authorization}})
            async for text in connection:
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

    async def stream(
        self, query: str, variables: dict[str, Any] | None = None, opened: Callable[[Cut], None] = lambda _: None
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Yield as `follow` does, by server-sent events. Raise `httpx.HTTPError` if the connection breaks."""
        request = self._request(query, variables)
        request["headers"]["Accept"] = "text/event-stream"
        async with self._http.stream("POST", self._url, **request) as response:
            if not response.headers["Content-Type"].startswith("text/event-stream"):
                await response.aread()
                _data(_graphql(response))
                raise ApiError(f"HTTP {response.status_code}, and no event stream")
            opened(lambda: _shut(response))
            async for line in response.aiter_lines():
                if line == "event: complete":
                    return
                if line.startswith("data: "):
                    yield _data(orjson.loads(line.removeprefix("data: ")))


def _shut(response: httpx.Response) -> None:
    response.extensions["network_stream"].get_extra_info("socket").shutdown(socket.SHUT_RDWR)


def _graphql(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError as error:
        code = "UNAVAILABLE" if response.status_code == httpx.codes.SERVICE_UNAVAILABLE else None
        raise ApiError(f"HTTP {response.status_code}, and no GraphQL", code) from error


def _data(answer: Any) -> dict[str, Any]:
    if not isinstance(answer, dict) or "errors" in answer or not isinstance(answer.get("data"), dict):
        errors = answer.get("errors") if isinstance(answer, dict) else None
        if not errors:
            raise ApiError("this is no GraphQL API")
        code = errors[0].get("extensions", {}).get("code")
        raise ApiError("; ".join(error["message"] for error in errors), code)
    data: dict[str, Any] = answer["data"]
    return data


@asynccontextmanager
async def client_of(url: str, token: str, seconds: float = SECONDS) -> AsyncIterator[Client]:
    """Yield a client whose connections are closed with the block. It goes to the server directly, past any proxy.

    It waits for one answer, or for the next part of a stream, for so many seconds.
    """
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(timeout=seconds, limits=limits, trust_env=False) as http:
        yield Client(http, url, token)
