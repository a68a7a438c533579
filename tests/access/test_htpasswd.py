"""Files of users as Apache's htpasswd writes them."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import bcrypt
import pytest

from distcache.access.authorization import Password
from distcache.access.htpasswd import REMEMBERED, SIGNIFICANT, Htpasswd, parse
from distcache.core.events import Secret
from distcache.watched import LOOK_AGAIN, FileProblem

# htpasswd -nbBC 4 alice s3cret (Apache 2.4.71).
ALICE = "alice:$2y$04$VtkN/i.NEbfcuHbA9UKu9equR6NBoWZQrV48ADSeX14p7FwswN4.C"
NOON = 1000.0


def hashed(password: str, cost: int = 4) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()


def login(user: str, password: str) -> Password:
    return Password(user, Secret(password))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "htpasswd"


def bcrypt_runs(job: Callable[[], object]) -> list[object]:
    """One entry for each time that `job` ran bcrypt."""
    found: list[object] = []

    def watch(frame: object, event: str, function: object) -> None:
        if event == "c_call" and function is bcrypt.checkpw:
            found.append(function)

    sys.setprofile(watch)
    try:
        job()
    finally:
        sys.setprofile(None)
    return found


@pytest.mark.parametrize("prefix", ["2a", "2b", "2y"])
def test_the_three_spellings_of_bcrypt(path: Path, prefix: str) -> None:
    path.write_text(f"bob:{hashed('pw').replace('$2b$', f'${prefix}$')}\n")
    users = Htpasswd(path)
    assert users.check(login("bob", "pw"), NOON)
    assert not users.check(login("bob", "other"), NOON)


def test_comments_blank_lines_and_the_last_of_two_lines() -> None:
    first, second = hashed("a"), hashed("b")
    text = f"# users\n\n  \n  # more\nbob:{first}\r\n bob:{second}  \ncarol:{first}"
    assert parse(text.encode()) == {"bob": second.encode(), "carol": first.encode()}
    assert parse(b"") == {}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("alice", "line 2: must be USER:HASH"),
        (":" + hashed("a"), "line 2: must be USER:HASH"),
        ("alice:", "line 2: the password is not in bcrypt"),
        ("alice:secret", "line 2: the password is not in bcrypt"),
        ("alice:$apr1$lZL6V/ci$eIMz/iKDkbtys/uU7LEK00", "line 2: the password is not in bcrypt"),
        ("alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "line 2: the password is not in bcrypt"),
        (ALICE + "x", "line 2: the password is not in bcrypt"),
        (ALICE.replace("UKu9e", "UKu9f"), "line 2: the password is not in bcrypt"),
        (ALICE.replace("$04$", "$31$"), "line 2: the cost of bcrypt"),
        (ALICE.replace("$04$", "$03$"), "line 2: the cost of bcrypt"),
    ],
)
def test_other_lines_are_named_and_not_quoted(line: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        parse(f"# users\n{line}\n".encode())
    assert line.rpartition(":")[2] not in str(caught.value) or not line.rpartition(":")[2]


def test_what_is_not_utf_8_is_named() -> None:
    with pytest.raises(ValueError, match="line 3: not UTF-8"):
        parse(f"{ALICE}\n\n\xff\n".encode("latin-1"))


def test_bcrypt_never_saw_more_than_72_bytes(path: Path) -> None:
    path.write_text(f"bob:{hashed('x' * SIGNIFICANT)}")
    assert Htpasswd(path).check(login("bob", "x" * 200), NOON)
    assert not Htpasswd(path).check(login("bob", "x" * 71), NOON)


def test_a_right_password_is_known_for_a_while(path: Path) -> None:
    path.write_text(f"{ALICE}\n")
    users = Htpasswd(path)
    alice = login("alice", "s3cret")
    assert not users.cached(alice, NOON)
    assert users.check(alice, NOON)
    assert users.cached(alice, NOON)
    assert users.cached(alice, NOON + REMEMBERED - 1)
    assert not users.cached(alice, NOON + REMEMBERED)
    assert not users.cached(login("alice", "s3cret2"), NOON)
    assert not users.cached(login("alic", "es3cret"), NOON)
    assert not users.cached(login("bob", "s3cret"), NOON)


def test_who_waited_for_a_thread_does_not_run_bcrypt_again(path: Path) -> None:
    path.write_text(ALICE)
    users = Htpasswd(path)
    alice = login("alice", "s3cret")
    assert len(bcrypt_runs(lambda: users.check(alice, NOON))) == 1
    assert bcrypt_runs(lambda: users.check(alice, NOON)) == []
    assert users.check(alice, NOON)


def test_a_wrong_password_is_never_known(path: Path) -> None:
    path.write_text(ALICE)
    users = Htpasswd(path)
    wrong = login("alice", "guess")
    for _ in range(2):
        assert not users.check(wrong, NOON)
        assert not users.cached(wrong, NOON)
    assert len(bcrypt_runs(lambda: users.check(wrong, NOON))) == 1


def test_a_stranger_costs_what_a_user_costs(path: Path) -> None:
    path.write_text(f"{ALICE}\nbob:{hashed('pw', 5)}\n")
    users = Htpasswd(path)
    for name in ("nobody", "alice", "bob"):
        tried = login(name, "x")
        assert len(bcrypt_runs(partial(users.check, tried, NOON))) == 1


@pytest.mark.parametrize("name", [f"stranger{number}" for number in range(8)])
def test_nobodys_password_is_a_strangers(path: Path, name: str) -> None:
    path.write_text(f"{ALICE}\nbob:{hashed('s3cret')}\n")
    users = Htpasswd(path)
    assert not users.check(login(name, "s3cret"), NOON)
    assert not users.cached(login(name, "s3cret"), NOON)


def test_an_empty_file_lets_nobody_in(path: Path) -> None:
    path.write_text("# nobody yet\n")
    assert not Htpasswd(path).check(login("alice", "s3cret"), NOON)


def test_a_change_of_the_file_counts_at_once_or_a_second_later(path: Path) -> None:
    path.write_text(ALICE)
    users = Htpasswd(path)
    alice = login("alice", "s3cret")
    users.check(alice, NOON)
    path.write_text(f"alice:{hashed('new password')}\n")
    later = NOON + LOOK_AGAIN
    assert not users.cached(alice, later)
    assert not users.check(alice, later)
    assert users.check(login("alice", "new password"), later)
    path.write_text("")
    assert not users.cached(login("alice", "new password"), later + LOOK_AGAIN)
    assert not users.check(login("alice", "new password"), later + LOOK_AGAIN)


def test_a_file_that_breaks_lets_nobody_in(path: Path) -> None:
    path.write_text(ALICE)
    users = Htpasswd(path)
    alice = login("alice", "s3cret")
    users.check(alice, NOON)
    path.write_text(f"{ALICE}\nbob\n")
    later = NOON + LOOK_AGAIN
    assert not users.cached(alice, later)
    with pytest.raises(FileProblem, match="line 2"):
        users.check(alice, later)
    path.write_text(f"{ALICE}\n")
    assert users.check(alice, later)
