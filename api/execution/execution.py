"""Runs GraphQL operations, and presents their errors to clients."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final, cast

from graphql import (
    ExecutionResult,
    Executor,
    GraphQLError,
    GraphQLLeafType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    OperationType,
    VariableValues,
    create_source_event_stream,
    get_named_type,
)
from graphql.execution.collect_fields import FieldDetailsList
from graphql.pyutils import Path
from strawberry.exceptions import StrawberryGraphQLError
from strawberry.execution import optimized_is_awaitable
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from uuid_utils import uuid7

from api.callers.open_counts import TooManyOpen
from api.callers.rates import Charge
from api.execution.compiler import cost_of_json, is_awaited
from api.execution.context import Context, Unauthenticated
from api.execution.costs import LIST_SIZE, Cost
from api.execution.encoding import encode, encode_in_turns
from api.execution.limits import LimitExceeded
from api.execution.operations import NotUnderstood, Operation, Operations
from api.execution.persisted import DocumentRefused
from api.execution.plan import MutationPlan, Plan
from api.execution.requests import Request
from api.execution.schema_answers import schema_answers
from api.execution.steps import Outcomes
from domain.actors import Forbidden
from domain.errors import DomainError
from domain.naming import camel
from domain.stream import event_log
from domain.stream.event_log import CursorExpired
from models.engine.errors import DatabaseUnavailable
from models.engine.shares import act_for
from models.engine.turns import take_turn

log = logging.getLogger(__name__)

READING: Final = frozenset({OperationType.QUERY})
FOLLOWING: Final = READING | {OperationType.SUBSCRIPTION}
ONE_ANSWER: Final = READING | {OperationType.MUTATION}
ANY: Final = frozenset(OperationType)

SUCCESS: Final = "success"  # as an outcome; any other is a code
UNAVAILABLE: Final = "UNAVAILABLE"
RATE_LIMITED: Final = "RATE_LIMITED"
INTERNAL: Final = "INTERNAL"
DEAR: Final = 1_000  # an operation that costs more waits for its turn
LIST_PIECE: Final = 10  # items of a list that graphql-core completes without a pause
LONGEST_MESSAGE: Final = 1_000  # characters of an error that are sent
RETRY_SECONDS: Final = 1  # after which a client may try again what was UNAVAILABLE

_CODES: Final[tuple[tuple[type | tuple[type, ...], str], ...]] = (
    (Unauthenticated, "UNAUTHENTICATED"),
    (Forbidden, "FORBIDDEN"),
    (DatabaseUnavailable, UNAVAILABLE),
    (TooManyOpen, RATE_LIMITED),
    (CursorExpired, "CURSOR_EXPIRED"),
    ((DomainError, GraphQLError, StrawberryGraphQLError), "BAD_USER_INPUT"),
)


class Answer:
    """An answer that is sent. Its `payload` must not be changed any more.

    `outcome` is `SUCCESS`, or the first error's code. `executed` is false if the document or its variables were
    refused. `unavailable` is true if the database could not be used: the same request may succeed in a moment. If the
    caller has asked for too much, it may succeed after `retry_seconds`.
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
        """Return the answer with what it cost, or would have cost."""
        extensions = {"cost": charge.as_extension()}
        payload = {**self.payload, "extensions": extensions}
        answer = Answer(payload, executed=self.executed, unavailable=self.unavailable)
        if self._json is not None:
            answer._json = self._json[:-1] + b',"extensions":' + encode(extensions) + b"}"
        answer.retry_seconds = None if charge.taken else charge.retry_seconds
        return answer

    def with_cursor(self, cursor: str) -> "Answer":
        """Return the answer to an event with the event's cursor in its errors, if there is nothing else to show.

        So a client can resume after it.
        """
        if self.payload.get("data") is not None:
            return self
        errors = [{**each, "extensions": {**each["extensions"], "cursor": cursor}} for each in self.payload["errors"]]
        return Answer({**self.payload, "errors": errors}, executed=self.executed, unavailable=self.unavailable)

    def as_json(self) -> bytes:
        """Return the payload as JSON. It is encoded once, however many clients get it."""
        if self._json is None:
            try:
                self._json = encode(self.payload)
            except TypeError as error:  # nested more deeply than the encoder goes, or a text that is not Unicode
                self._json = encode({"errors": [fault(error)]})
        return self._json

    async def encode_in_turns(self) -> None:
        """Encode a long answer in advance and in pieces, so that it does not hold up the process."""
        try:
            self._json = await encode_in_turns(self.payload)
        except TypeError as error:
            self._json = encode({"errors": [fault(error)]})


