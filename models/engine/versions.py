"""Which migrations the open database has, beside those that this version of the software brings."""

import pkgutil
from dataclasses import dataclass
from typing import Any, Final

from tortoise.connection import get_connection

from models import migrations
from models.engine.errors import WrongVersion
from models.engine.statements import is_postgres

_IS_THERE_SQLITE: Final = "SELECT 1 FROM sqlite_master WHERE name = 'tortoise_migrations'"
_IS_THERE_POSTGRES: Final = "SELECT 1 WHERE to_regclass('tortoise_migrations') IS NOT NULL"


@dataclass(frozen=True, slots=True)
class Versions:
    """`pending` are migrations that the database lacks, `newer` those that this version does not know."""

    pending: list[str]
    newer: list[str]

    def require_nothing_newer(self) -> None:
        """Raise WrongVersion if a newer version has migrated the database."""
        if self.newer:
            raise WrongVersion(
                f"The database has {_named(self.newer)}, which this version does not know: a newer version has migrated"
                " it. Run that version, or restore a backup from before."
            )

    def require_equal(self) -> None:
        """Raise WrongVersion if the database is older or newer than this version."""
        self.require_nothing_newer()
        if self.pending:
            raise WrongVersion(f"The database lacks {_named(self.pending)}: run scripts/migrate first.")


def _named(names: list[str]) -> str:
    return f"the migration{'s' if len(names) > 1 else ''} {', '.join(names)}"


async def compare() -> Versions:
    """Compare the open database with this version. Raise `DatabaseUnavailable`."""
    ours = {module.name for module in pkgutil.iter_modules(migrations.__path__) if module.name[0] not in "_~"}
    theirs = await _applied()
    return Versions(pending=sorted(ours - theirs), newer=sorted(theirs - ours))


async def _applied() -> set[str]:
    connection: Any = get_connection("default")
    _, found = await connection.execute_query(_IS_THERE_POSTGRES if is_postgres() else _IS_THERE_SQLITE)
    if not found:
        return set()
    _, rows = await connection.execute_query("SELECT name FROM tortoise_migrations WHERE app = 'models'")
    return {row["name"] for row in rows}
