"""What an operation costs: worked out before it is executed, from its document and the sizes of its pages.

One is about what it takes to answer one field. Each field costs one; so does each object of a list, with what is
selected of it. A page has the size that is asked for. Only what is dearer than that is declared here.
"""

from typing import Any, Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLSchema,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_list_type,
    print_ast,
)

from domain.orders.queries import DEFAULT_PER_PAGE, MOST_PER_PAGE

LIST_SIZE: Final = 5  # items that a list is taken to have which is no page

# What a field costs besides: by its name, or by its type's for each field that has no entry of its own; and what an
# argument of it costs where it is given.
WEIGHTS: Final = {
    "Query": 10,  # a statement
    "Query.orders(search)": 90,
    "Query.orderCounts": 100,
    "Mutation": 100,  # a transaction of some statements
    "Mutation.createDeliveryNote": 200,  # a PDF
    "Mutation.createDeliveryNotes": 2_000,  # up to a hundred
    "Subscription": 10,
    "Subscription.orderCountsChanged": 100,
}

_PAGING: Final = frozenset({"first", "last"})
_MOST_REMEMBERED: Final = 256  # combinations of page sizes for one operation


class Cost:
    """Of one operation, whose document is valid and within the limits, and so is small also when it is spread."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode) -> None:
        self._schema = schema
        self._fragments = {
            each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)
        }
        self._operation = operation
        self._defaults = {
            each.variable.name.value: _literal(each.default_value)
            for each in operation.variable_definitions or ()
            if print_ast(each.type).rstrip("!") == "Int"
        }
        self._known: dict[tuple[int, ...], int] = {}

    def of(self, variables: dict[str, Any] | None) -> int:
        """With these variables, which may be of any types: whether they are the right ones is found out later."""
        given = variables or {}
        sizes = tuple(_page_size(given.get(name, default)) for name, default in self._defaults.items())
        cost = self._known.get(sizes)
        if cost is None:
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            cost = self._known[sizes] = self._of(dict(zip(self._defaults, sizes, strict=True)))
        return cost

    def _of(self, sizes: dict[str, int]) -> int:
        """With these values of the variables that can be a page's size."""
        root = self._schema.get_root_type(self._operation.operation)
        return self._selected(self._operation.selection_set, root, LIST_SIZE, sizes)

    def _selected(self, selection_set: SelectionSetNode, parent: Any, items: int, sizes: dict[str, int]) -> int:
        """`items` is how many a list among the parent's fields has."""
        cost = 0
        for node in selection_set.selections:
            if isinstance(node, FieldNode):
                cost += self._field(node, parent, items, sizes)
            else:
                fragment: Any = self._fragments[node.name.value] if isinstance(node, FragmentSpreadNode) else node
                condition = fragment.type_condition
                of = self._schema.type_map[condition.name.value] if condition else parent
                cost += self._selected(fragment.selection_set, of, items, sizes)
        return cost

    def _field(self, node: FieldNode, parent: Any, items: int, sizes: dict[str, int]) -> int:
        cost = 1 + _weight(parent.name, node)
        if node.selection_set is None:
            return cost
        definition = self._schema.get_field(parent, node.name.value)
        assert definition is not None
        size = LIST_SIZE
        if not _PAGING.isdisjoint(definition.args):
            asked = [_size_of(each.value, sizes) for each in node.arguments or () if each.name.value in _PAGING]
            size = max(asked, default=0) or DEFAULT_PER_PAGE
        below = self._selected(node.selection_set, get_named_type(definition.type), size, sizes)
        return cost + (items * (1 + below) if is_list_type(get_nullable_type(definition.type)) else below)


def _weight(type_name: str, node: FieldNode) -> int:
    name = f"{type_name}.{node.name.value}"
    cost = WEIGHTS.get(name, 0 if node.name.value.startswith("__") else WEIGHTS.get(type_name, 0))
    return cost + sum(WEIGHTS.get(f"{name}({each.name.value})", 0) for each in node.arguments or ())


def _literal(node: Any) -> int | None:
    return int(node.value) if isinstance(node, IntValueNode) else None


def _size_of(node: Any, sizes: dict[str, int]) -> int:
    return sizes[node.name.value] if isinstance(node, VariableNode) else _page_size(_literal(node))


def _page_size(given: Any) -> int:
    """How many items come at most; 0 where that is not said. What is out of range is refused when it is executed."""
    return int(min(max(1, given), MOST_PER_PAGE)) if isinstance(given, (int, float)) else 0
