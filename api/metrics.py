"""Prometheus metrics: what the service counts, and how several worker processes count as one.

With one process the figures are in memory. With several, each writes its figures into files of one folder
(prometheus_client's multiprocess mode). The process that a scrape reaches adds them up.
"""

import asyncio
import contextlib
import glob
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from domain.counterparts import is_paused
from domain.stream.feed import Feed
from models.engine.database import PoolUse, pool_use
from models.engine.lanes import Lane

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

# prometheus_client's own variable, which it reads once, when it is imported.
_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"

OBSERVE_SECONDS: Final = 1.0
MOST_LANES: Final = 100  # of effects that have labels of their own

_LANE: Final = ("kind", "counterpart")
_QUIET: Final = (0, 0, 0.0)

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@contextmanager
def shared_between_processes() -> Iterator[None]:
    """Let the processes that are started in the block have their metrics in common.

    They must import this module themselves (started by `spawn`, not by `fork`). A folder that the environment names
    already is used as it is.
    """
    if os.environ.get(_FOLDER):
        yield
        return
    with TemporaryDirectory(prefix="orderstream-metrics-") as folder:
        os.environ[_FOLDER] = folder
        try:
            yield
        finally:
            del os.environ[_FOLDER]


class Metrics:
    """What the service tells Prometheus. If metrics are not enabled, nothing is counted."""

    def __init__(self, enabled: bool) -> None:
        self._instruments = _Instruments() if enabled else None

    @property
    def enabled(self) -> bool:
        return self._instruments is not None

    def count_request(self, method: str, path: str, status: int, seconds: float) -> None:
        """Count an HTTP request, and the seconds until its answer began. `path` is the route's, such as `/graphql`."""
        if self._instruments:
            self._instruments.requests.labels(method, path, str(status)).observe(seconds)

    def count_operation(self, kind: str, outcome: str) -> None:
        """Count a finished operation by kind and outcome. The outcome is `success` or the first error's code."""
        if self._instruments:
            self._instruments.operations.labels(kind, outcome).inc()

    def mutation(self, name: str, outcome: str) -> None:
        """Count a mutation. The outcome is `success`, or the code of the refusal or the error."""
        if self._instruments:
            self._instruments.mutations.labels(name, outcome).inc()

    def count_document(self, *, remembered: bool) -> None:
        """Count an operation's document. `remembered` says that it was parsed and validated already."""
        if self._instruments:
            self._instruments.documents.labels("hit" if remembered else "miss").inc()

    def count_delivery(self) -> None:
        """Count an answer of a subscription that is on its way."""
        if self._instruments:
            self._instruments.delivered.inc()

    def count_cut_off(self, reason: str) -> None:
        """Count a connection or a stream that the server has ended, and not the client."""
        if self._instruments:
            self._instruments.cut_offs.labels(reason).inc()

    def count_unplanned_event(self, reason: str) -> None:
        """Count an event whose effects could not be planned."""
        if self._instruments:
            self._instruments.unplanned_events.labels(reason).inc()

    def track_socket(self) -> AbstractContextManager[object]:
        """Count a WebSocket as open while the block runs."""
        return self._instruments.sockets.track_inprogress() if self._instruments else nullcontext()

    def add_subscriptions(self, change: int) -> None:
        """Add to the number of open subscriptions; negative when they end."""
        if self._instruments:
            self._instruments.subscriptions.inc(change)

    def observe(self, feed: Feed, lanes: Iterable[Lane]) -> None:
        """Note how the feed, the pool of connections and the lanes of effects are now."""
        if self._instruments:
            self._instruments.observe(feed, pool_use())
            self._instruments.observe_lanes(lanes)

    async def run(self, feed: Feed, lanes: Callable[[], Iterable[Lane]]) -> None:
        """Observe every second. A scrape reads of other processes only what they have noted."""
        while True:
            self.observe(feed, lanes())
            await asyncio.sleep(OBSERVE_SECONDS)

    def exposition(self) -> bytes:
        """Return the metrics of all worker processes in the format of `CONTENT_TYPE`. Metrics must be enabled."""
        assert self._instruments
        return self._instruments.exposition()