class OperationNotAllowed(Exception):
    """An operation of this kind cannot be run by this kind of request."""

    def __init__(self, kind: OperationType) -> None:
        super().__init__(f"A {kind.value} cannot be run this way.")
        self.kind = kind


async def understand(
    operations: Operations, request: Request, context: Context, allowed: frozenset[OperationType]
) -> Operation | Answer:
    """Return the operation, which is charged and noted in the context. Return an answer if it cannot be executed.

    Raise `OperationNotAllowed`.
    """
    act_for(context.caller)
    if context.server.rates is not None and (charge := context.server.rates.unread(context.caller)) is not None:
        return _too_much(charge, context)
    try:
        request = await context.server.persisted_documents.find(request, registered_only=context.registered_only)
        operation = operations.find(request, introspection=context.introspection)
        if operation.kind not in allowed:
            raise OperationNotAllowed(operation.kind)
        context.operation_kind = operation.kind.value
        context.operation_name = operation.name
        if operation.errors:
            return await _refused(not_executed(operation.errors), context)
        if context.rights is None and not operation.is_about_schema:  # nothing is done with what it has given
            return await _refused(await _refuse_without_token(operation, request, context), context)
        context.budget = operations.budget(operation, request)
    except DocumentRefused as error:
        return await _refused(refusal(str(error), error.code), context)
    except DatabaseUnavailable as error:
        return _count_answer(not_executed([GraphQLError(str(error), original_error=error)]), context)
    except NotUnderstood as error:
        return await _refused(not_executed(error.errors), context)
    if context.server.rates is not None:
        context.charge = await context.server.rates.take(context.caller, context.budget.expected)
        if not context.charge.taken:
            return _too_much(context.charge, context)
    if context.budget.expected > DEAR:  # many may have come at once
        await take_turn()
    return operation


async def _refuse_without_token(operation: Operation, request: Request, context: Context) -> Answer:
    """Answer with an error for each field that needs a token, and with what is selected of the schema besides."""
    executor = _WithoutToken.build(
        operation.schema,
        operation.without_inputs,
        None,
        context,
        request.variables,
        operation.name,
        max_coercion_errors=1,
        hide_suggestions=not context.introspection,
    )
    if isinstance(executor, list):
        return not_executed(executor[:1])
    answer = await _executed(executor)
    if operation.kind is OperationType.SUBSCRIPTION:  # which was not begun: it has no data
        return Answer({"errors": answer.payload["errors"]}, executed=False)
    return answer


class _WithoutToken(StrawberryGraphQLCoreExecutionContext):
    """Executes introspection fields. Refuses all others before their arguments are looked at."""

    def execute_field(
        self, parent_type: GraphQLObjectType, source: Any, field_details_list: FieldDetailsList, path: Path, *rest: Any
    ) -> Any:
        name = field_details_list[0].node.name.value
        field = self.schema.get_field(parent_type, name)
        if path.prev is not None or field is None or name.startswith("__"):
            return super().execute_field(parent_type, source, field_details_list, path, *rest)
        error = Unauthenticated()
        if parent_type is self.schema.mutation_type:
            self.context_value.server.metrics.mutation(name, code_of(error))
        self.handle_field_error(error, field.type, field_details_list, path)
        return None


async def _refused(answer: Answer, context: Context) -> Answer:
    if context.server.rates is not None:
        context.charge = await context.server.rates.take_for_refusal(context.caller)
        if not context.charge.taken:
            return _too_much(context.charge, context)
    return _count_answer(answer, context)


