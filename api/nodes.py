"""What every type with a global id has in common."""

from collections.abc import Sequence
from typing import Self

import strawberry


@strawberry.interface(description="Something that can be fetched again by its id.")
class Node:
    id: strawberry.ID = strawberry.field(description="An opaque id, unique among all types.")


@strawberry.type(description="Where a page lies in its list.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="Whether there is more after this page.")
    has_previous_page: bool = strawberry.field(description="Whether there is more before this page.")
    start_cursor: str | None = strawberry.field(description="The cursor of the page's first item.")
    end_cursor: str | None = strawberry.field(description="The cursor of the page's last item.")

    @classmethod
    def following(cls, after: str | None, cursors: Sequence[str], has_next_page: bool) -> Self:
        """Of the items with these cursors, in a list that is read forward only; an empty page ends where it began."""
        return cls(
            has_next_page=has_next_page,
            has_previous_page=after is not None,
            start_cursor=cursors[0] if cursors else None,
            end_cursor=cursors[-1] if cursors else after,
        )
