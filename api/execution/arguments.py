"""Prepares a field's arguments, with everything done in advance that does not depend on the request.

The values are those that graphql-core and Strawberry would pass to the resolver. They look up names and types each
time, which costs as much as a statement of PostgreSQL for the input of a mutation.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING
from typing import Any, Final

from graphql import FieldNode, GraphQLField, GraphQLNonNull, VariableNode, VariableValues, Visitor, visit
from graphql.execution.values import coerce_argument
from strawberry.scalars import is_scalar
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.arguments import convert_argument
from strawberry.types.base import (
    StrawberryList,
    StrawberryMaybe,
    StrawberryObjectDefinition,
    StrawberryOptional,
    StrawberryType,
)
from strawberry.types.enum import StrawberryEnumDefinition
from strawberry.types.field import StrawberryField
from strawberry.types.lazy_type import LazyType
from strawberry.types.maybe import Some
from strawberry.types.unset import UNSET

Convert = Callable[[Any], Any]

_MISSING: Final = object()


class Arguments:
    """The arguments of one field of a document. Raise `GraphQLError` if one of them can never be right."""

    def __init__(
        self, field: GraphQLField, node: FieldNode, definition: StrawberryField, converter: GraphQLCoreConverter
    ) -> None:
        self._node = node
        self._fixed: dict[str, Any] = {}
        self._variable: list[tuple[str, Any, Any, str | None, bool]] = []
        given = {each.name.value: each for each in node.arguments or ()}
        for name, argument in field.args.items():
            asked = given.get(name)
            if asked is None or not _has_variables(asked.value):
                coerce_argument(self._fixed, node, name, argument, asked, None, None)
                continue
            variable = asked.value.name.value if isinstance(asked.value, VariableNode) else None
            self._variable.append((name, argument, asked, variable, isinstance(argument.type, GraphQLNonNull)))
        names = converter.config.name_converter
        self._taken = [
            (names.from_argument(each), each.python_name, _conversion(each.type, converter))
            for each in definition.arguments
        ]

    def of(self, variables: VariableValues) -> dict[str, Any]:
        """Return what the resolver takes. Raise `GraphQLError` if the variables do not fit."""
        values = self._fixed
        if self._variable:
            values = dict(values)
            coerced = variables.coerced
            for name, argument, asked, variable, required in self._variable:
                value = _MISSING if variable is None else coerced.get(variable, _MISSING)
                if value is _MISSING or (value is None and required):
                    coerce_argument(values, self._node, name, argument, asked, variables, None)
                else:
                    values[name] = value
        return {ours: convert(values[name]) for name, ours, convert in self._taken if name in values}


class _Variables(Visitor):
    found = False

    def enter_variable(self, *_: Any) -> None:
        self.found = True


def _has_variables(node: Any) -> bool:
    variables = _Variables()
    visit(node, variables)
    return variables.found


def _conversion(type_: StrawberryType | type, converter: GraphQLCoreConverter) -> Convert:
    """Return the function that makes what a resolver takes from a coerced value, as Strawberry's `convert_argument`
    does.
    """

    def unknown(value: Any) -> Any:
        return convert_argument(value, type_, converter.scalar_registry, converter.config)

    if isinstance(type_, StrawberryMaybe):
        inner = _conversion(type_.of_type, converter)
        if isinstance(type_.of_type, StrawberryOptional):
            return lambda value: Some(inner(value))
        return lambda value: unknown(value) if value is None else Some(inner(value))
    if isinstance(type_, StrawberryOptional):
        return _conversion(type_.of_type, converter)
    if isinstance(type_, LazyType):
        return _conversion(type_.resolve_type(), converter)
    if isinstance(type_, StrawberryList):
        item = _conversion(type_.of_type, converter)
        return lambda value: value if value is None or value is UNSET else list(map(item, value))
    definition = getattr(type_, "__strawberry_definition__", type_)
    if isinstance(definition, StrawberryEnumDefinition) or is_scalar(type_, converter.scalar_registry):
        return lambda value: value
    if isinstance(definition, StrawberryObjectDefinition) and definition.is_input and definition.from_input is None:
        return _Input(definition, converter).convert
    return unknown


class _Input:
    """Makes the objects of an input type. It looks at the fields when it is first used, because a type may contain
    itself.
    """

    def __init__(self, definition: StrawberryObjectDefinition, converter: GraphQLCoreConverter) -> None:
        self._definition = definition
        self._converter = converter
        self._fields: list[tuple[str, str, Convert]] | None = None
        self._absent: dict[str, None] = {}

    def convert(self, value: Mapping[str, Any] | None) -> Any:
        if value is None or value is UNSET:
            return value
        fields = self._fields or self._look()
        given = {ours: convert(value[name]) for name, ours, convert in fields if name in value}
        return self._definition.origin(**{**self._absent, **given})

    def _look(self) -> list[tuple[str, str, Convert]]:
        names, definition = self._converter.config.name_converter, self._definition
        self._fields = [
            (
                names.from_field(each),
                each.python_name,
                _conversion(each.resolve_type(type_definition=definition), self._converter),
            )
            for each in definition.fields
        ]
        self._absent = {
            each.python_name: None
            for each in definition.fields
            if each.default_value is MISSING and each.default_factory is MISSING
        }
        return self._fields
