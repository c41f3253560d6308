"""Paths in URLs. They are escaped here when they become part of a URL, and unescaped here when they are taken out."""

import os
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes


def file_url(scheme: str, path: Path | str) -> str:
    """Return `SCHEME://PATH`, with every character escaped that a URL gives a meaning of its own."""
    return f"{scheme}://{quote(os.fsencode(path))}"


def path_from(escaped: str) -> str:
    """Return the path that this part of a URL stands for. Raise `ValueError` if no file can be called that."""
    path = os.fsdecode(unquote_to_bytes(os.fsencode(escaped)))
    if "\0" in path:
        raise ValueError("No path has %00 in it.")
    return path
