"""The look and the texts of a merchant's delivery notes."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Presentation:
    """The look of delivery notes. `texts` are those of each locale, `logo` is a `data:` URL.

    `template` (Jinja) and `style` (CSS) are the merchant's own, None for the built-in ones.
    """

    texts: Mapping[str, Mapping[str, str]]
    template: str | None = None
    style: str | None = None
    logo: str | None = None

    def as_data(self) -> dict[str, Any]:
        """Return the presentation for JSON."""
        return asdict(self)

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> "Presentation":
        """Return the presentation that `as_data` was called on."""
        return cls(**data)
