"""Commands that pack, track and ship an order."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from domain import rules, search
from domain.actors import Actor, Scope
from domain.change import Target, UnitOfWork, change, command
from domain.errors import InvalidInput, NotFound
from domain.events import FulfillmentOpened, OrderReadyToShip, TrackingAdded, TrackingRemoved, TrackingUpdated
from domain.fulfillments.packing import LineQuantity, Packing
from domain.validation import link, optional_text, required_text
from models import DeliveryNote, Fulfillment, Order, OrderEvent, OrderLine, Tracking
from models.engine.fields import new_key
from models.engine.rows import remove, save
from models.enums import FulfillmentState, OrderEventType, OrderStatus


@dataclass(frozen=True, slots=True)
class TrackingInfo:
    """A tracking number as a caller gives it; `field` is where in the input it stands."""

    number: str
    carrier: str | None = None
    url: str | None = None
    field: tuple[str, ...] = ()

    def checked(self) -> "TrackingInfo":
        """Return it without surrounding space. Raise `InvalidInput`."""
        return TrackingInfo(
            number=required_text(self.number, *self.field, "number", longest=128),
            carrier=optional_text(self.carrier, *self.field, "carrier", longest=64),
            url=link(self.url, *self.field, "url", longest=2048),
            field=self.field,
        )


@command(Scope.FULFILLMENT_WRITE)
async def mark_ready_to_ship(*, actor: Actor, target: Target, lines: Sequence[LineQuantity] | None = None) -> Order:
    """Open a fulfillment for all units that no other holds, or for those named; the order is then ready to ship.

    Units that an open fulfillment holds exactly are packed already.
    """
    async with change(actor) as work:
        order = await work.lock_order(target)
        if order.status is not OrderStatus.READY_TO_SHIP:
            rules.require_transition(order.status, OrderStatus.READY_TO_SHIP)
        packing = await Packing.open(work, order)
        wanted = packing.free_units() if lines is None else _unpacked(packing, packing.read(lines))
        if not wanted and order.status is OrderStatus.READY_TO_SHIP:
            return order
        if not wanted and not packing.in_state(FulfillmentState.OPEN):
            raise rules.NothingToShip("Nothing is left to ship.")
        packing.require_fit(wanted)
        opened = packing.pack(wanted) if wanted else None
        units = packing.units_in(opened) if opened else ()
        if opened and order.status is OrderStatus.READY_TO_SHIP:
            work.record(order, FulfillmentOpened(fulfillment_id=opened.id, lines=units))
        else:
            order.status = OrderStatus.READY_TO_SHIP
            work.record(order, OrderReadyToShip(fulfillment_id=opened.id if opened else None, lines=units))
        await packing.write()
    return work.order


def _unpacked(packing: Packing, wanted: dict[UUID, int]) -> dict[UUID, int]:
    """Return the units, or none if a fulfillment holds exactly these and no more are free."""
    packed = not packing.fits(wanted) and packing.holding(wanted, FulfillmentState.OPEN) is not None
    return {} if packed else wanted


@command(Scope.FULFILLMENT_WRITE, services_too=True)
async def mark_shipped(
    *,
    actor: Actor,
    target: Target,
    lines: Sequence[LineQuantity] | None = None,
    fulfillment_id: UUID | None = None,
    tracking: Sequence[TrackingInfo] = (),
) -> Order:
    """Send off the open fulfillments, or one of them, or the units named.

    If none is open, open one for all that is left. Named units leave in the open fulfillment that holds exactly
    these, or in a new one if they are free. If only some units of a fulfillment are named, it leaves with those, and
    the others are free again.
    """
    _require_named(actor, fulfillment_id, lines)
    tracking = [each.checked() for each in tracking]
    async with change(actor) as work:
        order = await work.lock_order(target)
        packing = await Packing.open(work, order)
        wanted = None if lines is None else packing.read(lines)
        named = None if fulfillment_id is None else packing.find(fulfillment_id)
        if _has_left(order, packing, wanted, named):
            await _refuse_new_numbers(order, tracking)
            return order
        leaving = _leaving(order, packing, wanted, named)
        if tracking and len(leaving) > 1:
            raise InvalidInput("Several fulfillments are open: say which one has this number.", "fulfillment_id")
        numbers = await _track(work, order, leaving[0], tracking)
        for fulfillment in leaving:
            packing.ship(fulfillment)
        await packing.write()
        await _write_numbers(order, numbers)
    return work.order


def _require_named(actor: Actor, fulfillment_id: UUID | None, lines: Sequence[LineQuantity] | None = None) -> None:
    """Raise `InvalidInput` if a service does not name the fulfillment that it was asked to ship, or names lines."""
    if actor.service_id is not None and fulfillment_id is None:
        raise InvalidInput("Say which fulfillment.", "fulfillment_id")
    if actor.service_id is not None and lines is not None:
        raise InvalidInput("A fulfillment service ships what it was asked to, as a whole.", "lines")


def _has_left(order: Order, packing: Packing, wanted: dict[UUID, int] | None, named: Fulfillment | None) -> bool:
    """Return whether this shipment was made before, exactly so and with nothing to follow."""
    if named is not None:
        return named.state is FulfillmentState.SHIPPED and (wanted is None or packing.holds(named, wanted))
    if wanted is None:
        return order.status is OrderStatus.SHIPPED
    return packing.have_left(wanted) and packing.holding(wanted, FulfillmentState.SHIPPED) is not None


async def _refuse_new_numbers(order: Order, tracking: Sequence[TrackingInfo]) -> None:
    """Raise `InvalidTransition` if a repeated shipment brings a tracking number that the order lacks."""
    numbers = {each.number for each in tracking}
    if numbers and numbers - set(await Tracking.filter(order_id=order.id).values_list("number", flat=True)):
        raise rules.InvalidTransition(
            "This has shipped already; add the tracking number with addTracking.", order.status, OrderStatus.SHIPPED
        )


def _leaving(
    order: Order, packing: Packing, wanted: dict[UUID, int] | None, named: Fulfillment | None
) -> list[Fulfillment]:
    """Return the fulfillments that leave, packed as they leave."""
    if order.status is not OrderStatus.SHIPPED:
        rules.require_transition(order.status, OrderStatus.SHIPPED)
    if named is not None and named.state is not FulfillmentState.OPEN:
        raise rules.InvalidTransition(f"This fulfillment is {named.state} already.", order.status)
    if wanted is None:
        return [named] if named else packing.in_state(FulfillmentState.OPEN) or [packing.pack_rest()]
    into = named or _holder(packing, wanted)
    packing.require_fit(wanted, within=into)
    return [packing.pack(wanted, into=into)]


def _holder(packing: Packing, wanted: dict[UUID, int]) -> Fulfillment | None:
    """Return the open fulfillment out of which these units leave, or None for a new one."""
    exact = packing.holding(wanted, FulfillmentState.OPEN)
    if exact or packing.fits(wanted):
        return exact
    waiting = packing.in_state(FulfillmentState.OPEN)
    possible = [each for each in waiting if packing.fits(wanted, within=each)]
    if len(possible) > 1:
        raise InvalidInput("Several fulfillments are open: say which one leaves.", "fulfillment_id")
    return next(iter(possible or waiting), None)


@command(Scope.FULFILLMENT_WRITE, services_too=True)
async def add_tracking(
    *, actor: Actor, target: Target, info: TrackingInfo, fulfillment_id: UUID | None = None
) -> Order:
    """Add a tracking number to a fulfillment: by default the open one, or the only one.

    If the order has none, open one for all that is left.
    """
    _require_named(actor, fulfillment_id)
    info = info.checked()
    async with change(actor) as work:
        order = await work.lock_order(target)
        rules.require_status(order.status, rules.TRACKABLE, "be given a tracking number")
        packing = await Packing.open(work, order)
        fulfillment = _fulfillment_for_tracking(packing, fulfillment_id)
        if fulfillment.state is FulfillmentState.CANCELLED:
            raise rules.InvalidTransition(f"This fulfillment is {fulfillment.state} already.", order.status)
        numbers = await _track(work, order, fulfillment, [info])
        await packing.write()
        await _write_numbers(order, numbers)
    return work.order


def _fulfillment_for_tracking(packing: Packing, fulfillment_id: UUID | None) -> Fulfillment:
    if fulfillment_id is not None:
        return packing.find(fulfillment_id)
    candidates = packing.in_state(FulfillmentState.OPEN) or packing.in_state(FulfillmentState.SHIPPED)
    if len(candidates) > 1:
        raise InvalidInput("The order has several fulfillments: say which one.", "fulfillment_id")
    return candidates[0] if candidates else packing.open_rest()


async def _track(
    work: UnitOfWork, order: Order, fulfillment: Fulfillment, infos: Sequence[TrackingInfo]
) -> list[Tracking]:
    """Record the numbers that the fulfillment does not have yet. `_write_numbers` saves them once it is there."""
    if not infos:
        return []
    known = {row.number: row for row in await Tracking.filter(fulfillment_id=fulfillment.id)}
    new = []
    for info in infos:
        existing = known.get(info.number)
        if existing is not None:
            _require_same(existing, info)
            continue
        row = Tracking(
            id=new_key(),
            order_id=order.id,
            fulfillment_id=fulfillment.id,
            number=info.number,
            carrier=info.carrier,
            url=info.url,
            created_at=work.now,
            updated_at=work.now,
        )
        known[info.number] = row
        new.append(row)
        work.record(order, TrackingAdded(row.id, fulfillment.id, info.number, info.carrier, info.url))
    return new


def _require_same(existing: Tracking, info: TrackingInfo) -> None:
    """Raise `InvalidInput` if the number comes with another carrier or link than it has."""
    if (info.carrier or existing.carrier, info.url or existing.url) != (existing.carrier, existing.url):
        raise InvalidInput(
            "The fulfillment has this number already; change it with updateTracking.", *info.field, "number"
        )


async def _write_numbers(order: Order, rows: Sequence[Tracking]) -> None:
    if rows:
        await Tracking.bulk_create(rows)
        await search.add_terms(order.id, [row.number for row in rows])


async def _find_tracking(actor: Actor, order: Order, tracking_id: UUID) -> Tracking | None:
    """Return the order's tracking number. A service finds only those of what it was asked to ship."""
    found = Tracking.filter(id=tracking_id, order_id=order.id)
    if actor.service_id is not None:
        found = found.filter(fulfillment__service_id=actor.service_id)
    return await found.get_or_none()


