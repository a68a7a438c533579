"""pytest plugin: every check as a test of its own.

    pytest --conformance-url http://127.0.0.1:5000

runs all of them and no other tests, unless tests are named. Among tests of one's own:

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

To a run of pytest that asks for none of this the plugin does nothing.
"""

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    # At run time only in tests that use it: a plugin is loaded into every run of pytest.
    from .checks import Check, Target
    from .runner import Options

PARAMETER = "_conformance_check"
READY_MADE = "distcache.conformance.as_tests"
"""What is run when no tests are named."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance", "conformance of a registry or cache")
    add = group.addoption
    add("--conformance-url", metavar="URL", help="Check the registry or cache there.")
    add(
        "--conformance-origin",
        metavar="HOST:PORT",
        help="Serve generated images there; the cache has it as its upstream.",
    )
    add("--conformance-upstream", metavar="URL", help="Compare with the cache's upstream.")
    add("--conformance-repository", metavar="NAME", help="Look only at this repository.")
    add(
        "--conformance-username",
        metavar="NAME",
        help="To log in with; the password is $DISTCACHE_CONFORMANCE_PASSWORD.",
    )
    add(
        "--conformance-examples",
        metavar="N",
        type=int,
        default=40,
        help="How many each property tries (40).",
    )


def pytest_configure(config: pytest.Config) -> None:
    named = config.args_source is pytest.Config.ArgsSource.ARGS
    if config.getoption("conformance_url") is not None and not named:
        config.args = [READY_MADE]
        config.option.pyargs = True


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if PARAMETER in metafunc.fixturenames:
        from .suite import checks

        every = list(checks())
        metafunc.parametrize(PARAMETER, every, ids=[one.id for one in every], scope="session")


@pytest.fixture(scope="session")
def conformance_options(pytestconfig: pytest.Config) -> "Options":
    """What to check: from the command line, or defined anew where the tests are."""
    from .login import Credentials
    from .runner import Options, endpoint

    def given(name: str) -> str | None:
        value: str | None = pytestconfig.getoption(f"conformance_{name}")
        return value

    url, origin, username = given("url"), given("origin"), given("username")
    repository, upstream = given("repository"), given("upstream")
    if url is None:
        raise pytest.UsageError(
            "give --conformance-url URL, or define the fixture conformance_options, which returns "
            "Options(url)"
        )
    if origin and (repository or upstream):
        raise pytest.UsageError("--conformance-origin brings content of its own")
    password = os.environ.get("DISTCACHE_CONFORMANCE_PASSWORD", "")
    return Options(
        url,
        repository=repository,
        credentials=None if username is None else Credentials(username, password),
        upstream=upstream,
        origin=endpoint(origin) if origin else None,
        examples=pytestconfig.getoption("conformance_examples"),
    )


@pytest.fixture(scope="session")
def conformance_target(conformance_options: "Options") -> "Iterator[Target]":
    """The target, reached and looked through; fails the tests that use it when nobody answers."""
    from .runner import Unreachable, aimed

    try:
        with aimed(conformance_options) as target:
            yield target
    except Unreachable as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


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
