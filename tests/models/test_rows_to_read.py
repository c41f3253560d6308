"""Rows to read from have what the models' own instances have."""

import pytest

from domain.actors import Scope, system
from domain.orders.placing import NewAddress, NewCustomer
from domain.tokens import create_token
from models import Order, OrderLine, OrderNumber
from models.engine import rows
from tests.database import tables
from tests.domain.shop import ADA, paid, place


@pytest.fixture
async def orders(database: str) -> list[Order]:
    address = NewAddress(name="Zoë", city="Zürich", country_code="CH")
    customer = NewCustomer(name="Zoë", email="zoe@example.com")
    await create_token(actor=system("tests"), name="all", scopes=[Scope.ORDERS_READ])
    await create_token(actor=system("tests"), name="bound", scopes=[Scope.ORDERS_READ], channels=["web"])
    full = {"customer": customer, "shipping_address": address, "tags": ("one",), "payments": (paid("5"),)}
    return [await place(ADA, **full), await place(ADA), await place(ADA)]  # type: ignore[arg-type]


async def test_each_column_has_the_same_value(orders: list[Order]) -> None:
    compared = set()
    for model in tables():
        instances = await model.all().order_by(model._meta.pk_attr)
        read = await rows.read(model.all().order_by(model._meta.pk_attr))
        assert len(read) == len(instances)
        for row, instance in zip(read, instances, strict=True):
            for name in model._meta.fields_db_projection:
                value = getattr(instance, name)
                assert getattr(row, name) == value, (model, name)
                assert isinstance(getattr(row, name), type(value)), (model, name)
                compared.add((model, name, value is None))
    assert {(Order, "customer_id", True), (Order, "customer_id", False)} <= compared
    assert len({model for model, *_ in compared} - {OrderNumber}) >= 10


async def test_a_row_has_the_properties_of_its_model_and_cannot_be_changed(orders: list[Order]) -> None:
    [row] = await rows.read_by(Order, "id", [orders[0].id])
    assert row.outstanding == orders[0].outstanding == 3480
    with pytest.raises(AttributeError):
        row.total = 0
    for write in (rows.save, rows.add, rows.remove, rows.reload):
        with pytest.raises(TypeError, match="OrderRow was only read"):
            await write(row)


async def test_rows_are_found_by_many_keys_in_the_order_that_is_asked_for(orders: list[Order]) -> None:
    ids = [each.id for each in orders]
    found = await rows.read_by(OrderLine, "order_id", [ids[2], ids[0]], "order_id", "position")
    assert [(row.order_id, row.position) for row in found] == [(ids[0], 0), (ids[0], 1), (ids[2], 0), (ids[2], 1)]
    assert await rows.read_by(Order, "id", []) == []
    assert [row.id for row in await rows.read_by(Order, "number", [orders[1].number])] == [ids[1]]
