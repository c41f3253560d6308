"""Compiles operations to plans, which make data without graphql-core.

A plan goes through the selections level by level, with all objects of a level at once. Each field's values are computed
for all of them together, and what is batch-loaded is loaded for all of them.

A plan presents no errors. What the compiler does not know is not compiled, and anything unexpected ends the plan with
an exception. Then graphql-core executes the operation, and gets what the resolvers of root fields have returned or
raised already. So a mutation is carried out once, and a refused query does not ask twice. Only what lies below the root
fields is done again, which has no side effects. Which fields are selected, what arguments mean and how leaves are
written is decided by the functions of graphql-core and Strawberry themselves.
"""

from collections.abc import Callable, Sequence
from operator import attrgetter
from time import perf_counter
from typing import Any, Final, cast

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    OperationDefinitionNode,
    VariableValues,
    get_named_type,
    is_interface_type,
    is_leaf_type,
    is_object_type,
)
from graphql.execution.collect_fields import FieldDetailsList, FragmentDetails, collect_fields, collect_subfields
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.types.field import StrawberryField

from api.execution.arguments import Arguments
from api.execution.costs import BYTES_OF_ONE
from api.execution.encoding import encode
from api.execution.fields import Column, Composed, Loaded, Redacted
from api.execution.plan import MutationPlan, Plan
from api.execution.rights import GIVEN, Right, right_of
from api.execution.steps import (
    Run,
    Step,
    Values,
    chain,
    charge_texts,
    dictionaries,
    gather_all,
    load_each,
    read_each,
    remember_outcome,
    settle,
    write_leaf,
    write_list,
    write_objects,
)
from models.engine.rows import Columns
from models.engine.turns import take_turn

TURN_SECONDS: Final = 0.005  # of work whose amount is not known, without a pause


class NotCompiled(Exception):
    """The operation has something that plans do not know."""


