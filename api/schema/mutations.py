"""What all mutations share: how a command is carried out and counted, and how its refusal is answered."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import strawberry

import models
from api.execution.context import Info
from api.execution.execution import INTERNAL, SUCCESS, code_of
from api.schema import enums
from domain.actors import Scope
from domain.change import VersionConflict
from domain.errors import DomainError
from domain.naming import camel
from domain.rules import InvalidTransition
from effects.delivery_notes.printing import Outcome

field = strawberry.field


@strawberry.type(
    description="Why a mutation was refused. Nothing was changed, unless an order comes with it: see PAYMENT_FAILED."
)
class UserError:
    code: enums.ErrorCode = field(description="The reason, for programs.")
    message: str = field(description="The reason, for people.")
    field_path: list[str] | None = field(name="field", description="The path of the input at fault, if one is.")
    from_status: enums.OrderStatus | None = field(description="The order's status, for INVALID_TRANSITION.")
    to_status: enums.OrderStatus | None = field(description="Where the step would have led, for INVALID_TRANSITION.")
    current_version: int | None = field(description="The order's version now, for VERSION_CONFLICT.")

    @classmethod
    def of(cls, refusal: DomainError) -> "UserError":
        transition = refusal if isinstance(refusal, InvalidTransition) else None
        return cls(
            code=refusal.code,
            message=refusal.message,
            field_path=[camel(part) for part in refusal.field] or None,
            from_status=transition.from_status if transition else None,
            to_status=transition.to_status if transition else None,
            current_version=refusal.current_version if isinstance(refusal, VersionConflict) else None,
        )


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Settlement:
    """An order of which gateways were asked something, and what they have refused."""

    order: models.Order
    refusals: Sequence[DomainError]


async def carry_out(info: Info, needed: Scope, command: Callable[[], Awaitable[T]], *, services_too: bool = False) -> T:
    """Runs a command to its end, even if the caller goes away: what was begun is done and counted.

    Raises its refusals, and before the input is looked at `Unauthenticated` and `Forbidden`.
    """
    counted = asyncio.create_task(_count_outcome(info, needed, command, services_too))
    counted.add_done_callback(_take_outcome)
    info.context.hold(counted)
    result = await asyncio.shield(counted)
    info.context.renew_loaders()  # what was loaded for an earlier mutation of the operation may have changed
    return result


def _take_outcome(counted: asyncio.Task[Any]) -> None:
    """Take the outcome from a task whose caller may be gone. asyncio would log an error that nobody takes."""
    if not counted.cancelled():
        counted.exception()


async def _count_outcome(info: Info, needed: Scope, command: Callable[[], Awaitable[T]], services_too: bool) -> T:
    """The outcome is counted here, because the caller may be gone when it is known."""
    outcome = INTERNAL
    try:
        info.context.require(needed, services_too=services_too)
        result = await command()
        refusal = result.refusal if isinstance(result, Outcome) else None
        if isinstance(result, Settlement) and result.refusals:
            refusal = result.refusals[0]
        outcome = refusal.code.name if refusal else SUCCESS
        return result
    except DomainError as error:
        outcome = error.code.name
        raise
    except Exception as error:
        outcome = code_of(error)
        raise
    finally:
        info.context.server.metrics.mutation(info.field_name, outcome)
