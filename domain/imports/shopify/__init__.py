"""Orders of a Shopify shop."""

from typing import Final

from domain.imports.format import Format
from domain.imports.shopify.orders import describe, read_entries, read_order

__all__ = ["SHOPIFY", "read_entries", "read_order"]

SHOPIFY: Final = Format(
    name="shopify",
    description="as its REST API and its orders/* webhooks send them, in a JSON file: one order, a list of them, or"
    " either wrapped in order or orders",
    read_entries=read_entries,
    describe=describe,
    read_order=read_order,
)
