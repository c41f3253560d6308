"""The operations that clients ask for: documents are parsed and validated once, and remembered."""

from dataclasses import replace
from functools import cached_property
from typing import Any, Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    VariableDefinitionNode,
    VariableNode,
    VariableValues,
    Visitor,
    get_variable_values,
    print_ast,
    validate,
    visit,
)
from graphql.validation import NoSchemaIntrospectionCustomRule, specified_rules
from graphql.validation.rules import overlapping_fields_can_be_merged
from graphql.validation.validate import ValidationAbortedError
from strawberry.schema import Schema
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from api.execution.costs import WEIGHT_OF_ONE, Cost
from api.execution.limits import Budget, budget_for, parse_document, weigh_variables
from api.execution.plans import Plans
from api.execution.requests import Request
from api.lru import LRUCache
from api.metrics import Metrics
from api.settings import Settings

MOST_DOCUMENTS: Final = 512
MOST_ERRORS: Final = 5  # of a document that are shown: each costs work, and more if it has a suggestion
LONGEST_REMEMBERED: Final = 16 * 1024  # characters: what is longer is read anew each time, so that few cannot fill it

_INTROSPECTION_TYPES: Final = frozenset({"Boolean", "String"})

_RULES: Final = (*specified_rules, MaybeNullValidationRule, OneOfInputValidationRule)

# The rule that is quadratic in fields of the same name, and stops at this much work: by default after a second.
overlapping_fields_can_be_merged.MAX_COMPLEXITY_BUDGET = 5_000


class NotUnderstood(Exception):
    """The document is not valid, or has not the operation that is asked for."""

    def __init__(self, *errors: GraphQLError) -> None:
        super().__init__(errors[0].message)
        self.errors = errors


class Operation:
    """One operation of a document, to be executed if `errors` is empty.

    It stays the same object for as long as its document is remembered. Unless it `is_kept`, that is for one request.
    """

    def __init__(self, schema: GraphQLSchema, document: "ParsedDocument", definition: OperationDefinitionNode) -> None:
        self.schema = schema
        self.document = document.node
        self.errors = document.errors
        self.is_kept = document.is_kept
        self.definition = definition
        self.kind: OperationType = definition.operation
        self.name: str | None = definition.name.value if definition.name else None
        self.plans = Plans(schema, document.node, definition)

    def variables(self, given: dict[str, Any] | None, *, hide_suggestions: bool = True) -> VariableValues:
        """Return what a request has given, coerced to the declared types.

        Raise `GraphQLError` for the first value that does not fit. The others are not reported: each error costs the
        search for a name that may have been meant.
        """
        definitions = self.definition.variable_definitions or ()
        values = get_variable_values(self.schema, definitions, given or {}, 1, hide_suggestions)
        if isinstance(values, list):
            raise values[0]
        return values

    @cached_property
    def without_inputs(self) -> DocumentNode:
        """The document with this operation alone, whose only variables are of the types that introspection takes."""
        return self._declaring(
            [
                each
                for each in self.definition.variable_definitions or ()
                if print_ast(each.type).rstrip("!") in _INTROSPECTION_TYPES
            ]
        )

    @cached_property
    def without_variables(self) -> DocumentNode:
        """The document with this operation alone, which declares no variables: their values are known already."""
        return self._declaring([])

    def _declaring(self, variables: list[VariableDefinitionNode]) -> DocumentNode:
        others = [each for each in self.document.definitions if not isinstance(each, OperationDefinitionNode)]
        return DocumentNode(definitions=(replace(self.definition, variable_definitions=tuple(variables)), *others))

    @cached_property
    def is_about_schema(self) -> bool:
        """Whether it is a query of introspection alone. The answer then depends on nothing but its variables."""
        if self.kind is not OperationType.QUERY:
            return False
        return all(name.startswith("__") for name in self.root_fields)

    @cached_property
    def shows_live_cursor(self) -> bool:
        """Whether it is a query for `liveCursor`, which must be known before any other field is resolved."""
        return self.kind is OperationType.QUERY and "liveCursor" in self.root_fields

    @cached_property
    def root_fields(self) -> frozenset[str]:
        """The names of the fields that it selects at the root, whatever `@skip` and `@include` say."""
        fragments = {
            each.name.value: each for each in self.document.definitions if isinstance(each, FragmentDefinitionNode)
        }
        names = set()
        selections = list(self.definition.selection_set.selections)
        for selection in selections:  # which grows as fragments are found; their cycles were refused
            if isinstance(selection, FieldNode):
                names.add(selection.name.value)
            elif isinstance(selection, FragmentSpreadNode):
                selections += fragments[selection.name.value].selection_set.selections
            elif isinstance(selection, InlineFragmentNode):
                selections += selection.selection_set.selections
        return frozenset(names)

    @cached_property
    def cost(self) -> Cost:
        """The cost of an operation without errors."""
        return Cost(self.schema, self.document, self.definition)

    @cached_property
    def shaping_variables(self) -> tuple[str, ...]:
        """The variables on which the answer to an event depends: all but mere arguments of the root fields."""
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


