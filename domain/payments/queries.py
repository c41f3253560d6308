"""What became of payments that were asked for."""

from domain.actors import Actor
from domain.change import Idempotency
from models import IdempotencyRecord, Transaction
from models.enums import TransactionStatus


async def failures_of(actor: Actor, idempotency: Idempotency) -> list[Transaction]:
    """Return the transactions of this act that their gateways refused."""
    record = await IdempotencyRecord.get_or_none(actor_id=actor.id or "", key=idempotency.key)
    if record is None or record.result_id is None:
        return []
    first = await Transaction.get(id=record.result_id)
    return await Transaction.filter(
        order_id=first.order_id, processed_at=first.processed_at, status=TransactionStatus.FAILED
    ).order_by("id")
