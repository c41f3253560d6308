"""Which rules act by themselves, for the whole shop or for one channel. All are off until somebody turns them on."""

from collections.abc import Callable
from typing import Final
from uuid import UUID, uuid5

from domain.actors import Actor, Scope
from domain.change import command
from domain.channels import find_channel
from domain.errors import InvalidInput
from models import Automation, Channel
from models.engine.rows import read_where
from models.enums import AutomationKind

_KEYS: Final = UUID("6f1d3a52-9c0e-4b7d-8a41-2f5be3c7d910")  # the namespace of the rows' keys


async def list_automations(*, actor: Actor) -> list[Automation]:
    """Return all settings, with each row's `channel`: those of the whole shop first, then by channel.

    A kind without a row is off. A caller who is bound to channels sees the shop's, and those of their channels.
    """
    actor.require(Scope.SETTINGS_WRITE)
    rows = await Automation.all().select_related("channel")
    mine = [row for row in rows if row.channel_id is None or actor.sees(row.channel_id)]
    return sorted(mine, key=lambda row: (row.kind, "" if row.channel is None else row.channel.code))


@command(Scope.SETTINGS_WRITE)
async def update_automation(
    *, actor: Actor, kind: AutomationKind, enabled: bool | None, channel: str | None = None
) -> Automation:
    """Turn a rule on or off: in one channel, or in all that have no setting of their own.

    `None` takes a channel's own setting away. Raise `InvalidInput` if there is no such channel, and for the whole shop
    if the caller is bound to channels.
    """
    found = await _channel(actor, channel)
    channel_id = None if found is None else found.id
    row = Automation(id=_key(kind, channel_id), kind=kind, channel=found, enabled=bool(enabled))
    if enabled is None:
        await Automation.filter(id=row.id).delete()
    else:
        await Automation.bulk_create([row], update_fields=["enabled"], on_conflict=["id"])
    return row


def _key(kind: AutomationKind, channel_id: UUID | None) -> UUID:
    """Return the key of the setting's row. It depends on the setting alone, so that two changes meet in one row."""
    return uuid5(_KEYS, f"{kind}:{channel_id}")


async def _channel(actor: Actor, code: str | None) -> Channel | None:
    if code is None:
        if actor.channel_ids is not None:
            raise InvalidInput("This token is bound to channels: say for which one.", "channel")
        return None
    channel = await find_channel(actor, code)
    if channel is None:
        raise InvalidInput("There is no such channel.", "channel")
    return channel


async def enabled_automations() -> Callable[[UUID], set[AutomationKind]]:
    """Return a function from a channel's key to the automations that are on in it now."""
    settings: dict[UUID | None, dict[AutomationKind, bool]] = {}
    for row in await read_where(Automation, ""):
        settings.setdefault(row.channel_id, {})[row.kind] = row.enabled

    def enabled(channel_id: UUID) -> set[AutomationKind]:
        decided = settings.get(None, {}) | settings.get(channel_id, {})
        return {kind for kind, enabled in decided.items() if enabled}

    return enabled
