"""The merchant's folder for e-mail: the sender, the addresses that are notified of new orders, texts and templates.

It may contain `settings.toml`, `texts/LOCALE.toml` with texts that replace the built-in ones, and templates such as
`order_confirmation.html` and `order_confirmation.txt`, which may extend `default/order_confirmation.html` and so on.
Everything else is built in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from email.headerregistry import Address
from functools import cache
from pathlib import Path
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, StringConstraints

from effects.mail.addresses import ascii_address, mailbox
from effects.merchant.folder import (
    CountryCode,
    Line,
    LocaleName,
    Strict,
    TimeZone,
    read_settings,
    read_source,
    read_texts,
    require_folder,
)
from effects.merchant.templates import TemplateFault, Templates
from effects.merchant.texts import Texts, built_in
from models.enums import EmailKind

_FOLDER: Final = Path(__file__).parent
_NAMES: Final = tuple(kind.lower() for kind in EmailKind)  # of the e-mails' folders, see `effects.mail.emails`
_DEFAULTS: Final = "default"
_COMMON: Final = ("base.html", "base.txt", "parts.html", "parts.txt")
TEMPLATES: Final = tuple(f"{name}.{end}" for name in _NAMES for end in ("html", "txt")) + _COMMON


def _is_mailbox(text: str) -> str:
    mailbox(text)
    return text


Mailbox = Annotated[str, AfterValidator(_is_mailbox)]
MailAddress = Annotated[str, AfterValidator(ascii_address)]
Colour = Annotated[str, StringConstraints(pattern="^#[0-9A-Fa-f]{6}$")]
Notices = Annotated[tuple[MailAddress, ...], Field(max_length=20)]
Footer = Annotated[tuple[Line, ...], Field(max_length=12)]


class _Channel(Strict):
    """The settings in which one channel differs."""

    from_: Mailbox | None = Field(default=None, alias="from")
    reply_to: Mailbox | None = None
    notices: Notices | None = None
    accent: Colour | None = None
    footer: Footer | None = None


class _Settings(Strict):
    from_: Mailbox = Field(default="orders@localhost", alias="from")
    reply_to: Mailbox | None = None
    notices: Notices = ()
    accent: Colour = "#1f4d45"
    footer: Footer = ()
    default_locale: LocaleName = "de-CH"
    time_zone: TimeZone = ZoneInfo("Europe/Zurich")
    country_code: CountryCode = "CH"
    channels: Mapping[str, _Channel] = {}


@dataclass(frozen=True, slots=True)
class Sender:
    """The sender of a channel's e-mail. `notices` are the addresses that are notified of its new orders.

    `accent` is a colour in HTML's notation (#rrggbb), `footer` the lines at the end of each e-mail.
    """

    mailbox: Address
    reply_to: Address | None
    notices: tuple[str, ...]
    accent: str
    footer: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MailSettings:
    """The settings of all channels. `texts` are those of each locale.

    `country_code` (ISO 3166-1) is the merchant's country: addresses there are written without their country.
    """

    default_locale: str
    time_zone: ZoneInfo
    country_code: str
    texts: Mapping[str, Texts]
    templates: Templates
    _rest: Sender
    _channels: Mapping[str, Sender]

    def sender(self, channel: str) -> Sender:
        return self._channels.get(channel, self._rest)


def load(folder: Path | None) -> MailSettings:
    """Read the settings of this folder, the built-in ones for None. The folder is not read again later.

    Raise ValueError, one sentence that names the file and what is wrong in it.
    """
    require_folder(folder)
    settings = read_settings(folder, _Settings)
    return MailSettings(
        default_locale=settings.default_locale,
        time_zone=settings.time_zone,
        country_code=settings.country_code,
        texts=read_texts(folder, _default_texts()),
        templates=_templates(folder),
        _rest=_sender(settings, _Channel()),
        _channels={code: _sender(settings, channel) for code, channel in settings.channels.items()},
    )


def _sender(settings: _Settings, channel: _Channel) -> Sender:
    reply_to = channel.reply_to or settings.reply_to
    notices = settings.notices if channel.notices is None else channel.notices
    return Sender(
        mailbox=mailbox(channel.from_ or settings.from_),
        reply_to=mailbox(reply_to) if reply_to else None,
        notices=tuple(dict.fromkeys(notices)),
        accent=channel.accent or settings.accent,
        footer=settings.footer if channel.footer is None else channel.footer,
    )


def _templates(folder: Path | None) -> Templates:
    default = _default_templates()
    own = {} if folder is None else _own_templates(folder)
    named = {name: own.get(name, default[f"{_DEFAULTS}/{name}"]) for name in TEMPLATES}
    templates = Templates({**default, **named})
    for name in own:
        try:
            templates.check(name)
        except TemplateFault as fault:
            raise ValueError(f"{folder}/{fault}") from fault
    return templates


def _default_texts() -> dict[str, Texts]:
    return built_in(_FOLDER / "texts", *(_FOLDER / "emails" / name / "texts.toml" for name in _NAMES))


@cache
def _default_templates() -> dict[str, str]:
    return {f"{_DEFAULTS}/{name}": _default_template(name) for name in TEMPLATES}


def _default_template(name: str) -> str:
    """Return the source of the template. An e-mail without templates of its own has those that all extend."""
    email, _, end = name.partition(".")
    folder = _FOLDER / _DEFAULTS if name in _COMMON else _FOLDER / "emails" / email
    return read_source(folder / name) or f'{{% extends "base.{end}" %}}'


def _own_templates(folder: Path) -> dict[str, str]:
    for path in sorted((*folder.glob("*.html"), *folder.glob("*.txt"))):
        if path.name not in TEMPLATES:
            raise ValueError(f"{path}: the templates are {', '.join(TEMPLATES)}.")
    found = {name: read_source(folder / name) for name in TEMPLATES}
    return {name: source for name, source in found.items() if source is not None}
