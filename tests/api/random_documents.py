"""Documents that nobody would write: any selection of the schema, in every form that GraphQL has for it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    is_composite_type,
    is_enum_type,
    is_input_object_type,
    is_list_type,
    is_required_argument,
    is_required_input_field,
)

from api.schema.enums import UNKNOWN

Composite = GraphQLObjectType | GraphQLInterfaceType

_SCALARS: Mapping[str, Sequence[Any]] = {
    "ID": ["T3JkZXI6eA==", "", "x"],
    "String": ["", "text", "Zürich"],
    "Int": [0, -1, 7],
    "Boolean": [True, False],
    "Decimal": ["0", "12.50"],
    "DateTime": ["2026-01-02T03:04:05Z"],
}

EVER_CHANGING = {"url", "download"}  # signed links, which say when they expire


@dataclass
class RandomDocument:
    """`values` are what arguments of a name are given. Without them, a field's optional arguments are left out."""

    schema: GraphQLSchema
    random: Random
    values: Mapping[str, Sequence[Any]]
    variables: dict[str, Any] = field(default_factory=dict)
    _declared: list[str] = field(default_factory=list)
    _fragments: list[str] = field(default_factory=list)
    _named: int = 0

    def query(self, deepest: int) -> str:
        assert self.schema.query_type
        return self._text("query", self._selections(self.schema.query_type, deepest))

    def subscription(self, name: str, deepest: int) -> str:
        """To the subscription of that name, without arguments."""
        assert self.schema.subscription_type
        event: Any = get_named_type(self.schema.subscription_type.fields[name].type)
        return self._text("subscription", f"{{ {name} {self._selections(event, deepest)} }}")

    def mutation(self, name: str, arguments: Mapping[str, Any], deepest: int) -> str:
        """Of that name, with these arguments."""
        assert self.schema.mutation_type
        field = self.schema.mutation_type.fields[name]
        given = [f"{each}: {self._value(field.args[each], value)}" for each, value in arguments.items()]
        payload: Any = get_named_type(field.type)
        return self._text("mutation", f"{{ {name}({', '.join(given)}) {self._selections(payload, deepest)} }}")

    def input(self, type_: Any) -> Any:
        """A value of an input type: any of its optional fields may be missing or null."""
        if isinstance(type_, GraphQLNonNull):
            return self._input(type_.of_type)
        return None if self.random.random() < 0.2 else self._input(type_)

    def _input(self, type_: Any) -> Any:
        if is_list_type(type_):
            return [self.input(type_.of_type) for _ in range(self.random.randint(0, 3))]
        if is_input_object_type(type_):
            return {
                name: self.input(field.type)
                for name, field in type_.fields.items()
                if is_required_input_field(field) or self.random.random() < 0.5
            }
        if is_enum_type(type_):
            return self.random.choice([name for name in type_.values if name != UNKNOWN])  # it is only answered
        return self.random.choice(_SCALARS[type_.name])

    def _text(self, kind: str, selections: str) -> str:
        declared = f"({', '.join(self._declared)})" if self._declared else ""
        return "\n".join([f"{kind} {declared} {selections}", *self._fragments])

    def _selections(self, type_: Composite, deepest: int) -> str:
        names = [name for name in type_.fields if name not in EVER_CHANGING]
        if deepest <= 1:
            names = [name for name in names if not is_composite_type(get_named_type(type_.fields[name].type))]
        chosen = self.random.choices(["__typename", *names], k=self.random.randint(1, 5))
        return f"{{ {' '.join(self._selection(type_, name, deepest) for name in chosen)} }}"

    def _selection(self, type_: Composite, name: str, deepest: int) -> str:
        roll = self.random.random() if deepest > 0 else 1
        if roll < 0.12:
            return f"... {self._directive()} {self._selections(type_, deepest - 1)}"
        if roll < 0.24:
            narrower = self._narrower(type_)
            return f"... on {narrower.name} {self._directive()} {self._selections(narrower, deepest - 1)}"
        if roll < 0.32:
            return self._spread(self._narrower(type_), deepest)
        return "__typename" if name == "__typename" else self._field(name, type_.fields[name], deepest)

    def _narrower(self, type_: Composite) -> Composite:
        """One of the types that a fragment among these selections may be on."""
        narrower: list[Composite] = [type_, *type_.interfaces]
        if isinstance(type_, GraphQLInterfaceType):
            narrower += self.schema.get_possible_types(type_)
        return self.random.choice(narrower)

    def _spread(self, type_: Composite, deepest: int) -> str:
        self._named += 1
        name = f"Fragment{self._named}"
        self._fragments.append(f"fragment {name} on {type_.name} {self._selections(type_, deepest - 1)}")
        return f"...{name} {self._directive()}" + (f" ...{name}" if self.random.random() < 0.3 else "")

    def _field(self, name: str, definition: GraphQLField, deepest: int) -> str:
        arguments = self._arguments(definition)
        if arguments or self.random.random() < 0.2:  # under one name, a field has the same arguments everywhere
            self._named += 1
            name = f"{name}{self._named}: {name}"
        inner = get_named_type(definition.type)
        selections = self._selections(inner, deepest - 1) if is_composite_type(inner) else ""  # type: ignore[arg-type]
        return f"{name}{arguments} {self._directive()} {selections}"

    def _arguments(self, definition: GraphQLField) -> str:
        given = []
        for name, argument in definition.args.items():
            if name in self.values and (is_required_argument(argument) or self.random.random() < 0.4):
                given.append(f"{name}: {self._value(argument, self.random.choice(self.values[name]))}")
        return f"({', '.join(given)})" if given else ""

    def _value(self, argument: GraphQLArgument, value: Any) -> str:
        if self.random.random() < 0.5:
            return _literal(value, argument.type)
        return self._variable(str(argument.type), value)

    def _variable(self, type_: str, value: Any) -> str:
        name = f"v{len(self._declared)}"
        self._declared.append(f"${name}: {type_}")
        self.variables[name] = value
        return f"${name}"

    def _directive(self) -> str:
        if self.random.random() < 0.8:
            return ""
        value = self.random.random() < 0.5
        condition = json.dumps(value) if self.random.random() < 0.5 else self._variable("Boolean!", value)
        return f"@{self.random.choice(['skip', 'include'])}(if: {condition})"


def _literal(value: Any, type_: Any) -> str:
    """The value as a document has it: as JSON, but for the names of fields and the words of enums."""
    inner = type_.of_type if isinstance(type_, GraphQLNonNull) else type_
    if value is not None and is_list_type(inner):
        return f"[{', '.join(_literal(each, inner.of_type) for each in value)}]"
    if value is not None and is_input_object_type(inner):
        fields = (f"{name}: {_literal(each, inner.fields[name].type)}" for name, each in value.items())
        return f"{{ {', '.join(fields)} }}"
    return str(value) if is_enum_type(inner) else json.dumps(value)
