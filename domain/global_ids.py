"""Opaque global ids, as Relay's Object Identification has them: base64 of the type's name and the key."""

import binascii
from uuid import UUID


def global_id(type_name: str, key: UUID | int) -> str:
    """Return the id by which callers know a row of that type."""
    return binascii.b2a_base64(f"{type_name}:{key}".encode(), newline=False).decode()
