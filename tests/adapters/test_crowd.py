"""How many connections one address may have."""

from pathlib import Path

import pytest

from distcache.driver.listening import Crowd, crowd_of
from tests.adapters.harness import settings


def test_each_place_has_its_own_bound_and_gets_back_what_leaves() -> None:
    crowd = Crowd(2)
    assert [crowd.enter(f"192.0.2.1:{port}") for port in range(4)] == [True, True, False, False]
    assert crowd.enter("192.0.2.2:1")
    crowd.leave("192.0.2.1:0")
    assert crowd.enter("192.0.2.1:9")
    assert not crowd.enter("192.0.2.1:10")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1:80", "2001:db8::2:80", True),
        ("2001:db8::1:80", "2001:db8:0:1::1:80", False),
        ("::ffff:192.0.2.1:80", "192.0.2.1:81", True),
        ("fe80::1%eth0:80", "fe80::2%eth0:80", True),
        ("192.0.2.1:80", "192.0.2.2:80", False),
    ],
)
def test_what_counts_as_one_place(one: str, other: str, same: bool) -> None:
    crowd = Crowd(1)
    assert crowd.enter(one)
    assert crowd.enter(other) is not same


def test_a_client_on_a_path_and_a_crowd_without_a_bound() -> None:
    assert all(Crowd(1).enter("unix") for _ in range(3))
    crowd = Crowd()
    assert all(crowd.enter("192.0.2.1:1") for _ in range(3000))


@pytest.mark.parametrize(
    ("said", "client", "places"),
    [
        (None, "192.0.2.1", 6),
        (None, "2001:db8::1", 6),
        (None, "127.0.0.1", 8),
        (None, "::1", 8),
        (0, "192.0.2.1", 8),
        (2, "192.0.2.1", 2),
        (2, "127.0.0.1", 2),
    ],
)
def test_one_address_leaves_places_for_others(said: int | None, client: str, places: int) -> None:
    found = crowd_of(settings(Path(), 1, max_connections=8, max_connections_per_client=said))
    assert sum(found.enter(f"{client}:{port}") for port in range(8)) == places
    assert found.enter("192.0.2.2:1")


def test_there_is_always_one_place() -> None:
    assert crowd_of(settings(Path(), 1, max_connections=1)).enter("192.0.2.1:1")
