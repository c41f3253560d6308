"""Errors as clients see them: with a code, and without internal details."""

import logging
from typing import Any, Final

from graphql import GraphQLError
from strawberry.exceptions import StrawberryGraphQLError
from uuid_utils import uuid7

from api.callers.open_counts import TooManyOpen
from api.execution.context import Unauthenticated
from domain.actors import Forbidden
from domain.errors import DomainError
from domain.naming import camel
from domain.stream.event_log import CursorExpired
from models.engine.errors import DatabaseUnavailable

log = logging.getLogger(__name__)

UNAVAILABLE: Final = "UNAVAILABLE"
RATE_LIMITED: Final = "RATE_LIMITED"
INTERNAL: Final = "INTERNAL"
LONGEST_MESSAGE: Final = 1_000  # characters of an error that are sent
RETRY_SECONDS: Final = 1  # after which a client may try again what was UNAVAILABLE

_CODES: Final[tuple[tuple[type | tuple[type, ...], str], ...]] = (
    (Unauthenticated, "UNAUTHENTICATED"),
    (Forbidden, "FORBIDDEN"),
    (DatabaseUnavailable, UNAVAILABLE),
    (TooManyOpen, RATE_LIMITED),
    (CursorExpired, "CURSOR_EXPIRED"),
    ((DomainError, GraphQLError, StrawberryGraphQLError), "BAD_USER_INPUT"),
)


def present(error: GraphQLError) -> dict[str, Any]:
    """Return the error as the client sees it: with a code, and without internal details."""
    cause = error.original_error
    formatted: dict[str, Any] = {**error.formatted, "message": _shorten(error.message)}
    if isinstance(cause, DatabaseUnavailable):
        return {**formatted, **outage(cause)}
    code = "BAD_USER_INPUT" if cause is None else code_of(cause)
    if cause is not None and code == INTERNAL:
        return {**formatted, **fault(cause, error.path)}
    formatted["extensions"] = {"code": code}
    if isinstance(cause, DomainError):
        formatted["extensions"]["field"] = [camel(part) for part in cause.field]
    return formatted


def _shorten(message: str) -> str:
    """Cut out the middle of a message that quotes something long, such as a value of the client's."""
    if len(message) <= LONGEST_MESSAGE:
        return message
    return f"{message[: LONGEST_MESSAGE // 2]} … {message[-LONGEST_MESSAGE // 4 :]}"


def code_of(cause: BaseException) -> str:
    """Return the code of the error that a client sees for this cause."""
    for kinds, code in _CODES:
        if isinstance(cause, kinds):
            return code
    return INTERNAL


def fault(cause: BaseException, path: Any = None) -> dict[str, Any]:
    """Return the error that a client sees for a bug or an outage. The log has the cause under the error's id."""
    fault_id = str(uuid7())
    log.error("fault %s at %s", fault_id, path, exc_info=cause)
    return {
        "message": "Something went wrong on our side. Give us the id, and we find it in the log.",
        "extensions": {"code": INTERNAL, "id": fault_id},
    }


def outage(cause: DatabaseUnavailable) -> dict[str, Any]:
    """Return the error that a client sees if the database could not be used."""
    log.warning("the database could not be used: %s", cause)
    return {
        "message": "The database cannot be reached at the moment. Try again, with the same idempotencyKey if it is a"
        " change: it may have been written.",
        "extensions": {"code": UNAVAILABLE},
    }
