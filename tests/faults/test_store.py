"""The store fails, or the process dies, at every one of its file operations."""

import errno
from collections.abc import Iterator
from itertools import count

import pytest

from tests.faults.bench import EXACT, KIB, Image
from tests.faults.sabotage import DEADLY, Sabotaged, sabotaged

SIZE = 300 * KIB

WRITING = {"open", "pwrite", "fsync", "ftruncate", "rename", "BEGIN", "INSERT", "COMMIT"}
EVICTING = {"unlink", "DELETE"}


@pytest.fixture(scope="module")
def bench(runtime: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sabotaged]:
    """Nothing is evicted: what fails, fails."""
    directory = tmp_path_factory.mktemp("sabotage")
    with sabotaged(directory, runtime, storage={"delete": {"enabled": False}}) as running:
        yield running


@pytest.fixture
def small(runtime: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sabotaged]:
    """There is room for two images: a third one makes the first one go."""
    directory = tmp_path_factory.mktemp("small")
    with sabotaged(directory, runtime, {"max_size": "700KiB"}) as running:
        yield running


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EIO, errno.EROFS], ids=errno.errorcode.get)
def test_a_pull_is_exact_wherever_the_store_begins_to_fail(bench: Sabotaged, fault: int) -> None:
    kept = []
    for first in count():
        image = bench.image(f"fault-{fault}-{first}", SIZE)
        bench.arm(first, fault)
        assert bench.pull(image) == [EXACT] * 4, first
        bench.settled()
        names = bench.heal() or []
        kept.append(bench.held(image.layer))
        bench.assert_well(image)
        assert bench.held(image.layer), "once the store is well, everything is kept"
        # What lies in memory until it is stored is nothing that could be seen to be still there:
        # some operations may come later.
        if len(names) <= first and set(names) >= WRITING:
            break
    assert set(names) == WRITING
    assert not kept[0], "nothing could be written"
    assert kept[-1], "nothing was left to fail"


def test_a_death_at_any_operation_costs_nothing_but_time(small: Sabotaged) -> None:
    older: list[Image] = []
    for first in count():
        image = small.image(f"death-{first}", SIZE)
        small.arm(first, DEADLY)
        small.pull(image)
        small.settled_or_died()
        names = small.heal()
        if names is None:
            small.revive()
            small.assert_tidy()
        for known in (image, *older[-2:]):
            small.assert_well(known)
        older.append(image)
        if names and len(names) <= first and set(names) >= WRITING | EVICTING:
            assert set(names) == WRITING | EVICTING
            break
    small.wiretap.stop()
    for known in older:
        small.pull(known)