@dataclass(frozen=True, slots=True)
class Keep:
    """In an update: leave this as it is."""


KEEP = Keep()


@command(Scope.FULFILLMENT_WRITE, services_too=True)
async def update_tracking(
    *,
    actor: Actor,
    target: Target,
    tracking_id: UUID,
    number: str | Keep = KEEP,
    carrier: str | Keep | None = KEEP,
    url: str | Keep | None = KEEP,
) -> Order:
    """Correct a tracking number, before or after the shipment; `None` takes its carrier or link away."""
    async with change(actor) as work:
        order = await work.lock_order(target)
        tracking = await _find_tracking(actor, order, tracking_id)
        if tracking is None:
            raise NotFound("The order has no such tracking number.", "tracking_id")
        old = TrackingInfo(tracking.number, tracking.carrier, tracking.url)
        new = TrackingInfo(
            number=old.number if isinstance(number, Keep) else number,
            carrier=old.carrier if isinstance(carrier, Keep) else carrier,
            url=old.url if isinstance(url, Keep) else url,
        ).checked()
        if new == old:
            return order
        if new.number != old.number:
            twins = Tracking.filter(fulfillment_id=tracking.fulfillment_id, number=new.number)
            if await twins.exists():
                raise InvalidInput("The fulfillment has this number already.", "number")
        tracking.number, tracking.carrier, tracking.url = new.number, new.carrier, new.url
        tracking.updated_at = work.now
        await save(tracking, "number", "carrier", "url", "updated_at")
        if new.number != old.number:
            await _forget_number(order, old.number)
            await search.add_terms(order.id, [new.number])
        work.record(
            order,
            TrackingUpdated(
                tracking_id=tracking.id,
                fulfillment_id=tracking.fulfillment_id,
                previous_number=old.number,
                number=new.number,
                carrier=new.carrier,
                url=new.url,
            ),
        )
    return work.order


