"""How a merchant wants delivery notes to look and to read."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Presentation:
    """`texts` are those of each locale, `logo` is a `data:` URL.

    `template` (Jinja) and `style` (CSS) are the merchant's own, `None` where the built-in ones are meant.
    """

    texts: Mapping[str, Mapping[str, str]]
    template: str | None = None
    style: str | None = None
    logo: str | None = None

    def as_data(self) -> dict[str, Any]:
        """The presentation as JSON has it."""
        return asdict(self)

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> "Presentation":
        """What `as_data` was called on, also after a way through JSON."""
        return cls(**data)
