import pytest

from distcache import __version__
from distcache.wire.outgoing import Credentials, compose
from distcache.wire.urls import Url

URL = Url("https", "::1", 5000, "/v2/")


def test_a_request_says_who_asks_whom() -> None:
    request = compose("GET", URL, ("Range", None), ("Accept", "*/*"))
    assert request.headers == (
        (b"Host", b"[::1]:5000"),
        (b"User-Agent", f"distcache/{__version__}".encode()),
        (b"Accept", b"*/*"),
    )


@pytest.mark.parametrize("value", ["a\r\nX: y", "\u00e9", "", " x"])
def test_a_value_that_cannot_be_sent_is_left_out(value: str) -> None:
    assert b"If-None-Match" not in dict(compose("GET", URL, ("If-None-Match", value)).headers)


def test_credentials_are_encoded_as_utf_8() -> None:
    assert Credentials("Aladdin", "open sesame").basic() == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert Credentials("a", "\u00e9").basic() == "Basic YTrDqQ=="


def test_secrets_are_not_shown() -> None:
    credentials = Credentials("alice", "s3cret")
    request = compose("GET", URL, ("Authorization", credentials.basic()))
    for shown in (repr(credentials), str(credentials), repr(request)):
        assert "s3cret" not in shown
        assert "alice" not in shown
        assert credentials.basic() not in shown
    assert "Authorization" in repr(request)
