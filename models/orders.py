from datetime import datetime
from typing import Any
from uuid import UUID

from tortoise import fields
from tortoise.indexes import Index
from tortoise.migrations.constraints import CheckConstraint

from models.engine.fields import BytewiseCharField, UtcField, choice, key
from models.engine.table import Table
from models.enums import (
    AddressKind,
    CancelReason,
    FulfillmentStatus,
    OrderSource,
    OrderStatus,
    PaymentStatus,
)


class OrderNumber(Table):
    """The series of order numbers, in which every row inserted takes the next one."""

    number = fields.BigIntField(primary_key=True)
    taken_at: datetime = UtcField()  # Tortoise (1.1.9) inserts no row into a table that has only a key

    class Meta:
        table = "order_numbers"


class Order(Table):
    """An order and the sums and states that are derived from its parts.

    All amounts are whole minor units of `currency` (ISO 4217). `version` is the number of events recorded. While it is
    held, no automation touches it.
    """

    id: UUID = key()
    number = fields.BigIntField(unique=True)
    version = fields.IntField(default=0)
    channel: Any = fields.ForeignKeyField("models.Channel", related_name=False, on_delete=fields.RESTRICT)
    channel_id: UUID
    customer: Any = fields.ForeignKeyField("models.Customer", related_name=False, null=True, on_delete=fields.RESTRICT)
    customer_id: UUID | None
    source: OrderSource = choice(OrderSource, 16)
    external_reference = fields.CharField(max_length=255, null=True)
    external_number = fields.CharField(max_length=64, null=True)
    status: OrderStatus = choice(OrderStatus, 24, default=OrderStatus.PENDING)
    payment_status: PaymentStatus = choice(PaymentStatus, 24, default=PaymentStatus.PENDING)
    fulfillment_status: FulfillmentStatus = choice(FulfillmentStatus, 24, default=FulfillmentStatus.UNFULFILLED)
    currency = fields.CharField(max_length=3)
    subtotal = fields.BigIntField()
    discount_total = fields.BigIntField()
    shipping_total = fields.BigIntField()
    tax_total = fields.BigIntField()
    total = fields.BigIntField()
    authorized_total = fields.BigIntField(default=0)
    paid_total = fields.BigIntField(default=0)
    refunded_total = fields.BigIntField(default=0)
    taxes_included = fields.BooleanField(default=False)
    placed_at: datetime = UtcField()
    updated_at: datetime = UtcField()
    confirmed_at: datetime | None = UtcField(null=True)
    shipped_at: datetime | None = UtcField(null=True)
    cancelled_at: datetime | None = UtcField(null=True)
    cancel_reason: CancelReason | None = choice(CancelReason, 16, null=True)
    archived_at: datetime | None = UtcField(null=True)
    held_at: datetime | None = UtcField(null=True)
    hold_reason = fields.CharField(max_length=1024, null=True)
    locale = fields.CharField(max_length=35, null=True)
    note = fields.TextField(null=True)

    class Meta:
        table = "orders"
        unique_together = (("channel", "external_reference"),)
        indexes = (
            Index(fields=("placed_at", "id")),
            Index(fields=("updated_at", "id")),
            Index(fields=("total", "id")),
            Index(fields=("channel_id", "placed_at", "id")),
            Index(fields=("status", "placed_at", "id")),
            Index(fields=("payment_status", "placed_at", "id")),
            Index(fields=("fulfillment_status", "placed_at", "id")),
        )
        constraints = (
            CheckConstraint(
                check="subtotal >= 0 AND discount_total >= 0 AND shipping_total >= 0 AND tax_total >= 0"
                " AND total >= 0 AND authorized_total >= 0 AND paid_total >= 0",
                name="orders_amounts_not_negative",
            ),
            CheckConstraint(
                check="refunded_total >= 0 AND refunded_total <= paid_total",
                name="orders_refunded_at_most_paid",
            ),
        )

    @property
    def outstanding(self) -> int:
        """What is still to be paid, in minor units; 0 once the order is cancelled."""
        if self.status is OrderStatus.CANCELLED:
            return 0
        return max(int(self.total - self.paid_total), 0)


