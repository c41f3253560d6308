"""What an import format is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from domain.imports.history import History


@dataclass(frozen=True, slots=True)
class Format:
    """How another system writes its orders.

    `description` says whose orders they are, and what a file looks like. A *document* is one order as the file has it.
    """

    name: str  # as in `--format NAME`
    description: str
    read_documents: Callable[[bytes], list[tuple[str, Any]]]  # of a file, each with its place. Raises ValueError
    describe: Callable[[Any], str]  # which order a document is, for messages; an empty text if that cannot be read
    read_order: Callable[[str, Any], History]  # of a channel's code and a document. Raises InvalidInput
