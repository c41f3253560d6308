"""Servers that are killed again and again while e-mail is sent, money is taken and services are asked: nothing is done
twice, and nothing is lost."""

import asyncio
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest

from api.commands.client import Client, client_of
from api.commands.temporary_server import server_process
from domain.actors import Scope
from domain.automations import update_automation
from domain.fulfillments.services import save_service
from domain.tokens import create_token
from models import Effect, EffectPosition, Order, OrderEvent
from models.enums import AutomationKind, EffectKind, EffectState
from tests.domain.shop import ADA
from tests.effects.mail.post import PostOffice, post_office
from tests.effects.service import LOCAL, Service, serving

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.wire]

KILLS = 3
ORDERS = 3  # placed before each kill
KINDS = (AutomationKind.CONFIRM_ON_ARRIVAL, AutomationKind.CAPTURE_ON_ARRIVAL, AutomationKind.FULFILL_ON_PAYMENT)
STEPS = ["ORDER_CONFIRMED", "PAYMENT_CAPTURED", "FULFILLMENT_REQUESTED", "FULFILLMENT_SHIPPED"]
LINES = [
    {"title": "Socks", "quantity": 2, "unitPrice": "9.90", "service": "lager"},
    {
        "title": "E-book",
        "quantity": 1,
        "unitPrice": "5.00",
        "requiresShipping": False,
        "downloadUrl": "https://files.example/e-book.epub",
    },
]


async def place(client: Client, number: int) -> None:
    new = {
        "channel": "web",
        "currency": "CHF",
        "lines": LINES,
        "payments": [{"kind": "AUTHORIZATION", "amount": "24.80"}],
        "customer": {"name": "Anna", "email": f"anna{number}@example.com"},
    }
    await client.mutate("placeOrder", new, "id")


async def settled() -> bool:
    """Whether nothing is left to plan or to do."""
    last = await OrderEvent.all().order_by("-id").first()
    planned = (await EffectPosition.get()).position
    return last is not None and planned == last.id and not await Effect.exists(state=EffectState.WAITING)


@pytest.mark.slow
async def test_servers_are_killed(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text(
        'from = "Shop <shop@example.com>"\nnotices = ["team@example.com"]', encoding="utf-8"
    )
    async with post_office() as office, serving() as service:
        await save_service(actor=ADA, code="lager", name="Lager", url=service.url, egress=LOCAL)
        for kind in KINDS:
            await update_automation(actor=ADA, kind=kind, enabled=True)
        _, token = await create_token(actor=ADA, name="shop", scopes=list(Scope))
        environment = {
            "EFFECTS": "true",
            "EGRESS_ALLOW": "127.0.0.0/8",
            "MAIL_URL": f"smtp://127.0.0.1:{office.port}?starttls=none",
            "MAIL_FOLDER": str(tmp_path),
            "PUBLIC_URL": "https://shop.example",
            "POLL_SECONDS": "0.2",
            "LOG_LEVEL": "error",
        }
        chance = Random(7)
        for round_number in range(KILLS + 1):
            async with server_process(database_url, environment=environment) as (url, process):
                async with client_of(url, token) as client:
                    for number in range(ORDERS):
                        await place(client, round_number * ORDERS + number)
                if round_number < KILLS:
                    await asyncio.sleep(chance.uniform(0.0, 0.4))
                    process.kill()
                else:
                    async with asyncio.timeout(40):
                        while not await settled():  # noqa: ASYNC110
                            await asyncio.sleep(0.1)
        await check(office, service)


async def check(office: PostOffice, service: Service) -> None:
    orders = await Order.all()
    assert len(orders) == (KILLS + 1) * ORDERS
    for order in orders:
        types = Counter(event.type.value for event in await OrderEvent.filter(order_id=order.id))
        assert {step: types[step] for step in STEPS} == dict.fromkeys(STEPS, 1), order.number
        assert types["AUTOMATION_REFUSED"] == 0
        assert (order.paid_total, order.outstanding) == (2480, 0)

    calls = Counter(headers["webhook-id"] for headers, _ in service.heard)
    requests = await Effect.filter(kind=EffectKind.FULFILLMENT_REQUEST)
    assert set(calls) == {str(effect.id) for effect in requests}
    assert len(requests) == len(orders)

    # Each e-mail is there once; one of which a kill has left open whether it was sent is not sent again, and is told.
    sent = Counter(str(message["Message-ID"]).partition(".")[0].strip("<") for message in office.messages)
    emails = await Effect.filter(kind=EffectKind.EMAIL)
    assert Counter(effect.subject for effect in emails) == dict.fromkeys(
        ("ORDER_CONFIRMATION", "NEW_ORDER", "DOWNLOADS"), len(orders)
    )
    for effect in emails:
        copies = sent[effect.id.hex]
        if effect.state is EffectState.DONE:
            assert copies == 1, effect.subject
        else:
            assert (effect.error or "").startswith("it may have been sent already"), effect.error
            assert copies <= 1
    told = Counter(event.type.value for event in await OrderEvent.filter(type__in=["EMAIL_SENT", "EMAIL_FAILED"]))
    by_state: Any = Counter(effect.state for effect in emails)
    assert told == {
        name: count
        for name, count in (
            ("EMAIL_SENT", by_state[EffectState.DONE]),
            ("EMAIL_FAILED", by_state[EffectState.FAILED]),
        )
        if count
    }