def _too_much(charge: Charge, context: Context) -> Answer:
    context.charge = charge
    return _count_answer(refusal(charge.refusal, RATE_LIMITED), context)


async def run(operation: Operation, request: Request, context: Context) -> Answer:
    """Return the answer of a query or a mutation, which waits until its caller has a slot for it."""
    if operation.is_about_schema:
        return _count_answer(await _answer_about_schema(operation, request, context), context)
    slots = context.server.open_counts.operations
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
    try:
        variables = operation.variables(request.variables, hide_suggestions=not context.introspection)
    except GraphQLError as error:
        return not_executed([error])
    answer = await _executed(prepare(operation, variables, context))
    if answer.outcome == SUCCESS:
        schema_answers.keep(operation, request.variables, answer.as_json())
    return answer


async def _run(operation: Operation, request: Request, context: Context) -> Answer:
    """Run the operation by its plan, or by graphql-core if there is none or it fails."""
    try:
        variables = operation.variables(request.variables, hide_suggestions=not context.introspection)
    except GraphQLError as error:
        return _count_answer(not_executed([error]), context)
    outcomes: Outcomes = {}
    try:
        if operation.shows_live_cursor:
            context.live_place = await event_log.last_place()
        answer = await _run_plan(operation.plans.find(variables), context, variables, outcomes)
    except DatabaseUnavailable as error:  # a second attempt would take as long again
        answer = _give_up(error)
    except LimitExceeded as error:
        # What a mutation has done must be told: graphql-core leaves out of its payload what is too much.
        answer = None if operation.kind is OperationType.MUTATION else _give_up(error)
    if answer is None:
        answer = await _executed(prepare(operation, variables, context, outcomes))
    if context.server.rates is not None and context.budget.extra:
        context.charge = await context.server.rates.take_what_is_left(
            context.caller, extra=context.budget.extra, total=context.budget.total
        )
    answer = _count_answer(answer, context)
    await _encode_long([answer], context)
    return answer


async def _run_plan(
    plan: Plan | MutationPlan | None, context: Context, variables: VariableValues, outcomes: Outcomes
) -> Answer | None:
    """Run the plan. Return None if there is none or it fails; `outcomes` are then those of its root fields so far.

    Raise `DatabaseUnavailable` and `LimitExceeded`.
    """
    if plan is None:
        return None
    try:
        if isinstance(plan, MutationPlan):
            data = await plan.data(await plan.run(context, variables, outcomes), context, variables)
        else:
            [data] = await plan.data([None], context, variables, outcomes)
    except (DatabaseUnavailable, LimitExceeded):
        raise
    except Exception as error:
        log.debug("a plan was given up", exc_info=error)
        return None
    return Answer({"data": data}, executed=True)


def _count_answer(answer: Answer, context: Context) -> Answer:
    context.server.metrics.operation(context.operation_kind, answer.outcome)
    return answer if context.charge is None else answer.with_charge(context.charge)


def prepare(
    operation: Operation, variables: VariableValues, context: Context, outcomes: Outcomes | None = None
) -> Executor[Any]:
    """Return the executor of the operation with these variables.

    A root field with an outcome is not resolved again, so that a mutation is carried out once and a query asks once.
    """
    executor = _InTurns.build(
        operation.schema,
        operation.without_variables,
        None,
        context,
        None,
        operation.name,
        is_awaitable=cast(Any, optimized_is_awaitable),
        middleware=[_known(outcomes)] if outcomes else None,
        hide_suggestions=not context.introspection,
    )
    assert isinstance(executor, _InTurns)  # the document is valid
    executor.variable_values = variables
    executor.cost = operation.cost
    return executor


