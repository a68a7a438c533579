"""The contract, on asyncio: plain, in debug mode, and on what else this interpreter has."""

import asyncio
import importlib.util
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.contract import *  # noqa: F403
from tests.adapters.contract_access import *  # noqa: F403
from tests.adapters.contract_hosting import *  # noqa: F403
from tests.adapters.contract_operating import *  # noqa: F403
from tests.adapters.harness import Benches, Run
from tests.adapters.runtimes import on_asyncio

VARIANTS: dict[str, Callable[[Run], Any]] = {
    "plain": on_asyncio,
    "debug": partial(on_asyncio, debug=True),
}
if hasattr(asyncio, "eager_task_factory"):
    VARIANTS["eager"] = partial(on_asyncio, eager=True)
if importlib.util.find_spec("uvloop"):
    import uvloop

    # The first one opens what the process keeps.
    uvloop.new_event_loop().close()
    VARIANTS["uvloop"] = partial(on_asyncio, factory=uvloop.new_event_loop)


@pytest.fixture(params=VARIANTS)
def benches(request: pytest.FixtureRequest, tmp_path: Path) -> Benches:
    return Benches(VARIANTS[request.param], tmp_path / "store")
