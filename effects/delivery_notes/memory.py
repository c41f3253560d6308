"""The memory limit of the rendering processes."""

import resource
import sys
from typing import Final

MOST: Final = 2**30  # bytes of address space
LEAST: Final = 384 * 2**20  # with less, libraries fail with misleading errors


def limit() -> int:
    """Return how many bytes of address space a rendering process gets: `MOST`, or what this process may have."""
    given = [each for each in resource.getrlimit(resource.RLIMIT_AS) if each != resource.RLIM_INFINITY]
    return min(MOST, *given) if given else MOST


def apply_limit() -> None:
    """Limit the address space of this process."""
    if sys.platform != "darwin":  # which lacks this limit
        resource.setrlimit(resource.RLIMIT_AS, (limit(), limit()))
