"""Runs GraphQL operations: by their plans, and by graphql-core if there is none."""

import asyncio
import logging
import sys
from typing import Any, Final

from graphql import GraphQLError, OperationType, VariableValues

from api.callers.rates import Charge
from api.execution.answers import SUCCESS, Answer, give_up, not_executed, refusal
from api.execution.context import Context
from api.execution.costs import BYTES_OF_ONE
from api.execution.errors import RATE_LIMITED
from api.execution.executor import WithoutToken, execute, prepare
from api.execution.limits import LimitExceeded
from api.execution.operations import NotUnderstood, Operation, Operations
from api.execution.persisted import DocumentRefused
from api.execution.plan import MutationPlan, Plan
from api.execution.requests import Request
from api.execution.schema_answers import schema_answers
from api.execution.steps import Outcomes
from domain.stream import event_log
from models.engine.errors import DatabaseUnavailable
from models.engine.shares import act_for
from models.engine.turns import take_turn

log = logging.getLogger(__name__)

READING: Final = frozenset({OperationType.QUERY})
FOLLOWING: Final = READING | {OperationType.SUBSCRIPTION}
ONE_ANSWER: Final = READING | {OperationType.MUTATION}
ANY: Final = frozenset(OperationType)

DEAR: Final = 1_000  # an operation that costs more waits for its turn


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
            return await _charge_refusal(not_executed(operation.errors), context)
        if context.rights is None and not operation.is_about_schema:  # nothing is done with what it has given
            return await _charge_refusal(await _refuse_without_token(operation, request, context), context)
        context.budget = operations.budget(operation, request)
    except DocumentRefused as error:
        return await _charge_refusal(refusal(str(error), error.code), context)
    except DatabaseUnavailable as error:
        return _count_answer(not_executed([GraphQLError(str(error), original_error=error)]), context)
    except NotUnderstood as error:
        return await _charge_refusal(not_executed(error.errors), context)
    if context.server.rates is not None:
        context.charge = await context.server.rates.take(context.caller, context.budget.expected)
        if not context.charge.taken:
            return _too_much(context.charge, context)
    if context.budget.expected > DEAR:  # many may have come at once
        await take_turn()
    return operation


async def _refuse_without_token(operation: Operation, request: Request, context: Context) -> Answer:
    """Answer with an error for each field that needs a token, and with what is selected of the schema besides."""
    executor = WithoutToken.build(
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
    answer = await execute(executor)
    if operation.kind is OperationType.SUBSCRIPTION:  # which was not begun: it has no data
        return Answer({"errors": answer.payload["errors"]}, executed=False)
    return answer


async def _charge_refusal(answer: Answer, context: Context) -> Answer:
    """Charge the caller for a refused request. Return the answer, or another one if the caller has asked too much."""
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
    answer = await execute(prepare(operation, variables, context))
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
        answer = give_up(error)
    except LimitExceeded as error:
        # What a mutation has done must be told: graphql-core leaves out of its payload what is too much.
        answer = None if operation.kind is OperationType.MUTATION else give_up(error)
    if answer is None:
        answer = await execute(prepare(operation, variables, context, outcomes))
    if context.server.rates is not None and context.budget.extra:
        context.charge = await context.server.rates.take_what_is_left(
            context.caller, extra=context.budget.extra, total=context.budget.total
        )
    if context.budget.is_long:
        answer = await _encode_long(answer, context)
    return _count_answer(answer, context)


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
    context.server.metrics.count_operation(context.operation_kind, answer.outcome)
    return answer if context.charge is None else answer.with_charge(context.charge)


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
            return [await _encode_long(each, context) for each in answers] if together.budget.is_long else answers
        except DatabaseUnavailable:
            raise
        except LimitExceeded as error:
            if len(root_values) > 1:
                return [
                    answer for each in root_values for answer in await answers_of(operation, variables, context, [each])
                ]
            return [give_up(error)]
        except Exception as error:
            log.debug("a plan was given up", exc_info=error)
    return await asyncio.gather(*(_answer_of(operation, variables, context, each) for each in root_values))


async def _answer_of(operation: Operation, variables: VariableValues, context: Context, root_value: Any) -> Answer:
    """Return what graphql-core answers to one event."""
    alone = context.with_budget(context.budget.times(1))
    answer = await execute(prepare(operation, variables, alone).build_per_event_executor(root_value))
    return await _encode_long(answer, alone) if alone.budget.is_long else answer


async def _encode_long(answer: Answer, context: Context) -> Answer:
    """Return the answer, which is long, encoded. Return an error in its place if it has too many bytes to be sent.

    What a mutation has done must be told, however long it is.
    """
    most = context.budget.most
    is_done = context.operation_kind == OperationType.MUTATION.value
    if await answer.encode_in_turns(sys.maxsize if is_done else most * BYTES_OF_ONE):
        return answer
    found = f"The answer has more than {most * BYTES_OF_ONE:,} bytes, each {BYTES_OF_ONE} of which cost one"
    return give_up(LimitExceeded(found, most, "max_cost"))
