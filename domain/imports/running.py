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
    """What became of the order at that place of the file. `messages`: its warnings, or why it failed."""

    place: str
    result: Result
    messages: tuple[str, ...] = ()


def channel_actor(code: str) -> Actor:
    """Return the actor of an import: the sales channel itself."""
    return Actor(kind=ActorKind.CHANNEL, id=code, name=code, scopes=frozenset(Scope))


async def import_orders(
    channel: str,
    documents: Iterable[tuple[str, Any]],
    read: Callable[[str, Any], History],
    *,
    with_effects: bool = False,
) -> AsyncIterator[ImportReport]:
    """Import each document, given with its place, and yield what became of it. A failed order leaves nothing.

    The orders have no effects (e-mail, automations, payments, requests) unless `with_effects` is set. Raise
    InvalidInput for a code that no channel can have.
    """
    actor = channel_actor(channel)
    places: dict[str | None, str] = {}
    for place, document in documents:
        try:
            history = read(channel, document)
            reference = history.new.external_reference
            if reference in places:
                yield ImportReport(place, Result.FAILED, (f"the file has this order twice: see {places[reference]}",))
                continue
            warnings = await replay(actor=actor, history=history, with_effects=with_effects)
            report = ImportReport(place, Result.IMPORTED, tuple(warnings))
        except DuplicateReference:
            report = ImportReport(place, Result.ALREADY_THERE)
        except DomainError as refusal:
            if refusal.field == ("channel",):
                raise
            report = ImportReport(place, Result.FAILED, (_explain(refusal),))
        if report.result is not Result.FAILED:
            places[reference] = place
        yield report


def _explain(refusal: DomainError) -> str:
    path = path_text(refusal.field)
    return f"{path}: {refusal.message}" if path else refusal.message
