"""Importing many orders, one transaction each, so that one that cannot be read does not stop the rest."""

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from domain.actors import Actor, Scope
from domain.errors import DomainError
from domain.imports.history import History, replay
from domain.imports.reading import path_text
from domain.orders.placing import DuplicateReference
from models.enums import ActorKind


class Result(StrEnum):
    IMPORTED = "imported"
    ALREADY_THERE = "already there"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of the order at that path of the file. `messages` are its warnings, or say why it failed."""

    path: str
    result: Result
    messages: tuple[str, ...] = ()


def channel_actor(code: str) -> Actor:
    """Return the actor of an import: the sales channel itself."""
    return Actor(kind=ActorKind.CHANNEL, id=code, name=code, scopes=frozenset(Scope))


async def import_orders(
    channel: str,
    entries: Iterable[tuple[str, Any]],
    read: Callable[[str, Any], History],
    *,
    with_effects: bool = False,
) -> AsyncIterator[ImportReport]:
    """Import each entry, given with its path, and yield what became of it. A failed order leaves nothing.

    The orders have no effects (e-mail, automations, payments, requests) unless `with_effects` is set. Raise
    InvalidInput for a code that no channel can have.
    """
    actor = channel_actor(channel)
    paths: dict[str | None, str] = {}
    for path, entry in entries:
        try:
            history = read(channel, entry)
            reference = history.new.external_reference
            if reference in paths:
                yield ImportReport(path, Result.FAILED, (f"the file has this order twice: see {paths[reference]}",))
                continue
            warnings = await replay(actor=actor, history=history, with_effects=with_effects)
            report = ImportReport(path, Result.IMPORTED, tuple(warnings))
        except DuplicateReference:
            report = ImportReport(path, Result.ALREADY_THERE)
        except DomainError as refusal:
            if refusal.field == ("channel",):
                raise
            report = ImportReport(path, Result.FAILED, (_explain(refusal),))
        if report.result is not Result.FAILED:
            paths[reference] = path
        yield report


def _explain(refusal: DomainError) -> str:
    path = path_text(refusal.field)
    return f"{path}: {refusal.message}" if path else refusal.message
