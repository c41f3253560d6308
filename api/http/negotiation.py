"""Content negotiation: which form of answer a client wants (RFC 9110, section 12.5.1)."""

from collections.abc import Sequence


def best_match(accept: str | None, offers: Sequence[str]) -> str | None:
    """Return the offer that the client likes best, the earlier of equals, or None if it accepts none.

    Without an `Accept` header, return the first offer.
    """
    if not accept:
        return offers[0]
    ranges = [_parse(part) for part in accept.split(",")]
    best, best_quality = None, 0.0
    for offer in offers:
        quality = _quality(offer, ranges)
        if quality > best_quality:
            best, best_quality = offer, quality
    return best


def _parse(part: str) -> tuple[str, float]:
    media_range, *parameters = (piece.strip() for piece in part.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return media_range.lower(), min(max(float(value), 0.0), 1.0)
            except ValueError:
                return media_range.lower(), 0.0
    return media_range.lower(), 1.0


def _quality(offer: str, ranges: Sequence[tuple[str, float]]) -> float:
    """Return the quality of the most specific range that covers the offer."""
    for candidate in (offer, offer.partition("/")[0] + "/*", "*/*"):
        for media_range, quality in ranges:
            if media_range == candidate:
                return quality
    return 0.0
