"""What types with a global id have in common, and pages of lists."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, Final, TypeVar

import strawberry

from api.execution.fields import column
from api.execution.rights import GIVEN, Rights
from domain.global_ids import global_id

_ID: Final = "An opaque id, unique among all types."


@strawberry.interface(description="Something that can be fetched again by its id.")
class Node:
    id: strawberry.ID = strawberry.field(description=_ID)


def node_id(type_name: str, description: str = _ID) -> Any:
    """Declare the field `id` of that type: the global id of its row."""
    return column(description, partial(global_id, type_name), "row.id")


@strawberry.type(description="Where a page lies in its list.")
class PageInfo:
    RIGHTS: ClassVar[Rights] = {GIVEN: "hasNextPage hasPreviousPage startCursor endCursor"}

    has_next_page: bool = strawberry.field(description="Whether there is more after this page.")
    has_previous_page: bool = strawberry.field(description="Whether there is more before this page.")
    start_cursor: str | None = strawberry.field(description="The cursor of the page's first item.")
    end_cursor: str | None = strawberry.field(description="The cursor of the page's last item.")


C = TypeVar("C")


def forward_page(connection: Callable[..., C], edges: Sequence[Any], after: str | None, has_next_page: bool) -> C:
    """Return a page of a list that is read forward only. An empty page ends where it began."""
    page_info = PageInfo(
        has_next_page=has_next_page,
        has_previous_page=after is not None,
        start_cursor=edges[0].cursor if edges else None,
        end_cursor=edges[-1].cursor if edges else after,
    )
    return connection(edges=edges, nodes=[edge.node for edge in edges], page_info=page_info)
