"""The same measurement of several contestants, round by round, and how they compare."""

import statistics
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from tests.bench.contestants import PRODUCT
from tests.bench.wires import Disagreement

_WIDTH = 34  # of a column
Figures = dict[str, float]  # by the name of the metric
Measure = Callable[[], Awaitable[Figures]]


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure by which contestants are compared, unless `ratio` is false; more is better, unless it is a cost."""

    name: str
    digits: int = 0
    is_cost: bool = False
    ratio: bool = True


async def play(rounds: int, contestants: Mapping[str, Measure]) -> dict[str, list[Figures]]:
    """Each contestant's figures of each round, none where it failed. Every second round goes the other way round."""
    results: dict[str, list[Figures]] = {name: [] for name in contestants}
    for number in range(rounds):
        names = list(contestants)
        for name in reversed(names) if number % 2 else names:
            print(f"round {number + 1} of {rounds}: {name} …", file=sys.stderr, flush=True)
            try:
                results[name].append(await contestants[name]())
            except (Disagreement, OSError, EOFError) as error:
                print(f"{name} failed: {error!r}", flush=True)
                results[name].append({})
    return results


def report(
    results: Mapping[str, Sequence[Figures]], metrics: Sequence[Metric], goals: Mapping[str, str] | None = None
) -> bool:
    """Prints the figures, and how many times better the product is than each other contestant in the same round.

    The median of the rounds, with the least and the greatest. False where a contestant failed in one of them.
    """
    width = max(map(len, results)) + 2
    print(f"{'':{width}}" + "".join(f"{metric.name:>{_WIDTH}}" for metric in metrics))
    for name, rounds in results.items():
        cells = (_spread([each[metric.name] for each in rounds if each], metric.digits) for metric in metrics)
        print(f"{name:{width}}" + "".join(f"{cell:>{_WIDTH}}" for cell in cells))
    compared = [metric for metric in metrics if metric.ratio]
    print(f"\n{PRODUCT} is so many times better than:")
    print(f"{'':{width}}" + "".join(f"{'by ' + metric.name:>{_WIDTH}}" for metric in compared) + f"{'goal':>10}")
    for name, rounds in results.items():
        if name != PRODUCT:
            cells = (_spread(_ratios(results[PRODUCT], rounds, metric), 2) for metric in compared)
            goal = (goals or {}).get(name, "")
            print(f"{name:{width}}" + "".join(f"{cell:>{_WIDTH}}" for cell in cells) + f"{goal:>10}")
    return all(all(rounds) for rounds in results.values())


def _ratios(ours: Sequence[Figures], theirs: Sequence[Figures], metric: Metric) -> list[float]:
    pairs = [(our[metric.name], their[metric.name]) for our, their in zip(ours, theirs, strict=True) if our and their]
    return [their / our if metric.is_cost else our / their for our, their in pairs]


def _spread(values: Sequence[float], digits: int) -> str:
    if not values:
        return "failed"
    middle, least, most = statistics.median(values), min(values), max(values)
    return f"{middle:,.{digits}f} ({least:,.{digits}f}..{most:,.{digits}f})"