def errors_in(schema: GraphQLSchema, document: DocumentNode, *, introspection: bool) -> list[GraphQLError]:
    """Return the document's errors. Without introspection, asking for the schema is one, and none gives hints."""
    rules = _RULES if introspection else (*_RULES, NoSchemaIntrospectionCustomRule)
    errors = validate(schema, document, rules, max_errors=MOST_ERRORS, hide_suggestions=not introspection)
    if errors and isinstance(errors[-1], ValidationAbortedError) and len(errors) <= MOST_ERRORS:
        errors[-1] = GraphQLError("The document selects the same fields too often to be compared with one another.")
    # Without their causes: what is wrong with a literal, such as a number of 5,000 digits, is no fault of ours.
    return [GraphQLError(each.message, each.nodes) for each in errors]


class ParsedDocument:
    """A document that was parsed and validated."""

    def __init__(self, schema: Schema, query: str, settings: Settings, *, introspection: bool) -> None:
        """Raise `GraphQLError` if it is no document, or too large."""
        self._schema = schema._schema
        self.is_kept = len(query) <= LONGEST_REMEMBERED
        self.node: DocumentNode = parse_document(query, settings)
        self.errors: list[GraphQLError] = errors_in(self._schema, self.node, introspection=introspection)

    @cached_property
    def operations(self) -> list[Operation]:
        definitions = (each for each in self.node.definitions if isinstance(each, OperationDefinitionNode))
        return [Operation(self._schema, self, each) for each in definitions]


def _find_operation(operations: list[Operation], name: str | None) -> Operation:
    """Return the operation. Raise `GraphQLError` if none has this name, or if no name is given for several."""
    if name is None:
        if len(operations) == 1:
            return operations[0]
        raise GraphQLError("The document has several operations, or none: give an operationName.")
    for operation in operations:
        if operation.name == name:
            return operation
    raise GraphQLError(f"The document has no operation {name!r}.")


class DocumentCache(LRUCache[tuple[str, str, bool], ParsedDocument]):
    """Keeps the documents that were used last, by their limits, their text, and whether they may ask for the schema.

    Applications of one process and one schema may share it. To parse and validate a document takes ten times as long as
    to answer a query of five fields.
    """

    def __init__(self) -> None:
        super().__init__(MOST_DOCUMENTS)


class Operations:
    """The operations of the schema. Documents that were used last are not parsed again."""

    def __init__(self, schema: Schema, settings: Settings, metrics: Metrics, documents: DocumentCache) -> None:
        self._schema = schema
        self._settings = settings
        self._metrics = metrics
        self._documents = documents
        self._limits = repr([getattr(settings, name) for name in Settings.model_fields if name.startswith("max_")])

    def find(self, request: Request, *, introspection: bool) -> Operation:
        """Return the operation that is asked for. Raise `NotUnderstood` if there is none, or it is too large."""
        try:
            return _find_operation(self._document(request.query, introspection).operations, request.operation_name)
        except GraphQLError as error:
            raise NotUnderstood(error) from None

    def budget(self, operation: Operation, request: Request) -> Budget:
        """Return the operation's budget, with what it is expected to cost with the request's variables.

        Raise `NotUnderstood` if the variables are too large, or it costs too much.
        """
        try:
            weight = weigh_variables(request.variables, self._settings)
            return budget_for(operation.cost.of(request.variables) + weight // WEIGHT_OF_ONE, self._settings)
        except GraphQLError as error:
            raise NotUnderstood(error) from None

    def _document(self, query: str, introspection: bool) -> ParsedDocument:
        key = (self._limits, query, introspection)
        document = self._documents.get(key)
        self._metrics.count_document(remembered=document is not None)
        if document is None:
            document = ParsedDocument(self._schema, query, self._settings, introspection=introspection)
            if document.is_kept:
                self._documents.put(key, document)
        return document
