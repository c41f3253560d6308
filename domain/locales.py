"""The locales that customers are written to in."""

from typing import Final

LOCALES: Final = ("de-CH", "de-DE", "fr-CH", "it-CH", "en")

_HOME: Final = {"de": "de-DE", "fr": "fr-CH", "it": "it-CH", "en": "en"}  # for what is none of the locales exactly


def best_locale(wanted: str | None, default: str) -> str:
    """Return the locale of `LOCALES` for a customer of that language (BCP 47), or the default if there is none."""
    parts = (wanted or "").replace("_", "-").lower().split("-")
    for known in LOCALES:
        if known.lower() == "-".join(parts[:2]):
            return known
    if parts[0] == default.partition("-")[0]:
        return default
    return _HOME.get(parts[0], default)
