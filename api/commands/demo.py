"""The server with made-up orders and something going on: the first thing that a newcomer runs."""

import asyncio
import os
import random
import sys
from pathlib import Path

import typer
import uvicorn

from api.app import create_app
from api.commands.demo_traffic import Traffic
from api.commands.serve import server_options
from api.settings import ROOT, Settings
from domain.actors import Scope, system
from domain.tokens import authenticate, create_token
from models.database import connected, migrate

FOLDER = ROOT / ".data"
TOKEN_FILE = FOLDER / "demo-token"


async def _token(database_url: str) -> str:
    """The demo's token, which stays the same for as long as its database does."""
    async with connected(database_url):
        if TOKEN_FILE.exists():
            kept = TOKEN_FILE.read_text(encoding="utf-8").strip()
            if await authenticate(kept):
                return kept
        _, secret = await create_token(actor=system("scripts/demo"), name="demo", scopes=list(Scope))
    _write_privately(TOKEN_FILE, secret)
    return secret


def _write_privately(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text + "\n")


async def _run(settings: Settings, port: int, pause: float) -> None:
    await migrate(settings.database_url)
    token = await _token(settings.database_url)
    config = uvicorn.Config(
        create_app(settings), host="127.0.0.1", port=port, log_level="warning", **server_options(settings)
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        if serving.done():
            sys.exit(f"The server did not start: is port {port} taken? Try scripts/demo --port {port + 1}.")
        await asyncio.sleep(0.01)
    url = f"http://127.0.0.1:{port}/graphql"
    print(f"GraphiQL  {url}#token={token}\nAPI       {url}\nToken     {token}\nStop with Ctrl-C.", flush=True)
    traffic = asyncio.create_task(Traffic(url, token, random.Random()).run(pause))  # noqa: S311 - made-up orders
    await asyncio.wait((serving, traffic), return_when=asyncio.FIRST_COMPLETED)
    if traffic.done() and not server.should_exit:
        print(f"The made-up traffic has ended; the server goes on. {traffic.exception()!r}", file=sys.stderr)
    await serving
    traffic.cancel()


app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def main(
    port: int = typer.Option(8000, help="The port to listen on."),
    pause: float = typer.Option(2.0, min=0.01, help="The seconds between one made-up change and the next."),
) -> None:
    """Serve a shop of made-up orders, in which something happens every two seconds.

    Its data is in .data/, apart from that of scripts/serve; remove the folder to begin anew.
    """
    FOLDER.mkdir(exist_ok=True)
    asyncio.run(_run(Settings(database_url=f"sqlite://{FOLDER / 'demo.sqlite3'}"), port, pause))


if __name__ == "__main__":
    app(prog_name="scripts/demo")
