import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.commands.shop import Shop, open_for_orders, stocked
from tests.support.origin import Origin, running_origin


@pytest.fixture(scope="session")
def upstream() -> Iterator[Origin]:
    with running_origin() as origin:
        yield origin


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, upstream: Origin) -> Path:
    return stocked(tmp_path_factory.mktemp("template"), upstream).store


@pytest.fixture
def shop(tmp_path: Path, upstream: Origin, template: Path) -> Shop:
    """Of one test alone; no server runs on it."""
    made = Shop(tmp_path, upstream)
    shutil.copytree(template, made.store)
    made.configure()
    return made


@pytest.fixture(params=["trio", "asyncio", "rest"])
def anyhow(request: pytest.FixtureRequest, shop: Shop) -> Iterator[Shop]:
    """While a server runs on it, and while none does."""
    with ExitStack() as stack:
        open_for_orders(shop, request.param, stack)
        yield shop
