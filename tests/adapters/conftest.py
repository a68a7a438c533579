from collections.abc import Iterator

import pytest

from distcache import log
from tests.adapters.harness import no_unforeseen_errors

pytest.register_assert_rewrite(
    "tests.adapters.contract",
    "tests.adapters.contract_access",
    "tests.adapters.contract_hosting",
    "tests.adapters.contract_logins",
    "tests.adapters.contract_operating",
    "tests.adapters.contract_time",
)


@pytest.fixture(autouse=True)
def _no_unforeseen_errors(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    # It would take the loggers away from caplog, for the tests that follow too.
    monkeypatch.setattr(log, "configure", lambda settings: None)
    # Nor may lines of access go past it, because a test before has set it up.
    monkeypatch.setattr(log._Current, "writer", None)
    with no_unforeseen_errors(caplog):
        yield
