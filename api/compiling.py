"""Operations as plans: a document's selections are worked out once, and then make data without graphql-core.

A plan goes through the selections level by level, with all objects of a level at once: each field's values are made for
all of them in one go, and what is batch-loaded is loaded for all of them.

A plan presents no errors. Whatever it does not know is not compiled, and whatever it does not expect ends it with an
exception: then graphql-core executes the operation, and is given what the resolvers of root fields have returned or
raised already. So a mutation is carried out once, and a query that is refused is not asked twice; only what lies below
the root fields is done again, which has no side effects. Which fields are selected, what arguments mean and how leaves
are written is worked out by the functions of graphql-core and Strawberry themselves.
"""

from asyncio import gather
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache, cached_property
from inspect import isawaitable
from itertools import islice
from operator import attrgetter
from time import perf_counter
from types import NoneType
from typing import Any, Final, NamedTuple, cast

from graphql import (
    DirectiveNode,
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLEnumType,
    GraphQLError,
    GraphQLField,
    GraphQLIncludeDirective,
    GraphQLInterfaceType,
    GraphQLLeafType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    GraphQLSkipDirective,
    OperationDefinitionNode,
    OperationType,
    Undefined,
    VariableNode,
    VariableValues,
    Visitor,
    get_named_type,
    is_interface_type,
    is_leaf_type,
    is_object_type,
    visit,
)
from graphql.execution.collect_fields import FieldDetailsList, FragmentDetails, collect_fields, collect_subfields
from graphql.pyutils import gather_with_cancel
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.types.field import StrawberryField

from api.arguments import Arguments
from api.context import Context
from api.costs import LIST_SIZE
from api.encoding import encode
from api.fields import Column, Composed, Loaded, Redacted
from api.rights import GIVEN, Right, right_of
from models.errors import DatabaseUnavailable
from models.rows import Columns
from models.turns import take_turn

PIECE: Final = 5_000  # values of an answer that are made without a pause: some milliseconds
TURN_SECONDS: Final = 0.005  # of work whose amount is not known, without a pause
JSON_BYTES_OF_ONE: Final = 50  # as much of a JSON value as costs one
SHOWN_TOGETHER: Final = 500  # items of loaded lists of which the types' objects are made without a pause
LOADED_TOGETHER: Final = 500  # items of a list for which more has to be loaded
MOST_PLANS: Final = 8  # of one operation: one for each choice of what its @skip and @include take from variables

Values = list[Any]


class NotCompiled(Exception):
    """The operation has something that plans do not know."""


class Unexpected(Exception):
    """A value is not what its type says."""


class Run:
    """One execution of a plan. Resolvers get it as their `info`, of which they use nothing else.

    `field_name` is that of a mutation. `outcomes` are filled with what the resolvers of root fields return or raise.
    """

    __slots__ = ("context", "field_name", "outcomes", "variables")

    def __init__(
        self, context: Context, variables: VariableValues, outcomes: "Outcomes | None" = None, field_name: str = ""
    ) -> None:
        self.context = context
        self.variables = variables
        self.outcomes = {} if outcomes is None else outcomes
        self.field_name = field_name


class _Step(NamedTuple):
    """Makes as many values as it is given; the function is asynchronous if the step `waits`.

    `width` is about how many values of the answer come of each that it is given. `in_turns` does what `function` does,
    asynchronously and in pieces: what else the process does is not held up by a long list.
    """

    function: Callable[[Values, Run], Any]
    waits: bool = False
    width: int = 1
    in_turns: Callable[[Values, Run], Awaitable[Values]] | None = None


class Outcome(NamedTuple):
    """What the resolver of a root field has returned, or raised."""

    value: Any = None
    error: Exception | None = None


Outcomes = dict[str, Outcome]  # by the field's key in the answer


class Plan:
    """What an operation selects, for some choice of its `@skip` and `@include`."""

    def __init__(self, step: _Step, rights: frozenset[Right]) -> None:
        self._step = step
        self._rights = rights

    async def data(
        self, root_values: Values, context: Context, variables: VariableValues, outcomes: Outcomes | None = None
    ) -> list[dict[str, Any]]:
        """The data of an answer for each root value: for a query there is one, for a subscription there are its events.

        Raises whatever stands in its way.
        """
        _require(self._rights, context)
        made = self._step.function(root_values, Run(context, variables, outcomes))
        data: list[dict[str, Any]] = await made if self._step.waits else made
        return data


