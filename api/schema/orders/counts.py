"""How many orders there are, as GraphQL shows it."""

from typing import ClassVar

import strawberry

from api.execution.rights import GIVEN, Rights
from api.schema import enums

field = strawberry.field


@strawberry.type(description="How many orders have a status.")
class OrderStatusCount:
    RIGHTS: ClassVar[Rights] = {GIVEN: "status count"}

    status: enums.OrderStatus = field(description="The status.")
    count: int = field(description="How many orders have it.")


@strawberry.type(description="How many orders have a payment status.")
class PaymentStatusCount:
    RIGHTS: ClassVar[Rights] = {GIVEN: "status count"}

    status: enums.PaymentStatus = field(description="The payment status.")
    count: int = field(description="How many orders have it.")


@strawberry.type(description="How many orders have a fulfillment status.")
class FulfillmentStatusCount:
    RIGHTS: ClassVar[Rights] = {GIVEN: "status count"}

    status: enums.FulfillmentStatus = field(description="The fulfillment status.")
    count: int = field(description="How many orders have it.")


@strawberry.type(description="How many orders there are, along each axis.")
class OrderCounts:
    RIGHTS: ClassVar[Rights] = {GIVEN: "total archived byStatus byPaymentStatus byFulfillmentStatus"}

    total: int = field(description="All orders that the filter means.")
    archived: int = field(description="How many of them are in the archive.")
    by_status: list[OrderStatusCount] = field(description="By status; each status once, also those of no order.")
    by_payment_status: list[PaymentStatusCount] = field(description="By payment status; each once.")
    by_fulfillment_status: list[FulfillmentStatusCount] = field(description="By fulfillment status; each once.")
