"""Files that are read again when they change."""

import os
from pathlib import Path

import pytest

from distcache.watched import LARGEST, LOOK_AGAIN, FileProblem, WatchedFile, contents

NOON = 1000.0
LATER = NOON + LOOK_AGAIN


def upper(data: bytes) -> str:
    if data == b"bad":
        raise ValueError("is bad")
    return data.decode().upper()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


def replace(path: Path, data: bytes) -> None:
    """As programs do that leave no half-written file: another inode."""
    other = path.with_suffix(".new")
    other.write_bytes(data)
    other.replace(path)


def test_nothing_is_read_before_it_is_asked_for(path: Path) -> None:
    path.write_bytes(b"a")
    assert WatchedFile(path, upper).current(NOON) is None


def test_what_was_read_stands_while_the_file_does(path: Path) -> None:
    path.write_bytes(b"a")
    file = WatchedFile(path, upper)
    assert file.read(NOON) == "A"
    assert file.current(NOON) == "A"
    assert file.current(LATER) == "A"
    assert file.read(LATER) == "A"


def test_a_change_is_seen_a_second_later_and_read_by_who_may_block(path: Path) -> None:
    path.write_bytes(b"a")
    file = WatchedFile(path, upper)
    file.read(NOON)
    replace(path, b"b")
    assert file.current(NOON + LOOK_AGAIN / 2) == "A"
    assert file.current(LATER) is None
    assert file.current(LATER) is None
    assert file.read(LATER) == "B"
    assert file.current(LATER) == "B"


def test_a_file_of_the_same_size_and_time_is_another_one(path: Path) -> None:
    path.write_bytes(b"a")
    os.utime(path, ns=(0, 0))
    file = WatchedFile(path, upper)
    file.read(NOON)
    replace(path, b"b")
    os.utime(path, ns=(0, 0))
    assert file.current(LATER) is None
    assert file.read(LATER) == "B"


def test_a_file_that_is_gone_or_bad_is_no_longer_what_it_was(path: Path) -> None:
    path.write_bytes(b"a")
    file = WatchedFile(path, upper)
    file.read(NOON)
    path.unlink()
    assert file.current(LATER) is None
    with pytest.raises(FileProblem, match="file: cannot be read: No such file"):
        file.read(LATER)
    path.write_bytes(b"bad")
    with pytest.raises(FileProblem, match=r"file: is bad$"):
        file.read(LATER)
    assert file.current(LATER) is None
    path.write_bytes(b"a")
    assert file.read(LATER) == "A"


def test_a_file_without_end_is_not_read() -> None:
    with pytest.raises(FileProblem, match="/dev/zero: larger"):
        contents(Path("/dev/zero"))


def test_contents_are_all_of_a_file(path: Path) -> None:
    path.write_bytes(b"x" * LARGEST)
    assert len(contents(path)) == LARGEST
    with pytest.raises(FileProblem, match="cannot be read: Is a directory"):
        contents(path.parent)