@command(Scope.FULFILLMENT_WRITE, services_too=True)
async def remove_tracking(*, actor: Actor, target: Target, tracking_id: UUID) -> Order:
    """Take a tracking number away."""
    async with change(actor) as work:
        order = await work.lock_order(target)
        tracking = await _find_tracking(actor, order, tracking_id)
        if tracking is None:
            removals = OrderEvent.filter(order_id=order.id, type=OrderEventType.TRACKING_REMOVED)
            if any(event.data["trackingId"] == str(tracking_id) for event in await removals):
                return order
            raise NotFound("The order has no such tracking number.", "tracking_id")
        await remove(tracking)
        await _forget_number(order, tracking.number)
        work.record(
            order,
            TrackingRemoved(tracking_id=tracking.id, fulfillment_id=tracking.fulfillment_id, number=tracking.number),
        )
    return work.order


async def _forget_number(order: Order, number: str) -> None:
    """Remove the number from the search, unless something else of the order reads the same."""
    others = [str(order.number), order.external_reference, order.external_number]
    others += [row.number for row in await Tracking.filter(order_id=order.id)]
    others += [note.number for note in await DeliveryNote.filter(order_id=order.id).only("number")]
    others += [line.sku for line in await OrderLine.filter(order_id=order.id)]
    if search.normalize(number) not in {search.normalize(text) for text in others if text}:
        await search.remove_term(order.id, number)
