"""A window onto a list."""

from dataclasses import dataclass

from domain.errors import InvalidInput

MOST_PER_PAGE = 100


DEFAULT_PER_PAGE = 50


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A window onto a list: `first` after a cursor, or `last` before one."""

    first: int | None = None
    after: str | None = None
    last: int | None = None
    before: str | None = None

    @property
    def size(self) -> int:
        """How many are asked for. Raise `InvalidInput` for 0, for more than 100, and for both directions at once."""
        if self.first is not None and self.last is not None:
            raise InvalidInput("Ask for first or for last, not for both.", "last")
        for name, value in (("first", self.first), ("last", self.last)):
            if value is not None:
                if not 1 <= value <= MOST_PER_PAGE:
                    raise InvalidInput(f"{name} is a number from 1 to {MOST_PER_PAGE}.", name)
                return value
        return DEFAULT_PER_PAGE

    @property
    def backward(self) -> bool:
        return self.last is not None
