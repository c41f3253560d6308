"""What clients ask for, and the operations that it means: documents are parsed and validated once, and remembered."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    VariableNode,
    VariableValues,
    Visitor,
    get_variable_values,
    parse,
    visit,
)
from graphql.validation import specified_rules
from strawberry.schema import Schema
from strawberry.schema.schema import validate_document

from api.compiling import Plans
from api.metrics import Metrics

MOST_DOCUMENTS: Final = 512
LONGEST_REMEMBERED: Final = 16 * 1024  # characters: what is longer is read anew each time, so that few cannot fill it


@dataclass(frozen=True, slots=True)
class Request:
    query: str
    variables: dict[str, Any] | None = None
    operation_name: str | None = None


class MalformedRequest(Exception):
    """The request is not one of GraphQL's shape: what is wrong with it is the message."""


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


class NotUnderstood(Exception):
    """The document is not valid, or has not the operation that is asked for."""

    def __init__(self, *errors: GraphQLError) -> None:
        super().__init__(errors[0].message)
        self.errors = errors


class Operation:
    """One operation of a document, to be executed if `errors` is empty.

    It stays the same object for as long as its document is remembered.
    """

    def __init__(self, schema: GraphQLSchema, document: "_Document", definition: OperationDefinitionNode) -> None:
        self.schema = schema
        self.document = document.node
        self.errors = document.errors
        self.definition = definition
        self.kind: OperationType = definition.operation
        self.name: str | None = definition.name.value if definition.name else None
        self.plans = Plans(schema, document.node, definition)

    def variables(self, given: dict[str, Any] | None) -> VariableValues | None:
        """What a request has given, as the types that the operation declares; `None` where it does not fit them."""
        values = get_variable_values(self.schema, self.definition.variable_definitions or (), given or {})
        return None if isinstance(values, list) else values

    @cached_property
    def shaping_variables(self) -> tuple[str, ...]:
        """Those on which the answer to an event depends: all but those that are only arguments of the root fields."""
        found = _Variables()
        for definition in self.document.definitions:
            if isinstance(definition, FragmentDefinitionNode):
                visit(definition, found)
        for selection in self.definition.selection_set.selections:
            if isinstance(selection, FieldNode):
                for part in (*(selection.directives or ()), selection.selection_set):
                    if part is not None:
                        visit(part, found)
            else:
                visit(selection, found)
        return tuple(sorted(found.names))


class _Variables(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def enter_variable(self, node: VariableNode, *_: Any) -> None:
        self.names.add(node.name.value)


class _Document:
    def __init__(self, schema: Schema, query: str) -> None:
        """Raises `GraphQLError` for what is no document."""
        self._schema = schema._schema
        self.node: DocumentNode = parse(query)
        self.errors: list[GraphQLError] = validate_document(self._schema, self.node, specified_rules)

    @cached_property
    def operations(self) -> list[Operation]:
        definitions = (each for each in self.node.definitions if isinstance(each, OperationDefinitionNode))
        return [Operation(self._schema, self, each) for each in definitions]


class Operations:
    """Those of the schema, of which the last `MOST_DOCUMENTS` documents are remembered.

    For a query of five fields, parsing and validating take ten times as long as executing it.
    """

    def __init__(self, schema: Schema, metrics: Metrics) -> None:
        self._schema = schema
        self._metrics = metrics
        self._documents: dict[str, _Document] = {}

    def find(self, request: Request) -> Operation:
        """The operation that the request asks for. Raises `NotUnderstood` where there is none."""
        try:
            operations = self._document(request.query).operations
        except GraphQLError as error:
            raise NotUnderstood(error) from None
        if request.operation_name is None:
            if len(operations) == 1:
                return operations[0]
            raise NotUnderstood(GraphQLError("The document has several operations, or none: give an operationName."))
        for operation in operations:
            if operation.name == request.operation_name:
                return operation
        raise NotUnderstood(GraphQLError(f"The document has no operation {request.operation_name!r}."))

    def _document(self, query: str) -> _Document:
        known = self._documents.pop(query, None)
        self._metrics.document(remembered=known is not None)
        document = known or _Document(self._schema, query)
        if len(query) <= LONGEST_REMEMBERED:
            self._documents[query] = document  # now the last that would be forgotten
            if len(self._documents) > MOST_DOCUMENTS:
                del self._documents[next(iter(self._documents))]
        return document
