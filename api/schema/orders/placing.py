"""The input of placeOrder."""

from datetime import datetime
from decimal import Decimal

import strawberry

from api.schema import enums
from api.schema.orders.inputs import IDEMPOTENCY_KEY, optional
from domain.orders import placing
from domain.payments.balances import MANUAL

field = strawberry.field


@strawberry.input(description="A position of a new order. Amounts are in the order's currency.")
class PlaceOrderLineInput:
    title: str = field(description="What was bought.")
    quantity: int = field(description="Units: at least 1.")
    unit_price: Decimal = field(description="The price of one unit before discounts.")
    sku: str | None = optional("Stock-keeping unit.")
    variant_title: str | None = optional("Which variant of it.")
    discount: Decimal | None = optional("The discount on all units of the line.")
    tax: Decimal | None = optional("The tax on all units of the line.")
    requires_shipping: bool = field(default=True, description="Whether it has to be sent.")
    weight_grams: int | None = optional("The weight of one unit, in grams.")
    download_url: str | None = optional(
        "Where a digital product is: an http or https address. The customer gets a link to it once it is fulfilled."
    )
    service: str | None = optional("The code of the fulfillment service that ships the line.")


@strawberry.input(description="A postal address.")
class AddressInput:
    name: str | None = optional("The person's name.")
    company: str | None = optional("The company's name.")
    address1: str | None = optional("Street and number.")
    address2: str | None = optional("What else the address needs.")
    postal_code: str | None = optional("Postal code.")
    city: str | None = optional("Town.")
    province: str | None = optional("State, canton or province.")
    country_code: str | None = optional("The country's code (ISO 3166-1 alpha-2).")
    phone: str | None = optional("Telephone number for the delivery.")

    def to_domain(self) -> placing.NewAddress:
        return placing.NewAddress(**vars(self))


@strawberry.input(description="Who bought. Within a channel, one e-mail address is one customer.")
class CustomerInput:
    email: str | None = optional("E-mail address.")
    name: str | None = optional("Full name.")
    phone: str | None = optional("Telephone number.")

    def to_domain(self) -> placing.NewCustomer:
        return placing.NewCustomer(**vars(self))


@strawberry.input(description="A payment that the shop has taken, or only had authorized, before it sent the order.")
class PaymentInput:
    kind: enums.TransactionKind = field(description="SALE for money that was taken, AUTHORIZATION for a promise.")
    amount: Decimal = field(description="How much, in the order's currency.")
    gateway: str | None = optional("Who holds the money; by default manual, which capturePayment can capture.")
    reference: str | None = optional("The gateway's reference.")
    processed_at: datetime | None = optional("When it was taken; by default now.")

    def to_domain(self) -> placing.NewPayment:
        return placing.NewPayment(
            kind=self.kind,
            amount=self.amount,
            gateway=MANUAL if self.gateway is None else self.gateway,
            reference=self.reference,
            processed_at=self.processed_at,
        )


@strawberry.input(description="The shop's own sums, which are then taken over instead of worked out from the lines.")
class OrderTotalsInput:
    subtotal: Decimal = field(description="What the lines cost after all discounts.")
    total: Decimal = field(description="What the customer pays.")
    discount_total: Decimal | None = optional("All discounts.")
    shipping_total: Decimal | None = optional("What the shipping costs.")
    tax_total: Decimal | None = optional("All taxes.")

    def to_domain(self) -> placing.NewTotals:
        return placing.NewTotals(
            subtotal=self.subtotal,
            total=self.total,
            discount_total=self.discount_total or Decimal(0),
            shipping_total=self.shipping_total or Decimal(0),
            tax_total=self.tax_total or Decimal(0),
        )


@strawberry.input(
    description="A new order, as its shop knows it. Amounts are in its currency. Without totals, they are worked out:"
    " subtotal = lines − discounts; total = subtotal + shipping + taxes, unless taxesIncluded."
)
class PlaceOrderInput:
    channel: str = field(
        description="The channel's code. A token that is not bound to channels opens a new one by its first order."
    )
    currency: str = field(description="The currency's code (ISO 4217) of all amounts.")
    lines: list[PlaceOrderLineInput] = field(description="What was bought: at least one line, at most 1,000.")
    source: enums.OrderSource = field(default=enums.OrderSource.ONLINE, description="What kind of place it is from.")
    external_reference: str | None = optional(
        "The channel's own key: a second order with the same one is refused with DUPLICATE_REFERENCE."
    )
    external_number: str | None = optional("The number that the channel shows to its customer, such as #1001.")
    customer: CustomerInput | None = optional("Who bought.")
    shipping_address: AddressInput | None = optional("Where it goes.")
    billing_address: AddressInput | None = optional("Who is billed.")
    order_discount: Decimal | None = optional("A discount on the whole order, besides those of the lines.")
    shipping_price: Decimal | None = optional("What the shipping costs.")
    taxes_included: bool = field(default=False, description="Whether the prices contain the taxes.")
    totals: OrderTotalsInput | None = optional("The shop's own sums.")
    payments: list[PaymentInput] | None = optional("Payments taken or authorized already; at most 100.")
    placed_at: datetime | None = optional("When it was placed; by default now.")
    locale: str | None = optional("The customer's language (BCP 47), such as de-CH.")
    note: str | None = optional("What the customer wrote, at most 5,000 characters.")
    tags: list[str] | None = optional("Words by which it can be found; at most 100.")
    handed_over: bool | None = optional(
        "Whether the customer has taken the goods along: the order is SHIPPED then. By default so for POS orders"
        " without a shippingAddress."
    )
    idempotency_key: str | None = optional(IDEMPOTENCY_KEY)

    def to_domain(self) -> placing.NewOrder:
        return placing.NewOrder(
            channel=self.channel,
            source=self.source,
            currency=self.currency,
            lines=[_new_line(line) for line in self.lines],
            external_reference=self.external_reference,
            external_number=self.external_number,
            customer=self.customer.to_domain() if self.customer else None,
            shipping_address=self.shipping_address.to_domain() if self.shipping_address else None,
            billing_address=self.billing_address.to_domain() if self.billing_address else None,
            order_discount=self.order_discount or Decimal(0),
            shipping_price=self.shipping_price or Decimal(0),
            taxes_included=self.taxes_included,
            totals=self.totals.to_domain() if self.totals else None,
            payments=[payment.to_domain() for payment in self.payments or ()],
            placed_at=self.placed_at,
            locale=self.locale,
            note=self.note,
            tags=self.tags or (),
            handed_over=self.handed_over,
        )


def _new_line(line: PlaceOrderLineInput) -> placing.NewLine:
    return placing.NewLine(
        title=line.title,
        quantity=line.quantity,
        unit_price=line.unit_price,
        sku=line.sku,
        variant_title=line.variant_title,
        discount=line.discount or Decimal(0),
        tax=line.tax or Decimal(0),
        requires_shipping=line.requires_shipping,
        weight_grams=line.weight_grams,
        download_url=line.download_url,
        service=line.service,
    )
