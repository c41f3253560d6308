"""GraphQL requests, whatever transport they come over."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Request:
    """A request. Without a `query`, `document_id` names the document: its SHA-256, or another name."""

    query: str
    variables: dict[str, Any] | None = None
    operation_name: str | None = None
    document_id: str | None = None


class MalformedRequest(Exception):
    """The request does not have the shape of a GraphQL request. The message says what is wrong."""


def parse_request(payload: Any) -> Request:
    """Return the request in this JSON. Raise `MalformedRequest`."""
    if not isinstance(payload, dict):
        raise MalformedRequest("A request is a JSON object.")
    query = payload.get("query")
    for name, kind, description in (
        ("variables", dict, "an object"),
        ("operationName", str, "a string"),
        ("extensions", dict, "an object"),
    ):
        value = payload.get(name)
        if value is not None and not isinstance(value, kind):
            raise MalformedRequest(f"{name} is {description}.")
    document_id = _document_id(payload)
    if document_id is not None and query in (None, ""):
        query = ""
    elif not isinstance(query, str) or not query.strip():
        raise MalformedRequest("A request needs a query, which is a string.")
    return Request(query, payload.get("variables"), payload.get("operationName") or None, document_id)


def _document_id(payload: dict[str, Any]) -> str | None:
    """Return the `documentId` (GraphQL over HTTP), or the hash of `persistedQuery` among the extensions (Apollo)."""
    document_id = payload.get("documentId")
    if document_id is not None:
        if not isinstance(document_id, str) or not document_id:
            raise MalformedRequest("documentId is a string.")
        return document_id.removeprefix("sha256:")
    persisted = (payload.get("extensions") or {}).get("persistedQuery")
    if persisted is None:
        return None
    match persisted:
        case {"version": 1, "sha256Hash": str(document_id)} if document_id:
            return document_id
    raise MalformedRequest("extensions.persistedQuery is an object with version 1 and a sha256Hash.")
