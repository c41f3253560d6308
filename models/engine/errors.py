"""Errors of the database that are not mistakes of the program."""


class DatabaseUnavailable(Exception):
    """The database cannot serve now: it is down, restarting, or too busy. The same request may succeed in a moment.

    If a change was being committed, it may or may not have been written.
    """


class StorageFailure(DatabaseUnavailable):
    """The database has no working storage: it is full, read-only, damaged or gone. An operator has to mend that.

    `problem` says in a few words what is wrong, without a name or a path. The message also says what to do. If
    `is_lasting`, the process cannot recover by itself.
    """

    def __init__(self, problem: str, message: str, *, is_lasting: bool = False) -> None:
        super().__init__(message)
        self.problem = problem
        self.is_lasting = is_lasting


class WrongVersion(Exception):
    """The database was migrated by another version of this software. The message names the migration."""


class TransactionConflict(Exception):
    """The database ended this transaction for the sake of others (deadlock, serialization). Nothing was written."""
