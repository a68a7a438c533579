"""The contract, on the reference."""

from pathlib import Path

import pytest

from tests.adapters.contract import *  # noqa: F403
from tests.adapters.harness import Benches
from tests.adapters.reference import on_threads


@pytest.fixture
def benches(tmp_path: Path) -> Benches:
    return Benches(on_threads, tmp_path / "store")
