"""broadcaster's Redis backend, made fit for a broker that comes and goes."""

from broadcaster._backends.redis import RedisBackend


class TidyRedisBackend(RedisBackend):
    """Leaves no task behind where it cannot connect, or cannot take its leave."""

    async def connect(self) -> None:
        try:
            await super().connect()
        except BaseException:
            self._cancel()
            raise

    async def disconnect(self) -> None:
        try:
            await super().disconnect()
        finally:
            self._cancel()

    def _cancel(self) -> None:
        if self._listener is not None:
            self._listener.cancel()
            self._listener.add_done_callback(lambda task: task.cancelled() or task.exception())  # nobody else asks
