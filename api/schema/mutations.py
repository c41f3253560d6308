"""How a mutation is declared, and what all mutations share: checks, counting, and how refusals are answered."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, ClassVar, Protocol, TypeVar

import strawberry

from api.execution.answers import SUCCESS
from api.execution.context import Info
from api.execution.errors import INTERNAL, code_of
from api.execution.rights import GIVEN, Rights
from api.schema import enums
from domain.change import Command, VersionConflict
from domain.errors import DomainError
from domain.naming import camel
from domain.rules import InvalidTransition

field = strawberry.field


@strawberry.type(
    description="Why a mutation was refused. Nothing was changed, unless the code is PAYMENT_FAILED or begins with"
    " RENDERING: these say what could not be done besides."
)
class UserError:
    RIGHTS: ClassVar[Rights] = {GIVEN: "code message field fromStatus toStatus currentVersion"}

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


class Payload(Protocol):
    """What a mutation answers. All its fields have defaults: those of a mutation that was refused."""

    user_errors: list[UserError]

    def __init__(self, *, user_errors: list[UserError], **others: Any) -> None: ...


P = TypeVar("P", bound=Payload)
Answer = Callable[[Any, Info, Any], Awaitable[P]]
LoadRefused = Callable[[Info, Any], Awaitable[dict[str, Any]]]


def user_errors(description: str) -> Any:
    """Declare the field of a payload that says why the mutation was refused."""
    return field(default_factory=list, description=description)


async def _load_nothing(info: Info, input: Any) -> dict[str, Any]:
    return {}


def mutation(
    command: Command[..., Any],
    description: str,
    *,
    scope_note: str = "",
    argument_description: str = "What to do.",
    load_refused: LoadRefused = _load_nothing,
) -> Callable[[Answer[P]], Any]:
    """Declare a mutation that runs the command. The method translates its `input`, calls the command and answers.

    The caller needs the command's scope. It is checked before the input is looked at, and the description ends with it
    and with `scope_note`. A `DomainError` that the method raises becomes the payload's `user_errors`. `load_refused`
    then returns the payload's other fields.
    """

    def declare(answer: Answer[P]) -> Any:
        payload: type[P] = answer.__annotations__["return"]

        async def resolve(self: Any, info: Info, input: Any) -> Any:
            try:
                answered = await _run_to_end(info, command, lambda: answer(self, info, input))
            except DomainError as refusal:
                answered = payload(user_errors=[UserError.of(refusal)], **await load_refused(info, input))
            info.context.renew_loaders()  # what was loaded for an earlier mutation of the operation may have changed
            return answered

        resolve.__annotations__ = {
            "info": Info,
            "input": Annotated[answer.__annotations__["input"], strawberry.argument(description=argument_description)],
            "return": payload | None,
        }
        return strawberry.mutation(resolve, description=f"{description} Needs {command.scope}{scope_note}.")

    return declare


async def _run_to_end(info: Info, command: Command[..., Any], answer: Callable[[], Awaitable[P]]) -> P:
    """Answer, even if the caller goes away: what was begun is done and counted. Raise the command's refusals."""
    running = asyncio.create_task(_count(info, command, answer))
    running.add_done_callback(_take_outcome)
    info.context.hold(running)
    return await asyncio.shield(running)


def _take_outcome(running: asyncio.Task[Any]) -> None:
    """Take the outcome from a task whose caller may be gone. asyncio would log an error that nobody takes."""
    if not running.cancelled():
        running.exception()


async def _count(info: Info, command: Command[..., Any], answer: Callable[[], Awaitable[P]]) -> P:
    """Check the caller's scope, answer, and count the outcome: the caller may be gone when it is known."""
    outcome = INTERNAL
    try:
        info.context.require(command.scope, services_too=command.services_too)
        payload = await answer()
        outcome = payload.user_errors[0].code.name if payload.user_errors else SUCCESS
        return payload
    except DomainError as refusal:
        outcome = refusal.code.name
        raise
    except Exception as error:
        outcome = code_of(error)
        raise
    finally:
        info.context.server.metrics.mutation(info.field_name, outcome)
