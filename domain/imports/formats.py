"""All import formats. Each has a folder or a module beside this file."""

from collections.abc import Mapping
from typing import Final

from domain.imports.format import Format
from domain.imports.shopify import SHOPIFY

FORMATS: Final[Mapping[str, Format]] = {each.name: each for each in (SHOPIFY,)}


def find_format(name: str) -> Format:
    """Return the format of that name. Raise ValueError, which says what there is, for another name."""
    try:
        return FORMATS[name]
    except KeyError:
        raise ValueError(f"{name} is not a format. There is: {', '.join(FORMATS)}.") from None
