"""Messages of the graphql-transport-ws protocol."""

from typing import Any

import orjson

from api.execution.answers import Answer

_WITH_DETAILS = frozenset({"connection_init", "ping", "pong"})  # messages whose payload may be missing


class Senseless(Exception):
    """Raised for a message that the protocol does not allow. Its text is sent to the client as the close reason."""


def parse(text: str | bytes) -> dict[str, Any]:
    """Return the message: an object with a type, and with a payload that this type may have. Raise `Senseless`."""
    if isinstance(text, bytes):
        raise Senseless("Messages are text, not binary")
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise Senseless("This is not JSON") from None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise Senseless("A message is an object with a type")
    kind, payload = message["type"], message.get("payload")
    if kind in _WITH_DETAILS and not (payload is None or isinstance(payload, dict)):
        raise Senseless(f"The payload of a {kind} is an object")
    return message


def id_of(message: dict[str, Any]) -> str:
    """Return the id of the message's operation. Raise `Senseless` if it has none."""
    operation_id = message.get("id")
    if not isinstance(operation_id, str) or not operation_id:
        raise Senseless("This message needs an id, which is a string")
    return operation_id


def pong(ping: dict[str, Any]) -> bytes:
    """Return the pong with the ping's payload. Raise `Senseless` if that is nested too deeply to be sent back."""
    try:
        return orjson.dumps({"type": "pong", **{name: ping[name] for name in ("payload",) if name in ping}})
    except TypeError:
        raise Senseless("This payload cannot be given back") from None


def about(kind: str, operation_id: str, payload: bytes | None = None) -> bytes:
    """Return a message about an operation, around a payload that is encoded already."""
    start = b'{"id":' + orjson.dumps(operation_id) + b',"type":"' + kind.encode() + b'"'
    return start + (b"}" if payload is None else b',"payload":' + payload + b"}")


def head_of_next(operation_id: str) -> bytes:
    """Return a `next` message up to its payload, after which only a brace follows."""
    return about("next", operation_id, b"")[:-1]


def errors(operation_id: str, answer: Answer) -> bytes:
    """Return the `error` message, which ends the operation."""
    return about("error", operation_id, orjson.dumps(answer.payload["errors"], default=str))
