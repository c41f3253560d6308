"""Kinds of fields that say what they are made of, so that graphql-core and compiled plans use one definition.

Their objects have a `row`. Everything else is an ordinary Strawberry field.
"""

from collections.abc import Callable, Iterable
from functools import cached_property
from operator import attrgetter
from typing import Any

from strawberry.types.field import StrawberryField
from strawberry.types.fields.resolver import StrawberryResolver

from api.execution.context import Info
from api.execution.rights import Right
from domain.actors import Actor
from models.engine.rows import Columns

Read = Callable[[Any], Any]
Show = Callable[[Any, Any], Any]

_ROW = "row."


class Column(StrawberryField):
    """A field that is computed from the object alone.

    It is what `function` makes of the attributes that `paths` name, or of the object if there are no paths. Without a
    function it is the row's column of the same name.
    """

    function: Callable[..., Any] | None = None
    paths: tuple[str, ...] = ()
    is_long_text = False  # it may have a thousand characters and more, which are charged

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.init = self.repr = self.compare = False

    @cached_property
    def read(self) -> Read:
        function = self.function
        if function is None:
            return attrgetter(f"{_ROW}{self.python_name}")
        if not self.paths:
            return function
        values = attrgetter(*self.paths)
        if len(self.paths) == 1:
            return lambda each: function(values(each))
        return lambda each: function(*values(each))

    @property
    def columns(self) -> Columns:
        """Return the columns of the object's row that it uses, or None if that is not known."""
        if self.function is None:
            return frozenset({self.python_name})
        if not self.paths:
            return None
        return frozenset(path.removeprefix(_ROW) for path in self.paths if path.startswith(_ROW))

    def get_result(self, source: Any, info: Info | None, args: list[Any], kwargs: Any) -> Any:
        return self.read(source)


class Redacted(Column):
    """A column that `redact` makes fit to be seen by callers who do not hold the `right`."""

    right: Right
    redact: Callable[[Any], Any]

    def reader_for(self, actor: Actor) -> Read:
        """Return what reads the column for this caller."""
        if self.right.is_held_by(actor):
            return self.read
        read, redact = self.read, self.redact
        return lambda each: redact(read(each))

    @property
    def is_basic_field(self) -> bool:
        return False  # so that `get_result` is given the `info`

    def get_result(self, source: Any, info: Info | None, args: list[Any], kwargs: Any) -> Any:
        assert info is not None
        return self.reader_for(info.context.actor)(source)


class Composed(Column):
    """A field that is an object made of `parts` only: its attributes, each by its path from the object around it.

    A plan makes what is selected of it from the parts, without the object.
    """

    parts: dict[str, str]


class Loaded(StrawberryField):
    """A field that `show` makes of what the loader has for the object's key, or null if the key is null.

    `columns` are the columns of the object's row that the key and `show` use, `theirs` the columns of the loaded rows
    that `show` uses.
    """

    loader: str
    key: Read
    show: Show
    columns: frozenset[str]
    theirs: frozenset[str]


def column(description: str, function: Callable[..., Any] | None = None, *paths: str, long_text: bool = False) -> Any:
    """Declare a field that is a column of the object's row, or what the function makes of the object or paths."""
    field = Column(description=description)
    field.function, field.paths, field.is_long_text = function, paths, long_text
    return field


def redacted(
    description: str,
    right: Right,
    redact: Callable[[Any], Any],
    function: Callable[..., Any] | None = None,
    *paths: str,
) -> Any:
    """Declare a column that only callers with the right see in full. The others see what `redact` makes of it."""
    field = Redacted(description=description)
    field.function, field.paths, field.right, field.redact = function, paths, right, redact
    field.is_long_text = True
    return field


def composed(description: str, type_: type, **parts: str) -> Any:
    """Declare a field that is an object of that type, and never null: see `Composed`."""
    names = tuple(parts)
    field = Composed(description=description)
    field.function = lambda *values: type_(**dict(zip(names, values, strict=True)))
    field.paths, field.parts = tuple(parts.values()), parts
    return field


def loaded(
    description: str, loader: str, key: str, show: Show, *, own: Iterable[str] = (), theirs: Iterable[str] = ()
) -> Any:
    """Declare a field that is loaded for many objects at once: what `show` makes of the object and of what was loaded.

    `loader` is the name of one of the `Loaders`, `key` the column of the object's row with the key to load. The field
    is null if that column is. `own` are other columns of the object's row that `show` uses; for `theirs` see `Loaded`.
    """
    key_of = attrgetter(f"{_ROW}{key}")

    async def resolve(self: Any, info: Info) -> Any:
        found = key_of(self)
        return None if found is None else show(self, await info.context.loaders.of(loader).load(found))

    field = Loaded(description=description, base_resolver=StrawberryResolver(resolve))
    field.loader, field.key, field.show = loader, key_of, show
    field.columns, field.theirs = frozenset({key, *own}), frozenset(theirs)
    return field
