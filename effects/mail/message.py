"""An e-mail as it is sent: headers, a plain text and the same in HTML."""

from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final

from effects.mail.addresses import ascii_address, to_header
from effects.mail.contents import write_contents
from effects.mail.delivery import Mail, Refused
from effects.mail.emails import EMAILS
from effects.mail.letter import Letter
from effects.mail.settings import MailSettings, Sender
from models import Effect

_LONGEST_NAME: Final = 100  # characters


def write_mail(letter: Letter, effect: Effect, settings: MailSettings) -> Mail:
    """Return the message of this effect. Its Message-ID is the same in each attempt.

    Raise Refused if mail cannot be sent to the address, and TemplateFault.
    """
    try:
        recipient = ascii_address(effect.target)
    except ValueError as error:
        raise Refused(str(error)) from error
    sender = settings.sender(letter.channel_code)
    message_id = f"<{effect.id.hex}.{effect.data.get('round', 0)}@{sender.mailbox.domain}>"
    message = _message(letter, sender, settings)
    message["To"] = to_header(_name_of_recipient(letter), recipient)
    message["Message-ID"] = message_id
    return Mail(
        sender=sender.mailbox.addr_spec,
        recipient=recipient,
        message_id=message_id,
        content=message.as_bytes(),
        name=f"{letter.date}-{letter.own_number}-{letter.kind.lower()}-{recipient}",
    )


def _name_of_recipient(letter: Letter) -> str:
    name = letter.customer.name if EMAILS[letter.kind].to_customer else None
    return (name or "")[:_LONGEST_NAME]


def _message(letter: Letter, sender: Sender, settings: MailSettings) -> EmailMessage:
    contents = write_contents(letter, settings)
    message = EmailMessage(policy.SMTP)
    message["From"] = sender.mailbox
    if sender.reply_to is not None:
        message["Reply-To"] = sender.reply_to
    message["Subject"] = contents.subject
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Auto-Submitted"] = "auto-generated"  # so that no machine answers: RFC 3834
    message.set_content(contents.text, cte="quoted-printable")
    message.add_alternative(contents.html, subtype="html", cte="quoted-printable")
    message["Content-Language"] = letter.locale  # last, because the calls above would remove it
    return message
