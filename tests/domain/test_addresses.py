"""How addresses are written: each country's own way, seen from Switzerland."""

from typing import Any

import pytest

from domain.addresses import written
from models import Address

STREET = {"name": "Anna Muster", "address1": "Hauptstrasse 5"}


def lines(country_code: str | None, locale: str = "de-CH", **given: Any) -> list[str]:
    address = Address(country_code=country_code, **{**STREET, **given})
    return list(written(address, locale=locale, from_country="CH"))


@pytest.mark.parametrize(
    ("country", "given", "expected"),
    [
        ("CH", {"postal_code": "8001", "city": "Zürich", "province": "ZH"}, ["8001 Zürich"]),
        (None, {"postal_code": "8001", "city": "Zürich"}, ["8001 Zürich"]),
        ("DE", {"postal_code": "10115", "city": "Berlin"}, ["10115 BERLIN", "DEUTSCHLAND"]),
        ("LI", {"postal_code": "9490", "city": "Vaduz"}, ["9490 VADUZ", "LIECHTENSTEIN"]),
        (
            "US",
            {"postal_code": "94105", "city": "San Francisco", "province": "CA"},
            ["SAN FRANCISCO, CA 94105", "VEREINIGTE STAATEN"],
        ),
        ("GB", {"postal_code": "SW1A 2AA", "city": "London"}, ["LONDON", "SW1A 2AA", "VEREINIGTES KÖNIGREICH"]),
        ("XX", {"postal_code": "1", "city": "Nowhere"}, ["1 Nowhere", "XX"]),
        ("IT", {"city": "Milano"}, ["MILANO", "ITALIEN"]),
    ],
)
def test_town_and_country(country: str | None, given: dict[str, str], expected: list[str]) -> None:
    assert lines(country, **given) == ["Anna Muster", "Hauptstrasse 5", *expected]


def test_the_country_is_named_in_the_senders_language() -> None:
    assert [lines("DE", locale)[-1] for locale in ("fr-CH", "it-CH", "en")] == ["ALLEMAGNE", "GERMANIA", "GERMANY"]


def test_a_company_and_a_second_line() -> None:
    found = lines("CH", company="Muster AG", address2="2. Stock", postal_code="8001", city="Zürich")
    assert found == ["Muster AG", "Anna Muster", "Hauptstrasse 5", "2. Stock", "8001 Zürich"]


def test_japan_begins_with_the_postal_code() -> None:
    found = lines("JP", name="山田太郎", address1="千代田1-1", province="東京都", postal_code="100-0001")
    assert found == ["〒100-0001", "東京都", "千代田1-1", "山田太郎", "JAPAN"]


def test_an_address_of_nothing_but_a_country() -> None:
    assert list(written(Address(country_code="CH"), locale="de-CH", from_country="CH")) == []
