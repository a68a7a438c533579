"""A short run of the soak; the long one is started by hand (see its module)."""

from pathlib import Path

from tests.faults.bench import EXACT, HASTY, running_bench
from tests.faults.soak import MAX_SIZE, Soak

SECONDS = 10
ROUNDS = 3


def test_ten_seconds_of_everything_at_once(runtime: str, tmp_path: Path) -> None:
    with running_bench(tmp_path, runtime, {"max_size": str(MAX_SIZE), "timeouts": HASTY}) as bench:
        soak = Soak(bench, seed=1)
        soak.run(SECONDS, ROUNDS)
        assert len(soak.samples) == ROUNDS
        assert soak.verified > 0
        assert soak.seen[EXACT] < soak.seen.total(), "nothing ever went wrong"