class Compiler:
    """Compiles one operation of a document, with the values of its variables."""

    def __init__(
        self,
        schema: GraphQLSchema,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        variables: VariableValues,
    ) -> None:
        self._schema = schema
        self._converter: GraphQLCoreConverter = schema._strawberry_schema.schema_converter  # type: ignore[attr-defined]
        self._operation = operation
        self._variables = variables
        fragments = (each for each in document.definitions if isinstance(each, FragmentDefinitionNode))
        self._fragments = {each.name.value: FragmentDetails(each) for each in fragments}
        self._narrow = True  # whether rows are loaded with those of their columns alone that are selected
        self._has_resolvers = False  # below the operation's own fields
        self._rights: set[Right] = set()  # of the selected fields

    def compile_query(self) -> Plan:
        """Return the plan of a query, or of one event of a subscription. Raise `NotCompiled`."""
        root, selected = self._collect_root()
        step = self._compile_rows_once(lambda: self._compile_fields(root, selected))
        return Plan(step, self._needed_rights())

    def compile_mutation(self) -> MutationPlan:
        """Return the plan of a mutation. Raise `NotCompiled`, also if it has several fields.

        Each of several fields begins after all that is selected of the one before. graphql-core executes these.
        """
        root, selected = self._collect_root()
        if len(selected) != 1:
            raise NotCompiled
        [(key, details)] = selected.items()
        name = details[0].node.name.value
        field = root.fields.get(name)
        if field is None:  # __typename
            raise NotCompiled
        definition = _definition(field)
        if definition.base_resolver is None or not definition.base_resolver.is_async:
            raise NotCompiled
        call = self._compile_call(field, definition, details)
        shown = self._compile_rows_once(lambda: self._compile_output(field.type, details))
        return MutationPlan(key, name, call, shown, self._needed_rights())

    def _needed_rights(self) -> frozenset[Right]:
        return frozenset(self._rights - {GIVEN})

    def _compile_rows_once(self, compile_: Callable[[], Step]) -> Step:
        """Compile so that each row is loaded once.

        A resolver may need whole rows. If one is selected, load all columns everywhere.
        """
        step = compile_()
        if not self._has_resolvers:
            return step
        self._narrow = False
        return compile_()

    def _collect_root(self) -> tuple[GraphQLObjectType, dict[str, FieldDetailsList]]:
        root = self._schema.get_root_type(self._operation.operation)
        if root is None:
            raise NotCompiled
        selected = collect_fields(self._schema, self._fragments, self._variables, root, self._operation)
        return root, selected.grouped_field_set

    def _compile_fields(self, type_: GraphQLObjectType, fields: dict[str, FieldDetailsList]) -> Step:
        """Return a step from objects of the type to dictionaries of these fields."""
        keys = list(fields)
        steps = [self._compile_field(type_, details) for details in fields.values()]
        waiting = [index for index, step in enumerate(steps) if step.waits]
        if not steps:  # all of them are skipped
            return Step(lambda objects, _: [{} for _ in objects])
        width = 1 + sum(step.width for step in steps)

        put_together = dictionaries(keys)
        wait_for = settle if type_ is self._schema.query_type else gather_all

        def all_at_once(objects: Values, run: Run) -> Values:
            return put_together([step.function(objects, run) for step in steps])

        async def some_later(objects: Values, run: Run) -> Values:
            columns: list[Values] = [[] if step.waits else step.function(objects, run) for step in steps]
            later = await wait_for([steps[index].function(objects, run) for index in waiting])
            for index, column in zip(waiting, later, strict=True):
                columns[index] = column
            return put_together(columns)

        return Step(some_later, True, width) if waiting else Step(all_at_once, width=width)

    def _compile_field(self, parent: GraphQLObjectType, details: FieldDetailsList) -> Step:
        """Return a step from objects of the parent type to what one of their fields is in the answer."""
        node = details[0].node
        if details[0].fragment_variable_values is not None:
            raise NotCompiled
        name = node.name.value
        if name == "__typename":
            return Step(lambda objects, _: [parent.name] * len(objects))
        field = parent.fields.get(name)
        if field is None:  # introspection
            raise NotCompiled
        self._rights.add(right_of(field))
        definition = _definition(field)
        if definition.base_resolver is not None and not isinstance(definition, Loaded):
            self._has_resolvers |= parent is not self._schema.get_root_type(self._operation.operation)
        if isinstance(definition, Composed) and (step := self._compile_parts(definition, field.type, details)):
            return step
        values = self._compile_value(field, definition, details)
        if parent is self._schema.query_type and values.waits:
            values = remember_outcome(node.alias.value if node.alias else name, values)
        if isinstance(definition, Column) and definition.is_long_text:
            values = chain(values, Step(charge_texts))
        return chain(values, self._compile_output(field.type, details))

    def _compile_parts(self, definition: Composed, type_: GraphQLOutputType, details: FieldDetailsList) -> Step | None:
        """Return one step for an object that consists of its parts, or None if anything else is selected of it."""
        inner = type_.of_type if isinstance(type_, GraphQLNonNull) else None
        if not is_object_type(inner):
            return None
        selected = self._collect_selection(inner, details)
        makers: list[tuple[Callable[..., Any] | None, tuple[str, ...], Step]] = []
        for each in selected.values():
            field = inner.fields.get(each[0].node.name.value)
            if field is None or not is_leaf_type(get_named_type(field.type)):
                return None
            self._rights.add(right_of(field))
            made = _definition(field)
            function, names = (made.function, made.paths) if isinstance(made, Column) else (None, (made.python_name,))
            if made.base_resolver or not names or not definition.parts.keys() >= set(names):
                return None
            makers.append((function, names, self._compile_output(field.type, each)))
        if not makers:
            return None
        readers = {name: attrgetter(definition.parts[name]) for _, names, _ in makers for name in names}
        put_together = dictionaries(list(selected))

        def make(objects: Values, run: Run) -> Values:
            parts = {name: list(map(read, objects)) for name, read in readers.items()}
            columns = []
            for function, names, leaf in makers:
                values = [parts[name] for name in names]
                columns.append(leaf.function(list(map(function, *values)) if function else values[0], run))
            return put_together(columns)

        return Step(make, width=1 + len(makers))

    def _compile_value(self, field: GraphQLField, definition: StrawberryField, details: FieldDetailsList) -> Step:
        """Return a step from objects to the values of one of their fields, as Python has them."""
        if definition.is_subscription:  # its event has come from elsewhere
            return Step(lambda objects, _: objects)
        if isinstance(definition, Redacted):
            return Step(lambda objects, run: list(map(definition.reader_for(run.context.actor), objects)))
        if isinstance(definition, Column):
            return read_each(definition.read)
        if isinstance(definition, Loaded):
            columns = self._needed_columns(field.type, definition, details) if self._narrow else None
            return load_each(definition, columns)
        if definition.base_resolver is None:
            return read_each(attrgetter(definition.python_name))
        return self._compile_resolver(field, definition, details)

    def _needed_columns(self, type_: GraphQLOutputType, definition: Loaded, details: FieldDetailsList) -> Columns:
        """Return the columns that the selection needs of the loaded rows. Return None for all of them."""
        inner = get_named_type(type_)
        if is_leaf_type(inner):
            return definition.theirs
        if not is_object_type(inner):
            return None
        needed = definition.theirs
        for each in self._collect_selection(inner, details).values():
            field = inner.fields.get(each[0].node.name.value)
            if field is None:  # __typename
                continue
            selected = _definition(field)
            if isinstance(selected, Column | Loaded):
                columns = selected.columns
            else:
                columns = frozenset() if selected.base_resolver is None else None
            if columns is None:
                return None
            needed |= columns
        return needed

    def _compile_resolver(self, field: GraphQLField, definition: StrawberryField, details: FieldDetailsList) -> Step:
        call = self._compile_call(field, definition, details)

        def call_each(objects: Values, run: Run) -> Values:
            return [call(each, run) for each in objects]

        async def call_and_wait(objects: Values, run: Run) -> Values:
            if run.context.budget.is_long:  # the same field may be asked for under many names
                await take_turn()
            return await gather_all(call_each(objects, run))

        async def call_in_turns(objects: Values, run: Run) -> Values:
            made: Values = []
            for each in objects:
                if perf_counter() - run.turn_began > TURN_SECONDS:
                    await take_turn()
                    run.turn_began = perf_counter()
                made.append(call(each, run))
                run.context.budget.spend(cost_of_json(made[-1]))
            return made

        if definition.base_resolver is not None and definition.base_resolver.is_async:
            return Step(call_and_wait, True)
        # The size of a JSON value is known only when it is made.
        is_json = getattr(get_named_type(field.type), "name", "") == "JSON"
        return Step(call_in_turns, True) if is_json else Step(call_each)

    def _compile_call(
        self, field: GraphQLField, definition: StrawberryField, details: FieldDetailsList
    ) -> Callable[[Any, Run], Any]:
        """Return a function that calls the field's resolver for an object."""
        resolver = definition.base_resolver
        if resolver is None or resolver.parent_parameter or resolver.root_parameter or not resolver.self_parameter:
            raise NotCompiled
        info = resolver.info_parameter.name if resolver.info_parameter else None
        arguments = Arguments(field, details[0].node, definition, self._converter) if field.args else None

        def call(each: Any, run: Run) -> Any:
            given = arguments.of(run.variables) if arguments else {}
            if info:
                given[info] = run
            return resolver(each, **given)

        return call

    def _compile_output(self, type_: GraphQLOutputType, details: FieldDetailsList) -> Step:
        """Return a step from values of the type to what they are in the answer."""
        nullable, inner = True, cast(Any, type_)
        if isinstance(inner, GraphQLNonNull):
            nullable, inner = False, inner.of_type
        if is_leaf_type(inner):
            return write_leaf(inner, nullable)
        if isinstance(inner, GraphQLList):
            return write_list(self._compile_output(inner.of_type, details), nullable)
        if is_object_type(inner):
            possible: Sequence[GraphQLObjectType] = [inner]
        elif is_interface_type(inner):
            possible = self._schema.get_possible_types(inner)
            _require_plain(inner)
        else:
            raise NotCompiled
        return write_objects(
            {_require_plain(each): self._compile_selection(each, details) for each in possible}, nullable
        )

    def _compile_selection(self, type_: GraphQLObjectType, details: FieldDetailsList) -> Step:
        return self._compile_fields(type_, self._collect_selection(type_, details))

    def _collect_selection(self, type_: GraphQLObjectType, details: FieldDetailsList) -> dict[str, FieldDetailsList]:
        selected = collect_subfields(self._schema, self._fragments, self._variables, self._operation, type_, details)
        return selected.grouped_field_set


def cost_of_json(value: Any) -> int:
    """Return what a JSON value of an answer costs. It depends on its size, because no fields of it are selected."""
    return len(encode(value)) // BYTES_OF_ONE


def is_awaited(field: GraphQLField) -> bool:
    """Return whether the field's value is loaded, or made by an asynchronous resolver."""
    definition = field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    resolver = definition.base_resolver if isinstance(definition, StrawberryField) else None
    return resolver is not None and resolver.is_async


def _definition(field: GraphQLField) -> StrawberryField:
    """Return the field's definition. Raise `NotCompiled` if more is done for the field than to call its resolver."""
    definition = field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    if not isinstance(definition, StrawberryField) or definition.extensions:
        raise NotCompiled
    return definition


def _require_plain(type_: GraphQLObjectType | GraphQLInterfaceType) -> type:
    """Return the class of a type's objects. Raise `NotCompiled` if the type decides itself what its objects are."""
    definition = type_.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    if not isinstance(definition, StrawberryObjectDefinition) or definition.is_type_of or definition.resolve_type:
        raise NotCompiled
    return definition.origin
