"""Orders of a Shopify shop."""

from typing import Final

from domain.imports.format import Format
from domain.imports.shopify.orders import describe, read_documents, read_order

__all__ = ["SHOPIFY", "read_documents", "read_order"]

SHOPIFY: Final = Format(
    name="shopify",
    description="as its REST API and its orders/* webhooks send them, in a JSON file: one order, a list of them, or"
    " either wrapped in order or orders",
    read_documents=read_documents,
    describe=describe,
    read_order=read_order,
)
