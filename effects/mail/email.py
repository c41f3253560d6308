"""What an e-mail is: when it is sent, to whom, what it shows, and a sample of it."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar
from uuid import UUID

from effects.mail.letter import Letter
from effects.mail.occasion import Occasion
from effects.merchant.formats import Formats
from effects.merchant.texts import Texts
from models.enums import EmailKind, OrderEventType

DownloadLink = Callable[[UUID], Awaitable[str]]  # from an order line's key to where its goods can be downloaded


class Email:
    """One kind of e-mail. Each is a subclass, in a folder of `effects.mail.emails` that has its name.

    The folder also holds its templates, `KIND.html` and `KIND.txt`, and `texts.toml`, its texts in each language. An
    e-mail without templates of its own consists of its paragraphs.
    """

    kind: ClassVar[EmailKind]
    events: ClassVar[Collection[OrderEventType]]  # that it may follow from
    to_customer: ClassVar[bool] = True  # if so, it is in the order's language, else in the merchant's

    async def recipients(self, occasion: Occasion) -> Sequence[str]:
        """Return to which addresses it goes. By default to the customer, if it is due and there is an address."""
        customer = (await occasion.order()).customer
        address = customer and customer.email
        return [address] if address and await self.is_due(occasion) else []

    async def is_due(self, occasion: Occasion) -> bool:
        """Return whether the customer gets it because of this event, one of `events`."""
        return True

    async def details(self, occasion: Occasion, download_link: DownloadLink) -> Mapping[str, Any]:
        """Return the fields of the letter that not all e-mails have. By default all that was ordered."""
        return {"items": await occasion.items()}

    def text_prefix(self, letter: Letter) -> str:
        """Return how the names of the texts of its subject, heading and first paragraph begin."""
        return self.kind.lower()

    def paragraphs(self, letter: Letter, texts: Texts) -> Sequence[str]:
        """Return the paragraphs after the first one."""
        return ()

    def facts(self, letter: Letter, formats: Formats) -> Sequence[tuple[str, str | None]]:
        """Return the names of texts, each with its value, for a reader who is not the customer."""
        return (
            ("customer", letter.customer.name),
            ("email", letter.customer.email),
            ("phone", letter.customer.phone),
            ("channel", letter.channel),
            ("external_number", letter.order_number if letter.order_number != letter.own_number else None),
            ("order_date", formats.date(letter.order_date)),
        )

    def samples(self, order: Letter) -> Mapping[str, Letter]:
        """Return made-up letters about a made-up order, by the names of their files."""
        return {self.kind.lower(): replace(order, kind=self.kind)}
