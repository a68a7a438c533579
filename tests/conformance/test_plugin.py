"""The pytest plugin, in runs of pytest of its own."""

import pytest

from tests.conformance.targets import CHECKS, stocked
from tests.conformance.toys import Toy, becomes, is_ping, when

pytest_plugins = ["pytester"]

TESTS = """
import pytest
from distcache.conformance.runner import Options

@pytest.fixture(scope="session")
def conformance_options():
    return Options("http://127.0.0.1:{port}", examples=3)

def test_conformance(conformance_check):
    conformance_check()
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    # The plugin is named, so that it is loaded once whether installed with an entry point or not.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return pytester


def outcome(run: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return run.runpytest_inprocess("-p", "distcache.conformance.plugin", *arguments)


def test_each_check_is_a_test(run: pytest.Pytester) -> None:
    with Toy("127.0.0.1", 0, stocked("plugin"), when(is_ping, becomes(404))) as toy:
        toy.mangle = lambda _, data: data.replace(b"registry/2.0", b"registry/1.0")
        run.makepyfile(TESTS.format(port=toy.port))
        said = outcome(run, "-rA", "-k", "base-ping or base-version or every-date or cache-pull")
    said.assert_outcomes(failed=1, xfailed=1, passed=1, skipped=1, deselected=len(CHECKS) - 4)
    said.stdout.fnmatch_lines_random(
        [
            "FAILED *[[]base-ping]*",
            "XFAIL *[[]base-version]*",
            "PASSED *[[]every-date]*",
            "SKIPPED *no --origin*",
        ]
    )


def test_options_are_wanted(run: pytest.Pytester) -> None:
    run.makepyfile("def test_conformance(conformance_check):\n    conformance_check()\n")
    said = outcome(run, "-k", "base-ping")
    said.stdout.fnmatch_lines(["*define the fixture conformance_options*"])


def test_other_tests_are_left_alone(run: pytest.Pytester) -> None:
    run.makepyfile("def test_nothing():\n    pass\n")
    outcome(run).assert_outcomes(passed=1)
