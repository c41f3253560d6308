"""What a command may refuse to do. Bugs are never among these."""

from enum import StrEnum


class ErrorCode(StrEnum):
    NOT_FOUND = "NOT_FOUND"
    INVALID_TRANSITION = "INVALID_TRANSITION"
    VERSION_CONFLICT = "VERSION_CONFLICT"
    IDEMPOTENCY_CONFLICT = "IDEMPOTENCY_CONFLICT"
    DUPLICATE_REFERENCE = "DUPLICATE_REFERENCE"
    INVALID_INPUT = "INVALID_INPUT"
    NOTHING_TO_SHIP = "NOTHING_TO_SHIP"
    NOTHING_TO_REFUND = "NOTHING_TO_REFUND"
    NOTHING_TO_VOID = "NOTHING_TO_VOID"
    UNKNOWN_GATEWAY = "UNKNOWN_GATEWAY"
    PAYMENT_FAILED = "PAYMENT_FAILED"
    RENDERING_FAILED = "RENDERING_FAILED"
    RENDERING_BUSY = "RENDERING_BUSY"
    RENDERING_UNAVAILABLE = "RENDERING_UNAVAILABLE"


class DomainError(Exception):
    """An expected refusal: nothing was changed. `field` is the path of the input at fault, if one is."""

    code: ErrorCode

    def __init__(self, message: str, *field: str | int) -> None:
        super().__init__(message)
        self.message = message
        self.field = tuple(str(part) for part in field)


class InvalidInput(DomainError):
    code = ErrorCode.INVALID_INPUT


class NotFound(DomainError):
    """There is no such thing, or the caller may not know of it: the two cannot be told apart."""

    code = ErrorCode.NOT_FOUND
