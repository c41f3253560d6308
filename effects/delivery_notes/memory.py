"""How much memory a process that renders may have."""

import resource
import sys
from typing import Final

MOST: Final = 2**30  # bytes of address space
LEAST: Final = 384 * 2**20  # with less, libraries fail in ways that nobody understands


def limit() -> int:
    """Return how many bytes of address space a process that renders gets: `MOST`, or what this process may have."""
    given = [each for each in resource.getrlimit(resource.RLIMIT_AS) if each != resource.RLIM_INFINITY]
    return min(MOST, *given) if given else MOST


def apply_limit() -> None:
    """Give this process no more than `limit` says."""
    if sys.platform != "darwin":  # which does not know the limit
        resource.setrlimit(resource.RLIMIT_AS, (limit(), limit()))
