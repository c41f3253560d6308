"""All e-mails. Each has a folder of the name of its kind."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Final

from effects.mail.email import Email
from models.enums import EmailKind, OrderEventType

FOLDER: Final = Path(__file__).parent


def _load(kind: EmailKind) -> Email:
    email: Email = import_module(f"{__name__}.{kind.lower()}").EMAIL
    return email


EMAILS: Final[Mapping[EmailKind, Email]] = {kind: _load(kind) for kind in EmailKind}


def emails_after(event: OrderEventType) -> list[Email]:
    """Return the e-mails that may follow from such an event, the customer's first."""
    found = [email for email in EMAILS.values() if event in email.events]
    return sorted(found, key=lambda email: not email.to_customer)