class OrderLine(Table):
    """A position of an order. `fulfillable_quantity` are the units due that no fulfillment holds yet.

    `total` is what the line costs after its discounts, in minor units of the order's currency. `weight_grams` is the
    weight of one unit. `download_url` is where a digital product is, `service` who fulfills the line.
    """

    id: UUID = key()
    order: Any = fields.ForeignKeyField("models.Order", related_name="lines", on_delete=fields.RESTRICT)
    order_id: UUID
    position = fields.IntField()
    sku = fields.CharField(max_length=255, null=True)
    title = fields.CharField(max_length=512)
    variant_title = fields.CharField(max_length=255, null=True)
    quantity = fields.IntField()
    unit_price = fields.BigIntField()
    discount_total = fields.BigIntField(default=0)
    tax_total = fields.BigIntField(default=0)
    total = fields.BigIntField()
    requires_shipping = fields.BooleanField(default=True)
    weight_grams = fields.IntField(null=True)
    download_url = fields.CharField(max_length=2048, null=True)
    service: Any = fields.ForeignKeyField(
        "models.FulfillmentService", related_name=False, null=True, on_delete=fields.RESTRICT
    )
    service_id: UUID | None
    removed_quantity = fields.IntField(default=0)
    fulfillable_quantity = fields.IntField()
    shipped_quantity = fields.IntField(default=0)

    class Meta:
        table = "order_lines"
        unique_together = (("order", "position"),)
        constraints = (
            CheckConstraint(check="quantity > 0", name="order_lines_quantity_positive"),
            CheckConstraint(
                check="unit_price >= 0 AND discount_total >= 0 AND tax_total >= 0 AND total >= 0",
                name="order_lines_amounts_not_negative",
            ),
            CheckConstraint(
                check="removed_quantity >= 0 AND fulfillable_quantity >= 0 AND shipped_quantity >= 0"
                " AND removed_quantity + fulfillable_quantity + shipped_quantity <= quantity",
                name="order_lines_units_add_up",
            ),
        )


class Address(Table):
    """Where an order goes or who is billed for it, as it was given when the order was placed."""

    id: UUID = key()
    order: Any = fields.ForeignKeyField("models.Order", related_name="addresses", on_delete=fields.RESTRICT)
    order_id: UUID
    kind: AddressKind = choice(AddressKind, 16)
    name = fields.CharField(max_length=255, null=True)
    company = fields.CharField(max_length=255, null=True)
    address1 = fields.CharField(max_length=255, null=True)
    address2 = fields.CharField(max_length=255, null=True)
    postal_code = fields.CharField(max_length=32, null=True)
    city = fields.CharField(max_length=255, null=True)
    province = fields.CharField(max_length=255, null=True)
    country_code = fields.CharField(max_length=2, null=True)
    phone = fields.CharField(max_length=64, null=True)

    class Meta:
        table = "addresses"
        unique_together = (("order", "kind"),)


class OrderTag(Table):
    id: UUID = key()
    order: Any = fields.ForeignKeyField("models.Order", related_name="tag_rows", on_delete=fields.RESTRICT)
    order_id: UUID
    tag = fields.CharField(max_length=64)

    class Meta:
        table = "order_tags"
        unique_together = (("order", "tag"),)
        indexes = (Index(fields=("tag", "order_id")),)


class SearchTerm(Table):
    """One text by whose beginning an order is found, in lower case.

    A `personal` one, such as a name, finds nothing for callers without access to personal data.
    """

    id: UUID = key()
    order: Any = fields.ForeignKeyField("models.Order", related_name="search_terms", on_delete=fields.RESTRICT)
    order_id: UUID
    term = BytewiseCharField(max_length=255)
    personal = fields.BooleanField(default=True, db_default=True)

    class Meta:
        table = "search_terms"
        unique_together = (("order", "term"),)
        indexes = (Index(fields=("term", "order_id")),)
