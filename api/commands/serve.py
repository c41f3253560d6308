"""The server."""

import asyncio
import contextlib
import itertools
import logging
import os
import resource
import signal
import time
from contextlib import nullcontext
from functools import partial
from logging.config import dictConfig
from typing import Any

import typer

from api.callers.open_counts import listen_backlog
from api.commands.database import one_sentence, problem_with
from api.commands.environment import read_settings
from api.commands.listening import DEFAULT_PORT, PORTS, listen_at, port_of
from api.http.http_connection import HTTPConnection
from api.http.logs import is_for_people, log_config
from api.http.processes import SHUTDOWN_SECONDS, Supervisor
from api.http.websocket_connection import WebSocketConnection
from api.metrics import shared_between_processes
from api.settings import ROOT, Settings
from effects.delivery_notes import settings as delivery_notes
from effects.mail import settings as mail
from effects.mail.eml import FolderTransport
from effects.mail.transport import transport_of
from models.engine import private
from models.engine.database import migrate
from models.engine.errors import DatabaseUnavailable, StorageFailure

log = logging.getLogger("uvicorn.error")  # where uvicorn tells of its own processes

_EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 - which address clients use is not known then


def server_options(settings: Settings) -> dict[str, Any]:
    """Return the options with which uvicorn runs, whatever it listens on."""
    return {
        "http": HTTPConnection,
        "ws": WebSocketConnection,
        "ws_max_size": settings.max_message_bytes,
        "ws_per_message_deflate": False,  # a compressor costs a socket more memory than everything else together
        "ws_ping_interval": None,  # api.http.websocket pings in the protocol's own way
        "backlog": listen_backlog(),
        "timeout_graceful_shutdown": SHUTDOWN_SECONDS,
    }


def _environment() -> str:
    fields = Settings.model_fields.items()
    lines = (f"{name.upper()} (default {field.default}): {field.description}" for name, field in fields)
    return "Settings are read from the environment:\n\n" + "\n\n".join(lines)


app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(epilog=_environment())
def main(
    host: str = typer.Option("127.0.0.1", help="The address to listen on."),
    port: int = typer.Option(DEFAULT_PORT, **PORTS, help="The port to listen on; 0 for any that is free."),
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
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # what it asks for is being done: until the supervisor listens to it
    settings = read_settings()
    _require_what_is_named(settings)
    sockets = listen_at(host, port, "scripts/serve")
    port = port_of(sockets)
    if settings.public_url is None and host not in _EVERYWHERE:
        os.environ["PUBLIC_URL"] = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    logs = log_config(settings.log_level, as_json=not is_for_people())
    dictConfig(logs)
    _migrate(settings.database_url, wait_for_database)
    _look_after_mail(settings)
    _allow_many_sockets()
    options = {
        "app": "api.app:create_app",  # each worker makes its own application, from the same environment
        "factory": True,
        "host": host,
        "port": port,
        "log_config": logs,
        "access_log": False,
        "forwarded_allow_ips": forwarded_allow_ips,
        **server_options(settings),
    }
    with shared_between_processes() if settings.metrics and workers > 1 else nullcontext():
        served = Supervisor(options, workers, sockets, partial(problem_with, settings.database_url)).run()
    if not served:
        raise typer.Exit(1)


def _require_what_is_named(settings: Settings) -> None:
    """Exit with a sentence if a folder of the settings is not what it should be."""
    try:
        delivery_notes.load(settings.delivery_notes_folder)
        mail.load(settings.mail_folder)
    except (ValueError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    transport = transport_of(settings.mail_url)
    if settings.effects and isinstance(transport, FolderTransport) and not transport.is_writable():
        typer.echo(
            f"E-mail cannot be written into {transport.folder}: set MAIL_URL to a mail server (smtp://…) or to a folder"
            " that this user may write to (file:///FOLDER).",
            err=True,
        )
        raise typer.Exit(2)


def _migrate(database_url: str, wait_seconds: float) -> None:
    """Wait for the database, then apply pending migrations. Exit if it cannot be used."""
    deadline = time.monotonic() + wait_seconds
    with one_sentence():
        for attempt in itertools.count():
            pause = min(0.5 * 2**attempt, 5.0)
            try:
                applied = asyncio.run(migrate(database_url))
            except StorageFailure:
                raise
            except DatabaseUnavailable as error:
                if time.monotonic() + pause > deadline:
                    raise
                if attempt == 0:
                    typer.echo(f"The database cannot be reached yet, waiting for it: {error}", err=True)
            else:
                if applied:
                    log.info("Applied the migrations %s.", ", ".join(applied))
                return
            time.sleep(pause)


def _look_after_mail(settings: Settings) -> None:
    """Say if no e-mail is sent, and keep from everybody else what is written in its place."""
    private.restrict(ROOT / ".data")
    transport = transport_of(settings.mail_url)
    if not isinstance(transport, FolderTransport):
        return
    transport.restrict()
    if settings.effects:
        given = "names a folder" if "mail_url" in settings.model_fields_set else "is not set"
        log.warning("MAIL_URL %s: no e-mail is sent, it is written to files in %s.", given, transport.folder)


def _allow_many_sockets() -> None:
    """Raise the limit of open files to what is granted. Each connection is one, and the default is often 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS says "no limit" and means another one
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    app(prog_name="scripts/serve")
