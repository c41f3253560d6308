"""Running a GraphQL operation, and what its errors tell the client."""

import logging
import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

import orjson
from graphql import GraphQLError, OperationDefinitionNode, parse
from strawberry.exceptions import StrawberryGraphQLError
from strawberry.extensions import SchemaExtension
from strawberry.schema import Schema
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types.execution import PreExecutionError
from strawberry.types.graphql import OperationType
from uuid_utils.compat import uuid7

from api.context import Context, Unauthenticated
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
INTERNAL: Final = "INTERNAL"
RETRY_SECONDS: Final = 1  # after which a client may try again what was UNAVAILABLE

_CODES: Final[tuple[tuple[type | tuple[type, ...], str], ...]] = (
    (Unauthenticated, "UNAUTHENTICATED"),
    (Forbidden, "FORBIDDEN"),
    (DatabaseUnavailable, UNAVAILABLE),
    ((DomainError, GraphQLError, StrawberryGraphQLError), "BAD_USER_INPUT"),
)

_OPERATION: Final = re.compile(r"\b(?:query|mutation|subscription)\b")


class MalformedRequest(Exception):
    """The request is not one of GraphQL's shape: what is wrong with it is the message."""


@dataclass(frozen=True, slots=True)
class Request:
    query: str
    variables: dict[str, Any] | None = None
    operation_name: str | None = None


def parse_request(payload: Any) -> Request:
    """A request from JSON that a client has sent. Raises `MalformedRequest`."""
    if not isinstance(payload, dict):
        raise MalformedRequest("A request is a JSON object.")
    query = payload.get("query")
    if not isinstance(query, str) or not query.strip():
        raise MalformedRequest("A request needs a query, which is a string.")
    for name, kind, description in (
        ("variables", dict, "an object"),
        ("operationName", str, "a string"),
        ("extensions", dict, "an object"),
    ):
        value = payload.get(name)
        if value is not None and not isinstance(value, kind):
            raise MalformedRequest(f"{name} is {description}.")
    return Request(query, payload.get("variables"), payload.get("operationName") or None)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent for one result.

    `executed` is false where the document or its variables were refused; `unavailable` is true where the database could
    not be used, and the same request may succeed in a moment.
    """

    payload: dict[str, Any]
    executed: bool
    unavailable: bool = False

    @property
    def outcome(self) -> str:
        """`SUCCESS`, or the first error's code."""
        errors = self.payload.get("errors")
        return str(errors[0]["extensions"]["code"]) if errors else SUCCESS

    def as_json(self) -> bytes:
        try:
            return orjson.dumps(self.payload, default=str)
        except TypeError as error:  # nested more deeply than the encoder goes, or a text that is not Unicode
            return orjson.dumps({"errors": [fault(error)]})


class NotesOperation(SchemaExtension):
    """Tells the operation's `Context` what it is, once that is known."""

    def on_validate(self) -> Iterator[None]:
        context: Context = self.execution_context.context
        context.operation_kind = self.execution_context.operation_type.value
        context.operation_name = self.execution_context.operation_name
        yield


class OperationNotAllowed(Exception):
    """An operation of this kind cannot be run by this kind of request."""

    def __init__(self, kind: OperationType) -> None:
        super().__init__(f"A {kind.value} cannot be run this way.")
        self.kind = kind


async def execute(
    schema: Schema, request: Request, context: Context, allowed: frozenset[OperationType] = ONE_ANSWER
) -> Answer:
    """Run a query or a mutation. Raises `OperationNotAllowed`."""
    if request.operation_name is None and _has_several_operations(request.query):
        return refusal(_no_operation(request))
    try:
        result = await schema.execute(
            request.query,
            variable_values=request.variables,
            operation_name=request.operation_name,
            context_value=context,
            allowed_operation_types=allowed & ONE_ANSWER,
        )
    except InvalidOperationTypeError as error:
        raise OperationNotAllowed(error.operation_type) from error
    except CannotGetOperationTypeError:
        return refusal(_no_operation(request))
    answer = _answer(result)
    context.metrics.operation(context.operation_kind, answer.outcome)
    return answer


async def stream(
    schema: Schema, request: Request, context: Context, allowed: frozenset[OperationType] = ANY
) -> AsyncGenerator[Answer, None]:
    """Run any operation: as many answers as it has. One that was not executed is the last one."""
    try:
        answer = await execute(schema, request, context, allowed)
    except OperationNotAllowed as error:
        if not (error.kind is OperationType.SUBSCRIPTION and error.kind in allowed):
            yield refusal(str(error))
            return
    else:
        yield answer
        return
    results = await schema.stream(
        request.query,
        variable_values=request.variables,
        operation_name=request.operation_name,
        context_value=context,
    )
    outcome = SUCCESS
    try:
        with context.metrics.subscription():
            async with aclosing(results):
                async for result in results:
                    answer = _answer(result)
                    outcome = answer.outcome
                    yield answer
                    if answer.executed:
                        context.metrics.delivered()
    finally:
        context.metrics.operation(OperationType.SUBSCRIPTION.value, outcome)


def _has_several_operations(document: str) -> bool:
    """Strawberry would run the first of them. They begin with these words: an operation without is valid only alone."""
    if len(_OPERATION.findall(document)) < 2:
        return False
    try:
        definitions = parse(document, no_location=True).definitions
    except GraphQLError:
        return False  # which is said when it is executed
    return sum(isinstance(definition, OperationDefinitionNode) for definition in definitions) > 1


def _no_operation(request: Request) -> str:
    if request.operation_name is None:
        return "The document has several operations, or none: give an operationName."
    return f"The document has no operation {request.operation_name!r}."


def refusal(message: str, code: str = "BAD_USER_INPUT") -> Answer:
    """What is answered where nothing was executed."""
    return Answer({"errors": [{"message": message, "extensions": {"code": code}}]}, executed=False)


def _answer(result: Any) -> Answer:
    errors = [present(error) for error in result.errors or ()]
    executed = not isinstance(result, PreExecutionError) and not (
        result.data is None and errors and all("path" not in error for error in errors)
    )
    payload: dict[str, Any] = {"data": result.data} if executed else {}
    if errors:
        payload["errors"] = errors
    return Answer(payload, executed, any(error["extensions"]["code"] == UNAVAILABLE for error in errors))


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
