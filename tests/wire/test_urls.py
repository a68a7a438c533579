import pytest
from hypothesis import given
from hypothesis import strategies as st

from distcache.wire.urls import Url, Zone, may_lead, origin_form, parse, zone

HERE = Url("https", "ghcr.io", 443, "/v2/a/blobs/x?y=1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://Ghcr.IO/v2/", Url("https", "ghcr.io", 443, "/v2/")),
        ("http://h:8080", Url("http", "h", 8080, "/")),
        ("http://h?q=1", Url("http", "h", 80, "/?q=1")),
        ("https://[::1]:5000/a#f", Url("https", "::1", 5000, "/a")),
        ("https://s3.x/k%2Fz?sig=a/b%3D+c&~", Url("https", "s3.x", 443, "/k%2Fz?sig=a/b%3D+c&~")),
        ("https://h/a b\u00e9", Url("https", "h", 443, "/a%20b%E9")),
        ("  https://h/ ", Url("https", "h", 443, "/")),
        ("ftp://h/", None),
        ("//h/", None),
        ("/path", None),
        ("https:///x", None),
        ("https://u:p@h/", None),
        ("https://good\\@evil/", None),
        ("https://h:0/", None),
        ("https://h:99999/", None),
        ("https://h:x/", None),
        ("https://[::1/", None),
        ("https://[fe80::1%25eth0]/", None),
        ("https://h/\r\nX: y", None),
        ("https://h\u00e9/", None),
        ("https://h_o st/", None),
        ("", None),
    ],
)
def test_absolute_urls(text: str, expected: Url | None) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("/cdn/x", "https://ghcr.io/cdn/x"),
        ("z", "https://ghcr.io/v2/a/blobs/z"),
        ("?y=2", "https://ghcr.io/v2/a/blobs/x?y=2"),
        ("//cdn.io/x", "https://cdn.io/x"),
        ("http://cdn.io:81/x", "http://cdn.io:81/x"),
    ],
)
def test_relative_references_are_resolved(reference: str, expected: str) -> None:
    assert str(parse(reference, HERE)) == expected


def test_a_url_is_spelled_with_brackets_and_without_the_default_port() -> None:
    assert str(Url("http", "::1", 80, "/x")) == "http://[::1]/x"
    assert Url("http", "::1", 81).authority == "[::1]:81"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("ghcr.io", Zone.PUBLIC),
        ("8.8.8.8", Zone.PUBLIC),
        ("2606:4700::1111", Zone.PUBLIC),
        ("localhost", Zone.LOOPBACK),
        ("localhost.", Zone.LOOPBACK),
        ("a.localhost", Zone.LOOPBACK),
        ("127.0.0.1", Zone.LOOPBACK),
        ("127.255.1.2", Zone.LOOPBACK),
        ("::1", Zone.LOOPBACK),
        ("127.1", Zone.LOOPBACK),
        ("2130706433", Zone.LOOPBACK),
        ("0x7f000001", Zone.LOOPBACK),
        ("0177.0.0.1", Zone.LOOPBACK),
        ("0x7f.1", Zone.LOOPBACK),
        ("::ffff:127.0.0.1", Zone.LOOPBACK),
        ("64:ff9b::7f00:1", Zone.LOOPBACK),
        ("2002:7f00:1::", Zone.LOOPBACK),
        ("10.1.2.3", Zone.PRIVATE),
        ("172.16.0.1", Zone.PRIVATE),
        ("192.168.1.1", Zone.PRIVATE),
        ("100.64.0.1", Zone.PRIVATE),
        ("fd00::1", Zone.PRIVATE),
        ("::ffff:10.0.0.1", Zone.PRIVATE),
        ("registry", Zone.PRIVATE),
        ("metadata.google.internal", Zone.PRIVATE),
        ("169.254.169.254", Zone.LINK_LOCAL),
        ("fe80::1", Zone.LINK_LOCAL),
        ("0.0.0.0", Zone.NOWHERE),
        ("::", Zone.NOWHERE),
        ("224.0.0.1", Zone.NOWHERE),
        ("ff02::1", Zone.NOWHERE),
        ("1.2.3.4.5", Zone.NOWHERE),
        ("256.1.1.1", Zone.NOWHERE),
        ("08.1.1.1", Zone.NOWHERE),
        ("99999999999999999999", Zone.NOWHERE),
        ("evil.0x", Zone.NOWHERE),
    ],
)
def test_a_host_is_judged_by_every_spelling_that_resolvers_take(host: str, expected: Zone) -> None:
    assert zone(host) is expected


PUBLIC = Url("https", "ghcr.io", 443)
CLEAR = Url("http", "registry.example.com", 80)
LOOPBACK = Url("http", "127.0.0.1", 5001)
PRIVATE = Url("http", "registry", 5000)


@pytest.mark.parametrize(
    ("home", "there", "private", "expected"),
    [
        (PUBLIC, "https://cdn.example.com/", False, True),
        (PUBLIC, "http://cdn.example.com/", False, False),
        (PUBLIC, "http://cdn.example.com/", True, False),
        (PUBLIC, "https://127.0.0.1/", False, False),
        (PUBLIC, "https://localhost/", False, False),
        (PUBLIC, "https://10.0.0.1/", False, False),
        (PUBLIC, "https://10.0.0.1/", True, True),
        (PUBLIC, "https://169.254.169.254/", False, False),
        (PUBLIC, "https://[::ffff:10.0.0.1]/", False, False),
        (PUBLIC, "https://2130706433/", False, False),
        (PUBLIC, "https://0.0.0.0/", False, False),
        (CLEAR, "http://cdn.example.com/", False, True),
        (CLEAR, "https://cdn.example.com/", False, True),
        (LOOPBACK, "http://127.0.0.1:5555/", False, True),
        (LOOPBACK, "http://localhost:5555/", False, True),
        (LOOPBACK, "http://10.0.0.1/", False, False),
        (PRIVATE, "http://172.18.0.5:9000/", False, True),
        (PRIVATE, "http://minio:9000/", False, True),
        (PRIVATE, "http://127.0.0.1/", False, False),
        (PRIVATE, "http://169.254.169.254/", False, False),
    ],
)
def test_a_public_upstream_leads_nobody_to_a_private_address(
    home: Url, there: str, private: bool, expected: bool
) -> None:
    goal = parse(there)
    assert goal is not None
    assert may_lead(home, home, goal, private) is expected


def test_a_cdn_on_the_way_does_not_widen_what_upstream_may_do() -> None:
    cdn = Url("https", "cdn.example.com", 443)
    assert not may_lead(PUBLIC, cdn, Url("https", "10.0.0.1", 443), False)


def test_nowhere_is_no_kind_to_stay_within() -> None:
    home = Url("http", "0.0.0.0", 80)
    assert not may_lead(home, home, home, False)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/v2/?ns=x", (None, "/v2/?ns=x")),
        ("http://h:5000/v2/", ("h:5000", "/v2/")),
        ("HTTPS://h", ("h", "/")),
        ("http://h?x", ("h", "/?x")),
        ("*", (None, "*")),
    ],
)
def test_request_targets(target: str, expected: tuple[str | None, str]) -> None:
    assert origin_form(target) == expected


@given(st.text(max_size=40), st.sampled_from(["", "http://", "https://h", "//", "https://["]))
def test_parsing_is_total_and_stable(text: str, start: str) -> None:
    for base in (None, HERE):
        url = parse(start + text, base)
        if url is not None:
            assert parse(str(url)) == url
            assert str(url).isascii()
            zone(url.host)
