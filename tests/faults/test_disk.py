"""A disk that is really full: a small tmpfs, filled up to any page."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

import pytest
from attrs import frozen

from tests.faults.bench import EXACT, KIB, MIB, Bench, Image, running_bench
from tests.interop.tools import need
from tests.support.cache import CacheServer
from tests.support.faults import Fault, Gate
from tests.support.processes import ServerError
from tests.support.raw import download

PAGE = 4 * KIB
LAYER = 20 * KIB
STAGES = 40
"""Pages; a pull of one image, its records and SQLite's log need fewer."""


@frozen
class Disk:
    root: Path

    def fill(self, left: int = 0) -> None:
        """Leave so many pages free."""
        with (self.root / "filler").open("wb", buffering=0) as filler:
            with pytest.raises(OSError, match="No space left"):
                write_for_ever(filler)
            filler.truncate(filler.tell() - left * PAGE)

    def free(self) -> None:
        (self.root / "filler").unlink()


def write_for_ever(file: FileIO) -> None:
    while True:
        file.write(bytes(PAGE))


def touch_all(paths: list[Path]) -> None:
    for path in paths:
        path.touch()


@contextmanager
def disk(root: Path, options: str) -> Iterator[Disk]:
    need("mount", "umount", root=True)
    root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(root)], check=True)
    try:
        yield Disk(root)
    finally:
        subprocess.run(["umount", "--lazy", str(root)], check=True)


@contextmanager
def cramped(
    directory: Path, runtime: str, options: str = "size=6m"
) -> Iterator[tuple[Disk, Bench]]:
    with (
        disk(directory / "disk", options) as small,
        running_bench(directory / "cache", runtime, store=small.root / "store") as bench,
    ):
        yield small, bench


def test_a_disk_that_fills_up_at_any_page_spoils_no_pull(runtime: str, tmp_path: Path) -> None:
    """Nothing is evicted: what is held is not enough to make room."""
    with cramped(tmp_path, runtime) as (small, bench):
        bench.cache.storage = {"delete": {"enabled": False}}
        bench.cache.configure()
        bench.cache.hang_up()
        kept = []
        for left in range(STAGES):
            image = bench.image(f"page-{left}", LAYER)
            small.fill(left)
            assert bench.pull(image) == [EXACT] * 4, left
            bench.assert_tidy()
            kept.append(bench.held(image.layer))
            small.free()
            bench.assert_well(image)
            assert bench.held(image.layer), "there was room again"
        assert not kept[0]
        assert kept[-1]


def test_a_disk_that_fills_up_within_a_large_blob_spoils_no_pull(
    runtime: str, tmp_path: Path
) -> None:
    with cramped(tmp_path, runtime) as (small, bench):
        image = bench.image("large", 4 * MIB)
        gate = Gate(2 * MIB)
        bench.wiretap.spoil(Fault(image.layer, gate=gate))
        body = bench.item(image.layer).body
        with (
            download(bench.cache.port, image.layer, body) as early,
            download(bench.cache.port, image.layer, body) as late,
        ):
            early.read(MIB)
            gate.await_reached()
            small.fill()
            gate.open()
            early.read_rest()
            late.read_rest()
        assert not bench.held(image.layer)
        small.free()
        bench.assert_well(image)
        assert bench.held(image.layer)


def test_a_blob_that_can_never_fit_is_served(runtime: str, tmp_path: Path) -> None:
    with cramped(tmp_path, runtime) as (_, bench):
        image = bench.image("huge", 9 * MIB)
        bench.assert_well(image)
        assert not bench.held(image.layer)


def test_what_is_older_makes_room_on_a_full_disk(runtime: str, tmp_path: Path) -> None:
    with cramped(tmp_path, runtime) as (_, bench):
        images = [bench.image(f"older-{number}", MIB) for number in range(10)]
        for image in images:
            bench.assert_well(image)
        assert bench.held(images[-1].layer)
        assert not bench.held(images[0].layer)


def test_a_disk_without_inodes_spoils_no_pull(runtime: str, tmp_path: Path) -> None:
    with cramped(tmp_path, runtime, "size=6m,nr_inodes=40") as (small, bench):
        image = bench.image("inodes", LAYER)
        taken = [small.root / f"taken-{number}" for number in range(40)]
        with pytest.raises(OSError, match="No space left"):
            touch_all(taken)
        assert bench.pull(image) == [EXACT] * 4
        assert not bench.held(image.layer)
        for path in taken:
            path.unlink(missing_ok=True)
        bench.assert_well(image)
        assert bench.held(image.layer)


def test_a_full_disk_does_not_stop_a_restart(runtime: str, tmp_path: Path) -> None:
    with cramped(tmp_path, runtime) as (small, bench):
        held, new = bench.image("held", LAYER), bench.image("new", LAYER)
        bench.assert_well(held)
        small.fill()
        bench.stop()
        bench.start()
        assert bench.pull(held) == [EXACT] * 4
        assert bench.pull(new) == [EXACT] * 4
        small.free()
        bench.assert_well(new)
        assert bench.held(new.layer)


def test_a_new_store_on_a_full_disk_is_refused_and_says_why(runtime: str, tmp_path: Path) -> None:
    with disk(tmp_path / "disk", "size=1m") as small:
        small.fill()
        said = refusal(tmp_path, runtime, small.root / "store")
        assert "full" in said
        assert f"{small.root / 'store'}" in said


def test_a_store_that_cannot_be_written_is_refused_and_says_why(
    runtime: str, tmp_path: Path
) -> None:
    with cramped(tmp_path, runtime) as (small, bench):
        image = bench.image("read-only", LAYER)
        bench.assert_well(image)
        bench.stop()
        remount = ["mount", "-o", "remount", str(small.root)]
        subprocess.run([*remount[:2], "remount,ro", remount[-1]], check=True)
        said = refusal(tmp_path, runtime, bench.cache.store)
        assert "Read-only file system" in said
        assert str(bench.cache.store) in said
        subprocess.run([*remount[:2], "remount,rw", remount[-1]], check=True)
        bench.start()
        bench.wiretap.stop()
        assert bench.get(image.layer) == EXACT
        bench.wiretap.start()


def refusal(directory: Path, runtime: str, store: Path) -> str:
    """What a server says that does not start: no traceback, exit status 1."""
    proxy = {"remoteurl": "http://127.0.0.1:9"}
    cache = CacheServer(directory / "refused", proxy, runtime=runtime, store=store)
    with pytest.raises(ServerError, match="exit status 1") as caught:
        cache.start()
    said = str(caught.value)
    assert "Traceback" not in said
    return said


def test_one_layer_for_two_images_is_held_once(runtime: str, tmp_path: Path) -> None:
    """The disk has room for one copy only."""
    with cramped(tmp_path, runtime) as (_, bench):
        image: Image = bench.image("shared", 4 * MIB)
        layer = bench.item(image.layer).body
        tag = bench.origin.add_image("library/other", "v1", [layer])
        bench.assert_well(image)
        assert bench.get(tag) == EXACT
        assert bench.get(image.layer.replace("library/faulty", "library/other")) == EXACT
        bench.assert_tidy()
        assert bench.held(image.layer)
