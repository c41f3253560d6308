"""The plans of an operation, compiled when they are first needed."""

from functools import cached_property
from typing import Any, Final

from graphql import (
    DirectiveNode,
    DocumentNode,
    GraphQLError,
    GraphQLIncludeDirective,
    GraphQLSchema,
    GraphQLSkipDirective,
    OperationDefinitionNode,
    OperationType,
    VariableNode,
    VariableValues,
    Visitor,
    visit,
)

from api.execution.compiler import Compiler, NotCompiled
from api.execution.plan import MutationPlan, Plan
from api.lru import LRUCache

MOST_PLANS: Final = 8  # of one operation: one for each choice of what its @skip and @include take from variables


class Plans:
    """The plans of one operation, compiled when they are first needed."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode) -> None:
        self._schema = schema
        self._document = document
        self._operation = operation
        self._plans: LRUCache[tuple[Any, ...], Plan | MutationPlan | None] = LRUCache(MOST_PLANS)

    @cached_property
    def _conditions(self) -> list[str]:
        return _Conditions(self._document).names

    def find(self, variables: VariableValues) -> Plan | MutationPlan | None:
        """Return the plan for these variables, or None if the operation cannot be compiled."""
        choice = tuple(variables.coerced.get(name) for name in self._conditions)
        if choice not in self._plans:
            self._plans.put(choice, _compile(self._schema, self._document, self._operation, variables))
        return self._plans.get(choice)


class _Conditions(Visitor):
    """Collects the variables that `@skip` and `@include` of a document depend on."""

    def __init__(self, document: DocumentNode) -> None:
        super().__init__()
        self.names: list[str] = []
        visit(document, self)

    def enter_directive(self, node: DirectiveNode, *_: Any) -> None:
        if node.name.value in (GraphQLSkipDirective.name, GraphQLIncludeDirective.name):
            values = [argument.value for argument in node.arguments or ()]
            self.names += [value.name.value for value in values if isinstance(value, VariableNode)]


def _compile(
    schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode, variables: VariableValues
) -> Plan | MutationPlan | None:
    compiler = Compiler(schema, document, operation, variables)
    try:
        return (
            compiler.compile_mutation() if operation.operation is OperationType.MUTATION else compiler.compile_query()
        )
    except (NotCompiled, GraphQLError, RecursionError):
        return None
