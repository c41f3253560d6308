"""What a command may refuse to do. Bugs are never among these."""

from models.vocabularies import Vocabulary


class ErrorCode(Vocabulary):
    """Why a mutation was refused."""

    NOT_FOUND = "NOT_FOUND", "There is no such thing, or it does not exist for this token."
    INVALID_TRANSITION = "INVALID_TRANSITION", "The order's status does not allow this step."
    VERSION_CONFLICT = "VERSION_CONFLICT", "The order has changed since expectedVersion; currentVersion says to what."
    IDEMPOTENCY_CONFLICT = "IDEMPOTENCY_CONFLICT", "The idempotencyKey was used before, with another input."
    DUPLICATE_REFERENCE = "DUPLICATE_REFERENCE", "The channel has an order of this externalReference already."
    INVALID_INPUT = "INVALID_INPUT", "A field's value is not acceptable; field says which."
    NOTHING_TO_SHIP = "NOTHING_TO_SHIP", "All units that are due have left already."
    NOTHING_TO_REFUND = "NOTHING_TO_REFUND", "Nothing was paid that could be given back."
    NOTHING_TO_VOID = "NOTHING_TO_VOID", "Nothing is authorized that could be given up."
    UNKNOWN_GATEWAY = "UNKNOWN_GATEWAY", "The payment was authorized at a gateway that is not set up here."
    PAYMENT_FAILED = "PAYMENT_FAILED", "The gateway has refused; the transaction is FAILED, and message says why."
    RENDERING_FAILED = (
        "RENDERING_FAILED",
        "The delivery note has its number, but could not be printed; message says what to mend.",
    )
    RENDERING_BUSY = "RENDERING_BUSY", "Too much is being printed at the moment: try again shortly."
    RENDERING_UNAVAILABLE = (
        "RENDERING_UNAVAILABLE",
        "The server lacks what it needs to print; message says what to install.",
    )


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
