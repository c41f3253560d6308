"""What the tables refuse by themselves, and how keys and times are kept in them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from tortoise.exceptions import IntegrityError
from tortoise.models import Model

from models import (
    Address,
    ApiToken,
    Automation,
    Channel,
    Customer,
    DeliveryNote,
    DeliveryNoteFile,
    DeliveryNoteSeries,
    Effect,
    EffectPosition,
    Fulfillment,
    FulfillmentLine,
    FulfillmentService,
    IdempotencyRecord,
    Order,
    OrderEvent,
    OrderLine,
    OrderNumber,
    OrderTag,
    RegisteredDocument,
    SearchTerm,
    SigningKey,
    Tracking,
    Transaction,
)
from models.engine.fields import new_key
from models.enums import (
    ActorKind,
    AddressKind,
    AutomationKind,
    EffectKind,
    OrderEventType,
    OrderSource,
    TransactionKind,
    TransactionStatus,
)
from tests.database import run_sql

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
Rows = dict[type[Model], Model]


async def one_of_each() -> Rows:
    """A row of every table, each with values that are right."""
    channel = await Channel.create(code="web", name="Web", created_at=NOW)
    customer = await Customer.create(channel=channel, email="a@example.com", created_at=NOW)
    order = await Order.create(
        number=1,
        channel=channel,
        customer=customer,
        source=OrderSource.ONLINE,
        external_reference="R-1",
        currency="CHF",
        subtotal=100,
        discount_total=0,
        shipping_total=0,
        tax_total=0,
        total=100,
        placed_at=NOW,
        updated_at=NOW,
    )
    line = await OrderLine.create(
        order=order, position=0, title="Cup", quantity=5, unit_price=20, total=100, fulfillable_quantity=3
    )
    fulfillment = await Fulfillment.create(order=order, position=1, created_at=NOW)
    packed = await FulfillmentLine.create(fulfillment=fulfillment, order_line=line, quantity=2)
    tracking = await Tracking.create(order=order, fulfillment=fulfillment, number="T", created_at=NOW, updated_at=NOW)
    transaction = await Transaction.create(
        order=order,
        kind=TransactionKind.SALE,
        status=TransactionStatus.SUCCEEDED,
        gateway="manual",
        amount=1,
        processed_at=NOW,
    )
    event = await OrderEvent.create(
        order=order,
        channel=channel,
        order_version=1,
        type=OrderEventType.ORDER_PLACED,
        occurred_at=NOW,
        actor_kind=ActorKind.SYSTEM,
        actor_name="tests",
        message="",
        data={},
    )
    note = await DeliveryNote.create(
        order=order, fulfillment=fulfillment, position=1, number="LS-1", locale="en", document={}, created_at=NOW
    )
    effect = await Effect.create(
        event=event, order=order, channel=channel, kind=EffectKind.EMAIL, due_at=NOW, created_at=NOW
    )
    others = [
        effect,
        await EffectPosition.create(name="effects", position=1),
        await Automation.create(kind=AutomationKind.CONFIRM_ON_ARRIVAL, channel=channel),
        await FulfillmentService.create(code="lager", name="Lager", created_at=NOW),
        await DeliveryNoteFile.create(delivery_note=note, content=b"%PDF", created_at=NOW),
        await DeliveryNoteSeries.create(name="LS", last_number=1),
        await SigningKey.create(id=1, secret=b"secret", created_at=NOW),
        await Address.create(order=order, kind=AddressKind.SHIPPING, city="Bern"),
        await OrderTag.create(order=order, tag="gift"),
        await SearchTerm.create(order=order, term="r-1"),
        await OrderNumber.create(taken_at=NOW),
        await IdempotencyRecord.create(actor_id="a", key="k", fingerprint="f", order=order, created_at=NOW),
        await RegisteredDocument.create(hash="h", identifier="i", text="{ a }", name="A", registered_at=NOW),
        await ApiToken.create(name="t", prefix="ost_", hash="h", scopes=[], created_at=NOW),
    ]
    rows = [channel, customer, order, line, fulfillment, packed, tracking, transaction, event, note, *others]
    return {type(row): row for row in rows}


@pytest.fixture
async def rows(database: str) -> Rows:
    return await one_of_each()


BAD_VALUES: list[tuple[type[Model], dict[str, Any]]] = [
    *((Order, {name: -1}) for name in ("subtotal", "discount_total", "shipping_total", "tax_total", "total")),
    *((Order, {name: -1}) for name in ("authorized_total", "paid_total", "refunded_total")),
    (Order, {"paid_total": 10, "refunded_total": 11}),
    (OrderLine, {"quantity": 0, "fulfillable_quantity": 0}),
    *((OrderLine, {name: -1}) for name in ("unit_price", "discount_total", "tax_total", "total")),
    *((OrderLine, {name: -1}) for name in ("removed_quantity", "fulfillable_quantity", "shipped_quantity")),
    (OrderLine, {"fulfillable_quantity": 3, "shipped_quantity": 3}),
    (OrderLine, {"removed_quantity": 1, "fulfillable_quantity": 3, "shipped_quantity": 2}),
    (FulfillmentLine, {"quantity": 0}),
    (FulfillmentLine, {"quantity": -1}),
    (Transaction, {"amount": -1}),
]


async def test_a_value_that_no_row_may_have(rows: Rows) -> None:
    for model, values in BAD_VALUES:
        row = rows[model]
        with pytest.raises(IntegrityError, match=r"(?i)check constraint"):
            await model.filter(pk=row.pk).update(**values)
        kept = await model.get(pk=row.pk)
        assert {name: getattr(kept, name) for name in values} == {name: getattr(row, name) for name in values}


GOOD_VALUES: list[tuple[type[Model], dict[str, Any]]] = [
    (Order, dict.fromkeys(("subtotal", "discount_total", "shipping_total", "tax_total", "total"), 0)),
    (Order, {"paid_total": 10, "refunded_total": 10}),
    (OrderLine, {"removed_quantity": 1, "fulfillable_quantity": 2, "shipped_quantity": 2}),
    (FulfillmentLine, {"quantity": 1}),
    (Transaction, {"amount": 0}),
]


async def test_a_value_at_the_edge(rows: Rows) -> None:
    for model, values in GOOD_VALUES:
        assert await model.filter(pk=rows[model].pk).update(**values) == 1


def copy_of(row: Model, **changes: Any) -> Model:
    """Another row with the same values, but for its key and the changes."""
    values = {name: getattr(row, name) for name in row._meta.db_fields if name != row._meta.pk_attr}
    if not row._meta.pk.generated:
        values[row._meta.pk_attr] = new_key()
    return type(row)(**{**values, **changes})


TWINS: list[tuple[type[Model], dict[str, Any]]] = [
    (Channel, {"name": "Other"}),
    (Customer, {"name": "Other"}),
    (Order, {"external_reference": "other"}),
    (Order, {"number": 2}),
    (OrderLine, {"title": "Other"}),
    (Address, {"city": "Basel"}),
    (OrderTag, {}),
    (SearchTerm, {}),
    (Fulfillment, {}),
    (FulfillmentLine, {"quantity": 1}),
    (Tracking, {"carrier": "Post"}),
    (DeliveryNote, {"number": "LS-2"}),
    (DeliveryNote, {"position": 2}),
    (OrderEvent, {"message": "other"}),
    (Effect, {"attempts": 1}),
    (Automation, {"enabled": True}),
    (FulfillmentService, {"name": "Other"}),
    (IdempotencyRecord, {"fingerprint": "other"}),
    (ApiToken, {"name": "other"}),
    (RegisteredDocument, {"hash": "other"}),
]


async def test_what_there_may_be_only_once(rows: Rows) -> None:
    for model, changes in TWINS:
        with pytest.raises(IntegrityError, match=r"(?i)unique constraint"):
            await copy_of(rows[model], **changes).save(force_create=True)
        assert await model.all().count() == 1


async def test_what_there_may_be_more_than_once(rows: Rows) -> None:
    """Orders without a reference and customers without an e-mail are no twins."""
    for number in (2, 3):
        await copy_of(rows[Order], number=number, external_reference=None).save(force_create=True)
        await copy_of(rows[Customer], email=None).save(force_create=True)
    assert (await Order.all().count(), await Customer.all().count()) == (3, 3)


NEEDED = [Channel, Customer, Order, OrderLine, Fulfillment, DeliveryNote]


async def test_what_others_need_cannot_be_removed(rows: Rows) -> None:
    for model in NEEDED:
        with pytest.raises(IntegrityError, match=r"(?i)foreign key constraint"):
            await model.filter(pk=rows[model].pk).delete()
        assert await model.all().count() == 1


ORPHANS: list[tuple[type[Model], str, dict[str, Any]]] = [
    (Customer, "channel_id", {"email": "b@example.com"}),
    (Order, "channel_id", {"number": 2}),
    (Order, "customer_id", {"number": 2, "external_reference": "other"}),
    (OrderLine, "order_id", {}),
    (Address, "order_id", {}),
    (OrderTag, "order_id", {}),
    (SearchTerm, "order_id", {}),
    (Fulfillment, "order_id", {}),
    (FulfillmentLine, "order_line_id", {}),
    (FulfillmentLine, "fulfillment_id", {}),
    (Tracking, "order_id", {"number": "T2"}),
    (Tracking, "fulfillment_id", {}),
    (DeliveryNote, "order_id", {"number": "LS-2", "position": 2}),
    (DeliveryNote, "fulfillment_id", {"number": "LS-2"}),
    (DeliveryNoteFile, "delivery_note_id", {}),
    (Effect, "event_id", {}),
    (Effect, "order_id", {"target": "x"}),
    (Effect, "channel_id", {"target": "x"}),
    (Automation, "channel_id", {}),
    (OrderLine, "service_id", {"position": 1}),
    (Fulfillment, "service_id", {"position": 2}),
    (ApiToken, "service_id", {"hash": "x"}),
    (Transaction, "order_id", {}),
    (Transaction, "parent_id", {}),
    (OrderEvent, "order_id", {}),
    (OrderEvent, "channel_id", {"order_version": 2}),
    (IdempotencyRecord, "order_id", {"key": "other"}),
]


async def test_what_a_row_points_to_must_exist(rows: Rows) -> None:
    for model, column, changes in ORPHANS:
        with pytest.raises(IntegrityError, match=r"(?i)foreign key constraint"):
            await copy_of(rows[model], **{**changes, column: 77 if column == "event_id" else new_key()}).save(
                force_create=True
            )
        assert await model.all().count() == 1


async def test_keys_are_uuids_of_version_7_in_the_order_in_which_they_were_made(rows: Rows) -> None:
    keyed_otherwise = (
        OrderNumber,
        OrderEvent,
        DeliveryNoteSeries,
        SigningKey,
        EffectPosition,
        RegisteredDocument,
    )
    for row in rows.values():
        if not isinstance(row, keyed_otherwise):
            assert isinstance(row.pk, UUID)
            assert (row.pk.version, row.pk.variant) == (7, "specified in RFC 4122")
    keys = [new_key() for _ in range(1000)]
    assert keys == sorted(keys)
    assert len(set(keys)) == 1000
    made_at = (keys[-1].int >> 80) / 1000
    assert abs(made_at - datetime.now(UTC).timestamp()) < 60


async def test_keys_sort_as_text_as_they_sort_as_keys(rows: Rows) -> None:
    tags = [OrderTag(order_id=rows[Order].pk, tag=f"t{index}") for index in range(50)]
    await OrderTag.bulk_create(tags)
    stored = await run_sql("SELECT id, tag FROM order_tags WHERE tag LIKE 't%' ORDER BY id")
    assert [row["tag"] for row in stored] == [f"t{index}" for index in range(50)]


async def test_event_positions_go_up_and_are_never_used_again(rows: Rows) -> None:
    positions = []
    for version in (2, 3):
        event = copy_of(rows[OrderEvent], order_version=version)
        await event.save(force_create=True)
        positions.append(event.pk)
    assert positions == [2, 3]
    await OrderEvent.filter(id=3).delete()
    again = copy_of(rows[OrderEvent], order_version=3)
    await again.save(force_create=True)
    assert again.pk == 4


ZURICH, KOLKATA = timezone(timedelta(hours=1)), timezone(timedelta(hours=5, minutes=30))
MOMENTS = [
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(2026, 3, 1, 5, 59, 59, 999999, KOLKATA),
    datetime(2026, 3, 1, 0, 30, 0, 1, UTC),
    datetime(2026, 3, 1, 1, 30, 0, 2, ZURICH),
    datetime(2026, 3, 1, 11, 59, 59, 999999, UTC),
    datetime(2026, 3, 1, 12, tzinfo=UTC),
    datetime(2026, 3, 1, 13, 0, 0, 1, ZURICH),
    datetime(2026, 3, 1, 12, 0, 0, 100000, UTC),
    datetime(2026, 3, 1, 17, 30, 1, tzinfo=KOLKATA),
    datetime(2026, 3, 2, 0, 15, tzinfo=ZURICH),
    datetime(2026, 3, 1, 23, 30, tzinfo=UTC),
    datetime(8999, 12, 31, 23, 59, 59, 999999, UTC),
]


async def test_times_sort_as_text_as_the_moments_do(rows: Rows) -> None:
    """Whatever zone they were given in, with and without fractions of a second."""
    assert sorted(MOMENTS) == MOMENTS
    for number, moment in enumerate(reversed(MOMENTS), start=10):
        twin = copy_of(rows[Order], number=number, external_reference=None, placed_at=moment, note="m")
        await twin.save(force_create=True)
    stored = await run_sql("SELECT placed_at FROM orders WHERE note = 'm' ORDER BY placed_at")
    assert all(str(row["placed_at"]).endswith("+00:00") for row in stored)
    found = await Order.filter(note="m").order_by("placed_at")
    assert [order.placed_at for order in found] == MOMENTS
    assert all(order.placed_at.utcoffset() == timedelta() for order in found)


COMPARISONS: list[tuple[str, Callable[[datetime, datetime], bool]]] = [
    ("placed_at__gte", lambda stored, bound: stored >= bound),
    ("placed_at__gt", lambda stored, bound: stored > bound),
    ("placed_at__lte", lambda stored, bound: stored <= bound),
    ("placed_at__lt", lambda stored, bound: stored < bound),
    ("placed_at", lambda stored, bound: stored == bound),
]


async def test_times_compare_as_the_moments_do(rows: Rows) -> None:
    for number, moment in enumerate(MOMENTS, start=10):
        twin = copy_of(rows[Order], number=number, external_reference=None, placed_at=moment, note="m")
        await twin.save(force_create=True)
    for condition, holds in COMPARISONS:
        for bound in MOMENTS:
            found = await Order.filter(note="m", **{condition: bound.astimezone(KOLKATA)}).order_by("placed_at")
            assert [order.placed_at for order in found] == [moment for moment in MOMENTS if holds(moment, bound)]
