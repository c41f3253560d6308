"""API tokens: who may make, see and end which, and how a secret is exchanged for another."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import UUID

import pytest

from domain.actors import Actor, Scope, system
from domain.change import change
from domain.channels import ensure_channel
from domain.errors import ErrorCode, InvalidInput
from domain.paging import PageRequest
from domain.tokens import (
    KNOWN_SECONDS,
    Callers,
    TokenState,
    authenticate,
    create_token,
    created_tokens,
    cursor_of,
    ended_secrets,
    list_tokens,
    record_use,
    revoke_token,
    rotate_token,
    state_of,
    token_page,
)
from models import ApiToken, RetiredSecret
from models.engine.rows import reload
from models.enums import ActorKind
from tests.database import all_rows, is_over_or_waits, while_another_writes
from tests.domain.shop import refused

pytestmark = pytest.mark.usefixtures("database")

ROOT = system("tests")
HOUR = timedelta(hours=1)
MANAGE, READ, WRITE = Scope.TOKENS_WRITE, Scope.ORDERS_READ, Scope.ORDERS_WRITE


async def new(*scopes: Scope, channels: tuple[str, ...] = (), name: str = "partner") -> tuple[ApiToken, str]:
    return await create_token(actor=ROOT, name=name, scopes=scopes, channels=channels)


async def manager(*scopes: Scope, channels: tuple[str, ...] = ()) -> Actor:
    _, secret = await new(MANAGE, *scopes, channels=channels, name="manager")
    actor = await authenticate(secret)
    assert actor is not None
    return actor


async def is_good(secret: str) -> bool:
    return await authenticate(secret) is not None


async def test_a_token_knows_who_made_and_who_ended_it() -> None:
    token, secret = await create_token(
        actor=ROOT, name=" Shop ", scopes=[READ, READ, WRITE], channels=["web"], expires_at=datetime.now(UTC) + HOUR
    )
    assert secret.startswith(token.prefix)
    assert (token.name, token.scopes, token.created_by) == ("Shop", ["orders:read", "orders:write"], "tests")
    assert secret not in repr(await all_rows())
    actor = await authenticate(secret)
    web = await ensure_channel(ROOT, "web")
    assert actor is not None
    assert (actor.kind, actor.id, actor.channel_ids) == (ActorKind.TOKEN, str(token.id), frozenset({web.id}))
    assert actor.good_until == token.expires_at
    assert token.hash not in repr(actor)

    ended = await revoke_token(actor=ROOT, token_id=token.id)
    assert (ended.revoked_by, state_of(ended)) == ("tests", TokenState.REVOKED)
    again = await revoke_token(actor=replace(ROOT, name="another"), token_id=token.id)
    assert (again.revoked_by, again.revoked_at) == ("tests", ended.revoked_at)
    assert not await is_good(secret)


async def test_an_expired_token_is_refused() -> None:
    token, secret = await create_token(actor=ROOT, name="x", scopes=[READ], expires_at=datetime.now(UTC) + HOUR)
    _, late = await rotate_token(actor=ROOT, token_id=token.id)
    assert await is_good(secret)
    await ApiToken.filter(id=token.id).update(expires_at=datetime.now(UTC))
    assert not await is_good(secret)
    assert not await is_good(late)
    [found] = await list_tokens(actor=ROOT)
    assert state_of(found) is TokenState.EXPIRED
    async with refused(ErrorCode.INVALID_INPUT, "token_id"):
        await rotate_token(actor=ROOT, token_id=token.id)


async def test_a_token_that_would_be_nothing_is_refused() -> None:
    async with refused(ErrorCode.INVALID_INPUT, "expires_at"):
        await create_token(actor=ROOT, name="x", scopes=[READ], expires_at=datetime.now(UTC))
    async with refused(ErrorCode.INVALID_INPUT, "scopes"):
        await create_token(actor=ROOT, name="x", scopes=[])
    async with refused(ErrorCode.INVALID_INPUT, "name"):
        await create_token(actor=ROOT, name=" ", scopes=[READ])
    async with refused(ErrorCode.INVALID_INPUT, "channels"):  # the first channel is not opened either
        await create_token(actor=ROOT, name="x", scopes=[READ], channels=["new", "not a code"])


async def test_nobody_gives_away_more_than_they_have() -> None:
    await new(READ, channels=("web", "till"))
    reader, bound = await manager(READ), await manager(READ, WRITE, channels=("web",))
    for actor, scopes, channels, field in (
        (reader, [WRITE], (), "scopes"),
        (reader, [READ, MANAGE, Scope.SETTINGS_WRITE], (), "scopes"),
        (bound, [READ], (), "channels"),
        (bound, [READ], ("till",), "channels"),
        (bound, [READ], ("web", "till"), "channels"),
        (bound, [READ], ("new",), "channels"),
        (bound, [Scope.PAYMENTS_WRITE], ("web",), "scopes"),
        (replace(bound, channel_ids=frozenset()), [READ], ("web",), "channels"),
    ):
        async with refused(ErrorCode.INVALID_INPUT, field):
            await create_token(actor=actor, name="more", scopes=scopes, channels=channels)
    await create_token(actor=reader, name="as much", scopes=[READ, MANAGE])
    token, secret = await create_token(actor=bound, name="as much", scopes=[READ, WRITE, MANAGE], channels=["web"])
    made = await authenticate(secret)
    assert (token.created_by, made and made.channel_ids) == ("manager", bound.channel_ids)


async def test_only_who_may_send_any_document_gives_that_away() -> None:
    for own, asked, stored in ((False, False, False), (False, True, True), (True, False, True), (True, True, True)):
        actor = replace(ROOT, registered_only=own)
        _, secret = await create_token(actor=actor, name="x", scopes=[READ], registered_only=asked)
        made = await authenticate(secret)
        assert made is not None
        assert (made.registered_only, made.nameless().registered_only) == (stored, stored), (own, asked)


async def test_nobody_rotates_or_revokes_a_token_that_may_do_more() -> None:
    more, secret = await new(MANAGE, READ, WRITE)
    same, same_secret = await new(MANAGE, READ)
    reader = await manager(READ)
    app = replace(reader, registered_only=True)
    for actor, token, field in ((reader, more, "scopes"), (app, more, "scopes"), (app, same, "token_id")):
        async with refused(ErrorCode.INVALID_INPUT, field):
            await rotate_token(actor=actor, token_id=token.id)
        async with refused(ErrorCode.INVALID_INPUT, field):
            await revoke_token(actor=actor, token_id=token.id)
    assert await is_good(secret)
    assert await is_good(same_secret)
    bound, _ = await create_token(actor=app, name="bound", scopes=[READ])
    for actor in (app, reader):
        rotated, _ = await rotate_token(actor=actor, token_id=bound.id)
        assert rotated.registered_only
    assert reader.id is not None
    mine, _ = await rotate_token(actor=reader, token_id=UUID(reader.id))
    assert mine.scopes == ["orders:read", "tokens:write"]
    await revoke_token(actor=app, token_id=bound.id)
    await revoke_token(actor=reader, token_id=same.id)
    await revoke_token(actor=reader, token_id=UUID(reader.id))
    await revoke_token(actor=ROOT, token_id=more.id)
    assert {state_of(each) for each in await list_tokens(actor=ROOT)} == {TokenState.REVOKED}


async def a_child(actor: Actor, *scopes: Scope, name: str = "child") -> tuple[ApiToken, Actor]:
    token, secret = await create_token(actor=actor, name=name, scopes=scopes)
    child = await authenticate(secret)
    assert child is not None
    return token, child


async def test_an_operator_revokes_what_only_another_version_knows() -> None:
    token, secret = await create_token(actor=ROOT, name="later", scopes=[Scope.ORDERS_READ])
    await ApiToken.filter(id=token.id).update(scopes=["orders:read", "orders:explode"])
    async with refused(ErrorCode.INVALID_INPUT, "scopes"):
        await revoke_token(actor=replace(ROOT, kind=ActorKind.TOKEN), token_id=token.id)
    await revoke_token(actor=ROOT, token_id=token.id)
    assert await authenticate(secret) is None


async def test_a_token_is_revoked_with_those_that_it_has_created() -> None:
    """And with those that these have created, but with no others."""
    stolen = await manager(READ)
    first, first_actor = await a_child(stolen, READ, MANAGE)
    second, _ = await a_child(first_actor, READ)
    other, other_actor = await a_child(ROOT, READ, MANAGE)
    assert stolen.id is not None
    key = UUID(stolen.id)
    await revoke_token(actor=ROOT, token_id=key)
    offered = await created_tokens(actor=other_actor, token_id=key)
    assert [(each.id, state_of(each)) for each in offered] == [
        (first.id, TokenState.ACTIVE),
        (second.id, TokenState.ACTIVE),
    ]
    weaker = replace(other_actor, scopes=frozenset({MANAGE}))
    async with refused(ErrorCode.INVALID_INPUT, "scopes"):
        await revoke_token(actor=weaker, token_id=key, with_created=True)
    await revoke_token(actor=other_actor, token_id=key, with_created=True)  # also later
    states = {each.id: state_of(each) for each in await list_tokens(actor=ROOT)}
    assert states.pop(other.id) is TokenState.ACTIVE
    assert set(states.values()) == {TokenState.REVOKED}


async def test_a_revoked_token_creates_no_more() -> None:
    """A process may not know for a moment that it has been revoked."""
    stolen = await manager(READ)
    assert stolen.id is not None
    await revoke_token(actor=ROOT, token_id=UUID(stolen.id), with_created=True)
    async with refused(ErrorCode.INVALID_INPUT):
        await create_token(actor=stolen, name="late", scopes=[READ])


async def test_a_token_that_is_older_than_customers_read_has_it() -> None:
    """With orders:read, and as if it had been created with it."""
    manage = await manager(READ)
    for scopes, implied in (([READ], {Scope.CUSTOMERS_READ}), ([WRITE], set())):
        token, secret = await new(*scopes)
        await ApiToken.filter(id=token.id).update(implies_customers_read=True)
        actor = await authenticate(secret)
        assert actor is not None
        assert actor.scopes == {*scopes, *implied}
        async with refused(ErrorCode.INVALID_INPUT, "scopes"):
            await revoke_token(actor=manage, token_id=token.id)
    _, secret = await new(READ)
    assert (await authenticate(secret)).scopes == {READ}  # type: ignore[union-attr]


async def test_a_scope_of_a_later_version_is_passed_over() -> None:
    token, secret = await new(READ)
    await ApiToken.filter(id=token.id).update(scopes=["orders:read", "orders:explode"])
    actor = await authenticate(secret)
    assert actor is not None
    assert actor.scopes == {READ}
    async with refused(ErrorCode.INVALID_INPUT, "scopes"):
        await rotate_token(actor=ROOT, token_id=token.id)
    own = await manager(READ)
    await ApiToken.filter(name="manager").update(scopes=["orders:explode", "orders:read", "tokens:write"])
    assert own.id is not None
    await revoke_token(actor=own, token_id=UUID(own.id))


async def test_who_is_bound_to_channels_manages_only_tokens_within_them() -> None:
    for channels in ((), ("till",), ("web", "till"), ("web",), ("web", "app")):
        await new(READ, channels=channels, name=" ".join(channels) or "all")
    bound = await manager(READ, channels=("web", "app"))
    seen = await list_tokens(actor=bound)
    assert [token.name for token in seen] == ["web", "web app", "manager"]
    for token in await list_tokens(actor=ROOT):
        if token.name not in ("web", "web app", "manager"):
            async with refused(ErrorCode.NOT_FOUND, "token_id"):
                await revoke_token(actor=bound, token_id=token.id)
            async with refused(ErrorCode.NOT_FOUND, "token_id"):
                await rotate_token(actor=bound, token_id=token.id)
    page = await token_page(actor=bound, request=PageRequest(first=2))
    assert ([token.name for token in page.tokens], page.has_next_page) == (["web", "web app"], True)
    page = await token_page(actor=bound, request=PageRequest(first=2, after=cursor_of(page.tokens[-1])))
    assert ([token.name for token in page.tokens], page.has_next_page) == (["manager"], False)
    page = await token_page(actor=ROOT, request=PageRequest(first=4, after=cursor_of(seen[0])))
    assert [token.name for token in page.tokens] == ["web app", "manager"]
    assert await list_tokens(actor=replace(bound, channel_ids=frozenset())) == []


async def test_a_secret_is_exchanged_without_a_gap() -> None:
    token, first = await new(READ)
    before = await authenticate(first)
    rotated, second = await rotate_token(actor=ROOT, token_id=token.id, grace=HOUR)
    assert (rotated.id, rotated.name, rotated.scopes) == (token.id, token.name, token.scopes)
    assert second.startswith(rotated.prefix)
    old, now = await authenticate(first), await authenticate(second)
    assert before is not None
    assert old is not None
    assert now is not None
    assert {old.id, now.id} == {before.id}
    assert now.good_until is None
    assert old.good_until is not None
    assert abs(old.good_until - datetime.now(UTC) - HOUR) < timedelta(minutes=1)
    hashes = {actor.secret_hash or "" for actor in (old, now)}
    assert await ended_secrets(hashes) == set()

    await RetiredSecret.all().update(good_until=datetime.now(UTC))
    assert not await is_good(first)
    assert await is_good(second)
    assert await ended_secrets(hashes) == {old.secret_hash}
    await revoke_token(actor=ROOT, token_id=token.id)
    assert await ended_secrets(hashes) == hashes


async def test_a_secret_that_was_exchanged_while_the_clock_was_ahead_is_not_good_for_years() -> None:
    token, secret = await new(READ)
    actor = await authenticate(secret)
    await rotate_token(actor=ROOT, token_id=token.id, grace=HOUR)
    await RetiredSecret.all().update(good_until=datetime.now(UTC) + timedelta(days=3650))
    assert not await is_good(secret)
    assert actor is not None
    assert await ended_secrets({actor.secret_hash or ""}) == {actor.secret_hash}


async def test_a_rotated_token_is_rotated_again() -> None:
    """Each secret keeps its own time, unless that is cut short; what has ended is forgotten."""
    token, first = await new(READ)
    _, second = await rotate_token(actor=ROOT, token_id=token.id, grace=HOUR)
    _, third = await rotate_token(actor=ROOT, token_id=token.id, grace=2 * HOUR)
    now = datetime.now(UTC)
    ends = [round((each.good_until - now) / HOUR, 1) for each in await RetiredSecret.all().order_by("id")]
    assert ends == [1.0, 2.0]
    _, fourth = await rotate_token(actor=ROOT, token_id=token.id, grace=timedelta(0))
    assert [await is_good(secret) for secret in (first, second, third, fourth)] == [False, False, False, True]
    await rotate_token(actor=ROOT, token_id=token.id)
    assert await RetiredSecret.all().count() == 1
    for grace in (timedelta(seconds=-1), timedelta(days=30, seconds=1)):
        async with refused(ErrorCode.INVALID_INPUT, "grace_seconds"):
            await rotate_token(actor=ROOT, token_id=token.id, grace=grace)


async def test_rotating_at_the_same_moment_loses_nothing() -> None:
    token, secret = await new(READ)
    rotations = await asyncio.gather(*(rotate_token(actor=ROOT, token_id=token.id) for _ in range(4)))
    assert all([await is_good(each) for each in (secret, *(made for _, made in rotations))])


LOCK = "SELECT 1 FROM api_tokens FOR NO KEY UPDATE"
REVOKE = "UPDATE api_tokens SET revoked_at = now() WHERE id = $1"


@pytest.mark.postgres
async def test_a_token_that_is_being_revoked_is_not_rotated(database: str) -> None:
    token, _ = await new(READ)
    rotating = rotate_token(actor=ROOT, token_id=token.id)
    with pytest.raises(InvalidInput, match="has ended"):
        await while_another_writes(database, LOCK, REVOKE, token.id, call=rotating)


@pytest.mark.postgres
async def test_a_token_that_is_being_revoked_creates_no_more(database: str) -> None:
    creator = await manager(READ)
    creating = create_token(actor=creator, name="late", scopes=[READ])
    with pytest.raises(InvalidInput, match="has been revoked"):
        await while_another_writes(database, LOCK, REVOKE, creator.id, call=creating)


@pytest.mark.postgres
async def test_what_is_being_created_is_revoked_as_well() -> None:
    stolen = await manager(READ, MANAGE)
    assert stolen.id is not None
    _, child = await a_child(stolen, READ, MANAGE)
    created, commit = asyncio.Event(), asyncio.Event()

    async def create() -> None:
        async with change(child):
            await create_token(actor=child, name="late", scopes=[READ])
            created.set()
            await commit.wait()

    creating = asyncio.create_task(create())
    await created.wait()
    revoking = asyncio.create_task(revoke_token(actor=ROOT, token_id=UUID(stolen.id), with_created=True))
    await is_over_or_waits(revoking)
    commit.set()
    await asyncio.gather(creating, revoking)
    assert {each.name: state_of(each) for each in await list_tokens(actor=ROOT)}["late"] is TokenState.REVOKED


async def test_the_last_use_is_written_once_a_minute() -> None:
    used, _ = await new(READ)
    other, _ = await new(READ)
    await record_use([str(used.id)])
    await reload(used)
    first = used.last_used_at
    assert first is not None
    await record_use([str(used.id)])
    await reload(used)
    assert used.last_used_at == first
    await ApiToken.filter(id=used.id).update(last_used_at=first - timedelta(minutes=1))
    await record_use([str(used.id)])
    await reload(used)
    assert used.last_used_at > first
    await ApiToken.filter(id=used.id).update(last_used_at=first + timedelta(days=3650))  # while the clock was ahead
    await record_use([str(used.id)])
    await reload(used)
    assert used.last_used_at < first + HOUR
    await reload(other)
    assert other.last_used_at is None


class Clock:
    """What the time is, for who looks tokens up."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("domain.tokens.time", SimpleNamespace(monotonic=lambda: self.now))


