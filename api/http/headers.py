"""Headers for browsers on every HTTP answer."""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),  # an answer is never taken for a script or a page
    (b"referrer-policy", b"no-referrer"),  # addresses of documents have their signature in them
)


class SecurityHeaders:
    """ASGI middleware that adds them. A page sets its own; HSTS is for the proxy that has the certificate."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        await self._app(scope, receive, sending)
