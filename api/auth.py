"""Who is calling: API tokens in headers and in `connection_init`, and the end of connections whose token ends."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

from domain.actors import Actor
from domain.tokens import authenticate, ended_tokens

log = logging.getLogger(__name__)

WATCH_SECONDS = 1.0


class InvalidToken(Exception):
    """A token was sent, but it is malformed, unknown, expired or revoked."""

    def __init__(self) -> None:
        super().__init__("This token is not valid: it is unknown, expired or revoked.")


async def actor_of(authorization: Any) -> Actor | None:
    """The caller by `Bearer TOKEN`; `None` where nothing was sent. Raises `InvalidToken`."""
    if authorization is None:
        return None
    if not isinstance(authorization, str):
        raise InvalidToken
    scheme, _, secret = authorization.partition(" ")
    actor = await authenticate(secret.strip()) if scheme.lower() == "bearer" else None
    if actor is None:
        raise InvalidToken
    return actor


class TokenWatch:
    """Ends what is open under a token soon after the token is revoked or expires."""

    def __init__(self) -> None:
        self._open: dict[str, set[Callable[[], None]]] = {}

    @contextlib.contextmanager
    def ends_with(self, actor: Actor | None, end: Callable[[], None]) -> Iterator[None]:
        """While the block runs, `end` is called if the caller's token ends."""
        if actor is None or actor.id is None:
            yield
            return
        ends = self._open.setdefault(actor.id, set())
        ends.add(end)
        try:
            yield
        finally:
            ends.discard(end)
            if not ends:
                self._open.pop(actor.id, None)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            try:
                ended = await ended_tokens(list(self._open)) if self._open else set()
            except Exception:
                log.exception("the tokens could not be checked; trying again in a moment")
                continue
            for token_id in ended:
                for end in list(self._open.get(token_id, ())):
                    end()
