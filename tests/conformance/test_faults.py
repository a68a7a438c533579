"""The suite finds what is wrong, and nothing where nothing is: each check can fail."""

import pytest

from distcache.conformance.checks import Verdict
from tests.conformance.faults import FAULTS
from tests.conformance.targets import CHECKS, stocked, target_at, verdicts
from tests.conformance.toys import Fault, Toy

ELSEWHERE = {"cache", "upstream"}
"""Sections whose checks need a cache: test_caches.py."""

PROPER = [one for one in CHECKS if one.partition("-")[0] not in ELSEWHERE]
BEFORE = ["base-ping", "manifest-by-digest", "manifest-absent", "blob-get"]
"""What has answers that `every-...` can look at."""


def test_nothing_is_wrong_with_a_registry_without_fault() -> None:
    library = stocked("sound")
    with Toy("127.0.0.1", 0, library) as toy:
        results = verdicts(target_at(toy.port, library), PROPER)
    assert [(one.check.id, one.message) for one in results if one.verdict is not Verdict.PASS] == []


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))
def test_a_fault_is_found(fault: Fault) -> None:
    library = stocked("faulty")
    with fault.toy(library) as toy:
        target = target_at(toy.port, library)
        results = verdicts(target, [*BEFORE, *fault.checks.split()])[len(BEFORE) :]
    missed = {one.check.id: one.message for one in results if one.verdict is not Verdict.FAIL}
    assert missed == {}


def test_every_check_has_a_fault_that_it_finds() -> None:
    assert {one for fault in FAULTS for one in fault.checks.split()} == set(PROPER)
