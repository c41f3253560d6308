"""broadcaster's Redis backend, fit for a broker that comes and goes."""

from broadcaster._backends.redis import RedisBackend


class TidyRedisBackend(RedisBackend):
    """Leaves no task behind if it cannot connect or disconnect."""

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
