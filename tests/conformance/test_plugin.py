"""The pytest plugin, in runs of pytest of its own."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from distcache.conformance import plugin
from tests.conformance.targets import CHECKS, stocked
from tests.conformance.toys import Toy, becomes, is_ping, when

pytest_plugins = ["pytester"]

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
FEW = ("-k", "base-ping or cache-pull")

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


def test_a_url_alone_runs_every_check_and_nothing_else(run: pytest.Pytester) -> None:
    run.makepyfile("def test_of_the_project():\n    raise AssertionError\n")
    run.makeini("[pytest]\ntestpaths = .")
    with Toy("127.0.0.1", 0, stocked("plugin")) as toy:
        said = outcome(run, "-rA", *FEW, "--conformance-url", f"http://127.0.0.1:{toy.port}")
    said.assert_outcomes(passed=1, skipped=1, deselected=len(CHECKS) - 2)
    said.stdout.fnmatch_lines(["PASSED *::test_conformance[[]base-ping]"])


def test_named_tests_are_run_against_the_url(run: pytest.Pytester) -> None:
    path = run.makepyfile("def test_here(conformance_check):\n    conformance_check()\n")
    with Toy("127.0.0.1", 0, stocked("plugin")) as toy:
        url = f"http://127.0.0.1:{toy.port}"
        said = outcome(run, "-rA", *FEW, "--conformance-url", url, str(path))
    said.assert_outcomes(passed=1, skipped=1, deselected=len(CHECKS) - 2)
    said.stdout.fnmatch_lines(["PASSED *::test_here[[]base-ping]"])


def test_options_reach_the_suite(run: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    run.makepyfile(
        """
        def test_origin(conformance_options):
            assert conformance_options.origin == ("127.0.0.1", 5555)
            assert conformance_options.examples == 3
            assert conformance_options.credentials.basic == "Basic dTpw"
        """
    )
    monkeypatch.setenv("DISTCACHE_CONFORMANCE_PASSWORD", "p")
    options = ["--conformance-url=http://127.0.0.1:1", "--conformance-origin=127.0.0.1:5555"]
    options += ["--conformance-examples=3", "--conformance-username=u", "."]
    outcome(run, *options).assert_outcomes(passed=1)
    said = outcome(run, *options, "--conformance-repository=a")
    said.stdout.fnmatch_lines(["*--conformance-origin brings content of its own*"])


def test_a_target_that_is_not_there_is_said_in_one_line(run: pytest.Pytester) -> None:
    with Toy("127.0.0.1", 0, stocked("plugin")) as toy:
        url = f"http://127.0.0.1:{toy.port}"
    said = outcome(run, "-k", "base-ping", "--conformance-url", url)
    said.assert_outcomes(errors=1, deselected=len(CHECKS) - 1)
    said.stdout.no_fnmatch_line("*Traceback*")


def test_options_are_wanted(run: pytest.Pytester) -> None:
    run.makepyfile("def test_conformance(conformance_check):\n    conformance_check()\n")
    said = outcome(run, "-k", "base-ping")
    said.stdout.fnmatch_lines(["*define the fixture conformance_options*"])


def test_other_tests_are_left_alone(run: pytest.Pytester) -> None:
    run.makepyfile("def test_nothing():\n    pass\n")
    outcome(run).assert_outcomes(passed=1)


def test_both_plugins_of_the_distribution_go_together(run: pytest.Pytester) -> None:
    run.makepyfile("def test_nothing(local_registry):\n    pass\n")
    outcome(run, "-p", "distcache.testing.plugin").assert_outcomes(passed=1)


def test_the_distribution_names_the_plugin() -> None:
    project = tomllib.loads(PROJECT.read_text())["project"]
    assert plugin.__name__ in project["entry-points"]["pytest11"].values()


def test_loading_it_loads_nothing_of_the_suite() -> None:
    program = "import sys, distcache.conformance.plugin; print(*sys.modules)"
    command = [sys.executable, "-c", program]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert "distcache.conformance.plugin" in loaded
    assert not {"hypothesis", "h11", "rich", "distcache.conformance.runner"} & set(loaded)
