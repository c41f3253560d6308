"""Authentication by tokens, and the end of connections whose token ends."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

from api.callers.oidc import Issuer, is_jwt
from domain.actors import Actor
from domain.tokens import USE_PERIOD, Callers, ended_secrets, record_use
from models.engine.errors import DatabaseUnavailable

log = logging.getLogger(__name__)

WATCH_SECONDS = 1.0
_CLOSE_SECONDS: Final = 0.5


class InvalidToken(Exception):
    """A token was sent, but it is malformed, unknown, expired or revoked."""

    def __init__(self) -> None:
        super().__init__("This token is not valid: it is unknown, expired or revoked.")


class TokenWatch:
    """Authenticates callers by their tokens, and ends what they have open soon after the token ends.

    It also records when API tokens were last used. No request waits for that.
    """

    def __init__(self, issuer: Issuer | None = None) -> None:
        self._issuer = issuer
        self._callers = Callers()
        self._open: dict[Actor, set[Callable[[], None]]] = {}
        self._used: set[str] = set()

    async def actor_of(self, authorization: Any) -> Actor | None:
        """Return the caller of a `Bearer TOKEN` header, or None if there is no header.

        Raise `InvalidToken`, and `IssuerUnavailable` for a JWT that cannot be checked.
        """
        if authorization is None:
            return None
        if not isinstance(authorization, str):
            raise InvalidToken
        scheme, _, token = authorization.partition(" ")
        actor = await self._actor_by(token.strip()) if scheme.lower() == "bearer" else None
        if actor is None:
            raise InvalidToken
        self._note_use(actor)
        return actor

    async def _actor_by(self, token: str) -> Actor | None:
        if self._issuer is not None and is_jwt(token):
            return await self._issuer.actor_of(token)
        return await self._callers.find(token)

    def _note_use(self, actor: Actor) -> None:
        if actor.secret_hash is not None and actor.id is not None:
            self._used.add(actor.id)

    @contextlib.contextmanager
    def on_token_end(self, actor: Actor | None, end: Callable[[], None]) -> Iterator[None]:
        """Call `end` if the caller's token expires or is revoked while the block runs."""
        if actor is None:
            yield
            return
        ends = self._open.setdefault(actor, set())
        ends.add(end)
        try:
            yield
        finally:
            ends.discard(end)
            if not ends:
                self._open.pop(actor, None)

    async def run(self) -> None:
        """Watch the tokens until this is cancelled."""
        written = time.monotonic()
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            self._callers.forget()  # nearly all of it is too old by now
            try:
                await self._end_what_has_ended()
                if time.monotonic() - written >= USE_PERIOD.total_seconds():
                    written = time.monotonic()
                    await self._record_use()
            except Exception:
                log.exception("the tokens could not be checked; trying again in a moment")

    async def _end_what_has_ended(self) -> None:
        now = datetime.now(UTC)
        self._end(lambda actor: actor.good_until is not None and actor.good_until <= now)
        if hashes := {actor.secret_hash for actor in self._open if actor.secret_hash is not None}:
            ended = await ended_secrets(hashes)
            self._end(lambda actor: actor.secret_hash in ended)

    def _end(self, has_ended: Callable[[Actor], bool]) -> None:
        for actor in [actor for actor in self._open if has_ended(actor)]:
            for end in list(self._open.get(actor, ())):
                end()

    async def close(self) -> None:
        """Record what is not recorded yet, if the database answers at once."""
        with contextlib.suppress(DatabaseUnavailable, TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._record_use()

    async def _record_use(self) -> None:
        """Record the tokens used since the last time. A token with something open is in use."""
        for actor in self._open:
            self._note_use(actor)
        if used := set(self._used):
            await record_use(used)
            self._used -= used
