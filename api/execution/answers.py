"""Answers to operations, as they are sent to clients."""

from collections.abc import Iterable
from typing import Any, Final

from graphql import GraphQLError

from api.callers.rates import Charge
from api.execution.encoding import encode, encode_in_turns
from api.execution.errors import UNAVAILABLE, fault, present
from api.execution.limits import LimitExceeded
from models.engine.errors import DatabaseUnavailable

SUCCESS: Final = "success"  # as an outcome; any other is a code


class Answer:
    """An answer that is sent. Its `payload` must not be changed any more.

    `outcome` is `SUCCESS`, or the first error's code. `executed` is false if the document or its variables were
    refused. `unavailable` is true if the database could not be used: the same request may succeed in a moment. If the
    caller has asked for too much, it may succeed after `retry_seconds`.
    """

    __slots__ = ("_json", "executed", "outcome", "payload", "retry_seconds", "unavailable")

    def __init__(self, payload: dict[str, Any], *, executed: bool, unavailable: bool = False) -> None:
        self.payload = payload
        self.executed = executed
        self.unavailable = unavailable
        self.retry_seconds: int | None = None
        self._json: bytes | None = None
        errors = payload.get("errors")
        self.outcome = str(errors[0]["extensions"]["code"]) if errors else SUCCESS

    @classmethod
    def encoded(cls, data: bytes) -> "Answer":
        """Return an answer without errors from its JSON."""
        answer = cls({}, executed=True)
        answer._json = data
        return answer

    def with_charge(self, charge: Charge) -> "Answer":
        """Return the answer with what it cost, or would have cost."""
        extensions = {"cost": charge.as_extension()}
        payload = {**self.payload, "extensions": extensions}
        answer = Answer(payload, executed=self.executed, unavailable=self.unavailable)
        if self._json is not None:
            answer._json = self._json[:-1] + b',"extensions":' + encode(extensions) + b"}"
        answer.retry_seconds = None if charge.taken else charge.retry_seconds
        return answer

    def with_cursor(self, cursor: str) -> "Answer":
        """Return the answer to an event with the event's cursor in its errors, if there is nothing else to show.

        So a client can resume after it.
        """
        if self.payload.get("data") is not None:
            return self
        errors = [{**each, "extensions": {**each["extensions"], "cursor": cursor}} for each in self.payload["errors"]]
        return Answer({**self.payload, "errors": errors}, executed=self.executed, unavailable=self.unavailable)

    def as_json(self) -> bytes:
        """Return the payload as JSON. It is encoded once, however many clients get it."""
        if self._json is None:
            try:
                self._json = encode(self.payload)
            except TypeError as error:  # nested more deeply than the encoder goes, or a text that is not Unicode
                self._json = encode({"errors": [fault(error)]})
        return self._json

    async def encode_in_turns(self, most_bytes: int) -> bool:
        """Encode a long answer in advance and in pieces, so that it does not hold up the process.

        Return False if it has more than `most_bytes`, and so is not encoded.
        """
        try:
            self._json = await encode_in_turns(self.payload, most_bytes)
        except TypeError as error:
            self._json = encode({"errors": [fault(error)]})
        return self._json is not None


def refusal(message: str, code: str = "BAD_USER_INPUT") -> Answer:
    """Return the answer to something that was not executed."""
    return Answer({"errors": [{"message": message, "extensions": {"code": code}}]}, executed=False)


def not_executed(errors: Iterable[GraphQLError]) -> Answer:
    """Return the answer with the errors because of which nothing was executed."""
    presented = [present(error) for error in errors]
    unavailable = any(each["extensions"]["code"] == UNAVAILABLE for each in presented)
    return Answer({"errors": presented}, executed=False, unavailable=unavailable)


def give_up(error: DatabaseUnavailable | LimitExceeded) -> Answer:
    """Return the answer of an operation that was begun and cannot be finished."""
    cause = error if isinstance(error, DatabaseUnavailable) else None
    shown = present(GraphQLError(str(error), original_error=cause))
    return Answer({"data": None, "errors": [shown]}, executed=True, unavailable=cause is not None)
