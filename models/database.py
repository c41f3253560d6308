"""Opening the database that a URL names, and bringing its tables up to date."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tortoise import Tortoise
from tortoise.backends.base.config_generator import expand_db_url
from tortoise.migrations.api import migrate as run_migrations


def config(url: str) -> dict[str, Any]:
    """Tortoise's configuration for `sqlite://PATH` or `postgres://USER:PASSWORD@HOST/NAME`.

    Raises `ValueError` for any other kind of URL.
    """
    scheme = urlsplit(url).scheme
    if scheme == "sqlite":
        connection: Any = _sqlite(url)
    elif scheme in ("postgres", "postgresql"):
        connection = expand_db_url(url.replace("postgresql://", "postgres://", 1))
    else:
        raise ValueError(f"a database URL starts with sqlite:// or postgres://, not with {scheme!r}")
    return {
        "connections": {"default": connection},
        "apps": {"models": {"models": ["models"], "migrations": "models.migrations"}},
        "use_tz": True,
        "timezone": "UTC",
    }


def _sqlite(url: str) -> dict[str, Any]:
    path, _, query = url.removeprefix("sqlite://").partition("?")
    if not path or not url.startswith("sqlite://"):
        raise ValueError("a SQLite URL names a file: sqlite://PATH")
    credentials = {
        "file_path": path,
        "busy_timeout": 5000,  # milliseconds for which a writer waits for another process
        "synchronous": "NORMAL",  # with a write-ahead log, only the last commits before a power cut are at risk
        **dict(parse_qsl(query)),
    }
    return {"engine": "models.sqlite", "credentials": credentials}


async def migrate(url: str) -> None:
    """Apply the migrations that the database lacks; a SQLite file is created where there is none."""
    if urlsplit(url).scheme == "sqlite":
        Path(config(url)["connections"]["default"]["credentials"]["file_path"]).parent.mkdir(
            parents=True, exist_ok=True
        )
    try:
        await run_migrations(config=config(url))
    finally:
        await Tortoise.close_connections()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[None]:
    """The database is open for every task of the process for as long as the block runs."""
    await Tortoise.init(config=config(url), _enable_global_fallback=True)
    try:
        yield
    finally:
        await Tortoise.close_connections()


# What Tortoise's own command line reads (`python -m tortoise makemigrations`): it needs the tables, no data.
TORTOISE_ORM = config("sqlite://:memory:")
