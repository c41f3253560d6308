"""The public keys of an OpenID Connect issuer. They are fetched ahead, cached, and fetched again for an unknown key id.

https://openid.net/specs/openid-connect-discovery-1_0.html
"""

import asyncio
import logging
import time
from typing import Any, Final

import orjson
from jwt import PyJWK, PyJWKSet

from api.settings import is_private_way
from domain.egress import without_user
from effects.outgoing import Outgoing

log = logging.getLogger(__name__)

# Signatures by a key pair only: nobody who knows what an issuer publishes can make one (RFC 8725, section 3.1).
ALGORITHMS: Final = ("RS256", "ES256", "EdDSA")

REFRESH_SECONDS = 3600.0
PAUSE_SECONDS = 10.0  # between two requests to the issuer, even if clients make up keys

_FETCH_SECONDS: Final = 5.0
_OK: Final = 200
MOST_BYTES: Final = 1_000_000  # of an answer


class IssuerUnavailable(Exception):
    """The issuer's keys are not known yet, and the issuer cannot be reached."""

    def __init__(self) -> None:
        super().__init__("Who logs people in cannot be reached at the moment. Try again.")


class IssuerKeys:
    """The keys of one issuer. If it cannot be reached, the last known keys stay valid."""

    def __init__(self, issuer: str, outgoing: Outgoing) -> None:
        self._issuer = issuer
        self._outgoing = outgoing
        self._keys: list[PyJWK] | None = None
        self._asked = float("-inf")
        self._fetching: asyncio.Task[bool] | None = None

    async def run(self) -> None:
        """Fetch the keys now and then, so that no request waits for them, until this is cancelled."""
        try:
            while True:
                fetched = await self._fetch()
                await asyncio.sleep(REFRESH_SECONDS if fetched else PAUSE_SECONDS)
        finally:
            if self._fetching is not None:
                self._fetching.cancel()
            await self._outgoing.close()

    async def find(self, kid: str | None) -> PyJWK | None:
        """Return the key with this id, or the only key if there is no id; None if there is no such key.

        Raise `IssuerUnavailable`.
        """
        key = self._known(kid)
        if key is None and (self._is_fetching() or time.monotonic() - self._asked >= PAUSE_SECONDS):
            await self._fetch()
            key = self._known(kid)
        if self._keys is None:
            raise IssuerUnavailable
        return key

    def _known(self, kid: str | None) -> PyJWK | None:
        keys = self._keys or []
        found = keys if kid is None else [key for key in keys if key.key_id == kid]
        return found[0] if len(found) == 1 else None

    def _is_fetching(self) -> bool:
        return self._fetching is not None and not self._fetching.done()

    async def _fetch(self) -> bool:
        """Fetch the keys. Return whether that worked. Callers that come meanwhile wait for the same answer."""
        if not self._is_fetching():
            self._asked = time.monotonic()
            self._fetching = asyncio.create_task(self._ask())
        assert self._fetching is not None
        return await asyncio.shield(self._fetching)

    async def _ask(self) -> bool:
        try:
            async with asyncio.timeout(_FETCH_SECONDS):
                document = await self._read(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
                if document["issuer"] != self._issuer:
                    raise ValueError(f"the document is of another issuer, {document['issuer']!r}")
                self._keys = _usable(await self._read(document["jwks_uri"]))
        except Exception as error:  # whatever an issuer answers, the keys that are known stay
            log.warning("the keys of the OpenID Connect issuer could not be had: %r", error)
            return False
        return True

    async def _read(self, url: str) -> Any:
        if not is_private_way(url):
            raise ValueError(f"{without_user(url)!r} is not an https address")
        answer = await self._outgoing.call("GET", url, seconds=_FETCH_SECONDS)
        if answer.status != _OK:
            raise ValueError(f"it answers with HTTP {answer.status}")
        return orjson.loads(answer.body)


def _usable(document: dict[str, Any]) -> list[PyJWK]:
    """Return the keys for signatures of the accepted kinds. Raise `ValueError` if there are none."""
    keys = [
        key
        for key in PyJWKSet.from_dict(document).keys
        if key.algorithm_name in ALGORITHMS and key.public_key_use in (None, "sig")
    ]
    if not keys:
        raise ValueError("it publishes no key that can be used")
    return keys
