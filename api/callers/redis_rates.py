"""Rate limit buckets in Redis or Valkey that all processes share: see `api.callers.rates`."""

from typing import Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

ANSWER_SECONDS: Final = 0.5  # in which Redis answers
MOST_CONNECTIONS: Final = 20  # of one process

# By Redis's own clock. A bucket is what was `left` in it `at` a time; one that is full again need not be kept. If the
# clock was set back, that time is still to come: the bucket fills all the same.
_TAKE: Final = """
local cost, limit, rate = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local bucket = redis.call('HMGET', KEYS[1], 'left', 'at')
local left = limit
if bucket[1] then
    left = math.min(limit, bucket[1] + math.abs(now - bucket[2]) * rate)
end
if cost > left then
    return {0, tostring(left)}
end
redis.call('HSET', KEYS[1], 'left', tostring(left - cost), 'at', string.format('%.6f', now))
redis.call('EXPIRE', KEYS[1], math.ceil(limit / rate) + 1)
return {1, tostring(left - cost)}
"""


class SharedBuckets:
    """The shared buckets. Each call is one round trip."""

    def __init__(self, url: str, limit: int, refill_rate: float) -> None:
        self._pool = BlockingConnectionPool.from_url(
            url,
            max_connections=MOST_CONNECTIONS,
            timeout=ANSWER_SECONDS,
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._script = Redis(connection_pool=self._pool).register_script(_TAKE)
        self._numbers = limit, refill_rate

    async def take(self, caller: str, cost: int) -> tuple[bool, float]:
        """Return whether the cost was taken, and what is left. Raise `OSError` if Redis does not answer."""
        try:
            taken, left = await self._script(keys=[f"orderstream:rate:{caller}"], args=[cost, *self._numbers])
        except RedisError as error:
            raise ConnectionError(str(error)) from error
        return bool(taken), float(left)

    async def close(self) -> None:
        await self._pool.disconnect()