class MutationPlan:
    """What a mutation of one field does and selects."""

    def __init__(
        self, key: str, field_name: str, call: Callable[[Any, Run], Any], shown: _Step, rights: frozenset[Right]
    ) -> None:
        self._key = key
        self._field_name = field_name
        self._call = call
        self._shown = shown
        self._rights = rights

    async def run(self, context: Context, variables: VariableValues, outcomes: Outcomes) -> Outcome:
        """Carry it out, and enter its outcome. Raise only what is wrong with its arguments: then nothing was done."""
        resolving = self._call(None, Run(context, variables, field_name=self._field_name))
        try:
            outcome = Outcome(value=await resolving)
        except Exception as error:
            outcome = Outcome(error=error)
        outcomes[self._key] = outcome
        return outcome

    async def data(self, outcome: Outcome, context: Context, variables: VariableValues) -> dict[str, Any]:
        """The data of its answer. Raises whatever stands in its way."""
        if outcome.error is not None:
            raise outcome.error
        _require(self._rights, context)
        made = self._shown.function([outcome.value], Run(context, variables))
        [shown] = await made if self._shown.waits else made
        return {self._key: shown}


def _require(rights: frozenset[Right], context: Context) -> None:
    """Raise `Forbidden` if the caller may not see all that is selected: graphql-core then says of what."""
    for right in rights:
        right.require(context.actor)


