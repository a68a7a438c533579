"""Helpers that behave, and helpers that do not."""

import os
import select
from pathlib import Path

import pytest

from distcache.core.events import Secret
from distcache.credentials.program import OUTPUT, HelperFailed, ask
from distcache.wire.outgoing import Credentials, IdentityToken
from tests.credentials.helpers import answering, asked, program

SERVER = "ghcr.io"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "helper"


def why(path: Path, seconds: float = 30.0) -> str:
    with pytest.raises(HelperFailed) as caught:
        ask(str(path), SERVER, seconds)
    return str(caught.value)


def test_a_helper_is_asked_to_get_and_reads_the_server(path: Path) -> None:
    answering(path, "alice", "s3cret")
    assert ask(str(path), SERVER) == Credentials("alice", "s3cret")
    assert asked(path) == [f"get {SERVER}"]


def test_token_in_the_users_place_marks_an_identity_token(path: Path) -> None:
    answering(path, "<token>", "refresh")
    assert ask(str(path), SERVER) == IdentityToken(Secret("refresh"))


def test_not_found_is_no_failure(path: Path) -> None:
    program(path, "echo credentials not found in native keychain; exit 1")
    assert ask(str(path), SERVER) is None


def test_a_helper_that_reads_nothing_may_answer(path: Path) -> None:
    program(path, """exec 0<&-; echo '{"Username": "u", "Secret": "p"}'""")
    assert ask(str(path), SERVER) == Credentials("u", "p")


def test_what_a_helper_complains_of_is_no_part_of_its_answer(path: Path) -> None:
    program(path, """echo careful >&2; echo '{"Username": "u", "Secret": "p"}'; echo late >&2""")
    assert ask(str(path), SERVER) == Credentials("u", "p")


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "hunter2",
        "[]",
        '"hunter2"',
        '{"Secret": "hunter2"}',
        '{"Username": "", "Secret": "hunter2"}',
        '{"Username": "u"}',
        '{"Username": "u", "Secret": ""}',
        '{"Username": 5, "Secret": "hunter2"}',
        '{"Username": "u", "Secret": ["hunter2"]}',
    ],
)
def test_an_answer_that_is_none_is_not_quoted(path: Path, answer: str) -> None:
    program(path, f"cat <<'END'\n{answer}\nEND")
    assert why(path) == f"{path}: the answer has no Username and Secret"


def test_neither_output_nor_complaint_of_a_failed_helper_is_quoted(path: Path) -> None:
    program(path, "echo hunter2; echo hunter2 >&2; exit 3")
    assert why(path) == f"{path}: ended with status 3"


def test_nothing_is_run_that_is_no_program(path: Path) -> None:
    assert why(path) == f"{path}: cannot be run: No such file or directory"
    path.write_text("echo")
    assert why(path) == f"{path}: cannot be run: Permission denied"
    assert why(Path("a\0b")) == "a\0b: cannot be run: no name of a program"


def test_no_shell_reads_the_command(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    assert "cannot be run" in why(Path(f"true; touch {mark}"))
    assert not mark.exists()


def test_a_helper_without_end_is_ended(path: Path) -> None:
    program(path, "cat /dev/zero")
    assert why(path) == f"{path}: writes more than an answer can have"
    assert OUTPUT == 64 * 1024


def test_a_helper_that_never_answers_is_ended(path: Path) -> None:
    program(path, "exec sleep 1000")
    assert why(path, 0.05) == f"{path}: no answer within 0.05s"


def test_a_helper_that_answers_and_stays_is_ended(path: Path) -> None:
    program(path, "exec >&-; exec sleep 1000")
    assert why(path, 0.5) == f"{path}: no answer within 0.5s"


def test_what_a_helper_started_ends_with_it(path: Path, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        program(path, f"exec 3>'{fifo}'\nsleep 1000 &\nexit 0")
        assert "no answer" in why(path, 0.5)
        # Comes to an end only when nobody is left who could write.
        poll = select.poll()
        poll.register(reader, select.POLLIN)
        assert poll.poll(30_000)
        assert os.read(reader, 1) == b""
    finally:
        os.close(reader)
