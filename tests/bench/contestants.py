"""The servers that are compared: each alone on the same core, started anew for each round."""

import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Set
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from api.commands.temporary_server import answering, free_port, server_process
from tests.bench.peers import node
from tests.bench.shop import Shop
from tests.bench.sources import Poster, Source, writing
from tests.bench.wires import Address, Loop

PRODUCT = "orderstream"
STRAWBERRY = "plain Strawberry"
MERCURIUS = "Mercurius, JIT"
GRAPHQL_WS = "graphql-ws, Node"
BARE = "bare limit"


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers. `token` is what it wants of its callers."""

    pid: int
    address: Address
    token: str | None
    source: Source


Start = Callable[[Loop], AbstractAsyncContextManager[Running]]


def product(shop: Shop, cores: Set[int], **settings: str) -> Start:
    """`scripts/serve` with one worker on the shop's PostgreSQL, its bell through Valkey, and these settings more."""

    @asynccontextmanager
    async def start(_: Loop) -> AsyncIterator[Running]:
        environment = {"BROADCAST_URL": shop.bell_url, "LOG_LEVEL": "warning", **settings}
        async with server_process(shop.database_url, environment=environment, cores=cores) as (url, process):
            with writing(shop) as writer:
                yield Running(process.pid, Address.of(url), shop.token, writer)

    return start


def python_peer(shop: Shop, cores: Set[int], module: str) -> Start:
    """A module of `peers`."""
    return _peer(shop, cores, [sys.executable, "-m", f"tests.bench.peers.{module}"])


def _peer(shop: Shop, cores: Set[int], command: list[str]) -> Start:
    @asynccontextmanager
    async def start(loop: Loop) -> AsyncIterator[Running]:
        port = free_port()
        url = f"http://127.0.0.1:{port}/graphql"
        environment = {"DATABASE_URL": shop.database_url, "NODE_ENV": "production"}
        async with answering(url, [*command, str(port)], environment=environment, cores=cores) as process:
            address = Address.of(url)
            yield Running(process.pid, address, None, Poster(shop, loop, address))

    return start


@contextmanager
def live_contestants(shop: Shop, cores: Set[int], **settings: str) -> Iterator[dict[str, Start]]:
    """All that have subscriptions; those for Node as far as they can be had, otherwise a line says why not."""
    with tempfile.TemporaryDirectory(prefix="orderstream-bench-") as folder:
        for_node: dict[str, Start] = {}
        try:
            program = node.install(Path(folder))
        except node.NoNode as error:
            print(f"without Mercurius and graphql-ws: {error}")
        else:
            for name, file in ((MERCURIUS, "mercurius.mjs"), (GRAPHQL_WS, "graphql_ws.mjs")):
                for_node[name] = _peer(shop, cores, [program, str(Path(folder, file))])
        yield {
            PRODUCT: product(shop, cores, **settings),
            STRAWBERRY: python_peer(shop, cores, "strawberry_app"),
            **for_node,
            BARE: python_peer(shop, cores, "bare_sockets"),
        }