class Plans:
    """The plans of one operation, made when they are first asked for."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode) -> None:
        self._schema = schema
        self._document = document
        self._operation = operation
        self._plans: dict[tuple[Any, ...], Plan | MutationPlan | None] = {}

    @cached_property
    def _conditions(self) -> list[str]:
        return _Conditions(self._document).names

    def find(self, variables: VariableValues) -> Plan | MutationPlan | None:
        """For these variables; `None` where the operation cannot be compiled."""
        choice = tuple(variables.coerced.get(name) for name in self._conditions)
        if choice not in self._plans:
            if len(self._plans) == MOST_PLANS:
                del self._plans[next(iter(self._plans))]
            self._plans[choice] = _compiled(self._schema, self._document, self._operation, variables)
        return self._plans[choice]


class _Conditions(Visitor):
    """The variables that `@skip` and `@include` of a document depend on."""

    def __init__(self, document: DocumentNode) -> None:
        super().__init__()
        self.names: list[str] = []
        visit(document, self)

    def enter_directive(self, node: DirectiveNode, *_: Any) -> None:
        if node.name.value in (GraphQLSkipDirective.name, GraphQLIncludeDirective.name):
            values = [argument.value for argument in node.arguments or ()]
            self.names += [value.name.value for value in values if isinstance(value, VariableNode)]


def _compiled(
    schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode, variables: VariableValues
) -> Plan | MutationPlan | None:
    compiler = _Compiler(schema, document, operation, variables)
    try:
        return compiler.mutation() if operation.operation is OperationType.MUTATION else compiler.plan()
    except (NotCompiled, GraphQLError, RecursionError):
        return None


class _Compiler:
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

    def plan(self) -> Plan:
        root, selected = self._root()
        step = self._without_loading_twice(lambda: self._fields(root, selected))
        return Plan(step, self._needed_rights())

    def mutation(self) -> MutationPlan:
        """Of several fields, each begins after all that is selected of the one before: that is left to graphql-core."""
        root, selected = self._root()
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
        call = self._call(field, definition, details)
        shown = self._without_loading_twice(lambda: self._completed(field.type, details))
        return MutationPlan(key, name, call, shown, self._needed_rights())

    def _needed_rights(self) -> frozenset[Right]:
        return frozenset(self._rights - {GIVEN})

    def _without_loading_twice(self, compile_: Callable[[], _Step]) -> _Step:
        """A resolver may load whole rows: where one is selected, all that is loaded for the operation is whole.

        Otherwise, what was loaded in part would be loaded again for it.
        """
        step = compile_()
        if not self._has_resolvers:
            return step
        self._narrow = False
        return compile_()

    def _root(self) -> tuple[GraphQLObjectType, dict[str, FieldDetailsList]]:
        root = self._schema.get_root_type(self._operation.operation)
        if root is None:
            raise NotCompiled
        selected = collect_fields(self._schema, self._fragments, self._variables, root, self._operation)
        return root, selected.grouped_field_set

    def _fields(self, type_: GraphQLObjectType, fields: dict[str, FieldDetailsList]) -> _Step:
        """From objects to what is selected of them."""
        keys = list(fields)
        steps = [self._field(type_, details) for details in fields.values()]
        waiting = [index for index, step in enumerate(steps) if step.waits]
        if not steps:  # all of them are skipped
            return _Step(lambda objects, _: [{} for _ in objects])
        width = 1 + sum(step.width for step in steps)

        put_together = _dictionaries(keys)
        wait_for = _settle if type_ is self._schema.query_type else _together

        def all_at_once(objects: Values, run: Run) -> Values:
            return put_together([step.function(objects, run) for step in steps])

        async def some_later(objects: Values, run: Run) -> Values:
            columns: list[Values] = [[] if step.waits else step.function(objects, run) for step in steps]
            later = await wait_for([steps[index].function(objects, run) for index in waiting])
            for index, column in zip(waiting, later, strict=True):
                columns[index] = column
            return put_together(columns)

        return _Step(some_later, True, width) if waiting else _Step(all_at_once, width=width)

    def _field(self, parent: GraphQLObjectType, details: FieldDetailsList) -> _Step:
        """From objects to what one field of theirs is in the answer."""
        node = details[0].node
        if details[0].fragment_variable_values is not None:
            raise NotCompiled
        name = node.name.value
        if name == "__typename":
            return _Step(lambda objects, _: [parent.name] * len(objects))
        field = parent.fields.get(name)
        if field is None:  # introspection
            raise NotCompiled
        self._rights.add(right_of(field))
        definition = _definition(field)
        if definition.base_resolver is not None and not isinstance(definition, Loaded):
            self._has_resolvers |= parent is not self._schema.get_root_type(self._operation.operation)
        if isinstance(definition, Composed) and (step := self._of_parts(definition, field.type, details)):
            return step
        values = self._values(field, definition, details)
        if parent is self._schema.query_type and values.waits:
            values = _remember_outcome(node.alias.value if node.alias else name, values)
        return _one_after_the_other(values, self._completed(field.type, details))

    def _of_parts(self, definition: Composed, type_: GraphQLOutputType, details: FieldDetailsList) -> _Step | None:
        """What is selected of an object that is nothing but its parts, where that is made of them alone."""
        inner = type_.of_type if isinstance(type_, GraphQLNonNull) else None
        if not is_object_type(inner):
            return None
        selected = self._selection(inner, details)
        makers: list[tuple[Callable[..., Any] | None, tuple[str, ...], _Step]] = []
        for each in selected.values():
            field = inner.fields.get(each[0].node.name.value)
            if field is None or not is_leaf_type(get_named_type(field.type)):
                return None
            self._rights.add(right_of(field))
            made = _definition(field)
            function, names = (made.function, made.paths) if isinstance(made, Column) else (None, (made.python_name,))
            if made.base_resolver or not names or not definition.parts.keys() >= set(names):
                return None
            makers.append((function, names, self._completed(field.type, each)))
        if not makers:
            return None
        readers = {name: attrgetter(definition.parts[name]) for _, names, _ in makers for name in names}
        put_together = _dictionaries(list(selected))

        def make(objects: Values, run: Run) -> Values:
            parts = {name: list(map(read, objects)) for name, read in readers.items()}
            columns = []
            for function, names, leaf in makers:
                values = [parts[name] for name in names]
                columns.append(leaf.function(list(map(function, *values)) if function else values[0], run))
            return put_together(columns)

        return _Step(make, width=1 + len(makers))

    def _values(self, field: GraphQLField, definition: StrawberryField, details: FieldDetailsList) -> _Step:
        """From objects to what is known of a field of theirs before it is put into the answer."""
        if definition.is_subscription:  # its event has come from elsewhere
            return _Step(lambda objects, _: objects)
        if isinstance(definition, Redacted):
            return _Step(lambda objects, run: list(map(definition.reader_for(run.context.actor), objects)))
        if isinstance(definition, Column):
            return _read(definition.read)
        if isinstance(definition, Loaded):
            columns = self._columns(field.type, definition, details) if self._narrow else None
            return _load(definition, columns)
        if definition.base_resolver is None:
            return _read(attrgetter(definition.python_name))
        return self._resolve(field, definition, details)

    def _columns(self, type_: GraphQLOutputType, definition: Loaded, details: FieldDetailsList) -> Columns:
        """Those that are needed of the rows that are loaded for the field: all, where that is not known."""
        inner = get_named_type(type_)
        if is_leaf_type(inner):
            return definition.theirs
        if not is_object_type(inner):
            return None
        needed = definition.theirs
        for each in self._selection(inner, details).values():
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

    def _resolve(self, field: GraphQLField, definition: StrawberryField, details: FieldDetailsList) -> _Step:
        call = self._call(field, definition, details)

        def call_each(objects: Values, run: Run) -> Values:
            return [call(each, run) for each in objects]

        async def call_and_wait(objects: Values, run: Run) -> Values:
            return await _together(call_each(objects, run))

        async def call_in_turns(objects: Values, run: Run) -> Values:
            made: Values = []
            since = perf_counter()
            for each in objects:
                if perf_counter() - since > TURN_SECONDS:
                    await take_turn()
                    since = perf_counter()
                made.append(call(each, run))
                run.context.budget.spend(len(encode(made[-1])) // JSON_BYTES_OF_ONE)
            return made

        if definition.base_resolver is not None and definition.base_resolver.is_async:
            return _Step(call_and_wait, True)
        # What is in a JSON value nobody has selected: it is as large as it is.
        is_json = getattr(get_named_type(field.type), "name", "") == "JSON"
        return _Step(call_in_turns, True) if is_json else _Step(call_each)

    def _call(
        self, field: GraphQLField, definition: StrawberryField, details: FieldDetailsList
    ) -> Callable[[Any, Run], Any]:
        """What calls the field's resolver for an object."""
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

    def _completed(self, type_: GraphQLOutputType, details: FieldDetailsList) -> _Step:
        """From values of a type to what they are in the answer."""
        nullable, inner = True, cast(Any, type_)
        if isinstance(inner, GraphQLNonNull):
            nullable, inner = False, inner.of_type
        if is_leaf_type(inner):
            return _leaf(inner, nullable)
        if isinstance(inner, GraphQLList):
            return _list(self._completed(inner.of_type, details), nullable)
        if is_object_type(inner):
            possible: Sequence[GraphQLObjectType] = [inner]
        elif is_interface_type(inner):
            possible = self._schema.get_possible_types(inner)
            _require_plain(inner)
        else:
            raise NotCompiled
        return _objects({_require_plain(each): self._selected(each, details) for each in possible}, nullable)

    def _selected(self, type_: GraphQLObjectType, details: FieldDetailsList) -> _Step:
        return self._fields(type_, self._selection(type_, details))

    def _selection(self, type_: GraphQLObjectType, details: FieldDetailsList) -> dict[str, FieldDetailsList]:
        selected = collect_subfields(self._schema, self._fragments, self._variables, self._operation, type_, details)
        return selected.grouped_field_set


