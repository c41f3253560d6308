"""Texts and details without what only some callers may see."""

import re
from collections.abc import Mapping
from typing import Any, Final

_PART: Final = r"[^\s@<>\"'(),;:]"
_ADDRESS: Final = re.compile(rf"{_PART}{{1,255}}@{_PART}{{0,255}}(?<!\.)")
_URL: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^\s'\"<>]+", re.IGNORECASE)
_PERSONAL: Final = frozenset({"address", "note"})  # names in the data of events


def without_addresses(text: str) -> str:
    """Return the text with each e-mail address replaced by an ellipsis."""
    return _ADDRESS.sub("…", text) if "@" in text else text


def without_urls(text: str) -> str:
    """Return the text with each URL replaced by an ellipsis."""
    return _URL.sub("…", text) if "://" in text else text


def without_personal_data(data: Any) -> Any:
    """Return the data of an event without e-mail addresses and notes. What is left out is null."""
    if isinstance(data, Mapping):
        return {name: None if name in _PERSONAL else without_personal_data(each) for name, each in data.items()}
    if isinstance(data, list):
        return [without_personal_data(each) for each in data]
    return without_addresses(data) if isinstance(data, str) else data
