"""Where the server's own calls may go."""

from ipaddress import ip_address

import pytest

from domain.egress import (
    MALFORMED,
    NO_NAME,
    NOT_PUBLIC,
    NOT_WEB,
    WITH_PASSWORD,
    BadDestination,
    Destination,
    Egress,
    is_public,
    without_user,
)

REFUSED = {
    MALFORMED: (
        *(
            "http://[::1",
            "http://[::1]x/",
            "http://::1/",
            "http://[v1.x]/",
            "http:///x",
            "http://",
            "http://a.example:0/",
        ),
        *("http://a.example:65536/", "http://a.example:8x/", "http://a.example:+80/", "http://a.example:8_0/"),
        *("http://a.example:８０/", "http://a.example:80:90/", "http://a b.example/", "http://a.example/a b"),
        *("http://a.example\\@b.example/", "http:\\\\a.example", "http://a\tb.example/", "http://a\u200bb.example/"),
        *(
            "http://１２７.0.0.1/",
            "http://ⓛocalhost/",
            "http://0177.0.0.1/",
            "http://256.1.1.1/",
            "http://a\x00.example/",
        ),
    ),
    NOT_WEB: (
        "ftp://a.example/",
        "file:///etc/passwd",
        "javascript://a.example/",
        "//a.example/",
        "http:a.example",
        "a",
    ),
    WITH_PASSWORD: ("https://u:hunter2@a.example/", "https://u@a.example/", "https://@a.example/", "http://u:@[::1]/"),
    NO_NAME: (
        *(
            "http://2852039166/",
            "http://0/",
            "http://0x7f.1/",
            "http://0x7f000001/",
            "http://127.1/",
            "http://1.2.3.4.5/",
        ),
        *("http://127.0.0.1./", "http://localhost./", "http://a.example./", "http://[fe80::1%25eth0]/", "http://a..b/"),
        *("http://a.example%2eb/", "http://-a.example/", f"http://{'a' * 64}.example/", f"http://{'a.' * 130}example/"),
    ),
    NOT_PUBLIC: (
        *("http://127.0.0.1/", "http://127.255.255.254/", "http://0.0.0.0/", "http://10.1.2.3/", "http://172.16.0.1/"),
        *(
            "http://192.168.1.1/",
            "http://169.254.169.254/latest/meta-data",
            "http://100.64.0.1/",
            "http://192.0.0.192/",
        ),
        *(
            "http://198.18.0.1/",
            "http://224.0.1.1/",
            "http://255.255.255.255/",
            "http://168.63.129.16/",
            "http://[::1]/",
        ),
        *("http://[::]/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/", "http://[::127.0.0.1]/"),
        *("http://[64:ff9b::a00:1]/", "http://[64:ff9b:1::1]/", "http://[2002:7f00:1::]/", "http://[2001:0:1::1]/"),
        *(
            "http://[fe80::1]/",
            "http://[fd00:ec2::254]/",
            "http://[fec0::1]/",
            "http://[ff02::1]/",
            "http://[2001:db8::1]/",
        ),
        *("http://localhost:8000/", "http://LOCALHOST/", "http://a.localhost/", "http://localhost.localdomain/"),
        *("http://db/", "http://printer.local/", "http://metadata.google.internal/", "http://nas.home.arpa/"),
        "http://127。0。0。1/",
    ),
}


@pytest.mark.parametrize(("reason", "url"), [(reason, url) for reason, urls in REFUSED.items() for url in urls])
def test_what_is_refused_at_once(reason: str, url: str) -> None:
    with pytest.raises(BadDestination) as caught:
        Egress().check(url)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("url", "host", "port", "target"),
    [
        ("https://lager.example/hooks?x=1#y", "lager.example", 443, "/hooks?x=1"),
        ("HTTP://Lager.EXAMPLE", "lager.example", 80, "/"),
        ("https://bücher.example:8443/ä", "xn--bcher-kva.example", 8443, "/%C3%A4"),
        ("https://a_b.lager.example:/", "a_b.lager.example", 443, "/"),
        ("http://93.184.216.34/", "93.184.216.34", 80, "/"),
        ("http://[2606:2800:0220::1]:8080/", "2606:2800:220::1", 8080, "/"),
        ("http://[64:ff9b::808:808]/", "64:ff9b::808:808", 80, "/"),
        ("https://a.example/@b?u:p@c", "a.example", 443, "/@b?u:p@c"),
    ],
)
def test_what_may_be_called(url: str, host: str, port: int, target: str) -> None:
    assert Egress().check(url) == Destination(url.partition(":")[0].lower(), host, port, target)