def _dictionaries(keys: Sequence[str]) -> Callable[[Sequence[Values]], Values]:
    """What makes dictionaries with these keys, given a list of values for each of them."""
    make = _dictionary_maker(len(keys))(*keys)
    return lambda columns: make(*columns)


@cache
def _dictionary_maker(size: int) -> Callable[..., Callable[..., Values]]:
    """Written out for so many keys: `dict(zip(keys, values))` takes three to seven times as long."""
    keys, columns, values = ([f"{name}{number}" for number in range(size)] for name in ("key", "column", "value"))
    items = ", ".join(map("{}: {}".format, keys, values))
    rows = f"[{{{items}}} for {', '.join(values)}, in zip({', '.join(columns)}, strict=True)]"
    maker: Callable[..., Callable[..., Values]] = eval(f"lambda {', '.join(keys)}: lambda {', '.join(columns)}: {rows}")  # noqa: S307 - names with numbers only
    return maker


def _definition(field: GraphQLField) -> StrawberryField:
    """Raises `NotCompiled` where more is done for the field than to call its resolver."""
    definition = field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    if not isinstance(definition, StrawberryField) or definition.extensions:
        raise NotCompiled
    return definition


def _require_plain(type_: GraphQLObjectType | GraphQLInterfaceType) -> type:
    """The class of a type's objects. Raises `NotCompiled` where the type says itself what its objects are."""
    definition = type_.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    if not isinstance(definition, StrawberryObjectDefinition) or definition.is_type_of or definition.resolve_type:
        raise NotCompiled
    return definition.origin


