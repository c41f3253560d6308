"""API tokens: 32 random bytes behind a readable prefix, of which only the SHA-256 is kept."""

import hashlib
import hmac
import secrets
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID
from weakref import WeakSet

from tortoise.expressions import Q

from domain import cursors
from domain.actors import Actor, Scope
from domain.change import change, command
from domain.channels import ensure_channel
from domain.errors import InvalidInput, NotFound
from domain.fulfillments.services import require_service
from domain.paging import PageRequest
from domain.validation import moment, required_text
from models import ApiToken, FulfillmentService, RetiredSecret
from models.engine import rows
from models.enums import ActorKind
from models.vocabularies import Vocabulary, stored_word

PREFIX: Final = "ost_"
DEFAULT_GRACE: Final = timedelta(hours=1)
LONGEST_GRACE: Final = timedelta(days=30)
USE_PERIOD: Final = timedelta(minutes=1)  # in which the use of a token is written once
KNOWN_SECONDS: Final = 1.0  # for which a process may not know that another one has ended a token

_CURSOR: Final = "token"


class TokenState(Vocabulary):
    """Whether a token is good."""

    ACTIVE = "ACTIVE", "It is."
    EXPIRED = "EXPIRED", "It has ended by itself."
    REVOKED = "REVOKED", "Somebody has ended it."


@dataclass(frozen=True, slots=True)
class TokenPage:
    tokens: Sequence[ApiToken]
    has_next_page: bool


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _new_secret(token: ApiToken) -> str:
    """Give the token a new secret, and return it. The caller saves the token."""
    secret = PREFIX + secrets.token_urlsafe(32)
    token.prefix, token.hash = secret[: len(PREFIX) + 6], _hash(secret)
    return secret


@command(Scope.TOKENS_WRITE)
async def create_token(
    *,
    actor: Actor,
    name: str,
    scopes: Collection[Scope],
    channels: Sequence[str] = (),
    service: str | None = None,
    expires_at: datetime | None = None,
    registered_only: bool = False,
) -> tuple[ApiToken, str]:
    """Return a new token and its secret, which cannot be read again. Without channels it is good for all of them.

    A channel that does not exist is opened. The token of a fulfillment service is good for answering what the service
    is asked, and nothing else. With `registered_only` it is good for registered documents alone.

    Callers give away no more than they have. If the caller's own token is good for registered documents alone, so is
    the new one. Raise `InvalidInput`.
    """
    name = required_text(name, "name", longest=255)
    _require_grantable(actor, scopes)
    now = datetime.now(UTC)
    if expires_at is not None and (expires_at := moment(expires_at, "expires_at")) <= now:
        raise InvalidInput("This time has passed already.", "expires_at")
    if not channels and actor.channel_ids is not None:
        raise InvalidInput("Your channels are limited: say for which of them the token is.", "channels")
    async with change(actor):
        creator_id = await _lock_own(actor)
        token = ApiToken(
            name=name,
            scopes=sorted(scope.value for scope in set(scopes)),
            channel_ids=[str((await ensure_channel(actor, code, "channels")).id) for code in channels] or None,
            service=await _service(service, scopes),
            registered_only=registered_only or actor.registered_only,
            created_at=now,
            created_by=actor.name,
            creator_id=creator_id,
            expires_at=expires_at,
        )
        secret = _new_secret(token)
        await rows.add(token)
    return token, secret


def _require_grantable(actor: Actor, scopes: Collection[Scope]) -> None:
    if not scopes:
        raise InvalidInput("A token needs at least one scope.", "scopes")
    if lacking := sorted(set(scopes) - actor.scopes):
        raise InvalidInput(f"You do not have the scope {lacking[0].value} yourself.", "scopes")


def _require_givable(actor: Actor, token: ApiToken) -> None:
    """Raise `InvalidInput` unless the token is the caller's own, or they could have created one with its rights."""
    if str(token.id) == actor.id:
        return
    if lacking := sorted(_all_scopes(token) - actor.scopes):
        raise InvalidInput(f"You do not have the scope {lacking[0]} yourself.", "scopes")
    if actor.registered_only and not token.registered_only:
        raise InvalidInput("This token may send any document, yours registered ones alone.", "token_id")


async def _lock_own(actor: Actor) -> UUID | None:
    """Return the key of the caller's API token, and keep it from being revoked until this transaction ends.

    So nobody creates a token that is missed when theirs is revoked with all that it has created.
    """
    if actor.secret_hash is None or actor.id is None:
        return None
    own = await ApiToken.filter(id=UUID(actor.id)).select_for_update().get()
    if own.revoked_at is not None:
        raise InvalidInput("Your own token has been revoked.")
    return own.id


