"""API tokens: 32 random bytes behind a readable prefix, of which only the SHA-256 is kept."""

import hashlib
import hmac
import secrets
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from domain.actors import Actor, Scope
from domain.change import command
from domain.channels import ensure_channel
from domain.errors import InvalidInput, NotFound
from domain.fulfillments.services import require_service
from domain.validation import required_text
from models import ApiToken
from models.enums import ActorKind

PREFIX = "ost_"


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


@command
async def create_token(
    *,
    actor: Actor,
    name: str,
    scopes: Collection[Scope],
    channels: Sequence[str] = (),
    service: str | None = None,
    expires_in: timedelta | None = None,
) -> tuple[ApiToken, str]:
    """A new token and its secret, which cannot be read again. Without channels it is good for all of them.

    A channel that does not exist is opened. That of a fulfillment service is good for answering what the service is
    asked, and nothing else. Raises `InvalidInput`.
    """
    actor.require(Scope.TOKENS_WRITE)
    name = required_text(name, "name", longest=255)
    if not scopes:
        raise InvalidInput("A token needs at least one scope.", "scopes")
    if service is not None and set(scopes) != {Scope.FULFILLMENT_WRITE}:
        raise InvalidInput("The token of a fulfillment service has the scope fulfillment:write alone.", "scopes")
    shipper = None if service is None else await require_service(service, "service")
    bound = [str((await ensure_channel(actor, code)).id) for code in channels]
    secret = PREFIX + secrets.token_urlsafe(32)
    now = datetime.now(UTC)
    token = await ApiToken.create(
        name=name,
        prefix=secret[: len(PREFIX) + 6],
        hash=_hash(secret),
        scopes=sorted(scope.value for scope in scopes),
        channel_ids=bound or None,
        service=shipper,
        created_at=now,
        expires_at=now + expires_in if expires_in else None,
    )
    return token, secret


async def list_tokens(*, actor: Actor) -> list[ApiToken]:
    actor.require(Scope.TOKENS_WRITE)
    return await ApiToken.all().order_by("created_at")


async def revoke_token(*, actor: Actor, prefix_or_id: str) -> ApiToken:
    """End a token for ever; once more is no error. Raises `NotFound`, and `InvalidInput` where several are meant."""
    actor.require(Scope.TOKENS_WRITE)
    try:
        tokens = await ApiToken.filter(id=UUID(prefix_or_id))
    except ValueError:
        tokens = await ApiToken.filter(prefix=prefix_or_id)
    if not tokens:
        raise NotFound("There is no such token.", "token")
    if len(tokens) > 1:
        raise InvalidInput("Several tokens begin like this; give the id.", "token")
    [token] = tokens
    if token.revoked_at is None:
        token.revoked_at = datetime.now(UTC)
        await token.save(update_fields=["revoked_at"])
    return token


async def authenticate(secret: str) -> Actor | None:
    """Whose token this is; `None` for one that is unknown, expired or revoked."""
    if not secret.startswith(PREFIX):
        return None
    digest = _hash(secret)
    token = await ApiToken.get_or_none(hash=digest)
    if token is None or not hmac.compare_digest(token.hash, digest) or _has_ended(token):
        return None
    return Actor(
        kind=ActorKind.TOKEN,
        id=str(token.id),
        name=token.name,
        scopes=frozenset(Scope(scope) for scope in token.scopes),
        channel_ids=None if token.channel_ids is None else frozenset(map(UUID, token.channel_ids)),
        service_id=token.service_id,
    )


async def ended_tokens(ids: Collection[str]) -> set[str]:
    """Those of the token ids that have been revoked or have expired since."""
    tokens = await ApiToken.filter(id__in=list(ids))
    alive = {str(token.id) for token in tokens if not _has_ended(token)}
    return set(ids) - alive


def _has_ended(token: ApiToken) -> bool:
    return token.revoked_at is not None or (token.expires_at is not None and token.expires_at <= datetime.now(UTC))
