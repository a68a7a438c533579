"""Logins as clients send them, and everything that is none."""

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distcache.access.authorization import (
    LONGEST_LOGIN,
    LONGEST_TOKEN,
    Bearer,
    Password,
    parse,
)
from distcache.core.events import Secret


def packed(text: str | bytes) -> str:
    return b64encode(text if isinstance(text, bytes) else text.encode()).decode()


@pytest.mark.parametrize(
    ("pair", "user", "password"),
    [
        ("alice:s3cret", "alice", "s3cret"),
        ("alice:a:b", "alice", "a:b"),
        ("alice:", "alice", ""),
        ("ålice:pässword", "ålice", "pässword"),
        ("a b: c ", "a b", " c "),
    ],
)
def test_basic(pair: str, user: str, password: str) -> None:
    expected = Password(user, Secret(password))
    assert parse(f"Basic {packed(pair)}") == expected
    assert parse(f"bAsIc   {packed(pair)} ") == expected


def test_bearer() -> None:
    assert parse("Bearer a.b-c_d~e+f/g==") == Bearer(Secret("a.b-c_d~e+f/g=="))
    assert parse("bearer a.b") == Bearer(Secret("a.b"))


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "Basic",
        "Basic ",
        "Bearer ",
        "Bearer a b",
        "Bearer a,b",
        "Bearer a, Bearer b",
        "Bearer\ta",
        " Bearer a",
        "Bearer \u00e9",
        "Digest abc",
        'Digest username="a"',
        "Basic Og==",  # skopeo without a login: ":"
        f"Basic {packed(':password')}",
        f"Basic {packed('nocolon')}",
        f"Basic {packed(b'user:' + bytes([0xFF]))}",
        f"Basic {packed('user:a' + chr(0) + 'b')}",
        f"Basic {packed('us' + chr(10) + 'er:a')}",
        "Basic YTpi=",
        "Basic YTp",
        "Basic YT-i",
    ],
)
def test_what_is_no_login(value: str | None) -> None:
    assert parse(value) is None


def test_sizes_are_bounded() -> None:
    assert parse("Bearer " + "a" * LONGEST_TOKEN) is not None
    assert parse("Bearer " + "a" * 2 * LONGEST_TOKEN) is None
    fitting = packed("u:" + "a" * (LONGEST_LOGIN // 4 * 3 - 2))
    assert parse(f"Basic {fitting}") is not None
    assert parse(f"Basic {packed('u:' + 'a' * LONGEST_LOGIN)}") is None


@given(st.text(max_size=40), st.text(max_size=40))
def test_every_login_that_can_be_spelt_is_read_back(user: str, password: str) -> None:
    login = parse(f"Basic {packed(f'{user}:{password}'.encode(errors='replace'))}")
    if login is not None:
        assert isinstance(login, Password)
        assert f"{login.user}:{login.password.value}".encode() == f"{user}:{password}".encode(
            errors="replace"
        )


@given(st.text(max_size=60) | st.from_regex(r"(?i)(basic|bearer) .{0,40}"))
def test_no_header_is_too_odd(value: str) -> None:
    parse(value)


def test_neither_user_nor_password_nor_token_is_shown() -> None:
    for value in (f"Basic {packed('hunter2:hunter2')}", "Bearer hunter2"):
        login = parse(value)
        assert "hunter2" not in f"{login!r} {login}"
