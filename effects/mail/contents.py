"""A letter as its recipient sees it: a subject, a plain text and the same in HTML."""

import re
from dataclasses import dataclass
from typing import Final

from effects.mail.addresses import one_line
from effects.mail.letter import Letter
from effects.mail.page import page
from effects.mail.settings import MailSettings

_LONGEST_SUBJECT: Final = 200  # characters


@dataclass(frozen=True, slots=True)
class Contents:
    subject: str
    text: str
    html: str


def write_contents(letter: Letter, settings: MailSettings) -> Contents:
    """Fill in the templates. Raise TemplateFault, which names the template and the line, if one is wrong."""
    variables = page(letter, settings)
    name = letter.kind.lower()
    text = settings.templates.fill(f"{name}.txt", variables)
    return Contents(
        subject=one_line(variables["subject"])[:_LONGEST_SUBJECT],
        text=re.sub(r"\n{3,}", "\n\n", text).strip() + "\n",
        html=settings.templates.fill(f"{name}.html", variables),
    )
