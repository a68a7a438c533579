from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _no_unforeseen_errors(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The server survives its own bugs; the tests must not."""
    yield
    found = [r for phase in ("setup", "call") for r in caplog.get_records(phase) if r.exc_info]
    assert not found, caplog.text
