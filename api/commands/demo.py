"""The server with made-up orders and something going on: the first thing that a newcomer runs."""

import asyncio
import contextlib
import os
import random
import signal
import socket
import sys
from pathlib import Path

import typer
import uvicorn

from api.app import create_app
from api.commands.client import client_of
from api.commands.database import one_sentence
from api.commands.demo_traffic import Traffic
from api.commands.listening import DEFAULT_PORT, PORTS, listen_at, port_of
from api.commands.serve import server_options
from api.http.processes import Server
from api.settings import ROOT, Settings
from domain.actors import Scope, system
from domain.tokens import authenticate, create_token
from models.engine import private
from models.engine.database import connected, migrate
from models.engine.file_urls import file_url

DEMO_SHOP = Path(__file__).with_name("demo_shop")


async def _token(database_url: str, file: Path) -> str:
    """Return the demo's token. It stays the same as long as its database does."""
    kept = _read(file)
    async with connected(database_url):
        if kept and await authenticate(kept):
            return kept
        _, secret = await create_token(actor=system("scripts/demo"), name="demo", scopes=list(Scope))
    _write_privately(file, secret)
    return secret


def _read(file: Path) -> str | None:
    return file.read_text(encoding="utf-8").strip() if file.exists() else None


def _write_privately(file: Path, text: str) -> None:
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as private:
        private.write(text + "\n")


def _make(folder: Path) -> Path:
    try:
        private.make_folder(folder)
        private.restrict(folder)
        return folder.resolve()
    except OSError as error:
        sys.exit(f"{folder} cannot be made ({error.strerror}): try scripts/demo --folder FOLDER.")


async def _run(settings: Settings, folder: Path, sockets: list[socket.socket], pause: float) -> None:
    await migrate(settings.database_url)
    token = await _token(settings.database_url, folder / "demo-token")
    server = Server(uvicorn.Config(create_app(settings), log_level="warning", **server_options(settings)))
    # A terminal that is closed ends the demo as Ctrl-C does.
    signal.signal(signal.SIGHUP, lambda _number, frame: server.handle_exit(signal.SIGINT, frame))
    serving = asyncio.create_task(server.serve(sockets))
    while not (server.started or serving.done()):  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    if not server.started:
        sys.exit("The server did not start (the reason is above).")
    url = f"{settings.public_url}/graphql"
    print(f"GraphiQL  {url}#token={token}\nAPI       {url}\nToken     {token}")
    print(f"E-mail    is not sent, but written to {folder / 'mail'}\nStop with Ctrl-C.", flush=True)
    async with client_of(url, token) as client:
        chance = random.Random()  # noqa: S311 - made-up orders
        traffic = asyncio.create_task(Traffic(client, chance).run(pause))
        try:
            await asyncio.wait((serving, traffic), return_when=asyncio.FIRST_COMPLETED)
            if traffic.done() and not server.should_exit:
                print(f"The made-up traffic has ended; the server goes on. {traffic.exception()!r}", file=sys.stderr)
            await serving
        finally:
            traffic.cancel()
            await asyncio.gather(traffic, return_exceptions=True)


app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def main(
    port: int = typer.Option(DEFAULT_PORT, **PORTS, help="The port to listen on; 0 for any that is free."),
    pause: float = typer.Option(2.0, min=0.01, help="The seconds between one made-up change and the next."),
    folder: Path = typer.Option(ROOT / ".data", help="Where its data is; remove it to begin anew."),  # noqa: B008
) -> None:
    """Serve a shop of made-up orders, in which something happens every two seconds."""
    sockets = listen_at("127.0.0.1", port, "scripts/demo")
    folder = _make(folder)
    settings = Settings(
        database_url=file_url("sqlite", folder / "demo.sqlite3"),
        public_url=f"http://127.0.0.1:{port_of(sockets)}",
        delivery_notes_folder=DEMO_SHOP,
        mail_folder=DEMO_SHOP / "mail",
        mail_url=file_url("file", folder / "mail"),
        egress_allow=("localhost", "127.0.0.0/8", "::1"),  # a fulfillment service that one tries out beside it
    )
    if "introspection" not in settings.model_fields_set:  # whoever has started it may look around without a token
        settings = settings.model_copy(update={"introspection": "all"})
    # Once it has stopped, uvicorn passes Ctrl-C on by KeyboardInterrupt.
    with one_sentence(), contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(settings, folder, sockets, pause))


if __name__ == "__main__":
    app(prog_name="scripts/demo")