@pytest.mark.parametrize(
    ("exceptions", "url", "allowed"),
    [
        ("localhost", "http://localhost:8000/", True),
        ("localhost:8000", "http://localhost:8000/", True),
        ("localhost:8000", "http://localhost:8001/", False),
        ("localhost", "http://127.0.0.1/", False),
        ("Warehouse.internal", "https://warehouse.INTERNAL/", True),
        ("127.0.0.1", "http://127.0.0.1:9/", True),
        ("127.0.0.1", "http://[::ffff:127.0.0.1]:9/", True),
        ("127.0.0.1:9", "http://127.0.0.1:9/", True),
        ("127.0.0.1:9", "http://127.0.0.1:10/", False),
        ("127.0.0.1:9", "http://localhost:10/", False),
        ("127.0.0.0/8", "http://localhost:10/", True),
        ("10.0.0.0/8", "http://10.9.8.7/", True),
        ("10.0.0.0/8", "http://11.9.8.7/", True),
        ("10.0.0.0/8", "http://192.168.0.1/", False),
        ("10.0.0.0/8", "http://warehouse/", True),  # it may lead there; that is seen when it is called
        ("::1", "http://[::1]:5/", True),
        ("[::1]", "http://[::1]:5/", True),
        ("[::1]:5", "http://[::1]:5/", True),
        ("[::1]:5", "http://[::1]:6/", False),
        ("fd00::/8", "http://[fd12::1]/", True),
        ("127.0.0.1:80", "http://127.0.0.1/", True),
    ],
)
def test_exceptions(exceptions: str, url: str, allowed: bool) -> None:
    egress = Egress.allowing([exceptions])
    if allowed:
        egress.check(url)
    else:
        with pytest.raises(BadDestination):
            egress.check(url)


@pytest.mark.parametrize("text", ["10.0.0.1/8", "10.0.0.0/99", "a b", "a/b", "*", "http://a", "a:99999", "u@a", ""])
def test_what_is_no_exception(text: str) -> None:
    with pytest.raises(ValueError, match="an exception is a host"):
        Egress.allowing([text])


def test_a_name_is_no_better_than_the_address_that_it_leads_to() -> None:
    private, public = ip_address("10.0.0.1"), ip_address("93.184.216.34")
    assert not Egress().permits("lager.example", 443, private)
    assert Egress().permits("lager.example", 443, public)
    assert Egress.allowing(["lager.example"]).permits("lager.example", 443, private)
    assert not Egress.allowing(["lager.example:8443"]).permits("lager.example", 443, private)
    assert Egress.allowing(["10.0.0.0/24"]).permits("lager.example", 443, private)


def test_the_operators_own_urls_are_exceptions() -> None:
    egress = Egress().including("http://127.0.0.1:9/x", "https://login.internal/realms/x", "http://[::1]:7")
    for url in ("http://127.0.0.1:9/y", "https://login.internal/", "http://[::1]:7/"):
        egress.check(url)
    for url in ("http://127.0.0.1:10/", "https://login.internal:8443/", "http://[::1]/"):
        with pytest.raises(BadDestination):
            egress.check(url)


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "1.1.1.1",
        "192.0.1.1",
        "172.32.0.1",
        "100.128.0.1",
        "2606:4700::1",
        "2001:4860::8888",
        "64:ff9b::101:101",
    ],
)
def test_public_addresses(address: str) -> None:
    assert is_public(ip_address(address))


def test_a_password_that_was_stored_is_not_shown() -> None:
    assert without_user("https://u:p@a.example/x@y") == "https://a.example/x@y"
    assert without_user("https://u:p@ss@a.example/") == "https://a.example/"
    assert without_user("https://a.example/?x=u:p@b") == "https://a.example/?x=u:p@b"
    assert without_user(None) is None
