"""The suite finds what a cache does wrong, and what differs from its upstream."""

from pathlib import Path

import pytest

from distcache.conformance.checks import Verdict
from distcache.conformance.client import Client
from distcache.conformance.connection import Address
from distcache.conformance.origin.library import Library
from distcache.conformance.origin.server import Origin
from tests.conformance.caches import ToyCache
from tests.conformance.stocked import docker_registry
from tests.conformance.targets import CHECKS, stocked, target_at, verdicts
from tests.conformance.toys import (
    Toy,
    becomes,
    blob,
    edited,
    everything_is_there,
    flipped,
    good,
    listing,
    manifest,
)
from tests.interop.tools import need

SIMPLE = {"cache-one-check", "cache-head-cheap", "cache-streams", "cache-resume", "cache-type"}
"""What a cache that stores and forwards cannot do well."""

FAULTS = {
    "serializes": "cache-pull",
    "asks-always never-stale": "cache-warm cache-away-digest",
    "no-lock": "cache-one-transfer",
    "waiters-refused": "cache-left cache-one-transfer",
    "head-zero": "cache-head",
    "cold-range": "cache-range",
    "one-at-a-time": "cache-slow-reader",
    "trusts": "cache-wrong-bytes cache-wrong-manifest cache-lie",
    "short-is-whole": "cache-cut",
    "no-scope": "cache-scope",
    "all-is-404": "cache-honest cache-limited cache-broken cache-denied",
    "absent-is-500": "cache-absent",
    "keeps-failures": "cache-recovers",
    "never-stale": "cache-away-tag",
    "tags-forever": "cache-moved-tag cache-gone-tag",
    "no-redirects": "cache-redirect",
    "head-first": "cache-head-refused",
    "passes-all": "cache-asks-all cache-secrets",
}
"""Words of `ToyCache`, and the checks that must fail because of them."""

CACHING = [one for one in CHECKS if one.startswith("cache-")]
UPSTREAM = {
    "other manifests": (good(manifest, flipped), "upstream-manifests"),
    "other blobs": (good(blob, flipped), "upstream-blobs"),
    "other tags": (good(listing, edited(lambda said: said.update(tags=["v1"]))), "upstream-tags"),
    "nothing is absent": (everything_is_there, "upstream-absent"),
    "nothing is there": (lambda asked, reply: becomes(404)(reply), "upstream-manifests"),
}


def cached(faults: str, ids: list[str]) -> dict[str, Verdict]:
    """What comes of these checks against a toy cache in front of the scripted upstream."""
    library = Library("toys")
    with Origin("127.0.0.1", 0, library) as origin:
        words = frozenset(faults.split())
        with ToyCache("127.0.0.1", 0, Library("none"), origin.port, words) as cache:
            target = target_at(cache.port, library)
            target.origin = origin
            return {result.check.id: result.verdict for result in verdicts(target, ids)}


def test_a_simple_cache_is_right_where_it_can_be() -> None:
    found = cached("", CACHING)
    assert {one for one, verdict in found.items() if verdict is not Verdict.PASS} == SIMPLE


@pytest.mark.parametrize("words", FAULTS)
def test_a_fault_of_a_cache_is_found(words: str) -> None:
    found = cached(words, FAULTS[words].split())
    assert set(found.values()) == {Verdict.FAIL}, found


@pytest.mark.parametrize("name", UPSTREAM)
def test_a_difference_from_upstream_is_found(name: str) -> None:
    spoil, check = UPSTREAM[name]
    library = stocked("differs")
    with Toy("127.0.0.1", 0, library) as same, Toy("127.0.0.1", 0, library, spoil) as other:
        right, wrong = target_at(same.port, library), target_at(other.port, library)
        for target in (right, wrong):
            target.upstream = Client(Address("127.0.0.1", same.port, tls=False))
        assert verdicts(right, [check])[0].verdict is Verdict.PASS
        assert verdicts(wrong, [check])[0].verdict is Verdict.FAIL


def test_a_tag_that_does_not_move_is_found(tmp_path: Path) -> None:
    need("docker-registry")
    library = stocked("moves")
    with docker_registry(tmp_path, library) as port:
        for faults, verdict in (("", Verdict.PASS), ("tags-forever", Verdict.FAIL)):
            words = frozenset(faults.split())
            with ToyCache("127.0.0.1", 0, Library("none"), port, words) as cache:
                target = target_at(cache.port, library)
                target.upstream = Client(Address("127.0.0.1", port, tls=False))
                assert verdicts(target, ["upstream-moved"])[0].verdict is Verdict.SKIP
                target.push = True
                assert verdicts(target, ["upstream-moved"])[0].verdict is verdict


def test_every_check_of_a_cache_has_a_fault_that_it_finds() -> None:
    found = {*SIMPLE, *(one for ids in FAULTS.values() for one in ids.split())}
    found |= {check for _, check in UPSTREAM.values()} | {"upstream-moved"}
    assert found == {one for one in CHECKS if one.startswith(("cache-", "upstream-"))}
