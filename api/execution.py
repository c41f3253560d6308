"""Running a GraphQL operation, and what its errors tell the client."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

import orjson
from graphql import (
    ExecutionResult,
    Executor,
    GraphQLError,
    GraphQLResolveInfo,
    OperationType,
    VariableValues,
    create_source_event_stream,
)
from strawberry.exceptions import StrawberryGraphQLError
from strawberry.execution import optimized_is_awaitable
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from uuid_utils import uuid7

from api.compiling import MutationPlan, Outcome, Plan
from api.context import Context, Unauthenticated
from api.loaders import Loaders
from api.open_counts import TooManyOpen
from api.operations import NotUnderstood, Operation, Operations
from api.persisted import DocumentRefused
from api.rates import Charge
from api.requests import Request
from api.schema_answers import schema_answers
from domain.actors import Forbidden
from domain.errors import DomainError
from domain.naming import camel
from models.errors import DatabaseUnavailable

log = logging.getLogger(__name__)

READING: Final = frozenset({OperationType.QUERY})
FOLLOWING: Final = READING | {OperationType.SUBSCRIPTION}
ONE_ANSWER: Final = READING | {OperationType.MUTATION}
ANY: Final = frozenset(OperationType)

SUCCESS: Final = "success"  # as an outcome; any other is a code
UNAVAILABLE: Final = "UNAVAILABLE"
RATE_LIMITED: Final = "RATE_LIMITED"
INTERNAL: Final = "INTERNAL"
RETRY_SECONDS: Final = 1  # after which a client may try again what was UNAVAILABLE

_CODES: Final[tuple[tuple[type | tuple[type, ...], str], ...]] = (
    (Unauthenticated, "UNAUTHENTICATED"),
    (Forbidden, "FORBIDDEN"),
    (DatabaseUnavailable, UNAVAILABLE),
    (TooManyOpen, RATE_LIMITED),
    ((DomainError, GraphQLError, StrawberryGraphQLError), "BAD_USER_INPUT"),
)


class Answer:
    """What is sent for one result: `payload`, which must not be changed any more.

    `outcome` is `SUCCESS`, or the first error's code.
    `executed` is false where the document or its variables were refused; `unavailable` is true where the database could
    not be used, and the same request may succeed in a moment; where the caller has asked for too much, it may after
    `retry_seconds`.
    """

    __slots__ = ("_json", "executed", "outcome", "payload", "retry_seconds", "unavailable")

    def __init__(self, payload: dict[str, Any], *, executed: bool, unavailable: bool = False) -> None:
        self.payload = payload
        self.executed = executed
        self.unavailable = unavailable
        self.retry_seconds: int | None = None
        self._json: bytes | None = None
        errors = payload.get("errors")
        self.outcome = str(errors[0]["extensions"]["code"]) if errors else SUCCESS

    @classmethod
    def encoded(cls, data: bytes) -> "Answer":
        """Return an answer without errors from its JSON."""
        answer = cls({}, executed=True)
        answer._json = data
        return answer

    def with_charge(self, charge: Charge) -> "Answer":
        """The same, which also says what it cost, or would have."""
        extensions = {"cost": charge.as_extension()}
        payload = {**self.payload, "extensions": extensions}
        answer = Answer(payload, executed=self.executed, unavailable=self.unavailable)
        if self._json is not None:
            answer._json = self._json[:-1] + b',"extensions":' + orjson.dumps(extensions) + b"}"
        answer.retry_seconds = None if charge.taken else charge.retry_seconds
        return answer

    def as_json(self) -> bytes:
        """The payload, which is encoded once however many it is sent to."""
        if self._json is None:
            try:
                self._json = orjson.dumps(self.payload, default=str)
            except TypeError as error:  # nested more deeply than the encoder goes, or a text that is not Unicode
                self._json = orjson.dumps({"errors": [fault(error)]})
        return self._json


class OperationNotAllowed(Exception):
    """An operation of this kind cannot be run by this kind of request."""

    def __init__(self, kind: OperationType) -> None:
        super().__init__(f"A {kind.value} cannot be run this way.")
        self.kind = kind


async def execute(
    operations: Operations, request: Request, context: Context, allowed: frozenset[OperationType] = ONE_ANSWER
) -> Answer:
    """Run a query or a mutation. Raises `OperationNotAllowed`."""
    operation = await understand(operations, request, context, allowed & ONE_ANSWER)
    return operation if isinstance(operation, Answer) else await run(operation, request, context)


async def understand(
    operations: Operations, request: Request, context: Context, allowed: frozenset[OperationType]
) -> Operation | Answer:
    """The operation, which the context is told of and charged for; an answer where it cannot be executed.

    Raises `OperationNotAllowed`.
    """
    if context.rates is not None and (charge := context.rates.unread(context.caller)) is not None:
        return _too_much(charge, context)
    try:
        request = await context.documents.find(request, registered_only=context.registered_only)
        operation = operations.find(request, introspection=context.introspection)
    except DocumentRefused as error:
        return await _refused(refusal(str(error), error.code), context)
    except DatabaseUnavailable as error:
        return _counted(not_executed([GraphQLError(str(error), original_error=error)]), context)
    except NotUnderstood as error:
        return await _refused(not_executed(error.errors), context)
    if operation.kind not in allowed:
        raise OperationNotAllowed(operation.kind)
    context.operation_kind = operation.kind.value
    context.operation_name = operation.name
    if operation.errors:
        return await _refused(not_executed(operation.errors), context)
    if context.rates is not None:
        context.charge = await context.rates.take(context.caller, operation.cost.of(request.variables))
        if not context.charge.taken:
            return _too_much(context.charge, context)
    return operation


async def _refused(answer: Answer, context: Context) -> Answer:
    if context.rates is not None:
        context.charge = await context.rates.take_for_refusal(context.caller)
        if not context.charge.taken:
            return _too_much(context.charge, context)
    return _counted(answer, context)


def _too_much(charge: Charge, context: Context) -> Answer:
    context.charge = charge
    message = (
        f"This costs {charge.asked:,}, and there is {int(charge.left):,} left of {charge.limit:,}, of which"
        f" {charge.refill_rate:g} come back each second. Try again in {charge.retry_seconds} s."
    )
    return _counted(refusal(message, RATE_LIMITED), context)


async def run(operation: Operation, request: Request, context: Context) -> Answer:
    """Return the answer of a query or a mutation, which waits until its caller has a slot for it."""
    if operation.is_about_schema:
        return _counted(await _answer_about_schema(operation, request, context), context)
    slots = context.open_counts.operations
    await slots.take(context.caller)
    try:
        return await _run(operation, request, context)
    except asyncio.CancelledError:
        context.stop()
        raise
    finally:
        slots.free(context.caller, context.work)


async def _answer_about_schema(operation: Operation, request: Request, context: Context) -> Answer:
    """Answer a query for the schema alone, from what is kept if the same was asked before."""
    known = schema_answers.find(operation, request.variables)
    if known is not None:
        return Answer.encoded(known)
    executor = prepare(operation, request, context)
    answer = executor if isinstance(executor, Answer) else await _executed(executor)
    if answer.outcome == SUCCESS:
        schema_answers.keep(operation, request.variables, answer.as_json())
    return answer


async def _run(operation: Operation, request: Request, context: Context) -> Answer:
    variables = operation.variables(request.variables)
    outcome = None
    if variables is not None:
        plan = operation.plans.find(variables)
        if isinstance(plan, MutationPlan):
            answer, outcome = await _carried_out(plan, context, variables)
        else:
            planned = await _planned(plan, [None], context, variables)
            answer = planned[0] if planned else None
        if answer is not None:
            return _counted(answer, context)
    executor = prepare(operation, request, context, outcome)
    return _counted(executor if isinstance(executor, Answer) else await _executed(executor), context)


async def _carried_out(
    plan: MutationPlan, context: Context, variables: VariableValues
) -> tuple[Answer | None, Outcome | None]:
    """By its plan: the answer where nothing went wrong, and what became of the mutation where it was begun."""
    outcome = None
    try:
        outcome = await plan.run(context, variables)
        return Answer({"data": await plan.data(outcome, context, variables)}, executed=True), outcome
    except Exception as error:
        log.debug("a plan was given up", exc_info=error)
        return None, outcome


async def _planned(
    plan: Plan | None, root_values: list[Any], context: Context, variables: VariableValues
) -> list[Answer] | None:
    """By the operation's plan; `None` where it has none, and where anything at all went wrong."""
    if plan is None:
        return None
    try:
        found = await plan.data(root_values, context, variables)
    except Exception as error:
        log.debug("a plan was given up", exc_info=error)
        return None
    return [Answer({"data": data}, executed=True) for data in found]


