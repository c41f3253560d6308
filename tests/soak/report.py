"""What a soak has found, as text."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from api.commands.watching import Differences, quantile
from tests.soak.faults import EXPLAINED, Fault
from tests.soak.load import NO_ANSWER, Sent


@dataclass
class Report:
    """`latencies` are seconds from an answer to its event's arrival at a subscriber, while there were no faults.

    `gaps` are the seconds from the end of each fault until everything worked again.
    """

    title: str
    sent: Sequence[Sent] = ()
    orders: int = 0
    events: int = 0
    subscribers: int = 0
    deliveries: int = 0
    differences: Differences = field(default_factory=Differences)
    reconnects: int = 0
    closings: Counter[int] = field(default_factory=Counter)
    gaps: dict[Fault, list[float]] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)
    connections: int = 0
    most_connections: int = 0
    left_open: int = 0
    stop_seconds: float = math.nan
    problems: list[str] = field(default_factory=list)

    def text(self) -> str:
        rows = [
            ("mutations", self._mutations()),
            ("", self._resends()),
            ("database", f"{self.orders} orders, {self.events} events"),
            ("subscribers", f"{self.subscribers}, {self.deliveries} deliveries: {self.differences}"),
            ("reconnects", f"{self.reconnects}{self._closings()}"),
            ("latency", self._latency()),
            ("connections", f"{self.connections} of at most {self.most_connections}; {self.left_open} at the end"),
            ("stop", f"{self.stop_seconds:.1f} s from SIGTERM, with readers that had stalled"),
            *(("fault" if not number else "", each) for number, each in enumerate(self._faults())),
        ]
        lines = [self.title, *(f"{name:<12} {text}" for name, text in rows)]
        if not self.problems:
            return "\n".join([*lines, "All is well: nothing lost, nothing twice, nothing out of order."])
        return "\n".join([*lines, *(f"PROBLEM      {problem}" for problem in self.problems)])

    def _mutations(self) -> str:
        outcomes = Counter(each.outcome for each in self.sent)
        return f"{len(self.sent)}: " + ", ".join(f"{count} {name}" for name, count in outcomes.most_common())

    def _resends(self) -> str:
        keys = Counter(each.act.key for each in self.sent if each.act.key and not each.act.conflicts)
        again = sum(count - 1 for count in keys.values())
        retried = sum(each.attempts > 1 for each in self.sent)
        given_up = sum(each.outcome == NO_ANSWER for each in self.sent)
        return f"{retried} were answered after a retry, {given_up} never; {again} were sent a second time"

    def _closings(self) -> str:
        return "".join(f", {count} closed with {code}" for code, count in sorted(self.closings.items()))

    def _latency(self) -> str:
        median, late = quantile(self.latencies, 0.5), quantile(self.latencies, 0.99)
        return f"{median * 1000:.1f} ms median, {late * 1000:.1f} ms p99, from answer to event in quiet times"

    def _faults(self) -> list[str]:
        return [
            f"{len(gaps):>3} × {EXPLAINED[fault]:<34} worked again after {max(gaps):5.2f} s at most"
            for fault, gaps in sorted(self.gaps.items())
        ] or ["none"]
