"""Migration operations that Tortoise lacks."""

from typing import Any

from tortoise.migrations import operations


class CreateModel(operations.CreateModel):
    """`CREATE TABLE` together with the model's check constraints.

    Tortoise 1.1.9 omits them, and its `AddConstraint` on SQLite remakes the table without indexes and unique
    constraints. Write this by hand into a new migration in place of `ops.CreateModel`.
    """

    async def database_forward(self, app_label: str, old_state: Any, new_state: Any, state_editor: Any = None) -> None:
        if state_editor is None:
            return
        checks = [
            state_editor.CHECK_CONSTRAINT_CREATE_TEMPLATE.format(name=constraint.name, check=constraint.check)
            for constraint in (self.options or {}).get("constraints", ())
        ]
        inner_statements = state_editor._get_inner_statements
        state_editor._get_inner_statements = lambda: [*inner_statements(), *checks]
        try:
            await super().database_forward(app_label, old_state, new_state, state_editor)
        finally:
            del state_editor._get_inner_statements
