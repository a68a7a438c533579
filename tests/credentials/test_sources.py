"""Opening what a configuration names, and that none of it ever shows a secret."""

import io
import json
from base64 import b64encode
from pathlib import Path

import pytest

from distcache import log
from distcache.core.events import Secret
from distcache.credentials import (
    Ask,
    Credentials,
    DockerConfig,
    Failed,
    Helper,
    IdentityToken,
    Known,
    PasswordFile,
    Spec,
    open_source,
)
from distcache.credentials.docker_config import parse
from distcache.settings import Level, Log
from distcache.watched import FileProblem, WatchedFile
from tests.credentials.helpers import answering, program

NOON = 1000.0
SECRET = "hunter2"


@pytest.fixture
def specs(tmp_path: Path) -> list[Spec]:
    """Every kind, each saying alice and SECRET."""
    password = tmp_path / "password"
    password.write_text(SECRET)
    config = tmp_path / "config.json"
    packed = b64encode(f"alice:{SECRET}".encode()).decode()
    config.write_text(json.dumps({"auths": {"ghcr.io": {"auth": packed}}}))
    helper = answering(tmp_path / "helper", "alice", SECRET)
    return [
        Credentials("alice", SECRET),
        PasswordFile("alice", password),
        Helper(str(helper), "ghcr.io", 60),
        DockerConfig(config, "ghcr.io"),
    ]


def reporting(stream: io.StringIO) -> None:
    log.configure(Log(level=Level.DEBUG), stream)


def note(message: str, fields: dict[str, str]) -> None:
    log.note(Level.WARN, message, dict(fields))


def test_every_kind_of_source_says_the_same(specs: list[Spec]) -> None:
    for spec in specs:
        source = open_source(spec, note)
        said = source.current(NOON)
        if isinstance(said, Ask):
            said = said.job()
        assert said == Known(Credentials("alice", SECRET))
        assert source.current(NOON) == said


def test_no_value_shows_a_secret(specs: list[Spec]) -> None:
    stream = io.StringIO()
    reporting(stream)
    shown: list[object] = [*specs, IdentityToken(Secret(SECRET))]
    for spec in specs:
        source = open_source(spec, note)
        said = source.current(NOON)
        shown += [source, vars(source), said, said.job() if isinstance(said, Ask) else None]
        shown += [vars(source), source.current(NOON)]
    packed = b64encode(f"alice:{SECRET}".encode()).decode()
    shown.append(parse(json.dumps({"auths": {"ghcr.io": {"auth": packed}}}).encode()))
    for value in shown:
        for text in (repr(value), str(value), f"{value}"):
            assert SECRET not in text
            assert packed not in text
    assert stream.getvalue() == ""


def test_no_failure_shows_a_secret(specs: list[Spec], tmp_path: Path) -> None:
    stream = io.StringIO()
    reporting(stream)
    (tmp_path / "password").write_text(f"{SECRET}\n{SECRET}\n")
    (tmp_path / "config.json").write_text(f'{{"auths": {{"ghcr.io": {{"auth": "{SECRET}')
    program(tmp_path / "helper", f"echo {SECRET}; echo {SECRET} >&2; exit 1")
    failures = []
    for spec in specs[1:]:
        said = open_source(spec, note).current(NOON)
        assert isinstance(said, Ask)
        failures.append(said.job())
    assert all(isinstance(failure, Failed) for failure in failures)
    assert stream.getvalue().count("level=warn") == 3
    assert SECRET not in stream.getvalue()
    assert SECRET not in repr(failures)


def test_an_error_does_not_carry_what_it_was_raised_from() -> None:
    """A traceback in the log would print the exceptions below, which may quote the bytes."""
    file = WatchedFile(Path("/proc/self/cmdline"), parse)
    with pytest.raises(FileProblem) as caught:
        file.read(NOON)
    assert caught.value.__suppress_context__