async def _service(code: str | None, scopes: Collection[Scope]) -> FulfillmentService | None:
    if code is None:
        return None
    if set(scopes) != {Scope.FULFILLMENT_WRITE}:
        raise InvalidInput("The token of a fulfillment service has the scope fulfillment:write alone.", "scopes")
    return await require_service(code, "service")


async def list_tokens(*, actor: Actor, after: UUID | None = None, limit: int | None = None) -> list[ApiToken]:
    """Return the tokens that the caller manages, oldest first: those whose channels are all the caller's, too."""
    actor.require(Scope.TOKENS_WRITE)
    query = ApiToken.filter() if after is None else ApiToken.filter(id__gt=after)
    query = query.order_by("id")
    if actor.channel_ids is None:
        return await (query if limit is None else query.limit(limit))
    return [token for token in await query if _manages(actor, token)][:limit]


async def token_page(*, actor: Actor, request: PageRequest) -> TokenPage:
    """Return a page of the tokens that the caller manages. Raise `InvalidInput`."""
    actor.require(Scope.TOKENS_WRITE)
    size = request.size
    after = None if request.after is None else cursors.decode_key(request.after, _CURSOR, "after")
    found = await list_tokens(actor=actor, after=after, limit=size + 1)
    return TokenPage(found[:size], len(found) > size)


def cursor_of(token: ApiToken) -> str:
    return cursors.encode(_CURSOR, str(token.id))


def _manages(actor: Actor, token: ApiToken) -> bool:
    if actor.channel_ids is None:
        return True
    return token.channel_ids is not None and actor.channel_ids.issuperset(map(UUID, token.channel_ids))


async def find_token(*, actor: Actor, prefix_or_id: str) -> UUID:
    """Return the key of the token that begins like this. Raise `NotFound`, or `InvalidInput` if several do."""
    tokens = [
        str(token.id) for token in await list_tokens(actor=actor) if prefix_or_id in (str(token.id), token.prefix)
    ]
    if not tokens:
        raise NotFound("There is no such token.", "token_id")
    if len(tokens) > 1:
        raise InvalidInput("Several tokens begin like this; give the id.", "token_id")
    return UUID(tokens[0])


@command(Scope.TOKENS_WRITE)
async def revoke_token(*, actor: Actor, token_id: UUID, with_created: bool = False) -> ApiToken:
    """End a token for ever, one's own too; once more is no error.

    If `with_created`, end the tokens that it has created, too, and those that these have created. Only callers who
    could have created a token revoke it. Raise `NotFound` and `InvalidInput`.
    """
    async with change(actor):
        token = await _lock(actor, token_id)
        ending = [token]
        if with_created:
            ending += await _created_by(token.id, lock=True)
        for each in ending:
            if actor.kind is not ActorKind.SYSTEM:  # operators end what a later version has created, too
                _require_givable(actor, each)
            if each.revoked_at is None:
                each.revoked_at, each.revoked_by = datetime.now(UTC), actor.name
                await rows.save(each, "revoked_at", "revoked_by")
    _forget_callers()
    return token


async def created_tokens(*, actor: Actor, token_id: UUID) -> list[ApiToken]:
    """Return the tokens that this one has created, and those that these have created, as far as the caller manages
    them."""
    actor.require(Scope.TOKENS_WRITE)
    return [each for each in await _created_by(token_id) if _manages(actor, each)]


async def _created_by(token_id: UUID, *, lock: bool = False) -> list[ApiToken]:
    found: list[ApiToken] = []
    creators = [token_id]
    while creators:
        query = ApiToken.filter(creator_id__in=creators).order_by("id")
        created = await (query.select_for_update() if lock else query)
        found += created
        creators = [each.id for each in created]
    return found


@command(Scope.TOKENS_WRITE)
async def rotate_token(*, actor: Actor, token_id: UUID, grace: timedelta = DEFAULT_GRACE) -> tuple[ApiToken, str]:
    """Return the same token with a new secret, which cannot be read again.

    The secret that it had, and what is open under it, are good for as long as `grace`; one that was to end before that
    still does. Only callers who could have created the token rotate it. Raise `NotFound` and `InvalidInput`.
    """
    if not timedelta(0) <= grace <= LONGEST_GRACE:
        raise InvalidInput(f"A grace period is 0 to {LONGEST_GRACE.days} days long.", "grace_seconds")
    async with change(actor):
        token = await _lock(actor, token_id)
        _require_givable(actor, token)
        if state_of(token) is not TokenState.ACTIVE:
            raise InvalidInput("This token has ended: create another one.", "token_id")
        now = datetime.now(UTC)
        retired = RetiredSecret.filter(token_id=token.id)
        await retired.filter(good_until__lte=now).delete()
        await retired.filter(good_until__gt=now + grace).update(good_until=now + grace)
        await RetiredSecret.create(token_id=token.id, hash=token.hash, good_until=now + grace)
        secret = _new_secret(token)
        await rows.save(token, "prefix", "hash")
    _forget_callers()
    return token, secret


