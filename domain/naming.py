"""Names as Python has them, and as JSON and GraphQL do."""


def camel(name: str) -> str:
    """Return a name such as `order_line_id` as `orderLineId`."""
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)