class _Instruments:
    """The metrics. The modes of gauges say how a scrape puts those of several processes together."""

    def __init__(self) -> None:
        self._shared = bool(os.environ.get(_FOLDER))
        if self._shared:
            _mark_dead(os.getpid(), Path(os.environ[_FOLDER]))  # its namesake of the past, whose gauges are no start
        self._registry = registry = CollectorRegistry()
        self.requests = Histogram(
            "orderstream_http_request_duration_seconds",
            "Seconds until the answer to an HTTP request began, by route.",
            ("method", "path", "status"),
            buckets=_SECONDS,
            registry=registry,
        )
        self.operations = Counter(
            "orderstream_graphql_operations_total",
            "GraphQL operations by kind and outcome: success, or the first error's code.",
            ("kind", "outcome"),
            registry=registry,
        )
        self.mutations = Counter(
            "orderstream_mutations_total",
            "Mutations by name and outcome: success, or the code of the refusal or the error.",
            ("mutation", "outcome"),
            registry=registry,
        )
        self.documents = Counter(
            "orderstream_graphql_documents_total",
            "Documents that were asked for: hit where it was parsed and validated already, else miss.",
            ("cache",),
            registry=registry,
        )
        self.delivered = Counter(
            "orderstream_events_delivered_total", "Answers of subscriptions that were sent.", registry=registry
        )
        self.cut_offs = Counter(
            "orderstream_cut_offs_total",
            "Connections and streams that the server ended, by reason.",
            ("reason",),
            registry=registry,
        )
        self.unplanned_events = Counter(
            "orderstream_unplanned_events_total",
            "Events whose effects could not be planned: unknown_type to this version, or an error.",
            ("reason",),
            registry=registry,
        )
        self.sockets = self._gauge("orderstream_websockets", "WebSockets that are open.", "livesum")
        self.subscriptions = self._gauge("orderstream_subscriptions", "Subscriptions that are followed.", "livesum")
        self._lag = self._gauge("orderstream_feed_lag_seconds", "How late the feed hands events on.", "livemax")
        self._position = self._gauge("orderstream_feed_position", "The place in the log that is read.", "livemin")
        self._bell = self._gauge("orderstream_bell_connected", "1 while the bell is heard, else 0.", "livemin")
        self._pool_in_use = self._gauge(
            "orderstream_database_connections_in_use", "PostgreSQL connections in use.", "livesum"
        )
        self._pool_open = self._gauge("orderstream_database_connections_open", "PostgreSQL connections.", "livesum")
        self._pool_size = self._gauge(
            "orderstream_database_connections_limit", "How many PostgreSQL connections there may be.", "livesum"
        )
        self._pool_waiting = self._gauge(
            "orderstream_database_connections_waiting", "Who waits for a PostgreSQL connection.", "livesum"
        )

        self._lanes: set[tuple[str, str]] = set()
        self._paused = self._gauge(
            "orderstream_effects_paused", "1 while nothing is asked of a counterpart that fails.", "livemax", _LANE
        )
        self._failures = self._gauge(
            "orderstream_effects_failures", "Failures in a row of a counterpart of effects.", "livemax", _LANE
        )
        self._waiting = self._gauge(
            "orderstream_effects_waiting_seconds", "For how long the first effect that waits is due.", "livemax", _LANE
        )

    def _gauge(self, name: str, meaning: str, mode: str, labels: Sequence[str] = ()) -> Gauge:
        return Gauge(name, meaning, labels, registry=self._registry, multiprocess_mode=mode)  # type: ignore[arg-type]

    def observe(self, feed: Feed, pool: PoolUse | None) -> None:
        self._lag.set(feed.lag_seconds)
        if feed.position is not None:
            self._position.set(feed.position)
        self._bell.set(feed.bell.state.connected)
        if pool is not None:
            self._pool_in_use.set(pool.in_use)
            self._pool_open.set(pool.open)
            self._pool_size.set(pool.limit)
            self._pool_waiting.set(pool.waiting)

    def observe_lanes(self, lanes: Iterable[Lane]) -> None:
        """Set the gauges of all lanes. Set those of lanes that are empty now to zero, because they would stay."""
        now = datetime.now(UTC)
        found: dict[tuple[str, str], tuple[int, int, float]] = {}
        for lane in lanes:
            labels = self._labels(lane)
            paused = is_paused(lane.failures, lane.paused_until, now)
            waiting = 0.0 if lane.due_at is None else max((now - lane.due_at).total_seconds(), 0.0)
            found[labels] = max(found.get(labels, _QUIET), (int(paused), lane.failures, waiting))
        for labels in self._lanes:
            is_down, failures, seconds = found.get(labels, _QUIET)
            self._paused.labels(*labels).set(is_down)
            self._failures.labels(*labels).set(failures)
            self._waiting.labels(*labels).set(seconds)

    def _labels(self, lane: Lane) -> tuple[str, str]:
        """Return the lane's labels. Lanes beyond `MOST_LANES` share one name, which limits the number of series."""
        kind, _, counterpart = lane.name.partition(":")
        labels = (kind, counterpart)
        if labels not in self._lanes and len(self._lanes) >= MOST_LANES:
            labels = (kind, "other")
        self._lanes.add(labels)
        return labels

    def exposition(self) -> bytes:
        if not self._shared:
            return generate_latest(self._registry)
        folder = Path(os.environ[_FOLDER])
        _forget_the_dead(folder)
        everyone = CollectorRegistry()
        everyone.register(_AllProcesses(folder))
        return generate_latest(everyone)


class _AllProcesses(Collector):
    """Adds up what all processes have written into the folder, which MultiProcessCollector would take for a pattern."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        files = [str(file) for file in self._folder.glob("*.db")]
        metrics: Iterable[Metric] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
        return metrics


def _forget_the_dead(folder: Path) -> None:
    """Drop the gauges of processes that have ended without a word. What they counted stays counted."""
    for file in folder.glob("gauge_live*_*.db"):
        process = int(file.stem.rpartition("_")[2])
        if not _runs(process):
            _mark_dead(process, folder)


def _mark_dead(process: int, folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError):  # another worker was quicker
        mark_process_dead(process, path=glob.escape(str(folder)))  # type: ignore[no-untyped-call]


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
