"""Errors that reach a log only, because nobody waits for what failed: asyncio's, and those that uvicorn catches."""

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import orjson

_SIGNS = (
    ("asyncio", ""),  # "Exception in callback …", "Task exception was never retrieved", "Unclosed …"
    ("uvicorn.error", "Exception in ASGI application"),
)
_NO_COMPLAINTS = (  # of asyncpg, which are safe
    "Resetting connection with an active transaction",  # a task was cancelled in it
    "ConnectionError('unexpected connection_lost() call')",  # the server ended while one was begun
)


class Complaints(logging.Handler):
    """Collects the complaints of this process."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if _is_complaint(record.name, record.getMessage()):
            self._found.append(logging.Formatter().format(record))

    def take(self) -> list[str]:
        """Return what was collected since the last call."""
        found, self._found = self._found, []
        return found

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Collect while the block runs."""
        names = {name for name, _ in _SIGNS}
        for name in names:
            logging.getLogger(name).addHandler(self)
        try:
            yield
            gc.collect()  # what failed unseen is told of when it is thrown away
        finally:
            for name in names:
                logging.getLogger(name).removeHandler(self)


def complaints_in(log: bytes) -> list[str]:
    """Return the complaints in the log of a server's process, which has a line of JSON for each."""
    return [line.decode(errors="replace") for line in log.splitlines() if _is_in(line)]


def _is_in(line: bytes) -> bool:
    try:
        said = orjson.loads(line)
        return said["level"] in ("error", "critical") and _is_complaint(said["logger"], said["event"])
    except (ValueError, KeyError, TypeError):
        return False


def _is_complaint(logger: str, message: str) -> bool:
    if any(each in message for each in _NO_COMPLAINTS):
        return False
    return any(logger == name and message.startswith(beginning) for name, beginning in _SIGNS)
