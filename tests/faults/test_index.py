"""A damaged index under a real server: it starts, it serves nothing wrong, it asks upstream for
what it no longer knows, and it is whole again afterwards.

The clock counts as damage too: it decides what the index's times mean.
"""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.bench import EXACT, KIB
from tests.faults.sabotage import Sabotaged, sabotaged

PAGE = 4 * KIB
DAY = 86_400.0


def without(first: int, count: int) -> Callable[[Path], None]:
    """Bytes of the file become zero."""

    def spoil(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[first : first + count] = bytes(len(data[first : first + count]))
        path.write_bytes(data)

    return spoil


def cut(size: int) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, size)


def holding(data: bytes) -> Callable[[Path], None]:
    return beside("", data)


def beside(suffix: str, data: bytes) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        path.with_name(path.name + suffix).write_bytes(data)

    return spoil


def saying(*statements: str) -> Callable[[Path], None]:
    """Sound for SQLite, and not what we wrote."""

    def spoil(path: Path) -> None:
        with sqlite3.connect(path) as connection:
            for statement in statements:
                connection.execute(statement)
        connection.close()

    return spoil


def a_directory(path: Path) -> None:
    path.unlink()
    (path / "inside").mkdir(parents=True)


def a_broken_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere/at-all")


def an_older_copy_s_log(path: Path) -> None:
    """The write-ahead log of another database."""
    other = path.with_name("other.sqlite")
    connection = sqlite3.connect(other)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE blobs (digest TEXT)")
    shutil.copy(f"{other}-wal", f"{path}-wal")
    connection.close()
    other.unlink()


DAMAGE: dict[str, Callable[[Path], None]] = {
    "missing": Path.unlink,
    "empty": holding(b""),
    "text": holding(b"this was an index once\n"),
    "noise": holding(bytes((n * 7919 >> 3) & 0xFF for n in range(5 * PAGE))),
    "first page gone": without(0, PAGE),
    "second page gone": without(PAGE, PAGE),
    "all but the first page gone": without(PAGE, 100 * PAGE),
    "header only": cut(100),
    "within the header": cut(50),
    "one page": cut(PAGE),
    "within the second page": cut(PAGE + 1000),
    "a directory": a_directory,
    "a broken link": a_broken_link,
    "garbage in the log": beside("-wal", b"\x37\x7f\x06\x82" + b"garbage" * 1000),
    "another one's log": an_older_copy_s_log,
    "garbage in the shared memory": beside("-shm", b"garbage" * 5000),
    "garbage in a journal": beside("-journal", b"garbage" * 1000),
    "a table gone": saying("DROP TABLE grants"),
    "a table of other columns": saying("ALTER TABLE blobs RENAME COLUMN used TO useful"),
    "no rows": saying("DELETE FROM blobs", "DELETE FROM tags", "DELETE FROM grants"),
    "no blobs": saying("DELETE FROM blobs"),
    "no grants": saying("DELETE FROM grants"),
    "other sizes": saying("UPDATE blobs SET size = size + 1"),
    "impossible sizes": saying("UPDATE blobs SET size = -1"),
    "words for sizes": saying("UPDATE blobs SET size = 'large'"),
    "no times": saying("UPDATE blobs SET used = 9e999", "UPDATE tags SET checked = -9e999"),
    "no digests": saying("UPDATE blobs SET digest = '../../' || rowid"),
    "no UTF-8": saying("UPDATE tags SET descriptor = x'ff00'"),
    "no documents": saying("UPDATE blobs SET document = '{}' WHERE document IS NOT NULL"),
    "documents without children": saying(
        """UPDATE blobs SET document = json_set(document, '$.children', json('[]'))
        WHERE document IS NOT NULL"""
    ),
    "tags that lead nowhere": saying("UPDATE tags SET digest = 'sha256:' || hex(zeroblob(32))"),
    "tags in a knot": saying(
        "UPDATE tags SET (digest, descriptor) = (SELECT digest, descriptor FROM tags t LIMIT 1)"
    ),
    "versions to come": saying("PRAGMA user_version = 2000"),
}


@pytest.fixture(scope="module")
def bench(runtime: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sabotaged]:
    with sabotaged(tmp_path_factory.mktemp("index"), runtime) as running:
        yield running


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_index_costs_nothing_but_requests(bench: Sabotaged, name: str) -> None:
    images = [bench.image(f"{letter}-{name}".replace(" ", "-").replace("'", "")) for letter in "ab"]
    for image in images:
        bench.assert_well(image)
    bench.halt()
    DAMAGE[name](bench.cache.store / "index.sqlite")
    bench.revive()
    for image in images:
        bench.assert_well(image)
        assert bench.held(image.layer)
    bench.wiretap.stop()
    assert [bench.pull(image) for image in images] == [[EXACT] * 4] * 2
    bench.wiretap.start()


@pytest.fixture(scope="module")
def patient(runtime: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sabotaged]:
    proxy = {"tag_ttl": "1h", "ttl": "168h", "stale_if_error": "720h"}
    with sabotaged(tmp_path_factory.mktemp("clock"), runtime, proxy) as running:
        yield running


@pytest.mark.parametrize("step", [-10_000 * DAY, -DAY, -1.0, 1.0, DAY, 1000 * DAY])
def test_a_clock_that_steps_changes_nothing_for_a_running_server(
    patient: Sabotaged, step: float
) -> None:
    image = patient.image(f"step-{step:.0f}")
    patient.assert_well(image)
    patient.wiretap.forget()
    patient.set_clock(step)
    patient.assert_well(image)
    patient.set_clock(0)
    assert patient.wiretap.seen() == [], "still fresh, still held"


@pytest.mark.parametrize("step", [-10_000 * DAY, -2 * DAY, 2 * DAY, 1000 * DAY])
def test_a_clock_that_stepped_between_two_runs_makes_nothing_fresh(
    patient: Sabotaged, step: float
) -> None:
    image = patient.image(f"between-{step:.0f}")
    patient.assert_well(image)
    patient.wiretap.forget()
    patient.halt()
    patient.revive(clock=step)
    patient.assert_well(image)
    asked = {one.method for one in patient.wiretap.seen(part=image.tag)}
    assert "HEAD" in asked, "the tag was asked for again"
    patient.halt()
    patient.revive()
    patient.assert_well(image)


def test_what_the_new_time_calls_idle_goes(patient: Sabotaged) -> None:
    image = patient.image("idle")
    patient.assert_well(image)
    patient.halt()
    patient.revive(clock=8 * DAY)
    patient.assert_well(patient.image("fresh"))
    patient.await_gone(image.layer)
    patient.assert_well(image)
    patient.halt()
    patient.revive()


def test_records_of_the_future_do_not_stay_for_ever(tmp_path: Path, runtime: str) -> None:
    """What was last used a year from now is evicted in its turn, like anything else."""
    with sabotaged(tmp_path, runtime, {"max_size": "1MB"}) as bench:
        image = bench.image("future")
        bench.assert_well(image)
        bench.halt()
        saying("UPDATE blobs SET used = used + 31536000")(bench.cache.store / "index.sqlite")
        bench.revive()
        for number in range(8):
            bench.assert_well(bench.image(f"now-{number}"))
        assert not bench.held(image.layer)
