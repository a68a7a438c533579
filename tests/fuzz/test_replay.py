"""What the fuzzer has found worth keeping still holds; and each target can fail."""

import re
from pathlib import Path

import pytest
from attrs import evolve

from distcache.access import htpasswd, keys, token
from distcache.access.htpasswd import Htpasswd
from distcache.configuration import schema
from distcache.core import grants, ranges, transfers
from distcache.core.pull import Span
from distcache.credentials import docker_config
from distcache.wire import answers, challenge, oci_json, plain
from distcache.wire.plain import Request
from fuzz.keep import first_reached
from fuzz.targets import CORPUS, NAMES, load

FILES = 60
LARGEST = 200 * 1024
"""Inputs of a target, and bytes of all: a repository keeps every version of every file."""


def corpus(name: str) -> list[Path]:
    return sorted((CORPUS / name).iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_the_corpus_holds(name: str) -> None:
    one_input = load(name).one_input
    for path in corpus(name):
        try:
            one_input(path.read_bytes())
        except Exception as error:
            error.add_note(f"fuzz/corpus/{name}/{path.name}")
            raise


@pytest.mark.parametrize("name", NAMES)
def test_words_alone_hold(name: str) -> None:
    target = load(name)
    for word in (b"", *target.WORDS):
        for choice in (b"", b"\0", b"\1", b"\2"):
            target.one_input(choice + word)


def test_corpora_are_there_and_small() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(NAMES)
    sizes = [[path.stat().st_size for path in corpus(name)] for name in NAMES]
    assert all(0 < len(one) <= FILES for one in sizes), sizes
    assert sum(map(sum, sizes)) <= LARGEST


def _remember_another(head: bytes, request: Request) -> None:
    plain._heads.put(head, evolve(request, target=b"/"))


BUGS: dict[str, tuple[object, str, object]] = {
    "authorization": (Htpasswd, "check", lambda self, login, now: True),
    "challenge": (challenge, "trusted", lambda home, realm: True),
    "client_bytes": (plain, "remember", _remember_another),
    "configuration": (schema, "below", lambda path, key: str(key)),
    "docker_config": (docker_config, "_program", str),
    "htpasswd": (htpasswd, "_HASH", re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}")),
    "jwt_token": (token, "LEEWAY", 1e12),
    "keys": (keys, "_usable", lambda key: key),
    "listing": (answers, "_next_page", lambda head, pull: "a>b"),
    "manifest": (oci_json, "_unique", tuple),
    "ranges": (ranges, "select", lambda specs, size: Span(0, size)),
    "token": (challenge, "_life", lambda expires_in: 0.0),
    "upstream_bytes": (transfers, "WRONG_DIGEST", None),
    "world": (grants, "granted", lambda state, repository, content: True),
}
"""For each target a defect in what it looks at."""


@pytest.mark.parametrize("name", NAMES)
def test_each_target_finds_a_defect_with_its_corpus(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_input = load(name).one_input
    monkeypatch.setattr(*BUGS[name])
    caught = []
    for path in corpus(name):
        try:
            one_input(path.read_bytes())
        except Exception as error:
            caught.append(error)
    assert caught


def test_the_control_file_tells_what_each_input_is_the_first_to_reach() -> None:
    lines = [
        "2",
        "1",
        "a",
        "b",
        "STARTED 0 3",
        "FT 0 7 8",
        "COV 0 1",
        "STARTED 1 9",
        "FT 1",
        "COV 1 2",
    ]
    assert first_reached(lines) == {"a": (1, 2), "b": (1, 0)}
