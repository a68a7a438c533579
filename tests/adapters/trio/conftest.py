from collections.abc import Iterator

import pytest

from distcache import log


@pytest.fixture(autouse=True)
def _no_unforeseen_errors(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """The server survives its own bugs; the tests must not."""
    # It would take the loggers away from caplog, for the tests that follow too.
    monkeypatch.setattr(log, "configure", lambda settings: None)
    yield
    found = [r for phase in ("setup", "call") for r in caplog.get_records(phase) if r.exc_info]
    assert not found, caplog.text
