"""Tokens of people: JWTs of an OpenID Connect issuer, checked as RFC 7519, RFC 8725 and RFC 9068 ask."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import jwt

from api.callers.issuer_keys import ALGORITHMS, MOST_BYTES, IssuerKeys
from api.settings import Settings
from domain.actors import Actor, Scope
from domain.people import person
from effects.outgoing import Outgoing

log = logging.getLogger(__name__)

SKEW: Final = timedelta(seconds=60)  # by which the issuer's clock and ours may differ
LONGEST_JWT: Final = 16 * 1024  # characters

EVERY_CHANNEL: Final = "*"

_SCOPES: Final = frozenset(Scope)
_TYPES: Final = (None, "jwt", "at+jwt", "application/at+jwt")  # others are for something else, such as logging out
_NAMES: Final = ("name", "preferred_username", "email", "sub")
_LATEST: Final = datetime(9000, 1, 1, tzinfo=UTC)


def is_jwt(token: str) -> bool:
    """Return whether a token has the shape of a JWT: three parts."""
    return token.count(".") == 2


@dataclass(frozen=True, slots=True)
class ClaimsMapping:
    """Which claims give a person's rights. `roles` maps words that are not scopes to scopes.

    As long as no role has `customers:read`, everybody with `orders:read` has it too, because the mapping is older than
    that scope.
    """

    scopes_claim: str
    roles: Mapping[str, list[Scope]]
    channels_claim: str | None

    def scopes(self, claims: Mapping[str, Any]) -> set[Scope]:
        """Return the scopes of all known words. Other words are ignored."""
        words = _words(_claim(claims, self.scopes_claim))
        known = {Scope(word) for word in words if word in _SCOPES}
        known = known.union(*(self.roles.get(word, ()) for word in words))
        if Scope.ORDERS_READ in known and not self._knows_customers_read:
            known.add(Scope.CUSTOMERS_READ)
        return known

    @property
    def _knows_customers_read(self) -> bool:
        return any(Scope.CUSTOMERS_READ in scopes for scopes in self.roles.values())

    def channels(self, claims: Mapping[str, Any]) -> list[str] | None:
        """Return the channels' codes, or None for every channel."""
        if self.channels_claim is None:
            return None
        codes = _words(_claim(claims, self.channels_claim))
        return None if EVERY_CHANNEL in codes else codes


class Issuer:
    """Authenticates people who have logged in at the issuer. `keys.run()` must be running."""

    def __init__(self, issuer: str, audience: str, mapping: ClaimsMapping, keys: IssuerKeys) -> None:
        self._issuer = issuer
        self._audience = audience
        self._mapping = mapping
        self.keys = keys

    async def actor_of(self, token: str) -> Actor | None:
        """Return the person of this JWT, or None if the JWT is not valid. Raise `IssuerUnavailable`."""
        try:
            claims = await self._claims(token)
        except (jwt.PyJWTError, ValueError) as error:
            log.info("refused a JWT: %s", type(error).__name__)  # the message may have parts of it
            return None
        end = datetime.fromtimestamp(min(int(claims["exp"]), _LATEST.timestamp()), UTC)
        return await person(
            issuer=self._issuer,
            subject=claims["sub"],
            name=next(value for each in _NAMES if isinstance(value := claims.get(each), str) and value.strip()),
            scopes=self._mapping.scopes(claims),
            channels=self._mapping.channels(claims),
            good_until=end + SKEW,
        )

    async def _claims(self, token: str) -> dict[str, Any]:
        """Return the claims of a valid JWT. Raise `PyJWTError` or `ValueError` otherwise."""
        if len(token) > LONGEST_JWT:
            raise jwt.DecodeError
        header = jwt.get_unverified_header(token)
        if header.get("alg") not in ALGORITHMS:
            raise jwt.InvalidAlgorithmError
        kind = header.get("typ")
        if (kind.lower() if isinstance(kind, str) else kind) not in _TYPES:
            raise jwt.InvalidTokenError
        key = await self.keys.find(header.get("kid"))
        if key is None:
            raise jwt.InvalidKeyError
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=ALGORITHMS,
            audience=self._audience,
            issuer=self._issuer,
            leeway=SKEW,
            options={"require": ["exp", "iss", "aud", "sub"], "enforce_minimum_key_length": True},
        )
        if not claims["sub"].strip():
            raise jwt.InvalidTokenError
        return claims


def issuer_of(settings: Settings) -> Issuer | None:
    """Return the issuer of the settings, or None if they name none."""
    if settings.oidc_issuer is None or settings.oidc_audience is None:
        return None
    mapping = ClaimsMapping(settings.oidc_scopes_claim, settings.oidc_roles, settings.oidc_channels_claim)
    # The operator has named the issuer; where its keys are is the issuer's word.
    outgoing = Outgoing(settings.egress.including(settings.oidc_issuer), most_bytes=MOST_BYTES)
    return Issuer(settings.oidc_issuer, settings.oidc_audience, mapping, IssuerKeys(settings.oidc_issuer, outgoing))


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """Return the claim of this name. If there is none, take the name as a path with dots."""
    if name in claims:
        return claims[name]
    value: Any = claims
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _words(value: Any) -> list[str]:
    """Return the words of a text with spaces, or of a list."""
    if isinstance(value, str):
        return value.split()
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []
