"""The steps of plans. Each turns a list of values into another list, for all objects of a level at once."""

from asyncio import gather
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from inspect import isawaitable
from itertools import islice
from time import perf_counter
from types import NoneType
from typing import Any, Final, NamedTuple, cast

from graphql import (
    GraphQLEnumType,
    GraphQLError,
    GraphQLLeafType,
    Undefined,
    VariableValues,
)
from graphql.pyutils import gather_with_cancel

from api.execution.context import Context
from api.execution.costs import BYTES_OF_ONE, LIST_SIZE, LONG_TEXT
from api.execution.fields import Loaded
from models.engine.errors import DatabaseUnavailable
from models.engine.rows import Columns
from models.engine.turns import take_turn

PIECE: Final = 5_000  # values of an answer that are made without a pause: some milliseconds
SHOWN_TOGETHER: Final = 500  # items of loaded lists of which the types' objects are made without a pause
LOADED_TOGETHER: Final = 500  # items of a list for which more has to be loaded


Values = list[Any]


class Unexpected(Exception):
    """A value is not what its type says."""


class Run:
    """One execution of a plan. Resolvers get it as their `info`, of which they use nothing else.

    `turn_began` is when it last took a turn for work whose amount is not known (`time.perf_counter`).
    `field_name` is that of a mutation. `outcomes` are filled with what the resolvers of root fields return or raise.
    """

    __slots__ = ("context", "field_name", "outcomes", "turn_began", "variables")

    def __init__(
        self, context: Context, variables: VariableValues, outcomes: "Outcomes | None" = None, field_name: str = ""
    ) -> None:
        self.context = context
        self.variables = variables
        self.outcomes = {} if outcomes is None else outcomes
        self.field_name = field_name
        self.turn_began = perf_counter()


class Step(NamedTuple):
    """Turns a list of values into a list of the same length. The function is asynchronous if the step `waits`.

    `width` is about how many values of the answer come of each value. `in_turns` does the same as `function`,
    asynchronously and in pieces, so that a long list does not hold up the process.
    """

    function: Callable[[Values, Run], Any]
    waits: bool = False
    width: int = 1
    in_turns: Callable[[Values, Run], Awaitable[Values]] | None = None


class Outcome(NamedTuple):
    """What the resolver of a root field has returned or raised."""

    value: Any = None
    error: Exception | None = None


Outcomes = dict[str, Outcome]  # by the field's key in the answer


def dictionaries(keys: Sequence[str]) -> Callable[[Sequence[Values]], Values]:
    """Return a function that makes dictionaries with these keys from a list of values for each key."""
    make = _dictionary_maker(len(keys))(*keys)
    return lambda columns: make(*columns)


@cache
def _dictionary_maker(size: int) -> Callable[..., Callable[..., Values]]:
    """Generate code for so many keys. It is several times as fast as `dict(zip(keys, values))`:
    docs/decisions/0012-hot-paths.md.
    """
    keys, columns, values = ([f"{name}{number}" for number in range(size)] for name in ("key", "column", "value"))
    items = ", ".join(map("{}: {}".format, keys, values))
    rows = f"[{{{items}}} for {', '.join(values)}, in zip({', '.join(columns)}, strict=True)]"
    maker: Callable[..., Callable[..., Values]] = eval(f"lambda {', '.join(keys)}: lambda {', '.join(columns)}: {rows}")  # noqa: S307 - names with numbers only
    return maker


def chain(first: Step, second: Step) -> Step:
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
        return Step(later_in_turns, True, second.width)
    return Step(later, True, second.width) if first.waits or second.waits else Step(at_once, width=second.width)


def remember_outcome(key: str, step: Step) -> Step:
    """Resolve the root field of a query and store its outcome, so that graphql-core need not resolve it again."""

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

    return Step(resolve, True)


async def gather_all(awaitables: Sequence[Awaitable[Any]]) -> Values:
    """Await all; if one fails, cancel the rest and raise its error."""
    if len(awaitables) == 1:  # a task costs ten microseconds
        return [await awaitables[0]]
    return await gather_with_cancel(*awaitables)


async def settle(awaitables: Sequence[Awaitable[Any]]) -> Values:
    """Await all, also if one fails, so that graphql-core need not repeat what has been done."""
    if len(awaitables) == 1:
        return [await awaitables[0]]
    done = await gather(*awaitables, return_exceptions=True)
    failures = [each for each in done if isinstance(each, BaseException)]
    if failures:
        raise next((each for each in failures if isinstance(each, DatabaseUnavailable)), failures[0])
    return done


