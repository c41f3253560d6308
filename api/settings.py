"""The settings, read from the environment here and nowhere else."""

from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.database import config

ROOT = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """Each field is the environment variable of the same name in capitals."""

    model_config = SettingsConfigDict(frozen=True)

    database_url: str = Field(
        default=f"sqlite://{ROOT / '.data' / 'orderstream.sqlite3'}",
        description="Where the orders are: sqlite://PATH or postgres://USER:PASSWORD@HOST/NAME.",
    )
    broadcast_url: str = Field(
        default="memory://",
        description="Where the bell rings that announces events: memory:// reaches one process.",
    )
    graphiql: bool = Field(default=True, description="Whether GET /graphql shows GraphiQL to a browser.")
    poll_seconds: float = Field(
        default=1.0,
        gt=0,
        description="How often the event log is read even if the bell is silent, in seconds.",
    )
    init_timeout_seconds: float = Field(
        default=10.0, gt=0, description="How long a WebSocket may wait before its connection_init, in seconds."
    )
    ping_seconds: float = Field(
        default=25.0,
        gt=0,
        description="After how many seconds without a message a WebSocket or event stream is pinged.",
    )
    stall_seconds: float = Field(
        default=20.0,
        gt=0,
        description="How long a subscriber may leave a message unread before it is cut off, in seconds.",
    )
    max_body_bytes: int = Field(default=1_000_000, gt=0, description="The largest HTTP request body, in bytes.")
    max_message_bytes: int = Field(default=1_000_000, gt=0, description="The largest WebSocket message, in bytes.")
    max_operations_per_socket: int = Field(
        default=100, gt=0, description="How many operations may run on one WebSocket at the same time."
    )

    @field_validator("database_url")
    @classmethod
    def _is_known(cls, url: str) -> str:
        config(url)
        return url