def _one_after_the_other(first: _Step, second: _Step) -> _Step:
    def at_once(values: Values, run: Run) -> Any:
        return second.function(first.function(values, run), run)

    async def later(values: Values, run: Run) -> Values:
        made: Values = await first.function(values, run) if first.waits else first.function(values, run)
        done: Values = await second.function(made, run) if second.waits else second.function(made, run)
        return done

    async def later_in_turns(values: Values, run: Run) -> Values:
        assert second.in_turns is not None
        return await second.in_turns(await first.function(values, run), run)

    if first.waits and second.in_turns is not None:
        return _Step(later_in_turns, True, second.width)
    return _Step(later, True, second.width) if first.waits or second.waits else _Step(at_once, width=second.width)


def _remember_outcome(key: str, step: _Step) -> _Step:
    """Resolve the root field of a query, and enter its outcome: graphql-core need not do it again."""

    async def resolve(objects: Values, run: Run) -> Values:
        try:
            values: Values = await step.function(objects, run)
        except GraphQLError:  # about an argument: graphql-core says where it is
            raise
        except Exception as error:
            run.outcomes[key] = Outcome(error=error)
            raise
        run.outcomes[key] = Outcome(value=values[0])
        return values

    return _Step(resolve, True)


async def _together(awaitables: Sequence[Awaitable[Any]]) -> Values:
    """Waits for all of them; where one fails, for none."""
    if len(awaitables) == 1:  # a task costs ten microseconds
        return [await awaitables[0]]
    return await gather_with_cancel(*awaitables)


async def _settle(awaitables: Sequence[Awaitable[Any]]) -> Values:
    """Wait for all of them, also if one fails: graphql-core need not do again what has been done."""
    if len(awaitables) == 1:
        return [await awaitables[0]]
    done = await gather(*awaitables, return_exceptions=True)
    failures = [each for each in done if isinstance(each, BaseException)]
    if failures:
        raise next((each for each in failures if isinstance(each, DatabaseUnavailable)), failures[0])
    return done


def _read(read: Callable[[Any], Any]) -> _Step:
    return _Step(lambda objects, _: list(map(read, objects)))


def _load(field: Loaded, columns: Columns) -> _Step:
    async def load(objects: Values, run: Run) -> Values:
        loader = run.context.loaders.of(field.loader, columns)
        keys = list(map(field.key, objects))
        loaded = await loader.load_many([key for key in keys if key is not None])
        are_many = sum(len(each) for each in loaded if type(each) is list) > SHOWN_TOGETHER
        found = iter(loaded)
        show = field.show
        if not are_many:
            return [None if key is None else show(each, next(found)) for each, key in zip(objects, keys, strict=True)]
        shown: Values = []
        for each, key in zip(objects, keys, strict=True):
            await take_turn()
            shown.append(None if key is None else show(each, next(found)))
        return shown

    return _Step(load, True)


# The classes whose objects these scalars write as they are, and those that they can always write.
_AS_IT_IS: Final[dict[str, type]] = {"String": str, "ID": str, "Boolean": bool}
_ALWAYS: Final[dict[str, type]] = {"Decimal": Decimal}
_LEAST_INT, _GREATEST_INT = -(2**31), 2**31 - 1


