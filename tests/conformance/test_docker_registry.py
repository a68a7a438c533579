"""Debian's docker-registry 2.8: the suite finds exactly its known deviations, which
docs/conformance.md explains."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import yaml

from distcache.conformance.checks import Verdict
from distcache.conformance.origin.library import Library
from distcache.conformance.origin.server import Origin
from distcache.conformance.runner import Options, Report, run
from tests.conformance.targets import CHECKS, EXAMPLES
from tests.interop.tools import need
from tests.support.processes import Server, free_port

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"

REGISTRY = {
    "accept-any",
    "blob-location",
    "range-unsatisfiable",
    "range-unknown-unit",
    "range-malformed",
    "range-head",
    "range-empty",
    "if-none-match-list",
    "if-none-match-weak",
    "if-none-match-any",
    "not-modified-fields",
    "tags-order",
    "tags-limit",
    "tags-zero",
    "tags-last",
    "tags-pages",
    "referrers-api",
    "error-digest",
    "error-algorithm",
    "http-bodiless",
    "http-two-framings",
    "any-range",
    "any-reference",
    "any-page",
}

CACHE = {
    "manifest-absent",
    "error-manifest-code",
    "error-misleading",
    "cache-absent",
    "cache-asks-all",
    "cache-broken",
    "cache-denied",
    "cache-gone-tag",
    "cache-head-cheap",
    "cache-head-refused",
    "cache-honest",
    "cache-lie",
    "cache-limited",
    "cache-one-check",
    "cache-one-transfer",
    "cache-scope",
    "cache-type",
    "cache-wrong-bytes",
    "cache-wrong-manifest",
}

RACES = {
    "cache-away-digest",
    "cache-away-tag",
    "cache-left",
    "cache-range",
    "cache-recovers",
    "cache-resume",
    "cache-slow-reader",
    "cache-streams",
    "cache-warm",
}
"""It stores what it has sent behind the client's back: whether it is there for the next request
is a matter of time."""

CACHING = [one for one in CHECKS if one.startswith("cache-")]
OTHER = ["manifest-absent", "error-manifest-code", "error-misleading"]
"""What it does otherwise than as a registry."""


@contextmanager
def proxy(directory: Path, port: int) -> Iterator[str]:
    """docker-registry as a cache of the registry at `port`, which must listen meanwhile."""
    own = free_port()
    config = {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(directory / "storage")}},
        "http": {"addr": f"127.0.0.1:{own}"},
        "proxy": {"remoteurl": f"http://127.0.0.1:{port}"},
    }
    path = directory / "proxy.yml"
    path.write_text(yaml.safe_dump(config))
    server = Server(["docker-registry", "serve", str(path)], own, directory / "proxy.log")
    server.start()
    try:
        yield f"http://127.0.0.1:{own}"
    finally:
        server.stop()


def failed(report: Report) -> set[str]:
    return {one.check.id for one in report.counts(Verdict.FAIL)}


def test_as_a_registry(real_registry: int) -> None:
    options = Options(f"http://127.0.0.1:{real_registry}", examples=EXAMPLES)
    report = run(options, CHECKS.values(), lambda _: None)
    assert report.failed
    # Tags come in the file system's order, which may be the right one by chance.
    assert failed(report) | {"tags-order"} == REGISTRY


def test_as_a_cache(tmp_path: Path) -> None:
    need("docker-registry")
    port = free_port()
    with ExitStack() as stack:
        with Origin("127.0.0.1", port, Library("start")):
            # It does not start without its upstream.
            url = stack.enter_context(proxy(tmp_path, port))
        options = Options(url, origin=("127.0.0.1", port), seed="own", patience=10)
        report = run(options, [CHECKS[one] for one in (*OTHER, *CACHING)], lambda _: None)
    assert failed(report) - RACES == CACHE


def test_each_deviation_is_explained() -> None:
    page = PAGE.read_text()
    assert [one for one in sorted(REGISTRY | CACHE | RACES) if f"`{one}`" not in page] == []
