"""pytest plugin: every check as a test of its own.

    import pytest
    from distcache.conformance.runner import Options

    @pytest.fixture(scope="session")
    def conformance_options():
        return Options("http://127.0.0.1:5000")

    def test_conformance(conformance_check):
        conformance_check()

`conformance_check` runs one check against `conformance_target`, which is reached once for all of
them. A MUST that fails fails its test, a SHOULD is an expected failure, and what the target has
no content for is skipped. Needs the extra `distcache-registry[conformance]`.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    # At run time only in tests that use it: a plugin is loaded into every run of pytest.
    from .checks import Check, Target
    from .runner import Options

PARAMETER = "_conformance_check"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if PARAMETER in metafunc.fixturenames:
        from .suite import checks

        every = list(checks())
        metafunc.parametrize(PARAMETER, every, ids=[one.id for one in every], scope="session")


@pytest.fixture(scope="session")
def conformance_options() -> "Options":
    """What to check: to be defined where the tests are."""
    raise pytest.UsageError("define the fixture conformance_options, which returns Options(url)")


@pytest.fixture(scope="session")
def conformance_target(conformance_options: "Options") -> "Iterator[Target]":
    """The target, reached and looked through; fails the tests that use it when nobody answers."""
    from .runner import aimed

    with aimed(conformance_options) as target:
        yield target


@pytest.fixture
def conformance_check(
    _conformance_check: "Check", conformance_target: "Target"
) -> Callable[[], None]:
    """Call it to run the check that this test is about."""

    def run() -> None:
        from .checks import Level, Verdict
        from .runner import judge

        result = judge(_conformance_check, conformance_target)
        told = "\n".join((f"{result.check.says} {result.message}", *result.evidence))
        if result.verdict is Verdict.SKIP:
            pytest.skip(result.message)
        elif result.verdict is Verdict.FAIL and result.check.level is Level.SHOULD:
            pytest.xfail(told)
        elif result.verdict is Verdict.FAIL:
            pytest.fail(told, pytrace=False)

    return run