def _leaf(type_: GraphQLLeafType, nullable: bool) -> _Step:
    write = type_.coerce_output_value

    def carefully(value: Any) -> Any:
        if value is None and nullable:
            return None
        if value is None or value is Undefined or isinstance(value, BaseException) or isawaitable(value):
            raise Unexpected
        written = write(value)
        if written is None or written is Undefined:
            raise Unexpected
        return written

    # What nearly all values are is told by their class: a call for each of them would take five times as long.
    if kind := _AS_IT_IS.get(type_.name):
        return _Step(lambda values, _: [each if type(each) is kind else carefully(each) for each in values])
    if type_.name == "DateTime":
        # The encoder writes the time of UTC as Strawberry does, without a text of its own, which takes a microsecond.
        return _Step(
            lambda values, _: [
                each if type(each) is datetime and each.tzinfo is UTC else carefully(each) for each in values
            ]
        )
    if kind := _ALWAYS.get(type_.name):
        return _Step(lambda values, _: [write(each) if type(each) is kind else carefully(each) for each in values])
    if isinstance(type_, GraphQLEnumType):
        kind = type_.wrapped_cls  # type: ignore[attr-defined]
        names = _Names({each: write(each) for each in kind}, carefully)
        return _Step(lambda values, _: [names[each] if type(each) is kind else carefully(each) for each in values])
    if type_.name == "Int":
        return _Step(
            lambda values, _: [
                each if type(each) is int and _LEAST_INT <= each <= _GREATEST_INT else carefully(each)
                for each in values
            ]
        )
    return _Step(lambda values, _: list(map(carefully, values)))


class _Names(dict[Any, Any]):
    """The names of an enum's members. Others, which another version has stored, are written with care."""

    def __init__(self, names: dict[Any, Any], write: Callable[[Any], Any]) -> None:
        super().__init__(names)
        self._write = write

    def __missing__(self, word: Any) -> Any:
        return self._write(word)


def _list(items: _Step, nullable: bool) -> _Step:
    def flat(lists: Values) -> Values:
        together: Values = []
        for each in lists:
            if type(each) is list:
                together += each
            elif not (each is None and nullable):
                raise Unexpected
        return together

    def apart(lists: Values, together: Values) -> Values:
        items = iter(together)
        return [None if each is None else list(islice(items, len(each))) for each in lists]

    def at_once(lists: Values, run: Run) -> Values:
        return apart(lists, items.function(flat(lists), run))

    async def later(lists: Values, run: Run) -> Values:
        return apart(lists, await items.function(flat(lists), run))

    # What is loaded for the items is loaded for a whole piece with one statement.
    piece = max(LOADED_TOGETHER if items.waits else 1, PIECE // items.width)

    async def in_turns(lists: Values, run: Run) -> Values:
        together = flat(lists)
        expected = LIST_SIZE * len(lists)
        if len(together) > expected:
            run.context.budget.spend((len(together) - expected) * items.width)
        made: Values = []
        for start in range(0, len(together), piece):
            if start:
                await take_turn()
            each = items.function(together[start : start + piece], run)
            made += await each if items.waits else each
        return apart(lists, made)

    width = LIST_SIZE * items.width
    return _Step(later, True, width, in_turns) if items.waits else _Step(at_once, False, width, in_turns)


def _objects(selected: dict[type, _Step], nullable: bool) -> _Step:
    """Each object by what is selected of its class."""

    def alike(objects: Values) -> _Step | None:
        """What is selected of all of them, where they are of one class, as nearly always."""
        kinds = set(map(type, objects))
        return selected.get(kinds.pop()) if len(kinds) == 1 else None

    def by_class(objects: Values) -> list[tuple[_Step, Values, Sequence[int]]]:
        kinds = set(map(type, objects))
        if nullable:
            kinds.discard(NoneType)
        if not kinds <= selected.keys():
            raise Unexpected
        places = {kind: [place for place, each in enumerate(objects) if type(each) is kind] for kind in kinds}
        return [(selected[kind], [objects[place] for place in found], found) for kind, found in places.items()]

    def put(done: Values, places: Sequence[int], made: Values) -> None:
        for place, each in zip(places, made, strict=True):
            done[place] = each

    def at_once(objects: Values, run: Run) -> Values:
        if step := alike(objects):
            return cast(Values, step.function(objects, run))
        done: Values = [None] * len(objects)
        for step, found, places in by_class(objects):
            put(done, places, step.function(found, run))
        return done

    async def later(objects: Values, run: Run) -> Values:
        if step := alike(objects):
            return cast(Values, await step.function(objects, run) if step.waits else step.function(objects, run))
        done: Values = [None] * len(objects)
        for step, found, places in by_class(objects):
            made = step.function(found, run)
            put(done, places, await made if step.waits else made)
        return done

    width = max((step.width for step in selected.values()), default=1)
    return _Step(later, True, width) if any(step.waits for step in selected.values()) else _Step(at_once, width=width)