def _counted(answer: Answer, context: Context) -> Answer:
    context.metrics.operation(context.operation_kind, answer.outcome)
    return answer if context.charge is None else answer.with_charge(context.charge)


def prepare(
    operation: Operation, request: Request, context: Context, outcome: Outcome | None = None
) -> Executor[Any] | Answer:
    """What executes it with these variables; an answer where they are refused.

    A mutation that has been carried out is not carried out again: it has this outcome.
    """
    executor = StrawberryGraphQLCoreExecutionContext.build(
        operation.schema,
        operation.document,
        None,
        context,
        request.variables,
        operation.name,
        is_awaitable=cast(Any, optimized_is_awaitable),
        middleware=None if outcome is None else [_known(outcome)],
        hide_suggestions=not context.introspection,
    )
    return not_executed(executor) if isinstance(executor, list) else executor


def _known(outcome: Outcome) -> Callable[..., Any]:
    """In the place of what resolves the root field."""

    def resolve(following: Callable[..., Any], source: Any, info: GraphQLResolveInfo[Context], **arguments: Any) -> Any:
        if info.path.prev is not None:
            return following(source, info, **arguments)
        if outcome.error is not None:
            raise outcome.error
        return outcome.value

    return resolve


async def answers_of(operation: Operation, request: Request, context: Context, root_values: list[Any]) -> list[Answer]:
    """What a subscription, whose variables have been accepted, gives for each of its events.

    Raises nothing: errors are in the answers.
    """
    variables = operation.variables(request.variables)
    assert variables is not None
    plan = operation.plans.find(variables)
    assert not isinstance(plan, MutationPlan)
    planned = await _planned(plan, root_values, context, variables)
    if planned is not None:
        return planned
    executor = prepare(operation, request, context)
    assert isinstance(executor, Executor)
    return await asyncio.gather(*(_executed(executor.build_per_event_executor(each)) for each in root_values))


