"""The server."""

import asyncio
from typing import Any

import typer
import uvicorn
from pydantic import ValidationError

from api.settings import Settings
from api.transport.connections import HTTPConnection, WebSocketConnection
from models.database import migrate

SHUTDOWN_SECONDS = 8  # what is still open then is closed: an event stream would hold the process for ever


def server_options(settings: Settings) -> dict[str, Any]:
    """How uvicorn is run, whatever it listens on."""
    return {
        "http": HTTPConnection,
        "ws": WebSocketConnection,
        "ws_max_size": settings.max_message_bytes,
        "ws_per_message_deflate": False,  # a compressor costs a socket more memory than everything else together
        "ws_ping_interval": None,  # api.transport.websocket pings in the protocol's own way
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
) -> None:
    """Bring the database up to date, and serve the API at /graphql until told to stop."""
    settings = _settings()
    asyncio.run(migrate(settings.database_url))
    options = server_options(settings)
    # Each worker makes its own application, from the same environment.
    uvicorn.run("api.app:create_app", factory=True, host=host, port=port, workers=workers, **options)


if __name__ == "__main__":
    app(prog_name="scripts/serve")
