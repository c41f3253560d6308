"""The settings, read from the environment here and nowhere else."""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, Json, ValidationInfo, create_model, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from domain.actors import Scope
from domain.egress import Egress, callable_url
from effects.mail.transport import transport_of
from effects.payments.providers import PROVIDERS
from models.engine.database import config, is_postgres
from models.engine.file_urls import file_url

S = TypeVar("S", bound=BaseSettings)

ROOT = Path(__file__).resolve().parent.parent


def is_private_way(url: str) -> bool:
    """Return whether nobody between here and there can change what the address answers."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost"))


def _words(given: Any) -> Any:
    """Return the words of a text with commas between them, in lower case."""
    return given.lower().replace(",", " ").split() if isinstance(given, str) else given


def _with_gateways(settings: type[S]) -> type[S]:
    """Add the settings of each payment gateway."""
    bases: Any = (*(provider.settings for provider in PROVIDERS.values()), settings)
    composed: type[S] = create_model(
        settings.__name__, __base__=bases, __module__=settings.__module__, __doc__=settings.__doc__
    )
    return composed


@_with_gateways
class Settings(BaseSettings):
    """Each field is the environment variable of the same name in capitals."""

    model_config = SettingsConfigDict(frozen=True, hide_input_in_errors=True)  # passwords are among them

    database_url: str = Field(
        default=file_url("sqlite", ROOT / ".data" / "orderstream.sqlite3"),
        description="Where the orders are: sqlite://PATH or postgres://USER:PASSWORD@HOST/NAME. In a path, ? and % are"
        " written %3F and %25.",
    )
    broadcast_url: str | None = Field(
        default=None,
        description="Where the bell rings that announces events to other processes: redis://HOST:PORT (Valkey too),"
        " postgres://…, or memory:// for one process. By default the database where it is PostgreSQL, else memory://.",
    )
    public_url: str | None = Field(
        default=None,
        description="Where clients reach this server, such as https://orders.example.com: links to documents begin with"
        " it. By default the address that it listens on.",
    )
    delivery_notes_folder: Path | None = Field(
        default=None,
        description="The folder of the merchant's own delivery notes: settings.toml, logo, texts, template.",
    )
    effects: bool = Field(
        default=True,
        description="Whether this process does what follows from events: e-mail, automations, calls. One must.",
    )
    mail_url: str = Field(
        default=file_url("file", ROOT / ".data" / "mail"),
        description="How e-mail is sent: smtp://USER:PASSWORD@HOST:PORT, smtps://…, or into a folder as .eml files:"
        " file:///FOLDER.",
    )
    mail_folder: Path | None = Field(
        default=None, description="The folder of the merchant's own e-mail: settings.toml, texts, templates."
    )
    egress_allow: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Where this server's own HTTP calls, such as those to fulfillment services, may go besides public"
        " addresses: hosts, HOST:PORT, addresses and networks with commas between them, such as"
        " warehouse.internal:8443,10.20.0.0/16. What OIDC_ISSUER and the settings of payment gateways name may be"
        " called as well.",
    )
    oidc_issuer: str | None = Field(
        default=None,
        description="The OpenID Connect issuer at which people log in, exactly as it names itself, such as"
        " https://login.example.com/shop. Its JWTs are then taken besides API tokens.",
    )
    oidc_audience: str | None = Field(
        default=None,
        validate_default=True,
        description="How the issuer names this API: a JWT with another `aud` is refused.",
    )
    oidc_scopes_claim: str = Field(
        default="scope",
        description="The claim with a person's scopes or roles: a text with spaces, or a list. Dots lead into objects:"
        " realm_access.roles.",
    )
    oidc_roles: Json[dict[str, list[Scope]]] = Field(
        default="{}",
        validate_default=True,
        description='The scopes of each role, in JSON: {"warehouse": ["orders:read", "fulfillment:write"]}. What is'
        " neither a role nor a scope counts for nothing. Until a role names customers:read, orders:read includes it.",
    )
    oidc_channels_claim: str | None = Field(
        default=None,
        description="The claim with the codes of a person's channels, * for all of them. Who has none then sees no"
        " order; without this setting, people see all channels.",
    )
    link_seconds: int = Field(
        default=3600, gt=0, description="How long a link to a document opens it without a token, in seconds."
    )
    render_processes: int = Field(
        default=2, gt=0, description="How many processes of each worker turn documents into PDF files."
    )
    render_seconds: float = Field(
        default=20.0, gt=0, description="How long one document may take to be rendered, in seconds."
    )
    documents: Literal["any", "registered"] = Field(
        default="any",
        description="Which GraphQL documents may be sent: any, or registered alone (scripts/documents). A token may be"
        " bound to registered ones by itself.",
    )
    introspection: Literal["all", "tokens", "none"] = Field(
        default="tokens",
        description="Who may ask for the schema, and is told in an error which name may have been meant: all, tokens"
        " (callers with a token), or none. Callers who may send registered documents alone never may.",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Which web pages of other origins may use the API from a browser: https://app.example.com, several"
        " with commas between them, or * for all.",
    )
    graphiql: bool = Field(default=True, description="Whether GET /graphql shows GraphiQL to a browser.")
    metrics: bool = Field(default=False, description="Whether GET /metrics answers, in Prometheus's text format.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="What is logged: debug, info, warning or error, and what is graver."
    )
    poll_seconds: float = Field(
        default=1.0,
        gt=0,
        description="How often the event log is read even if the bell is silent, in seconds.",
    )
    init_timeout_seconds: float = Field(
        default=10.0, gt=0, description="How long a WebSocket may wait before its connection_init, in seconds."
    )
    headers_seconds: float = Field(
        default=10.0, gt=0, description="How long a request's headers may take to arrive, in seconds."
    )
    body_seconds: float = Field(
        default=60.0, gt=0, description="How long a request's body may take to arrive, in seconds."
    )
    ping_seconds: float = Field(
        default=25.0,
        gt=0,
        description="After how many seconds without a message a WebSocket or event stream is pinged.",
    )
    stall_seconds: float = Field(
        default=20.0,
        gt=0,
        description="How long a client may leave an answer or a message unread before it is cut off, in seconds.",
    )
    max_body_bytes: int = Field(default=1_000_000, gt=0, description="The largest HTTP request body, in bytes.")
    max_message_bytes: int = Field(default=1_000_000, gt=0, description="The largest WebSocket message, in bytes.")
    max_document_characters: int = Field(default=50_000, gt=0, description="The longest document, in characters.")
    max_tokens: int = Field(
        default=1_500, gt=0, description="How many tokens a document may have, and how many comments besides."
    )
    max_depth: int = Field(
        default=30,
        gt=0,
        lt=200,
        description="How deeply selections may lie in one another: those of fields, and those of fragments.",
    )
    max_selections: int = Field(
        default=1_000,
        gt=0,
        description="How many fields and fragments may be selected, each fragment's as often as it is spread.",
    )
    max_root_fields: int = Field(
        default=100, gt=0, description="How many fields an operation may have at its root, as often as they are spread."
    )
    max_aliases: int = Field(
        default=200, gt=0, description="How many aliases an operation may have, as often as they are spread."
    )
    max_definitions: int = Field(
        default=100, gt=0, description="How many operations and fragments a document may define."
    )
    max_directives: int = Field(default=100, gt=0, description="How many directives a document may have.")
    max_variables_bytes: int = Field(
        default=500_000, gt=0, description="How large an operation's variables may be, in bytes of JSON."
    )
    max_variables_depth: int = Field(
        default=100,
        gt=0,
        lt=200,
        description="How deeply the lists and objects of the variables may lie in one another.",
    )
    max_variables_weight: int = Field(
        default=30_000,
        gt=0,
        description="How much the lists and objects of the variables may hold: each value counts one, each object ten.",
    )
    max_cost: int = Field(
        default=500_000,
        gt=0,
        description="How much an operation may cost; about one for each field and object that its answer can have.",
    )
    max_operations_per_socket: int = Field(
        default=100, gt=0, description="How many operations may run on one WebSocket at the same time."
    )
    max_operations_per_token: int = Field(
        default=20,
        gt=0,
        description="How many queries and mutations of a token, or of an address that sends none, run on one process at"
        " the same time; further ones wait.",
    )

    rate_limit: int | None = Field(
        default=None,
        gt=0,
        description="How much a token, or an address that sends none, may ask for at once, as cost; by default as much"
        " as it likes. All processes count together where BROADCAST_URL is redis://, else each by itself.",
    )
    rate_refill: float | None = Field(
        default=None,
        gt=0,
        description="How much of RATE_LIMIT comes back each second; by default a twentieth.",
    )
    max_connections_per_token: int | None = Field(
        default=None, gt=0, description="How many WebSockets and event streams a token may have open on one process."
    )
    max_connections: int | None = Field(
        default=None,
        gt=0,
        description="How many connections a process may have open; by default three quarters of its limit of open"
        " files (ulimit -n), or all but 4,096. One more closes the one that has waited longest for a request.",
    )
    max_connections_per_address: int | None = Field(
        default=None,
        gt=0,
        description="How many connections an address may have open on one process; by default half of MAX_CONNECTIONS."
        " Of a trusted proxy's connections, those that serve a request, WebSocket or event stream are counted, for the"
        " address that it names.",
    )
    max_subscriptions_per_token: int | None = Field(
        default=None, gt=0, description="How many subscriptions a token may have open on one process."
    )

    @property
    def bell_url(self) -> str:
        return self.broadcast_url or (self.database_url if is_postgres(self.database_url) else "memory://")

    @property
    def egress(self) -> Egress:
        return Egress.allowing(self.egress_allow)

    @field_validator("broadcast_url")
    @classmethod
    def _is_a_bell(cls, url: str | None) -> str | None:
        if not url:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("memory", "redis", "rediss", "postgres", "postgresql"):
            raise ValueError("a bell's URL starts with redis://, rediss://, postgres:// or memory://")
        if is_postgres(url):
            config(url)
        elif parts.scheme != "memory" and not parts.hostname:
            raise ValueError("a bell's URL names a host: redis://HOST:PORT")
        if parts.port == 0:  # any other that is none raises ValueError when it is read
            raise ValueError("a port is a number from 1 to 65535")
        return url

    @field_validator("public_url")
    @classmethod
    def _is_an_address(cls, url: str | None) -> str | None:
        if url and urlsplit(url).scheme not in ("http", "https"):
            raise ValueError("a public URL starts with http:// or https://")
        return url

    @field_validator("oidc_issuer")
    @classmethod
    def _is_an_issuer(cls, url: str | None) -> str | None:
        if url and not is_private_way(url):
            raise ValueError("an issuer's URL starts with https:// (http:// on this machine only)")
        return callable_url(url) if url else None

    @field_validator("egress_allow", mode="before")
    @classmethod
    def _are_several_exceptions(cls, exceptions: Any) -> Any:
        return _words(exceptions)

    @field_validator("egress_allow")
    @classmethod
    def _are_exceptions(cls, exceptions: tuple[str, ...]) -> tuple[str, ...]:
        Egress.allowing(exceptions)
        return exceptions

    @field_validator("oidc_audience")
    @classmethod
    def _comes_with_an_issuer(cls, audience: str | None, others: ValidationInfo) -> str | None:
        if bool(audience) != bool(others.data.get("oidc_issuer", audience)):
            raise ValueError("an issuer and an audience are set together, or neither of them")
        return audience or None

    @field_validator("mail_url")
    @classmethod
    def _is_a_way_to_send_mail(cls, url: str) -> str:
        transport_of(url)
        return url

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _are_several(cls, origins: Any) -> Any:
        return _words(origins)

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            parts = urlsplit(origin)
            if origin != "*" and (
                parts.scheme not in ("http", "https") or origin != f"{parts.scheme}://{parts.netloc}"
            ):
                raise ValueError(f"{origin} is no origin, such as https://app.example.com without a path")
        return origins

    @field_validator("database_url")
    @classmethod
    def _is_known(cls, url: str) -> str:
        config(url)
        return url
