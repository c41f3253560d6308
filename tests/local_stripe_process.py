"""localstripe, with all that it knows in memory. Prints its port once it listens.

By itself it writes what it knows into one fixed file of the temporary folder, which belongs to the first user of the
machine who has started one, and it needs IPv6.
"""

import socket

from aiohttp import web
from localstripe.resources import Store
from localstripe.server import app


def main() -> None:
    Store.dump_to_disk = lambda store: None
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    web.run_app(app, sock=listening, print=None, access_log=None)


if __name__ == "__main__":
    main()
