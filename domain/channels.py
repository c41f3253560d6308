"""Channels: looked up by their code, opened when one is first used."""

from collections.abc import Collection
from datetime import UTC, datetime

from domain.actors import Actor
from domain.errors import InvalidInput
from domain.validation import matching, required_text, storable
from models import Channel
from models.engine.rows import load

LONGEST_CODE = 64


async def list_channels(actor: Actor) -> list[Channel]:
    """Return the channels that exist for the caller, by code."""
    channels = Channel.all() if actor.channel_ids is None else Channel.filter(id__in=list(actor.channel_ids))
    return await channels.order_by("code")


async def find_channel(actor: Actor, code: str) -> Channel | None:
    found = await find_channels(actor, [code])
    return found[0] if found else None


async def find_channels(actor: Actor, codes: Collection[str]) -> list[Channel]:
    """Return the channels with these codes that exist for the caller."""
    possible = [code for code in codes if storable(code, LONGEST_CODE)]
    return [channel for channel in await Channel.filter(code__in=possible) if actor.sees(channel.id)]


def _checked_code(code: str, field: str) -> str:
    code = required_text(code, field, longest=LONGEST_CODE)
    hint = "A channel's code has letters, digits, dots, dashes and underscores only."
    matching(code, r"[A-Za-z0-9][A-Za-z0-9._-]*", hint, field)
    return code


async def ensure_channel(actor: Actor, code: str, field: str = "channel") -> Channel:
    """Return the channel of that code. Open it if there is none and the caller is not bound to others.

    Raise `InvalidInput` for a code that is not one, and for a channel that does not exist for the caller.
    """
    code = _checked_code(code, field)
    channel = await load(Channel, code=code)
    if channel is None and actor.channel_ids is None:
        return await Channel.create(code=code, name=code, created_at=datetime.now(UTC))
    if channel is None or not actor.sees(channel.id):
        raise InvalidInput("There is no such channel.", field)
    return channel
