"""Finds the document of a request, which may come as its text, by its hash, or as both.

Two protocols meet here. Automatic persisted queries (Apollo, also urql): a client sends the hash alone, and the text as
well if the server does not know it yet. Persisted documents (appendix A of
https://github.com/graphql/graphql-over-http): documents are registered in advance, and sent by `documentId`.
"""

import time
from dataclasses import replace
from typing import Final

from api.execution.requests import Request
from api.lru import LRUCache
from domain.registered_documents import hash_of, registered_text

MOST_CHARACTERS: Final = 4_000_000  # of the texts that clients have sent with a hash
FRESH_SECONDS: Final = 1.0  # for which it is taken for granted that a document is still registered


class DocumentRefused(Exception):
    """There is no such document for this caller. `code` is the error's code."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class PersistedDocuments:
    """The documents that clients have sent with their hashes, and those that are registered.

    Each process keeps the former for itself. On another worker, or after a restart, that costs the client one more
    request. The latter are in the database. A document can be used as soon as it is registered, and for `FRESH_SECONDS`
    at most after it is removed.
    """

    def __init__(self) -> None:
        self._sent: LRUCache[str, str] = LRUCache(MOST_CHARACTERS, len)  # texts by their hashes
        self._registered: dict[str, tuple[str, float]] = {}  # and until when that need not be looked up again

    async def find(self, request: Request, *, registered_only: bool) -> Request:
        """Return the request with its document's text. Raise `DocumentRefused` and `DatabaseUnavailable`.

        With `registered_only`, the document must be registered, however it is sent.
        """
        document_id, text = request.document_id, request.query
        if document_id is None and not registered_only:
            return request
        hashed = _hash(text) if text else None
        if text and document_id is not None and document_id != hashed:
            raise DocumentRefused("The hash is not that of the query.", "BAD_USER_INPUT")
        if registered_only:
            found = await self._registered_text(document_id or hashed or "")
            if found is None:
                raise DocumentRefused("This document is not registered.", "DOCUMENT_NOT_REGISTERED")
            return replace(request, query=found)
        assert document_id is not None
        if text:
            if self._sent.get(document_id) is None:
                self._sent.put(document_id, text)
            return request
        found = self._sent.get(document_id) or await self._registered_text(document_id)
        if found is None:
            raise DocumentRefused("PersistedQueryNotFound", "PERSISTED_QUERY_NOT_FOUND")
        return replace(request, query=found)

    async def _registered_text(self, document_id: str) -> str | None:
        known = self._registered.get(document_id)
        if known is not None and time.monotonic() < known[1]:
            return known[0]
        text = await registered_text(document_id)
        if text is None:
            self._registered.pop(document_id, None)
        else:
            self._registered[document_id] = (text, time.monotonic() + FRESH_SECONDS)
        return text


def _hash(text: str) -> str | None:
    try:
        return hash_of(text)
    except UnicodeEncodeError:  # half a surrogate pair, which is in no document
        return None
