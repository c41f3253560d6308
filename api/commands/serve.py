"""The server."""

import asyncio
import contextlib
import itertools
import os
import resource
import time
from contextlib import nullcontext
from logging.config import dictConfig
from typing import Any

import typer
import uvicorn
from pydantic import ValidationError

from api.commands.workers import SHUTDOWN_SECONDS, Server, Supervisor
from api.logs import is_for_people, log_config
from api.metrics import shared_between_processes
from api.open_counts import listen_backlog
from api.settings import Settings
from api.transport.connections import HTTPConnection, WebSocketConnection
from models.database import migrate
from models.errors import DatabaseUnavailable

_EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 - which address clients use is not known then


def server_options(settings: Settings) -> dict[str, Any]:
    """How uvicorn is run, whatever it listens on."""
    return {
        "http": HTTPConnection,
        "ws": WebSocketConnection,
        "ws_max_size": settings.max_message_bytes,
        "ws_per_message_deflate": False,  # a compressor costs a socket more memory than everything else together
        "ws_ping_interval": None,  # api.transport.websocket pings in the protocol's own way
        "backlog": listen_backlog(),
        "timeout_graceful_shutdown": SHUTDOWN_SECONDS,
    }


def _settings() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        for each in error.errors():
            typer.echo(f"{'_'.join(map(str, each['loc'])).upper()}: {each['msg']}", err=True)
        raise typer.Exit(2) from error


def _environment() -> str:
    fields = Settings.model_fields.items()
    lines = (f"{name.upper()} (default {field.default}): {field.description}" for name, field in fields)
    return "Settings are read from the environment:\n\n" + "\n\n".join(lines)


app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(epilog=_environment())
def main(
    host: str = typer.Option("127.0.0.1", help="The address to listen on."),
    port: int = typer.Option(8000, help="The port to listen on."),
    workers: int = typer.Option(
        1,
        min=1,
        help="How many processes serve. With BROADCAST_URL=memory://, one hears of another's events by polling.",
    ),
    forwarded_allow_ips: str = typer.Option(
        "127.0.0.1",
        envvar="FORWARDED_ALLOW_IPS",
        help="The proxies whose X-Forwarded-For and X-Forwarded-Proto are believed: addresses and networks with commas"
        " between them, or * for all.",
    ),
    wait_for_database: float = typer.Option(
        60.0, min=0, help="For how many seconds to wait at the start for a database that cannot be reached."
    ),
) -> None:
    """Bring the database up to date, and serve the API at /graphql until told to stop."""
    settings = _settings()
    if settings.public_url is None and host not in _EVERYWHERE:
        os.environ["PUBLIC_URL"] = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    logging = log_config(settings.log_level, as_json=not is_for_people())
    dictConfig(logging)
    _migrate(settings.database_url, wait_for_database)
    _allow_many_sockets()
    options = {
        "app": "api.app:create_app",  # each worker makes its own application, from the same environment
        "factory": True,
        "host": host,
        "port": port,
        "log_config": logging,
        "access_log": False,
        "forwarded_allow_ips": forwarded_allow_ips,
        **server_options(settings),
    }
    with shared_between_processes() if settings.metrics and workers > 1 else nullcontext():
        served = _serve_alone(options) if workers == 1 else Supervisor(options, workers).run()
    if not served:
        raise typer.Exit(1)


def _migrate(database_url: str, wait_seconds: float) -> None:
    """Wait for the database, and bring it up to date. Ends the command where it cannot be reached."""
    deadline = time.monotonic() + wait_seconds
    for attempt in itertools.count():
        pause = min(0.5 * 2**attempt, 5.0)
        try:
            asyncio.run(migrate(database_url))
            return
        except DatabaseUnavailable as error:
            if time.monotonic() + pause > deadline:
                typer.echo(f"The database cannot be reached: {error}", err=True)
                raise typer.Exit(1) from error
            if attempt == 0:
                typer.echo(f"The database cannot be reached yet, waiting for it: {error}", err=True)
        time.sleep(pause)


def _allow_many_sockets() -> None:
    """Each connection is an open file, of which a process may have 1,024 unless it asks for what it is granted."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS says "no limit" and means another one
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _serve_alone(options: dict[str, Any]) -> bool:
    """False where it could not serve."""
    server = Server(uvicorn.Config(**options))
    with contextlib.suppress(KeyboardInterrupt):  # by which uvicorn passes Ctrl-C on once it has stopped
        server.run()
    return server.started


if __name__ == "__main__":
    app(prog_name="scripts/serve")
