"""Asking a fulfillment service to ship, and its answers."""

from uuid import UUID

from domain import rules
from domain.actors import Actor, Scope
from domain.change import Target, UnitOfWork, change, command
from domain.events import FulfillmentAccepted, FulfillmentRejected, FulfillmentRequested
from domain.fulfillments.packing import Packing
from domain.fulfillments.services import require_service
from domain.validation import required_text
from models import Fulfillment, FulfillmentService, Order
from models.engine.rows import save
from models.enums import FulfillmentState, RequestStatus

LONGEST_REASON = 1_000


@command(Scope.FULFILLMENT_WRITE)
async def request_fulfillments(*, actor: Actor, target: Target, service: str | None = None) -> Order:
    """Ask the services of the order's lines, or one of them, to ship what is left of these lines.

    Each gets a fulfillment of its own. If all of it is asked for already, nothing changes. Raise `NothingToShip` if
    no line has a service.
    """
    only = None if service is None else await require_service(service, "service")
    async with change(actor) as work:
        order = await work.lock_order(target)
        rules.require_status(order.status, rules.REQUESTABLE, "be given to a fulfillment service")
        packing = await Packing.open(work, order)
        wanted = _wanted(packing, only)
        if not wanted and not any(each.request_status for each in packing.fulfillments):
            raise rules.NothingToShip(rules.NOTHING_TO_REQUEST)
        services = await FulfillmentService.in_bulk(list(wanted), "id")
        for service_id, units in wanted.items():
            opened = packing.pack(units)
            opened.service_id, opened.request_status = service_id, RequestStatus.REQUESTED
            work.record(
                order,
                FulfillmentRequested(opened.id, services[service_id].name, packing.units_in(opened)),
            )
        await packing.write()
    return work.order


def _wanted(packing: Packing, only: FulfillmentService | None) -> dict[UUID, dict[UUID, int]]:
    """Return the free units of each service's lines."""
    wanted: dict[UUID, dict[UUID, int]] = {}
    for line in packing.lines:
        if line.service_id and line.fulfillable_quantity and (only is None or line.service_id == only.id):
            wanted.setdefault(line.service_id, {})[line.id] = line.fulfillable_quantity
    return wanted


@command(Scope.FULFILLMENT_WRITE, services_too=True)
async def accept_fulfillment(*, actor: Actor, target: Target, fulfillment_id: UUID) -> Order:
    """Record that the service will ship it."""
    async with change(actor) as work:
        order, _, fulfillment = await _open_request(work, target, fulfillment_id)
        if fulfillment.request_status is RequestStatus.ACCEPTED:
            return order
        _require_open(order, fulfillment)
        fulfillment.request_status = RequestStatus.ACCEPTED
        await save(fulfillment, "request_status")
        work.record(order, FulfillmentAccepted(fulfillment.id, await _name(fulfillment)))
    return work.order


@command(Scope.FULFILLMENT_WRITE, services_too=True)
async def reject_fulfillment(*, actor: Actor, target: Target, fulfillment_id: UUID, reason: str) -> Order:
    """Record that the service does not ship it, and free its units."""
    reason = required_text(reason, "reason", longest=LONGEST_REASON)
    async with change(actor) as work:
        order, packing, fulfillment = await _open_request(work, target, fulfillment_id)
        if fulfillment.request_status is RequestStatus.REJECTED:
            return order
        _require_open(order, fulfillment)
        fulfillment.request_status, fulfillment.rejection = RequestStatus.REJECTED, reason
        await save(fulfillment, "request_status", "rejection")
        packing.give_back(fulfillment)
        await packing.write()
        work.record(order, FulfillmentRejected(fulfillment.id, await _name(fulfillment), reason))
    return work.order


async def _open_request(work: UnitOfWork, target: Target, fulfillment_id: UUID) -> tuple[Order, Packing, Fulfillment]:
    order = await work.lock_order(target)
    packing = await Packing.open(work, order)
    return order, packing, packing.find(fulfillment_id)


def _require_open(order: Order, fulfillment: Fulfillment) -> None:
    """Raise `InvalidTransition` if no service was asked for it, or it is no longer open."""
    if fulfillment.request_status is None:
        raise rules.InvalidTransition("No service was asked to ship this.", order.status)
    if fulfillment.state is not FulfillmentState.OPEN:
        raise rules.InvalidTransition(f"This fulfillment is {fulfillment.state} already.", order.status)


async def _name(fulfillment: Fulfillment) -> str:
    return (await FulfillmentService.get(id=fulfillment.service_id)).name
