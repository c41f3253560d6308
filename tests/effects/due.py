"""What the engine does in turns, one turn at a time."""

from effects.claims import LaneShares, load_lanes
from effects.claims import claim as claim_with
from models import Effect


async def claim(most: int = 8) -> list[Effect]:
    """Lease up to so many effects that are due, as a process does that has nothing else to do."""
    shares, claimed = LaneShares(), []
    async for effect in claim_with(await load_lanes(), shares):
        shares.begin(effect.lane)
        claimed.append(effect)
        if len(claimed) == most:
            break
    return claimed
