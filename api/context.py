"""What an operation knows of its caller."""

from strawberry.types import Info as StrawberryInfo

from api.loaders import Loaders
from domain.actors import Actor, Scope
from domain.live import Feed


class Unauthenticated(Exception):
    """The operation needs a token, and there is none, or not a good one."""

    def __init__(self, message: str = "Send a token: Authorization: Bearer TOKEN.") -> None:
        super().__init__(message)


class Context:
    """One operation's. A subscription renews `loaders` for each event."""

    def __init__(self, actor: Actor | None, feed: Feed) -> None:
        self._actor = actor
        self.feed = feed
        self.loaders = Loaders()

    @property
    def actor(self) -> Actor:
        """Who asks. Raises `Unauthenticated` for nobody."""
        if self._actor is None:
            raise Unauthenticated
        return self._actor

    def require(self, scope: Scope) -> Actor:
        """Who asks, if they have the scope. Raises `Unauthenticated` and `Forbidden`."""
        self.actor.require(scope)
        return self.actor


Info = StrawberryInfo[Context, None]
