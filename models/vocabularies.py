"""Closed vocabularies: enums whose words are texts and describe themselves."""

from enum import StrEnum
from typing import Any, Self, TypeVar


class Vocabulary(StrEnum):
    """An enum of words. Each is declared as its text and its description, and is equal to its text.

    The docstring describes the vocabulary. GraphQL shows both, see `api.schema.enums`. A vocabulary whose words are
    declared with more than that takes it in its `__init__`.
    """

    description: str

    def __new__(cls, text: str, description: str = "", *_: Any) -> Self:
        word = str.__new__(cls, text)
        word._value_ = text
        word.description = description
        return word


class StoredVocabulary(Vocabulary):
    """A vocabulary whose words are stored: another version of the service may have written words of its own."""


Word = TypeVar("Word", bound=StoredVocabulary)


def stored_word(vocabulary: type[Word], text: str) -> Word:
    """Return the member that is stored as this text, or a stand-in if this version does not know it.

    A stand-in is of the vocabulary's class, is equal to none of its members, and is written back as it was read.
    """
    try:
        return vocabulary(text)
    except ValueError:
        stand_in = str.__new__(vocabulary, text)
        stand_in._name_ = stand_in._value_ = text
        stand_in.description = ""
        return stand_in


def is_known(word: StoredVocabulary) -> bool:
    """Return whether the word is a member of its vocabulary, not a stand-in."""
    return word.name in type(word).__members__
