"""The cost of an operation, computed before it is executed from its document and the sizes of its pages.

One is about the work of answering one field. Each field costs one, and so does each object of a list with what is
selected of it. A page has the requested size. Only what costs more is declared here.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any, Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLArgument,
    GraphQLInputObjectType,
    GraphQLObjectType,
    GraphQLSchema,
    IntValueNode,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_list_type,
    print_ast,
)

from domain.paging import DEFAULT_PER_PAGE, MOST_PER_PAGE

WEIGHT_OF_ONE: Final = 10  # of the variables (`api.execution.limits`): as much work as answering one field
BYTES_OF_ONE: Final = 50  # of a JSON value, or characters of a long text
LONG_TEXT: Final = 500  # characters of a text that costs more than one
LIST_SIZE: Final = 5  # items that a list is taken to have which is no page

# What a field costs besides: by its name, or by its type's for each field that has no entry of its own; and what an
# argument of it costs if it is given.
WEIGHTS: Final = {
    "Order.availableActions": 50,  # a situation, and some twenty rules
    "Query": 10,  # a statement
    "Query.orders(search)": 90,
    "Query.orderCounts": 100,
    "Mutation": 100,  # a transaction of some statements
    "Mutation.createDeliveryNote": 200,  # a PDF
    "Mutation.createDeliveryNotes": 2_000,  # up to a hundred
    "Subscription": 10,
    "Subscription.orderCountsChanged": 100,
}

# What each value in an argument costs. Those of a filter are its conditions, the items of their lists, and the filters
# within it. To put together a statement with them takes longer than most answers do, and a count puts together two.
VALUE_WEIGHTS: Final = {
    "Query.orders(filter)": 150,
    "Query.orderCounts(filter)": 300,
    "Query.orderEvents(filter)": 20,
    "Subscription.orderEvents(filter)": 20,
    "Subscription.orderStatusChanged(filter)": 20,
    "Subscription.orderCountsChanged(filter)": 300,
}

_PAGING: Final = frozenset({"first", "last"})
_MOST_REMEMBERED: Final = 256  # combinations of page sizes for one operation


class Cost:
    """The cost of one operation. Its document must be valid and within the limits, and so is small also when it is
    spread.
    """

    def __init__(self, schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode) -> None:
        self._schema = schema
        self._fragments = {
            each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)
        }
        self._operation = operation
        self._defaults: dict[str, int | None] = {}  # of the variables that can be a page's size
        self._filters: dict[str, int] = {}  # of those that can be a filter, or a part of one: how many values it has
        for each in operation.variable_definitions or ():
            name, type_name = each.variable.name.value, print_ast(each.type).strip("[]!")
            if print_ast(each.type).rstrip("!") == "Int":
                self._defaults[name] = _literal(each.default_value)
            elif type_name in _weighed_types(schema):
                self._filters[name] = _count_literals(each.default_value, {})
        self._known: dict[tuple[int, ...], int] = {}

    def of(self, variables: dict[str, Any] | None) -> int:
        """Return the cost with these variables. They may be of any types: whether they are right is found out later."""
        sizes = self._sizes(variables or {})
        cost = self._known.get(sizes)
        if cost is None:
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            cost = self._known[sizes] = self._of(self._by_name(sizes))
        return cost

    def of_item(self, nodes: Iterable[FieldNode], type_: Any, variables: dict[str, Any]) -> int:
        """Return what one item of a list costs, with all that these nodes select of it."""
        sizes = self._by_name(self._sizes(variables))
        selected = (each.selection_set for each in nodes if each.selection_set is not None)
        return 1 + sum(self._selected(each, type_, LIST_SIZE, sizes) for each in selected)

    def _sizes(self, given: dict[str, Any]) -> tuple[int, ...]:
        """Return the values of the variables that count, in the order of `_defaults` and `_filters`."""
        sizes = tuple(_page_size(given.get(name, default)) for name, default in self._defaults.items())
        if self._filters:
            counts = (_count_values(given[name]) if name in given else count for name, count in self._filters.items())
            sizes = (*sizes, *counts)
        return sizes

    def _by_name(self, sizes: tuple[int, ...]) -> dict[str, int]:
        return dict(zip((*self._defaults, *self._filters), sizes, strict=True))

    def _of(self, sizes: dict[str, int]) -> int:
        """Return the cost with these values of the variables that can be the size of a page."""
        root = self._schema.get_root_type(self._operation.operation)
        return self._selected(self._operation.selection_set, root, LIST_SIZE, sizes)

    def _selected(self, selection_set: SelectionSetNode, parent: Any, items: int, sizes: dict[str, int]) -> int:
        """Return the cost of a selection set. A list among the parent's fields has so many `items`."""
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
        cost = 1 + _weight(parent.name, node, sizes)
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


@cache
def _weighed_types(schema: GraphQLSchema) -> frozenset[str]:
    """Return the types of the arguments whose values cost, and of all that is in them."""
    names: set[str] = set()
    types = [get_named_type(_argument(schema, each).type) for each in VALUE_WEIGHTS]
    for type_ in types:  # which grows as more are found
        if type_.name not in names:
            names.add(type_.name)
            if isinstance(type_, GraphQLInputObjectType):
                types += [get_named_type(field.type) for field in type_.fields.values()]
    return frozenset(names)


def _argument(schema: GraphQLSchema, path: str) -> GraphQLArgument:
    """Return the argument at a path such as `Query.orders(filter)`."""
    type_name, field_name, argument_name = path.removesuffix(")").replace("(", ".").split(".")
    type_ = schema.type_map[type_name]
    assert isinstance(type_, GraphQLObjectType)
    argument: GraphQLArgument = type_.fields[field_name].args[argument_name]
    return argument


def _weight(type_name: str, node: FieldNode, sizes: dict[str, int]) -> int:
    name = f"{type_name}.{node.name.value}"
    cost = WEIGHTS.get(name, 0 if node.name.value.startswith("__") else WEIGHTS.get(type_name, 0))
    for each in node.arguments or ():
        argument = f"{name}({each.name.value})"
        cost += WEIGHTS.get(argument, 0)
        if weight := VALUE_WEIGHTS.get(argument):
            cost += weight * _count_literals(each.value, sizes)
    return cost


def _count_literals(node: Any, sizes: dict[str, int]) -> int:
    """Count the values in a literal: the items of a list, the fields of an object, and what they contain.

    `sizes` has the counts of the variables that have any.
    """
    if isinstance(node, VariableNode):
        return sizes.get(node.name.value, 0)
    if isinstance(node, ListValueNode):
        return len(node.values) + sum(_count_literals(each, sizes) for each in node.values)
    if isinstance(node, ObjectValueNode):
        return len(node.fields) + sum(_count_literals(each.value, sizes) for each in node.fields)
    return 0


def _count_values(value: Any) -> int:
    """Count the values in a variable's value, which is not nested deeply."""
    if isinstance(value, list):
        return len(value) + sum(map(_count_values, value))
    if isinstance(value, dict):
        return len(value) + sum(map(_count_values, value.values()))
    return 0


def _literal(node: Any) -> int | None:
    return int(node.value) if isinstance(node, IntValueNode) else None


def _size_of(node: Any, sizes: dict[str, int]) -> int:
    return sizes[node.name.value] if isinstance(node, VariableNode) else _page_size(_literal(node))


def _page_size(given: Any) -> int:
    """Return how many items there are at most, or 0 if that is not given. Execution refuses what is out of range."""
    return int(min(max(1, given), MOST_PER_PAGE)) if isinstance(given, (int, float)) else 0