def read_each(read: Callable[[Any], Any]) -> Step:
    return Step(lambda objects, _: list(map(read, objects)))


def load_each(field: Loaded, columns: Columns) -> Step:
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

    return Step(load, True)


def charge_texts(texts: Values, run: Run) -> Values:
    """Charge what is longer than texts usually are. Return the texts."""
    if long := sum(len(each) for each in texts if type(each) is str and len(each) >= LONG_TEXT):
        run.context.budget.spend(long // BYTES_OF_ONE)
    return texts


# The classes whose objects these scalars write as they are, and those that they can always write.
_AS_IT_IS: Final[dict[str, type]] = {"String": str, "ID": str, "Boolean": bool}


_ALWAYS: Final[dict[str, type]] = {"Decimal": Decimal}


_LEAST_INT, _GREATEST_INT = -(2**31), 2**31 - 1


def write_leaf(type_: GraphQLLeafType, nullable: bool) -> Step:
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

    # Nearly all values are known by their class: a call for each of them would take five times as long.
    if kind := _AS_IT_IS.get(type_.name):
        return Step(lambda values, _: [each if type(each) is kind else carefully(each) for each in values])
    if type_.name == "DateTime":
        # The encoder writes the time of UTC as Strawberry does, without a text of its own, which takes a microsecond.
        return Step(
            lambda values, _: [
                each if type(each) is datetime and each.tzinfo is UTC else carefully(each) for each in values
            ]
        )
    if kind := _ALWAYS.get(type_.name):
        return Step(lambda values, _: [write(each) if type(each) is kind else carefully(each) for each in values])
    if isinstance(type_, GraphQLEnumType):
        kind = type_.wrapped_cls  # type: ignore[attr-defined]
        names = _Names({each: write(each) for each in kind}, carefully)
        return Step(lambda values, _: [names[each] if type(each) is kind else carefully(each) for each in values])
    if type_.name == "Int":
        return Step(
            lambda values, _: [
                each if type(each) is int and _LEAST_INT <= each <= _GREATEST_INT else carefully(each)
                for each in values
            ]
        )
    return Step(lambda values, _: list(map(carefully, values)))


class _Names(dict[Any, Any]):
    """The names of an enum's members. A name that another version has stored is looked up with care."""

    def __init__(self, names: dict[Any, Any], write: Callable[[Any], Any]) -> None:
        super().__init__(names)
        self._write = write

    def __missing__(self, word: Any) -> Any:
        return self._write(word)


def write_list(items: Step, nullable: bool) -> Step:
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
    return Step(later, True, width, in_turns) if items.waits else Step(at_once, False, width, in_turns)


def write_objects(selected: dict[type, Step], nullable: bool) -> Step:
    """Return a step that writes each object by what is selected of its class."""

    def alike(objects: Values) -> Step | None:
        """Return what is selected of all of them if they are of one class, as nearly always. Return None otherwise."""
        kinds = set(map(type, objects))
        return selected.get(kinds.pop()) if len(kinds) == 1 else None

    def by_class(objects: Values) -> list[tuple[Step, Values, Sequence[int]]]:
        kinds = set(map(type, objects))
        if nullable:
            kinds.discard(NoneType)
        if not kinds <= selected.keys():
            raise Unexpected
        indexes = {kind: [index for index, each in enumerate(objects) if type(each) is kind] for kind in kinds}
        return [(selected[kind], [objects[index] for index in found], found) for kind, found in indexes.items()]

    def put(done: Values, indexes: Sequence[int], made: Values) -> None:
        for index, each in zip(indexes, made, strict=True):
            done[index] = each

    def at_once(objects: Values, run: Run) -> Values:
        if step := alike(objects):
            return cast(Values, step.function(objects, run))
        done: Values = [None] * len(objects)
        for step, found, indexes in by_class(objects):
            put(done, indexes, step.function(found, run))
        return done

    async def later(objects: Values, run: Run) -> Values:
        if step := alike(objects):
            return cast(Values, await step.function(objects, run) if step.waits else step.function(objects, run))
        done: Values = [None] * len(objects)
        for step, found, indexes in by_class(objects):
            made = step.function(found, run)
            put(done, indexes, await made if step.waits else made)
        return done

    width = max((step.width for step in selected.values()), default=1)
    return Step(later, True, width) if any(step.waits for step in selected.values()) else Step(at_once, width=width)