class _InTurns(StrawberryGraphQLCoreExecutionContext):
    """Executes as graphql-core does, but charges long lists and makes them in pieces, as plans do.

    So what else the process does is not held up. A list that costs too much ends in an error.
    """

    cost: Cost

    def complete_iterable_value(
        self,
        item_type: GraphQLOutputType,
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[Context],
        path: Path,
        items: Any,
        *rest: Any,
    ) -> Any:
        complete = partial(super().complete_iterable_value, item_type, field_details_list, info)
        if not isinstance(items, list) or len(items) <= LIST_SIZE:
            return complete(path, items, *rest)
        if is_awaited(info.parent_type.fields[info.field_name]):
            nodes = [each.node for each in field_details_list]
            width = self.cost.of_item(nodes, get_named_type(item_type), self.variable_values.coerced)
            self.context_value.budget.spend((len(items) - LIST_SIZE) * width)
        if len(items) <= LIST_PIECE:
            return complete(path, items, *rest)

        self.context_value.budget.is_long = True

        async def complete_in_turns() -> list[Any]:
            done: list[Any] = []
            for start in range(0, len(items), LIST_PIECE):
                await take_turn()
                made: Any = complete(_PathFrom(path, start), items[start : start + LIST_PIECE], *rest)
                done += await made if self.is_awaitable(made) else made
            return done

        return complete_in_turns()

    def complete_leaf_value(self, return_type: GraphQLLeafType, result: Any) -> Any:  # type: ignore[override]
        if return_type.name == "JSON":
            self.context_value.budget.spend(cost_of_json(result))
        return super().complete_leaf_value(return_type, result)


class _PathFrom(Path):
    """The path of a list of which only the items from `start` on are completed."""

    start: int

    def __new__(cls, path: Path, start: int) -> "_PathFrom":
        made = super().__new__(cls, *path)
        made.start = start
        return made

    def add_key(self, key: str | int, typename: str | None = None) -> Path:
        return super().add_key(key + self.start if isinstance(key, int) else key, typename)


def _known(outcomes: Outcomes) -> Callable[..., Any]:
    """Return a middleware that gives root fields the outcomes that they have had."""

    def resolve(following: Callable[..., Any], source: Any, info: GraphQLResolveInfo[Context], **arguments: Any) -> Any:
        outcome = outcomes.get(str(info.path.key)) if info.path.prev is None else None
        if outcome is None:
            return following(source, info, **arguments)
        if outcome.error is not None:
            raise outcome.error
        return outcome.value

    return resolve


async def answers_of(
    operation: Operation, variables: VariableValues, context: Context, root_values: list[Any]
) -> list[Answer]:
    """Return what a subscription with these variables gives for each of its events.

    Raise `DatabaseUnavailable`; all other errors are in the answers. An event whose answer costs too much has an error
    of its own.
    """
    plan = operation.plans.find(variables)
    assert not isinstance(plan, MutationPlan)
    if plan is not None:
        together = context.with_budget(context.budget.times(len(root_values)))
        try:
            answers = [
                Answer({"data": data}, executed=True) for data in await plan.data(root_values, together, variables)
            ]
            await _encode_long(answers, together)
            return answers
        except DatabaseUnavailable:
            raise
        except LimitExceeded as error:
            if len(root_values) > 1:
                return [
                    answer for each in root_values for answer in await answers_of(operation, variables, context, [each])
                ]
            return [_give_up(error)]
        except Exception as error:
            log.debug("a plan was given up", exc_info=error)
    return await asyncio.gather(*(_answer_of(operation, variables, context, each) for each in root_values))


async def _answer_of(operation: Operation, variables: VariableValues, context: Context, root_value: Any) -> Answer:
    """Return what graphql-core answers to one event."""
    alone = context.with_budget(context.budget.times(1))
    answer = await _executed(prepare(operation, variables, alone).build_per_event_executor(root_value))
    await _encode_long([answer], alone)
    return answer


async def _encode_long(answers: Iterable[Answer], context: Context) -> None:
    if context.budget.is_long:
        for answer in answers:
            await answer.encode_in_turns()


