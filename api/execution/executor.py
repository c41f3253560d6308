"""graphql-core's executor, as it executes what plans do not: in pieces, and without repeating what a plan has done."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final, cast

from graphql import (
    ExecutionResult,
    Executor,
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
from strawberry.execution import optimized_is_awaitable
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from api.execution.answers import Answer, give_up, not_executed
from api.execution.compiler import cost_of_json, is_awaited
from api.execution.context import Context, Unauthenticated
from api.execution.costs import BYTES_OF_ONE, LIST_SIZE, LONG_TEXT, Cost
from api.execution.errors import UNAVAILABLE, code_of, present
from api.execution.limits import LimitExceeded
from api.execution.operations import Operation
from api.execution.steps import Outcomes
from models.engine.turns import take_turn

LIST_PIECE: Final = 10  # items of a list that graphql-core completes without a pause


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
        elif type(result) is str and len(result) >= LONG_TEXT:
            self.context_value.budget.spend(len(result) // BYTES_OF_ONE)
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


class WithoutToken(StrawberryGraphQLCoreExecutionContext):
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


async def execute(executor: Executor[Any]) -> Answer:
    """Execute by graphql-core, with new loaders: a plan may have failed to load something."""
    executor.context_value.renew_loaders()
    result = executor.execute_operation()  # mutations one after another
    if executor.is_awaitable(result):
        result = await result
    assert isinstance(result, ExecutionResult)
    if executor.operation.operation is not OperationType.MUTATION:
        for each in result.errors or ():
            if isinstance(each.original_error, LimitExceeded):
                return give_up(each.original_error)
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
