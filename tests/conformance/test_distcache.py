"""distcache itself: nothing to say against it, in front of a scripted upstream and a real one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from distcache.conformance.checks import Verdict
from distcache.conformance.runner import Options, Report, run
from tests.conformance.targets import CHECKS, EXAMPLES
from tests.support.cache import CacheServer
from tests.support.processes import free_port

RUNTIMES = ["trio", "asyncio"]

WITHOUT_API = {"referrers-api"}
"""docker-registry 2.8 has no referrers API, and distcache may not invent one: with a 404 clients
look for the fallback tag."""


@contextmanager
def distcache(directory: Path, runtime: str, upstream: int) -> Iterator[CacheServer]:
    cache = CacheServer(directory, {"remoteurl": f"http://127.0.0.1:{upstream}"})
    cache.server.command = [*cache.server.command, "--runtime", runtime]
    cache.start()
    try:
        yield cache
    finally:
        assert cache.stop() == 0, cache.server.text()[-4000:]


def failures(report: Report) -> dict[str, str]:
    failed = report.counts(Verdict.FAIL)
    return {one.check.id: "\n".join((one.message, *one.evidence)) for one in failed}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_every_check_passes_with_the_scripted_upstream(tmp_path: Path, runtime: str) -> None:
    port = free_port()
    with distcache(tmp_path / "cache", runtime, port) as cache:
        options = Options(
            f"http://{cache.address}", origin=("127.0.0.1", port), seed="own", examples=EXAMPLES
        )
        report = run(options, CHECKS.values(), lambda _: None)
    found = failures(report)
    assert found == {}
    skipped = {one.check.id for one in report.counts(Verdict.SKIP)}
    assert skipped == {one for one in CHECKS if one.startswith("upstream-")}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_only_what_upstream_lacks_fails_with_a_real_one(
    tmp_path: Path, runtime: str, real_registry: int
) -> None:
    upstream = f"http://127.0.0.1:{real_registry}"
    with distcache(tmp_path / "cache", runtime, real_registry) as cache:
        for state in ("cold", "warm"):
            options = Options(f"http://{cache.address}", upstream=upstream, examples=EXAMPLES)
            report = run(options, CHECKS.values(), lambda _: None)
            found = failures(report)
            assert set(found) == WITHOUT_API, (state, found)
