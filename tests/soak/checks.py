"""What must hold after a soak: of the database, of the answers that were given, and of what each subscriber saw."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from api.commands.watching import Differences, Event, EventKey, differences
from tests.soak.ledger import Ledger, LoggedEvent
from tests.soak.load import NO_ANSWER, Sent

MOST_EXAMPLES = 5  # of one kind of problem that are shown

# From the README: written down once more, so that the table in the code is checked, too.
TRANSITIONS = {
    (None, "PENDING"),
    ("PENDING", "CONFIRMED"),
    ("CONFIRMED", "READY_TO_SHIP"),
    ("CONFIRMED", "SHIPPED"),
    ("READY_TO_SHIP", "SHIPPED"),
    ("PENDING", "CANCELLED"),
    ("CONFIRMED", "CANCELLED"),
    ("READY_TO_SHIP", "CANCELLED"),
}
# Done, these have left their mark; the others may have found that the step was taken already.
ALWAYS_ACT = {"placeOrder", "addOrderNote", "addTracking", "recordPayment"}
REFUSALS = {"INVALID_TRANSITION", "VERSION_CONFLICT", "IDEMPOTENCY_CONFLICT", "INVALID_INPUT", "NOTHING_TO_SHIP"}


def summed_up(problems: Iterable[str], kind: str) -> list[str]:
    """The first of many problems of a kind, and how many there are."""
    found = list(problems)
    more = [f"… and {len(found) - MOST_EXAMPLES} more: {kind}"] if len(found) > MOST_EXAMPLES else []
    return found[:MOST_EXAMPLES] + more


def log_problems(ledger: Ledger) -> list[str]:
    """Of the database alone: order numbers, the versions and the statuses of each order's events."""
    problems = [
        f"{count} orders have the number {number}"
        for number, count in Counter(order.number for order in ledger.orders).items()
        if count > 1
    ]
    timelines: dict[str, list[LoggedEvent]] = defaultdict(list)
    for event in ledger.events:
        timelines[event.key[0]].append(event)
    for order in ledger.orders:
        timeline = timelines[order.number]
        versions = [event.key[1] for event in timeline]
        if versions != list(range(1, order.version + 1)):
            problems.append(f"order {order.number} is at version {order.version}, its events have {versions}")
        status = None
        for event in timeline:
            if event.to_status is None:
                continue
            if event.from_status != status or (status, event.to_status) not in TRANSITIONS:
                problems.append(f"order {order.number} went from {status} by {event.from_status}→{event.to_status}")
            status = event.to_status
        if status != order.status:
            problems.append(f"order {order.number} is {order.status}, its events end with {status}")
    return summed_up(problems, "orders that do not match their events")


def answer_problems(sent: Sequence[Sent], ledger: Ledger) -> list[str]:
    """What was answered compared with what is in the database."""
    known = {event.key for event in ledger.events}
    groups: list[tuple[str, Iterable[str]]] = [
        ("answered changes that are not in the database", _not_in_the_log(sent, known)),
        ("acts that were not carried out exactly once", _not_once(sent, ledger)),
        ("keys that do not say what was done", _wrong_keys(sent, ledger)),
        ("changes that both won", _two_winners(sent)),
        ("answers that nobody should get", _unexpected(sent)),
    ]
    return [problem for kind, problems in groups for problem in summed_up(problems, kind)]


def _not_in_the_log(sent: Sequence[Sent], known: set[EventKey]) -> Iterable[str]:
    for each in sent:
        if each.done and (each.number, each.version) not in known:
            yield f"{each.act.name} was answered with order {each.number} at version {each.version}, which is not there"


def _not_once(sent: Sequence[Sent], ledger: Ledger) -> Iterable[str]:
    by_mark: dict[str, list[Sent]] = defaultdict(list)
    for each in sent:
        if each.act.mark is not None:
            by_mark[each.act.mark].append(each)
    for mark, all_sent in by_mark.items():
        count, name = ledger.marks[mark], all_sent[0].act.name
        if count > 1:
            yield f"{name} under the key {mark} acted {count} times"
        elif count == 0 and name in ALWAYS_ACT and any(each.done for each in all_sent):
            yield f"{name} under the key {mark} was answered with success and did not act"
        elif count and not any(each.done or each.outcome == NO_ANSWER for each in all_sent):
            yield f"{name} under the key {mark} was refused and acted"


def _wrong_keys(sent: Sequence[Sent], ledger: Ledger) -> Iterable[str]:
    by_key: dict[str, list[Sent]] = defaultdict(list)
    for each in sent:
        if each.act.key is not None and not each.act.conflicts:
            by_key[each.act.key].append(each)
    for key, all_sent in by_key.items():
        answered = {each.number for each in all_sent if each.done}
        number = ledger.keys.get(key)
        if answered and answered != {number}:
            yield f"the key {key} acted on order {number}, and was answered with {', '.join(map(str, answered))}"
        elif number and not answered and all(each.outcome in REFUSALS for each in all_sent):
            yield f"the key {key} was refused each time and is recorded for order {number}"


def _two_winners(sent: Sequence[Sent]) -> Iterable[str]:
    winners: dict[tuple[str, int], set[str | None]] = defaultdict(set)
    for each in sent:
        expected = each.act.given.get("expectedVersion")
        if each.done and expected is not None and each.act.name in ALWAYS_ACT:
            winners[each.act.given["orderId"], expected].add(each.act.key)
    for (order_id, expected), keys in winners.items():
        if len(keys) > 1:
            yield f"{len(keys)} changes of order {order_id} at version {expected} succeeded"


def _unexpected(sent: Sequence[Sent]) -> Iterable[str]:
    for each in sent:
        if each.act.conflicts and each.outcome not in ("IDEMPOTENCY_CONFLICT", NO_ANSWER):
            yield f"a key that was used for another input was answered with {each.outcome}"
        elif not each.done and each.outcome not in REFUSALS:
            yield f"{each.act.name} was answered with {each.outcome} after {each.attempts} attempts: {each.message}"


def same_log_problems(shown: Sequence[Event], ledger: Ledger) -> list[str]:
    """The log that the API shows, from its beginning to its end, compared with the database's."""
    stored = [event.key for event in ledger.events]
    if [event.key for event in shown] == stored:
        return []
    return [f"the API's log has {len(shown)} events and is not the database's, which has {len(stored)}"]


def wanted_cursors(
    ledger: Ledger, cursors: Mapping[EventKey, str], start: str, wants: Callable[[LoggedEvent], bool]
) -> list[str]:
    """Those of the wanted events after the cursor `start`, in the database's order. `cursors` has the API's."""
    logged = [event for event in ledger.events if event.key in cursors]
    first = next((place for place, event in enumerate(logged, 1) if cursors[event.key] == start), 0)
    return [cursors[event.key] for event in logged[first:] if wants(event)]


@dataclass(frozen=True, slots=True)
class Seen:
    """The cursors that one subscriber has seen, and those that it should have seen."""

    name: str
    cursors: Sequence[str]
    wanted: Sequence[str]


def subscriber_problems(subscribers: Sequence[Seen]) -> tuple[Differences, list[str]]:
    """What each subscriber saw compared, event by event, with the log."""
    total, problems = Differences(), []
    for subscriber in subscribers:
        if found := differences(subscriber.cursors, subscriber.wanted):
            total += found
            problems.append(f"{subscriber.name}: {found}")
    return total, summed_up(problems, "subscribers that did not see what the log has")
