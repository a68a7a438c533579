"""The contract's times, and what changes in them, on asyncio."""

from pathlib import Path

import pytest

from tests.adapters.contract_logins import *  # noqa: F403
from tests.adapters.contract_time import *  # noqa: F403
from tests.adapters.harness import Benches
from tests.adapters.runtimes import on_asyncio


@pytest.fixture
def benches(tmp_path: Path) -> Benches:
    return Benches(on_asyncio, tmp_path / "store")
