"""The lanes in which effects wait, found by steps along an index.

The cost is a few look-ups for each lane, however many effects wait.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from tortoise.connection import get_connection

from models.effects import Effect
from models.engine.fields import reading
from models.engine.statements import is_postgres, numbered

# The statement begins with SELECT, so that SQLite reads it without waiting for writers.
_LANES: Final = """SELECT lanes.lane, counterparts.failures, counterparts.paused_until,
        (SELECT due_at FROM effects WHERE state = 'WAITING' AND lane = lanes.lane
            AND (leased_until IS NULL OR leased_until < ? OR leased_until > ?) ORDER BY due_at LIMIT 1) AS due_at,
        (SELECT due_at FROM effects WHERE state = 'WAITING' AND lane = lanes.lane
            ORDER BY due_at DESC LIMIT 1) AS last_due_at
    FROM (
        WITH RECURSIVE found(lane) AS (
            SELECT MIN(lane) FROM effects WHERE state = 'WAITING'
            UNION ALL
            SELECT (SELECT MIN(lane) FROM effects WHERE state = 'WAITING' AND lane > found.lane)
            FROM found WHERE found.lane IS NOT NULL
        )
        SELECT lane FROM found WHERE lane IS NOT NULL UNION SELECT lane FROM failing_counterparts
    ) AS lanes LEFT JOIN failing_counterparts AS counterparts ON counterparts.lane = lanes.lane
"""


@dataclass(frozen=True, slots=True)
class Lane:
    """The effects that wait for one counterpart.

    `due_at` is the first moment at which an effect is due that no attempt works on, `last_due_at` the last of all of
    them. `failures` counts the counterpart's failures in a row.
    """

    name: str
    due_at: datetime | None
    last_due_at: datetime | None
    failures: int
    paused_until: datetime | None


async def find_lanes(now: datetime, latest_lease: datetime) -> list[Lane]:
    """Return the lanes with effects that wait, and those of failing counterparts; the longest due first.

    A lease counts if it ends between these two moments.
    """
    connection: Any = get_connection("default")
    if is_postgres():
        rows = await connection.fetch(numbered(_LANES), [now, latest_lease])
    else:
        rows = await connection.execute_query_dict(_LANES, [now, latest_lease])
    lanes = [
        Lane(
            row["lane"],
            _moment(row["due_at"]),
            _moment(row["last_due_at"]),
            row["failures"] or 0,
            _moment(row["paused_until"]),
        )
        for row in rows
    ]
    return sorted(lanes, key=lambda lane: (lane.due_at is None, lane.due_at))


def _moment(value: Any) -> datetime | None:
    convert = reading(Effect._meta.fields_map["due_at"], "postgres" if is_postgres() else "sqlite")
    moment: datetime | None = value if convert is None or value is None else convert(value)
    return moment
