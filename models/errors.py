"""What a database may say that is nobody's mistake."""


class DatabaseUnavailable(Exception):
    """The database cannot serve now: it is down, restarting, or too busy. The same request may succeed in a moment.

    Where a change was being committed, it may or may not have been written.
    """


class TransactionConflict(Exception):
    """The database gave this transaction up for the sake of others (deadlock, serialization). Nothing was written."""
