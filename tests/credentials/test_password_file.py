"""Passwords in files of their own."""

from pathlib import Path

import pytest

from distcache.credentials import Ask, Credentials, Failed, Known, PasswordFile
from distcache.credentials.password_file import PasswordFileSource, parse
from distcache.watched import LOOK_AGAIN

NOON = 1000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "password"


def said(source: PasswordFileSource, now: float) -> Known | Failed:
    answer = source.current(now)
    return answer.job() if isinstance(answer, Ask) else answer


@pytest.mark.parametrize(
    ("data", "password"),
    [
        (b"s3cret", "s3cret"),
        (b"s3cret\n", "s3cret"),
        (b"s3cret\r\n", "s3cret"),
        (b" s3cret ", " s3cret "),
        ("pässword\n".encode(), "pässword"),
    ],
)
def test_one_line_end_is_not_part_of_the_password(data: bytes, password: str) -> None:
    assert parse(data) == password


@pytest.mark.parametrize("data", [b"", b"\n", b"a\n\n", b"a\nb", b"a\0", b"\xff", b"a\r\r\n"])
def test_what_can_be_no_password(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"holds|UTF-8"):
        parse(data)


def test_a_renewed_password_is_taken_up(path: Path) -> None:
    reports: list[str] = []
    spec = PasswordFile("alice", path)
    source = PasswordFileSource(spec, lambda text, fields: reports.append(fields["error"]))
    path.write_text("one\n")
    assert isinstance(source.current(NOON), Ask)
    assert said(source, NOON) == Known(Credentials("alice", "one"))
    assert source.current(NOON) == Known(Credentials("alice", "one"))
    path.write_text("second\n")
    assert said(source, NOON + LOOK_AGAIN) == Known(Credentials("alice", "second"))
    assert reports == []


def test_an_unusable_file_leaves_the_password_and_is_told_of_once(path: Path) -> None:
    reports: list[str] = []
    spec = PasswordFile("alice", path)
    source = PasswordFileSource(spec, lambda text, fields: reports.append(fields["error"]))
    assert said(source, NOON) == Failed(f"{path}: cannot be read: No such file or directory")
    path.write_text("one\n")
    one = Known(Credentials("alice", "one"))
    assert said(source, NOON) == one
    path.write_text("")
    for later in range(1, 4):
        assert said(source, NOON + later * LOOK_AGAIN) == one
    path.write_text("one\n")
    assert said(source, NOON + 5 * LOOK_AGAIN) == one
    path.write_text("")
    assert said(source, NOON + 6 * LOOK_AGAIN) == one
    gone, empty = f"{path}: cannot be read: No such file or directory", f"{path}: holds no password"
    assert reports == [gone, empty, empty]
