"""Registries that ask who is there: Basic, and tokens."""

from pathlib import Path

import pytest

from distcache.conformance.checks import Verdict
from distcache.conformance.login import Credentials
from distcache.conformance.runner import Options, run
from tests.conformance.stocked import push
from tests.conformance.targets import CHECKS, stocked
from tests.interop.tools import need
from tests.interop.upstream import PASSWORD, USER, Mode, registry

SOME = ["base-ping", "manifest-by-tag", "blob-get", "range-single", "http-pipelining"]


@pytest.mark.parametrize("mode", [Mode.HTPASSWD, Mode.TOKEN, Mode.TOKEN_ANONYMOUS])
def test_a_registry_that_wants_a_login_is_checked(mode: Mode, tmp_path: Path) -> None:
    need("docker-registry", "htpasswd", "openssl")
    library = stocked("login")
    storage = tmp_path / "storage"
    with registry(Mode.PLAIN, tmp_path / "open", storage) as plain:
        for name, shelf in library.shelves.items():
            push(plain.port, name, shelf)
    with registry(mode, tmp_path / "closed", storage) as closed:
        anonymous = mode is Mode.TOKEN_ANONYMOUS
        who = None if anonymous else Credentials(USER, PASSWORD)
        url = f"http://127.0.0.1:{closed.port}"
        options = Options(
            url, repository=library.name("app"), tag="latest", credentials=who, examples=5
        )
        report = run(options, [CHECKS[one] for one in SOME], lambda _: None)
    assert {one.check.id: one.verdict for one in report.results} == dict.fromkeys(
        SOME, Verdict.PASS
    ), report.results
