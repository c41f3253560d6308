"""Rate limits: a bucket for each token, and for each address without a token.

A bucket is full at first and fills again at a constant rate. An operation takes its cost out before it is executed. If
the bell rings through Redis, all processes share the buckets in Redis; otherwise each process has its own.
"""

import asyncio
import ipaddress
import logging
import math
import time
from dataclasses import dataclass, replace
from typing import Any, Final

from starlette.types import Scope

from api.lru import LRUCache
from api.settings import Settings
from domain.actors import Actor

log = logging.getLogger(__name__)

NOT_UNDERSTOOD: Final = 100  # what a document costs that is refused: to find that out took work, too
FILL_SECONDS: Final = 20.0  # in which an empty bucket is full again, unless said otherwise
APART_SECONDS: Final = 5.0  # for which a process keeps to its own buckets after Redis has failed
MOST_BUCKETS: Final = 10_000  # of one process; the least recently used one is the fullest


@dataclass(frozen=True, slots=True)
class Charge:
    """What a caller was charged or, unless `taken`, could not pay. `left` is what the bucket has now."""

    asked: int
    left: float
    limit: int
    refill_rate: float  # a second
    taken: bool

    @property
    def retry_seconds(self) -> int:
        """Return after how many seconds there is enough, if nothing else is taken."""
        return max(1, math.ceil((self.asked - self.left) / self.refill_rate))

    @property
    def refusal(self) -> str:
        """Return the message for a caller whose bucket has not enough."""
        return (
            f"This costs {self.asked:,}, and there is {int(self.left):,} left of {self.limit:,}, of which"
            f" {self.refill_rate:g} come back each second. Try again in {self.retry_seconds} s."
        )

    def as_extension(self) -> dict[str, Any]:
        return {"asked": self.asked, "left": int(self.left), "limit": self.limit, "refillRate": self.refill_rate}


class Rates:
    """The buckets. Each holds `limit` and gets `refill_rate` back a second.

    If Redis does not answer, the process uses its own buckets.
    """

    def __init__(self, limit: int, refill_rate: float, redis_url: str | None = None) -> None:
        self._limit = limit
        self._refill_rate = refill_rate
        self._own: LRUCache[str, tuple[float, float]] = LRUCache(MOST_BUCKETS)  # what is left, as of when
        self._shared: Any = None
        self._apart_until: float | None = None
        self._unread: LRUCache[str, tuple[float, Charge]] = LRUCache(MOST_BUCKETS)
        if redis_url is not None:
            from api.callers.redis_rates import SharedBuckets  # a tenth of a second that most processes need not spend

            self._shared = SharedBuckets(redis_url, limit, refill_rate)

    async def take(self, caller: str, cost: int) -> Charge:
        """Take the cost out of the caller's bucket, if it has enough."""
        taken, left = await self._take(caller, cost)
        return Charge(cost, left, self._limit, self._refill_rate, taken)

    async def take_what_is_left(self, caller: str, *, extra: int, total: int) -> Charge:
        """Take what an answer has cost more than expected, as far as the bucket has it: the answer is made already."""
        charge = await self.take(caller, extra)
        if not charge.taken:
            charge = await self.take(caller, int(charge.left))
        return replace(charge, asked=total, taken=True)

    async def take_when_spare(self, caller: str, cost: int) -> None:
        """Wait until half of the bucket is left besides the cost, then take the cost.

        So subscriptions never use up what the caller needs for requests. They are answered later instead.
        """
        cost = min(cost, self._limit // 2)
        needed = min(self._limit / 2 + cost, self._limit)
        while (left := (await self.take(caller, 0)).left) < needed:  # noqa: ASYNC110 - a bucket tells nobody
            await asyncio.sleep((needed - left) / self._refill_rate)
        await self.take(caller, cost)

    async def take_for_refusal(self, caller: str) -> Charge:
        """Charge for a refused document. If the bucket is empty, `unread` refuses the caller's next requests."""
        charge = await self.take(caller, min(NOT_UNDERSTOOD, self._limit))
        if not charge.taken:
            self._unread.put(caller, (time.monotonic() + charge.retry_seconds, charge))
        return charge

    def unread(self, caller: str) -> Charge | None:
        """Return the charge that stops the caller's requests from being read, or None.

        Requests are not read while the bucket is empty after a refused document.
        """
        until, charge = self._unread.get(caller) or (0.0, None)
        return charge if time.monotonic() < until else None

    async def close(self) -> None:
        if self._shared is not None:
            await self._shared.close()

    async def _take(self, caller: str, cost: int) -> tuple[bool, float]:
        if self._shared is None or time.monotonic() < (self._apart_until or 0.0):
            return self._take_own(caller, cost)
        try:
            answer: tuple[bool, float] = await self._shared.take(caller, cost)
        except OSError as error:
            if self._apart_until is None:
                log.warning("what callers ask for is counted by each process, as Redis does not answer: %s", error)
            self._apart_until = time.monotonic() + APART_SECONDS
            return self._take_own(caller, cost)
        if self._apart_until is not None:
            log.info("what callers ask for is counted in Redis again")
            self._apart_until = None
        return answer

    def _take_own(self, caller: str, cost: int) -> tuple[bool, float]:
        now = time.monotonic()
        left, at = self._own.get(caller) or (float(self._limit), now)
        left = min(self._limit, left + (now - at) * self._refill_rate)
        taken = cost <= left
        if taken:
            left -= cost
            self._own.put(caller, (left, now))
        return taken, left


def rates_of(settings: Settings) -> Rates | None:
    """Return the rate limits of the settings, or None if there are none."""
    limit = settings.rate_limit
    if limit is None:
        return None
    url = settings.bell_url if settings.bell_url.startswith("redis") else None
    return Rates(limit, settings.rate_refill or limit / FILL_SECONDS, url)


def caller_of(actor: Actor | None, address: str | None) -> str:
    """Return a caller's name in counts and limits: its token, or without one its address."""
    if actor is not None and actor.id is not None:
        return f"{actor.kind}:{actor.id}"
    return network_of(address)


def address_of(scope: Scope) -> str | None:
    """Return the client's address, or None if it has none, as on a UNIX socket."""
    client = scope.get("client")
    return client[0] if client else None


def network_of(address: str | None) -> str:
    """Return an IPv4 address, or the 64-bit network of an IPv6 address: one client may have all of its addresses."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
