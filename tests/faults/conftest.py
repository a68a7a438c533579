from collections.abc import Iterator

import pytest

from tests.faults.bench import Bench, running_bench
from tests.support.cache import RUNTIMES


@pytest.fixture(scope="module", params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture(scope="module")
def shared(runtime: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One server for a module's tests: what a fault leaves behind is the next one's trouble."""
    with running_bench(tmp_path_factory.mktemp("cache"), runtime) as running:
        yield running


@pytest.fixture
def bench(shared: Bench) -> Iterator[Bench]:
    """`shared`, with no fault left over."""
    yield shared
    shared.wiretap.plan.clear()
    shared.wiretap.forget()
    shared.origin.ranged = True
