"""What an import format is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from domain.imports.history import History


@dataclass(frozen=True, slots=True)
class Format:
    """How another system writes its orders.

    `description` says whose orders they are, and what a file looks like. An *entry* is one order as the file has it.
    """

    name: str  # as in `--format NAME`
    description: str
    read_entries: Callable[[bytes], list[tuple[str, Any]]]  # of a file, each with its path. Raises ValueError
    describe: Callable[[Any], str]  # which order an entry is, for messages; an empty text if that cannot be read
    read_order: Callable[[str, Any], History]  # of a channel's code and an entry. Raises InvalidInput