async def _executed(executor: Executor[Any]) -> Answer:
    """Execute by graphql-core, with new loaders: a plan may have failed to load something."""
    executor.context_value = executor.context_value.with_new_loaders()
    result = executor.execute_operation()  # mutations one after another
    if executor.is_awaitable(result):
        result = await result
    assert isinstance(result, ExecutionResult)
    if executor.operation.operation is not OperationType.MUTATION:
        for each in result.errors or ():
            if isinstance(each.original_error, LimitExceeded):
                return _give_up(each.original_error)
    errors = [present(error) for error in result.errors or ()]
    unavailable = any(each["extensions"]["code"] == UNAVAILABLE for each in errors)
    payload: dict[str, Any] = {"data": result.data}
    if errors:
        payload["errors"] = errors
    if unavailable and not any((result.data or {}).values()):
        payload["data"] = None  # nothing was answered: the request failed as a whole, and is to be sent again
    return Answer(payload, executed=True, unavailable=unavailable)


async def source_of(executor: Executor[Any]) -> Any:
    """Return the subscription's source, or an answer if there is none."""
    source = create_source_event_stream(executor)
    if executor.is_awaitable(source):
        source = await source
    return not_executed(source.errors or ()) if isinstance(source, ExecutionResult) else source


def _give_up(error: DatabaseUnavailable | LimitExceeded) -> Answer:
    """Return the answer of an operation that was begun and cannot be finished."""
    cause = error if isinstance(error, DatabaseUnavailable) else None
    shown = present(GraphQLError(str(error), original_error=cause))
    return Answer({"data": None, "errors": [shown]}, executed=True, unavailable=cause is not None)


def refusal(message: str, code: str = "BAD_USER_INPUT") -> Answer:
    """Return the answer to something that was not executed."""
    return Answer({"errors": [{"message": message, "extensions": {"code": code}}]}, executed=False)


def not_executed(errors: Iterable[GraphQLError]) -> Answer:
    """Return the answer with the errors because of which nothing was executed."""
    presented = [present(error) for error in errors]
    unavailable = any(each["extensions"]["code"] == UNAVAILABLE for each in presented)
    return Answer({"errors": presented}, executed=False, unavailable=unavailable)


def present(error: GraphQLError) -> dict[str, Any]:
    """Return the error as the client sees it: with a code, and without internal details."""
    cause = error.original_error
    formatted: dict[str, Any] = {**error.formatted, "message": _shorten(error.message)}
    if isinstance(cause, DatabaseUnavailable):
        return {**formatted, **outage(cause)}
    code = "BAD_USER_INPUT" if cause is None else code_of(cause)
    if cause is not None and code == INTERNAL:
        return {**formatted, **fault(cause, error.path)}
    formatted["extensions"] = {"code": code}
    if isinstance(cause, DomainError):
        formatted["extensions"]["field"] = [camel(part) for part in cause.field]
    return formatted


def _shorten(message: str) -> str:
    """Cut out the middle of a message that quotes something long, such as a value of the client's."""
    if len(message) <= LONGEST_MESSAGE:
        return message
    return f"{message[: LONGEST_MESSAGE // 2]} … {message[-LONGEST_MESSAGE // 4 :]}"


def code_of(cause: BaseException) -> str:
    """Return the code of the error that a client sees for this cause."""
    for kinds, code in _CODES:
        if isinstance(cause, kinds):
            return code
    return INTERNAL


def fault(cause: BaseException, path: Any = None) -> dict[str, Any]:
    """Return the error that a client sees for a bug or an outage. The log has the cause under the error's id."""
    fault_id = str(uuid7())
    log.error("fault %s at %s", fault_id, path, exc_info=cause)
    return {
        "message": "Something went wrong on our side. Give us the id, and we find it in the log.",
        "extensions": {"code": INTERNAL, "id": fault_id},
    }


def outage(cause: DatabaseUnavailable) -> dict[str, Any]:
    """Return the error that a client sees if the database could not be used."""
    log.warning("the database could not be used: %s", cause)
    return {
        "message": "The database cannot be reached at the moment. Try again, with the same idempotencyKey if it is a"
        " change: it may have been written.",
        "extensions": {"code": UNAVAILABLE},
    }
