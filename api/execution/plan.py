"""Plans: what an operation selects, as steps that make its answer without graphql-core."""

from collections.abc import Callable
from typing import Any

from graphql import VariableValues

from api.execution.context import Context
from api.execution.rights import Right
from api.execution.steps import Outcome, Outcomes, Run, Step, Values


class Plan:
    """What an operation selects, for some choice of its `@skip` and `@include`."""

    def __init__(self, step: Step, rights: frozenset[Right]) -> None:
        self._step = step
        self._rights = rights

    async def data(
        self, root_values: Values, context: Context, variables: VariableValues, outcomes: Outcomes | None = None
    ) -> list[dict[str, Any]]:
        """Return the data of an answer for each root value: a query has one, a subscription one for each event.

        Raise whatever goes wrong.
        """
        require_rights(self._rights, context)
        made = self._step.function(root_values, Run(context, variables, outcomes))
        data: list[dict[str, Any]] = await made if self._step.waits else made
        return data


class MutationPlan:
    """What a mutation of one field does and selects."""

    def __init__(
        self, key: str, field_name: str, call: Callable[[Any, Run], Any], shown: Step, rights: frozenset[Right]
    ) -> None:
        self._key = key
        self._field_name = field_name
        self._call = call
        self._shown = shown
        self._rights = rights

    async def run(self, context: Context, variables: VariableValues, outcomes: Outcomes) -> Outcome:
        """Carry it out and return its outcome. Raise only what is wrong with its arguments: nothing was done then."""
        resolving = self._call(None, Run(context, variables, field_name=self._field_name))
        try:
            outcome = Outcome(value=await resolving)
        except Exception as error:
            outcome = Outcome(error=error)
        outcomes[self._key] = outcome
        return outcome

    async def data(self, outcome: Outcome, context: Context, variables: VariableValues) -> dict[str, Any]:
        """Return the data of its answer. Raise whatever goes wrong."""
        if outcome.error is not None:
            raise outcome.error
        require_rights(self._rights, context)
        made = self._shown.function([outcome.value], Run(context, variables))
        [shown] = await made if self._shown.waits else made
        return {self._key: shown}


def require_rights(rights: frozenset[Right], context: Context) -> None:
    """Raise `Forbidden` if the caller may not see all that is selected: graphql-core then says of what."""
    for right in rights:
        right.require(context.actor)