async def ended_elsewhere(token: ApiToken) -> None:
    await ApiToken.filter(id=token.id).update(revoked_at=datetime.now(UTC))


async def test_a_caller_is_looked_up_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, callers = Clock(monkeypatch), Callers()
    token, secret = await new(READ)
    caller = await callers.find(secret)
    assert caller == await authenticate(secret)
    await ended_elsewhere(token)
    clock.now += KNOWN_SECONDS - 0.01
    assert await callers.find(secret) is caller
    clock.now += 0.01
    assert await callers.find(secret) is None


async def test_a_token_that_ends_here_is_unknown_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    Clock(monkeypatch)
    callers = Callers()
    token, secret = await new(READ)
    assert await callers.find(secret)
    await revoke_token(actor=ROOT, token_id=token.id)
    assert await callers.find(secret) is None
    token, secret = await new(READ)
    assert await callers.find(secret)
    _, fresh = await rotate_token(actor=ROOT, token_id=token.id, grace=timedelta(0))
    assert await callers.find(secret) is None
    assert await callers.find(fresh)


async def test_who_is_looked_up_while_a_token_ends_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    Clock(monkeypatch)
    callers = Callers()
    token, secret = await new(READ)

    async def slow(secret: str) -> Actor | None:
        actor = await authenticate(secret)
        await revoke_token(actor=ROOT, token_id=token.id)
        return actor

    with monkeypatch.context() as patched:
        patched.setattr("domain.tokens.authenticate", slow)
        assert await callers.find(secret)
    assert await callers.find(secret) is None


async def test_nobody_is_known_beyond_the_end_of_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, callers = Clock(monkeypatch), Callers()
    ends = datetime.now(UTC) + timedelta(seconds=KNOWN_SECONDS / 2)
    token, secret = await create_token(actor=ROOT, name="short", scopes=[READ], expires_at=ends)
    assert await callers.find(secret)
    await ended_elsewhere(token)
    clock.now += KNOWN_SECONDS / 2
    assert await callers.find(secret) is None


async def test_who_is_unknown_is_looked_up_each_time() -> None:
    callers = Callers()
    token, secret = await new(READ)
    await ended_elsewhere(token)
    assert await callers.find(secret) is None
    await ApiToken.filter(id=token.id).update(revoked_at=None)
    assert await callers.find(secret)