async def _executed(executor: Executor[Any]) -> Answer:
    """By graphql-core, which loads anew what a plan may have failed to load."""
    executor.context_value = executor.context_value.with_loaders(Loaders())
    result = executor.execute_operation(False)
    if executor.is_awaitable(result):
        result = await result
    assert isinstance(result, ExecutionResult)
    errors = [present(error) for error in result.errors or ()]
    payload: dict[str, Any] = {"data": result.data}
    if errors:
        payload["errors"] = errors
    return Answer(payload, executed=True, unavailable=any(each["extensions"]["code"] == UNAVAILABLE for each in errors))


async def source_of(executor: Executor[Any]) -> Any:
    """The stream of what is to be told, or an answer where there is none."""
    source = create_source_event_stream(executor)
    if executor.is_awaitable(source):
        source = await source
    return not_executed(source.errors or ()) if isinstance(source, ExecutionResult) else source


def refusal(message: str, code: str = "BAD_USER_INPUT") -> Answer:
    """What is answered where nothing was executed."""
    return Answer({"errors": [{"message": message, "extensions": {"code": code}}]}, executed=False)


def not_executed(errors: Iterable[GraphQLError]) -> Answer:
    """What is answered where these errors stood in the way of executing anything."""
    presented = [present(error) for error in errors]
    unavailable = any(each["extensions"]["code"] == UNAVAILABLE for each in presented)
    return Answer({"errors": presented}, executed=False, unavailable=unavailable)


def present(error: GraphQLError) -> dict[str, Any]:
    """The error as the client sees it: with a code, and without a word of what went wrong inside."""
    cause = error.original_error
    formatted: dict[str, Any] = dict(error.formatted)
    if isinstance(cause, DatabaseUnavailable):
        return {**formatted, **outage(cause)}
    code = "BAD_USER_INPUT" if cause is None else code_of(cause)
    if cause is not None and code == INTERNAL:
        return {**formatted, **fault(cause, error.path)}
    formatted["extensions"] = {"code": code}
    if isinstance(cause, DomainError):
        formatted["extensions"]["field"] = [camel(part) for part in cause.field]
    return formatted


def code_of(cause: BaseException) -> str:
    """The code of the error that a client sees for this cause."""
    for kinds, code in _CODES:
        if isinstance(cause, kinds):
            return code
    return INTERNAL


def fault(cause: BaseException, path: Any = None) -> dict[str, Any]:
    """The error that a client sees for a bug or an outage: what went wrong is in the log, under its id."""
    fault_id = str(uuid7())
    log.error("fault %s at %s", fault_id, path, exc_info=cause)
    return {
        "message": "Something went wrong on our side. Give us the id, and we find it in the log.",
        "extensions": {"code": INTERNAL, "id": fault_id},
    }


def outage(cause: DatabaseUnavailable) -> dict[str, Any]:
    """The error that a client sees where the database could not be used."""
    log.warning("the database could not be used: %s", cause)
    return {
        "message": "The database cannot be reached at the moment. Try again, with the same idempotencyKey if it is a"
        " change: it may have been written.",
        "extensions": {"code": UNAVAILABLE},
    }
