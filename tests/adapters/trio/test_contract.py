"""The contract, on trio."""

from pathlib import Path

import pytest

from tests.adapters.contract import *  # noqa: F403
from tests.adapters.contract_access import *  # noqa: F403
from tests.adapters.contract_hosting import *  # noqa: F403
from tests.adapters.contract_logins import *  # noqa: F403
from tests.adapters.contract_operating import *  # noqa: F403
from tests.adapters.contract_time import *  # noqa: F403
from tests.adapters.harness import Benches
from tests.adapters.runtimes import on_trio


@pytest.fixture
def benches(tmp_path: Path) -> Benches:
    return Benches(on_trio, tmp_path / "store")