async def _lock(actor: Actor, token_id: UUID) -> ApiToken:
    """Return the token, locked until the transaction ends. Raise `NotFound`."""
    token = await ApiToken.filter(id=token_id).select_for_update().get_or_none()
    if token is None or not _manages(actor, token):
        raise NotFound("There is no such token.", "token_id")
    return token


def state_of(token: ApiToken) -> TokenState:
    if token.revoked_at is not None:
        return TokenState.REVOKED
    ended = token.expires_at is not None and token.expires_at <= datetime.now(UTC)
    return TokenState.EXPIRED if ended else TokenState.ACTIVE


def _in_grace() -> Q:
    """Match the retired secrets that are still good. One with a longer grace than any was retired by a wrong clock."""
    now = datetime.now(UTC)
    return Q(good_until__gt=now, good_until__lte=now + LONGEST_GRACE)


def scopes_of(token: ApiToken) -> list[Scope]:
    """Return its scopes, also those that only a later version knows."""
    return [stored_word(Scope, scope) for scope in sorted(_all_scopes(token))]


def _all_scopes(token: ApiToken) -> set[str]:
    implied = {Scope.CUSTOMERS_READ} if token.implies_customers_read and Scope.ORDERS_READ in token.scopes else set()
    return {*token.scopes, *implied}


async def authenticate(secret: str) -> Actor | None:
    """Return the actor of the token with this secret. Return None if it is unknown, expired, retired or revoked."""
    if not secret.startswith(PREFIX):
        return None
    digest = _hash(secret)
    token, good_until = next(iter(await rows.read_by(ApiToken, "hash", [digest])), None), None
    if token is None:  # only an old or an unknown secret is looked up twice
        retired = await RetiredSecret.get_or_none(_in_grace(), hash=digest).select_related("token")
        if retired is None:
            return None
        token, good_until = retired.token, retired.good_until
    elif not hmac.compare_digest(token.hash, digest):
        return None
    if state_of(token) is not TokenState.ACTIVE:
        return None
    ends = [each for each in (token.expires_at, good_until) if each is not None]
    scopes = _all_scopes(token)
    return Actor(
        kind=ActorKind.TOKEN,
        id=str(token.id),
        name=token.name,
        scopes=frozenset(scope for scope in Scope if scope in scopes),
        channel_ids=None if token.channel_ids is None else frozenset(map(UUID, token.channel_ids)),
        service_id=token.service_id,
        registered_only=token.registered_only,
        good_until=min(ends, default=None),
        secret_hash=digest,
    )


class Callers:
    """Knows whose tokens they are, and looks each up once a second at most: every request asks.

    A token that ends here is unknown at once, one that another process ends after `KNOWN_SECONDS`.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[Actor, float]] = {}
        _callers.add(self)

    async def find(self, secret: str) -> Actor | None:
        """Return what `authenticate` returns, which is remembered for a moment."""
        actor, until = self._known.get(secret, (None, 0.0))
        if time.monotonic() < until:
            return actor
        known, begun = self._known, time.monotonic()
        actor = await authenticate(secret)
        if actor is not None:
            left = KNOWN_SECONDS if actor.good_until is None else (actor.good_until - datetime.now(UTC)).total_seconds()
            known[secret] = actor, begun + min(KNOWN_SECONDS, left)
        return actor

    def forget(self) -> None:
        """Look them all up anew; who is being looked up now is not remembered."""
        self._known = {}


_callers: WeakSet[Callers] = WeakSet()


def _forget_callers() -> None:
    for callers in _callers:
        callers.forget()


async def ended_secrets(hashes: Collection[str]) -> set[str]:
    """Return the hashes of the secrets whose token has been revoked, or whose grace period is over."""
    current = ApiToken.filter(hash__in=list(hashes), revoked_at=None).values_list("hash", flat=True)
    others = set(hashes) - {str(each) for each in await current}
    if not others:
        return others
    retired = RetiredSecret.filter(_in_grace(), hash__in=list(others), token__revoked_at=None)
    return others - {str(each) for each in await retired.values_list("hash", flat=True)}


async def record_use(token_ids: Collection[str]) -> None:
    """Write down that these tokens are in use, unless that was written within `USE_PERIOD`.

    A use that is still to come was written while the clock was ahead.
    """
    now = datetime.now(UTC)
    stale = Q(last_used_at=None) | Q(last_used_at__lte=now - USE_PERIOD) | Q(last_used_at__gt=now + USE_PERIOD)
    await ApiToken.filter(stale, id__in=list(token_ids)).update(last_used_at=now)
