"""The numbers of delivery notes: permanent, without gaps, and none twice."""

from dataclasses import dataclass

from models import DeliveryNoteSeries
from models.engine.rows import save


@dataclass(frozen=True, slots=True)
class NumberSeries:
    """What numbers look like: `LS-2026-000042`, or `LS-000042` where they do not begin anew each year."""

    prefix: str = "LS"
    width: int = 6
    yearly: bool = True

    def name(self, year: int) -> str:
        """Return what all numbers of the series begin with in this year."""
        return f"{self.prefix}-{year}" if self.yearly else self.prefix


async def take_number(series: NumberSeries, year: int) -> str:
    """Return the next number, inside a `change`. It is taken if that is committed, and free again if not.

    Until then, others wait for the next number. So call this near the end of the change.
    """
    name = series.name(year)
    row = await DeliveryNoteSeries.filter(name=name).select_for_update(no_key=True).get_or_none()
    if row is None:
        row = await DeliveryNoteSeries.create(name=name, last_number=1)
    else:
        row.last_number += 1
        await save(row, "last_number")
    return f"{name}-{row.last_number:0{series.width}}"
