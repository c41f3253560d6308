"""Two kinds of fields that say what they are made of, so that graphql-core and a compiled plan read one definition.

What they are asked of has a `row`; everything else is an ordinary Strawberry field.
"""

from collections.abc import Callable
from functools import cached_property
from operator import attrgetter
from typing import Any

from strawberry.types.field import StrawberryField
from strawberry.types.fields.resolver import StrawberryResolver

from api.context import Info
from api.loaders import Loader, Loaders

Read = Callable[[Any], Any]
Show = Callable[[Any, Any], Any]


class Column(StrawberryField):
    """Worked out from the object alone, when it is asked for: by `given`, or the row's column of the same name."""

    given: Read | None = None

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.init = self.repr = self.compare = False

    @cached_property
    def read(self) -> Read:
        return self.given or attrgetter(f"row.{self.python_name}")

    def get_result(self, source: Any, info: Info | None, args: list[Any], kwargs: Any) -> Any:
        return self.read(source)


class Loaded(StrawberryField):
    """Made by `show` from what the loader has under the object's key; null where the key is null."""

    loader: Callable[[Loaders], Loader[Any, Any]]
    key: Read
    show: Show


def column(description: str, read: Read | None = None) -> Any:
    """A field that is a column of the object's row, or what `read` makes of the object."""
    field = Column(description=description)
    field.given = read
    return field


def loaded(description: str, loader: str, key: str, show: Show) -> Any:
    """A field that is loaded for many objects at once: what `show` makes of the object and of what was loaded for it.

    `loader` is the name of one of the `Loaders`, `key` the column of the object's row under which it has it. The field
    is null where that column is.
    """
    loader_of, key_of = attrgetter(loader), attrgetter(f"row.{key}")

    async def resolve(self: Any, info: Info) -> Any:
        found = key_of(self)
        return None if found is None else show(self, await loader_of(info.context.loaders).load(found))

    field = Loaded(description=description, base_resolver=StrawberryResolver(resolve))
    field.loader, field.key, field.show = loader_of, key_of, show
    return field
