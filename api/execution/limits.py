"""Limits on what clients send, checked in one pass before any work that takes longer.

Every check is linear in the document or the variables. What is counted "spread" is counted as if each fragment stood
wherever it is spread: a few hundred bytes of fragments can stand for a million fields.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import orjson
from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    parse,
)

from api.settings import Settings

LONG_ANSWER: Final = 20_000  # an answer that costs more is long
OBJECT_WEIGHT: Final = 10  # of an object among the variables, whatever it has: each field of its type is looked at


class LimitExceeded(GraphQLError):
    """What was sent is too large. The message names what was found, the limit and its setting."""

    def __init__(self, found: str, most: int, setting: str) -> None:
        super().__init__(f"{found}: more than {most:,}, which is the limit ({setting.upper()}).")


class Budget:
    """What an answer may cost. It was `expected` to cost so much, and is found to cost `extra` while it is made.

    `is_long` says that it is to be encoded in pieces.
    """

    __slots__ = ("expected", "extra", "is_long", "most")

    def __init__(self, expected: int, most: int) -> None:
        self.expected = expected
        self.most = most
        self.extra = 0
        self.is_long = expected > LONG_ANSWER

    @property
    def total(self) -> int:
        return self.expected + self.extra

    def spend(self, cost: int) -> None:
        """Count more than was expected, such as the items of a long list.

        Raise LimitExceeded if it is too much, and count nothing. Something smaller may still have room.
        """
        if self.total + cost > self.most:
            raise LimitExceeded(f"The answer costs {self.total + cost:,}", self.most, "max_cost")
        self.extra += cost
        self.is_long = self.is_long or self.total > LONG_ANSWER

    def times(self, count: int) -> "Budget":
        """Return a budget for so many answers."""
        return Budget(self.expected * count, self.most * count)


def parse_document(query: str, settings: Settings) -> DocumentNode:
    """Return the document, which is small enough to be validated.

    Raise `GraphQLError` if it is no document, and `LimitExceeded`.
    """
    most = settings.max_document_characters
    if len(query) > most:
        raise LimitExceeded(f"The document has {len(query):,} characters", most, "max_document_characters")
    document = parse(query, max_lexical_tokens=settings.max_tokens, max_comments=settings.max_tokens)
    _Counting(document, settings).check()
    return document


def weigh_variables(variables: dict[str, Any] | None, settings: Settings) -> int:
    """Return how much work the variables are: each value in their lists and objects counts one, each object ten.

    A variable that is no list or object weighs nothing. Raise `LimitExceeded`.
    """
    if not variables:
        return 0
    try:
        size = len(orjson.dumps(variables))
    except TypeError:  # nested more deeply than orjson goes: counting says how deeply
        size = 0
    if size > settings.max_variables_bytes:
        raise LimitExceeded(f"The variables have {size:,} bytes", settings.max_variables_bytes, "max_variables_bytes")
    weight = 0
    depth = 1
    level = [each for each in variables.values() if isinstance(each, (dict, list))]
    while level:
        depth += 1
        if depth > settings.max_variables_depth:
            raise LimitExceeded(
                f"The variables have {depth} levels", settings.max_variables_depth, "max_variables_depth"
            )
        weight += sum(len(each) + OBJECT_WEIGHT * isinstance(each, dict) for each in level)
        if weight > settings.max_variables_weight:  # before all of it is looked at
            raise LimitExceeded(
                f"The variables weigh {weight:,} or more (one for each value, {OBJECT_WEIGHT} for each object)",
                settings.max_variables_weight,
                "max_variables_weight",
            )
        level = [each for outer in level for each in _inside(outer) if isinstance(each, (dict, list))]
    return weight


def budget_for(cost: int, settings: Settings) -> Budget:
    """Return the budget of an operation. Raise `LimitExceeded`, also for what no bucket ever has enough for."""
    if cost > settings.max_cost:
        raise LimitExceeded(f"The operation costs {cost:,}", settings.max_cost, "max_cost")
    if settings.rate_limit is not None and cost > settings.rate_limit:
        raise LimitExceeded(f"The operation costs {cost:,}", settings.rate_limit, "rate_limit")
    return Budget(cost, settings.max_cost)


def _inside(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


@dataclass(slots=True)
class _Size:
    """The size of a selection set, spread.

    `depth` is how many selection sets lie in one another, those of fragments included. `selections` are fields and
    fragments, because an empty fragment costs work as well. `root_fields` are the fields of the outermost level.
    """

    depth: int = 1
    selections: int = 0
    root_fields: int = 0
    aliases: int = 0


_NOTHING: Final = _Size(depth=0)


class _Counting:
    """Counts one document. It looks at each selection set once, however often that is spread."""

    def __init__(self, document: DocumentNode, settings: Settings) -> None:
        self._settings = settings
        self._definitions = document.definitions
        self._fragments = {
            each.name.value: each for each in self._definitions if isinstance(each, FragmentDefinitionNode)
        }
        self._sizes: dict[str, _Size] = {}
        self._directives = 0

    def check(self) -> None:
        """Raise `LimitExceeded` if the document is over a limit."""
        self._at_most("max_definitions", len(self._definitions), "operations and fragments")
        for definition in self._definitions:
            if isinstance(definition, FragmentDefinitionNode):
                self._check_size(self._spread(definition.name.value, 1))
            elif isinstance(definition, OperationDefinitionNode):
                self._directives += len(definition.directives or ())
                self._directives += sum(len(each.directives or ()) for each in definition.variable_definitions or ())
                self._check_size(self._size(definition.selection_set, 1))
        self._at_most("max_directives", self._directives, "directives")

    def _check_size(self, size: _Size) -> None:
        self._at_most("max_depth", size.depth, "levels of selections")
        self._at_most("max_selections", size.selections, "fields and fragments, as often as they are spread")
        self._at_most("max_root_fields", size.root_fields, "fields at its root")
        self._at_most("max_aliases", size.aliases, "aliases, as often as they are spread")

    def _at_most(self, setting: str, found: int, what: str) -> None:
        most: int = getattr(self._settings, setting)
        if found > most:
            raise LimitExceeded(f"The document has {found:,} {what}", most, setting)

    def _size(self, selection_set: SelectionSetNode, level: int) -> _Size:
        self._at_most("max_depth", level, "levels of selections or more")  # before Python's own limit is met
        size = _Size()
        for node in selection_set.selections:
            self._directives += len(node.directives or ())
            inner = self._below(node, level + 1)
            if isinstance(node, FieldNode):
                size.root_fields += 1
                size.aliases += node.alias is not None
            else:
                size.root_fields += inner.root_fields
            size.depth = max(size.depth, 1 + inner.depth)
            size.selections += 1 + inner.selections
            size.aliases += inner.aliases
        return size

    def _below(self, node: SelectionNode, level: int) -> _Size:
        if isinstance(node, FragmentSpreadNode):
            return self._spread(node.name.value, level)
        selection_set: SelectionSetNode | None = getattr(node, "selection_set", None)
        return _NOTHING if selection_set is None else self._size(selection_set, level)

    def _spread(self, name: str, level: int) -> _Size:
        """Return the size of a fragment. One that does not exist or spreads itself is left to validation."""
        if name not in self._sizes:
            self._sizes[name] = _NOTHING
            if (fragment := self._fragments.get(name)) is not None:
                self._directives += len(fragment.directives or ())
                self._sizes[name] = self._size(fragment.selection_set, level)
        return self._sizes[name]
