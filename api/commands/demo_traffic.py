"""Somebody to watch: a client that places made-up orders through the API, and takes them through their lives."""

import asyncio
import logging
import random
from decimal import Decimal
from typing import Any

from api.commands.client import ApiError, Client

log = logging.getLogger(__name__)

SAMPLES = 40  # orders that an empty shop is filled with
MOST_WAITING = 60  # orders that nobody has carried out yet, before no more are placed

CATALOGUE = (  # title, SKU, price in francs, weight in grams
    ("Merino socks", "SOCK-MER", "14.90", 80),
    ("Linen shirt", "SHIRT-LIN", "89.00", 260),
    ("Felt hat", "HAT-FELT", "59.00", 150),
    ("Coffee beans, 1 kg", "COFFEE-1K", "24.50", 1020),
    ("Ceramic cup", "CUP-CER", "18.00", 340),
    ("Notebook, dotted", "NOTE-DOT", "9.80", 210),
    ("Bicycle bell", "BELL-BRASS", "22.00", 95),
    ("Rain jacket", "JACKET-RAIN", "149.00", 610),
)
CUSTOMERS = (
    ("Aline Käser", "Spalenberg 12", "4051", "Basel", "de-CH"),
    ("Noé Perrin", "Rue de Bourg 7", "1003", "Lausanne", "fr-CH"),
    ("Giulia Bernasconi", "Via Nassa 3", "6900", "Lugano", "it-CH"),
    ("Beat Zürcher", "Langstrasse 88", "8004", "Zürich", "de-CH"),
    ("Mira Öztürk", "Marktgasse 21", "3011", "Bern", "de-CH"),
    ("Oliver Smith", "Quai du Mont-Blanc 5", "1201", "Genève", "en"),
)
PATTERNS = (("Knitting pattern “Arve” (PDF)", "arve"), ("Knitting pattern “Piz Palü” (PDF)", "piz-palu"))
DOWNLOADS = "downloads"  # the channel in which everything happens by itself
AUTOMATIONS = ("CONFIRM_ON_ARRIVAL", "CAPTURE_ON_ARRIVAL", "FULFILL_ON_PAYMENT", "ARCHIVE_WHEN_DONE")
CHANNELS = (("web-shop", "ONLINE"), ("marketplace", "MARKETPLACE"), ("store-basel", "POS"))

_AUTOMATION = "mutation ($i: UpdateAutomationInput!) { updateAutomation(input: $i) { userErrors { message } } }"
_WAITING = """query {
    orders(
        filter: { status: [PENDING, CONFIRMED, READY_TO_SHIP], not: { channels: ["downloads"] } }
        sort: { direction: ASC }
        first: 100
    ) {
        nodes { id status outstanding { amount } deliveryNotes { id } }
    }
}"""


class Traffic:
    """`client` may do everything. What is made up follows from `chance`."""

    def __init__(self, client: Client, chance: random.Random) -> None:
        self._client = client
        self._chance = chance

    async def run(self, seconds_between_steps: float) -> None:
        """Fill an empty shop, and then take one step after another for ever."""
        if (await self._client.ask("query { orderCounts { total } }"))["orderCounts"]["total"] == 0:
            await self._place_download()
            for kind in AUTOMATIONS:
                await self._client.ask(_AUTOMATION, {"i": {"kind": kind, "enabled": True, "channel": DOWNLOADS}})
            for _ in range(SAMPLES):
                await self._place()
            for _ in range(SAMPLES * 2):
                await self._step()
        while True:
            await asyncio.sleep(seconds_between_steps)
            await self._step()

    async def _mutate(self, name: str, given: dict[str, Any]) -> None:
        try:
            await self._client.mutate(name, given, "id")
        except ApiError as refusal:  # somebody else may have been quicker
            log.info("%s was refused: %s", name, refusal)

    async def _step(self) -> None:
        waiting = (await self._client.ask(_WAITING))["orders"]["nodes"]
        if self._chance.random() < 0.1:
            await self._place_download()
        elif len(waiting) < MOST_WAITING and self._chance.random() < 0.35:
            await self._place()
        elif waiting:
            await self._carry_on(self._chance.choice(waiting))

    async def _place(self) -> None:
        channel, source = self._chance.choice(CHANNELS)
        name, street, postal_code, city, locale = self._chance.choice(CUSTOMERS)
        lines = [
            {
                "title": title,
                "sku": sku,
                "unitPrice": price,
                "weightGrams": weight,
                "quantity": self._chance.randint(1, 3),
            }
            for title, sku, price, weight in self._chance.sample(CATALOGUE, self._chance.randint(1, 3))
        ]
        address = {"name": name, "address1": street, "postalCode": postal_code, "city": city, "countryCode": "CH"}
        at_till = source == "POS"
        new = {
            "channel": channel,
            "source": source,
            "currency": "CHF",
            "lines": lines,
            "customer": _customer(name),
            "shippingAddress": None if at_till else address,
            "shippingPrice": "0.00" if at_till else "7.00",
            "payments": [{"kind": "SALE", "amount": str(_sum(lines)), "gateway": "cash"}] if at_till else [],
            "locale": locale,
            "externalReference": f"demo-{self._chance.getrandbits(64):016x}",
        }
        await self._mutate("placeOrder", new)

    async def _place_download(self) -> None:
        """Place an order of digital goods, which needs no work."""
        name, *_, locale = self._chance.choice(CUSTOMERS)
        title, file = self._chance.choice(PATTERNS)
        line = {
            "title": title,
            "unitPrice": "8.00",
            "quantity": 1,
            "requiresShipping": False,
            "downloadUrl": f"https://alpenfaden.example/patterns/{file}.pdf",
        }
        new = {
            "channel": DOWNLOADS,
            "currency": "CHF",
            "lines": [line],
            "customer": _customer(name),
            "payments": [{"kind": "AUTHORIZATION", "amount": "8.00"}],
            "locale": locale,
        }
        await self._mutate("placeOrder", new)

    async def _carry_on(self, order: dict[str, Any]) -> None:
        about = {"orderId": order["id"]}
        if float(order["outstanding"]["amount"]) > 0 and self._chance.random() < 0.5:
            await self._mutate("capturePayment", about)
        elif order["status"] == "PENDING":
            if self._chance.random() < 0.08:
                await self._mutate("cancelOrder", {**about, "reason": "CUSTOMER"})
            else:
                await self._mutate("confirmOrder", about)
        elif order["status"] == "CONFIRMED":
            await self._mutate("markReadyToShip", about)
        elif not order["deliveryNotes"]:
            await self._mutate("createDeliveryNote", about)
        else:
            number = f"99.{self._chance.randrange(10**8):08d}"
            link = f"https://service.post.ch/ekp-web/ui/entry/search/{number.replace('.', '')}"
            tracking = [{"number": number, "carrier": "Swiss Post", "url": link}]
            await self._mutate("markShipped", {**about, "tracking": tracking})


def _customer(name: str) -> dict[str, str]:
    return {"name": name, "email": f"{name.split()[0].lower()}@example.com"}


def _sum(lines: list[dict[str, Any]]) -> Decimal:
    return sum((Decimal(line["unitPrice"]) * line["quantity"] for line in lines), Decimal(0))
