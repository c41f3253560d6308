"""Which web pages may use the API in a browser: this server's own, and those of the origins in the settings.

Tokens are in headers and messages, which a browser never adds by itself, so no page can act in another's name. The
rules only prevent that another page uses a token that its visitor has typed in, or reads what needs no token.
"""

from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.websockets import WebSocket

from api.http.plain import refused
from api.settings import Settings

PREFLIGHT_SECONDS = 7200  # for which a browser remembers a permission; Chromium does so no longer


def cors(settings: Settings) -> dict[str, Any]:
    """Return the options of Starlette's `CORSMiddleware`."""
    return {
        "allow_origins": settings.cors_origins,
        "allow_methods": ("GET", "POST"),
        "allow_headers": ("*",),
        "expose_headers": ("X-Request-ID", "Retry-After"),
        "max_age": PREFLIGHT_SECONDS,
    }


def is_origin_allowed(headers: Headers, settings: Settings) -> bool:
    """Return whether a WebSocket handshake with these headers is allowed.

    Browsers do not apply CORS to WebSockets, so the server must. Clients that send no Origin are not browsers and are
    allowed. Behind a proxy that changes the host, this server's own origin is that of PUBLIC_URL.
    """
    origin = headers.get("origin")
    if origin is None or "*" in settings.cors_origins or origin.lower() in settings.cors_origins:
        return True
    host = urlsplit(origin).netloc.lower()
    return bool(host) and host in (headers.get("host", "").lower(), urlsplit(settings.public_url or "").netloc.lower())


async def refuse(socket: WebSocket) -> None:
    """Answer the handshake with 403."""
    message = "Web pages of this origin may not use the API: the setting CORS_ORIGINS says which may."
    await socket.send_denial_response(refused(403, message, "FORBIDDEN"))
