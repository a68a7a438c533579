"""Docker's own `config.json`."""

import json
from base64 import b64encode
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distcache.core.events import Secret
from distcache.credentials import (
    Ask,
    Credentials,
    DockerConfig,
    Failed,
    IdentityToken,
    Known,
    Login,
)
from distcache.credentials.docker_config import (
    HELPER_LIFE,
    HUB_SERVER,
    DockerConfigSource,
    parse,
    server_of,
)
from distcache.watched import LOOK_AGAIN
from tests.credentials.helpers import answering, asked, program

NOON = 1000.0
ALICE = Credentials("alice", "s3cret")
AUTH = {"auth": b64encode(b"alice:s3cret").decode()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.json"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory at the front of PATH."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory), prepend=":")
    return directory


def source(path: Path, server: str, reports: list[str] | None = None) -> DockerConfigSource:
    told = [] if reports is None else reports
    spec = DockerConfig(path, server)
    return DockerConfigSource(spec, lambda text, fields: told.append(fields["error"]))


def said(source: DockerConfigSource, now: float = NOON) -> Known | Failed:
    answer = source.current(now)
    return answer.job() if isinstance(answer, Ask) else answer


def login(path: Path, server: str, config: object) -> Login | None:
    path.write_text(json.dumps(config))
    known = said(source(path, server))
    assert isinstance(known, Known)
    return known.login


def test_docker_has_a_name_of_its_own_for_hub() -> None:
    assert server_of("docker.io") == server_of("registry-1.docker.io") == HUB_SERVER
    assert server_of("ghcr.io") == "ghcr.io"
    assert server_of("host:5000") == "host:5000"


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (AUTH, ALICE),
        ({"auth": b64encode(b"alice:s3cret\0\0").decode()}, ALICE),
        ({"auth": b64encode(b"alice:a:b").decode()}, Credentials("alice", "a:b")),
        ({"username": "alice", "password": "s3cret"}, ALICE),
        (AUTH | {"identitytoken": "refresh"}, IdentityToken(Secret("refresh"))),
        (AUTH | {"identitytoken": ""}, ALICE),
        ({}, None),
        ("x", None),
        ({"auth": ""}, None),
        ({"auth": "!"}, None),
        ({"auth": "\u00e9"}, None),
        ({"auth": "/w=="}, None),
        ({"auth": b64encode(b"alice").decode()}, None),
        ({"auth": b64encode(b":s3cret").decode()}, None),
        ({"username": "alice"}, None),
        ({"username": 5, "password": "s3cret"}, None),
    ],
)
def test_entries(path: Path, entry: object, expected: Login | None) -> None:
    assert login(path, "ghcr.io", {"auths": {"ghcr.io": entry}}) == expected


@pytest.mark.parametrize(
    ("server", "key", "found"),
    [
        (HUB_SERVER, "https://index.docker.io/v1/", True),
        (HUB_SERVER, "index.docker.io", True),
        (HUB_SERVER, "docker.io", True),
        (HUB_SERVER, "registry-1.docker.io", True),
        (HUB_SERVER, "hub.docker.com", False),
        ("ghcr.io", "ghcr.io", True),
        ("ghcr.io", "GHCR.io", True),
        ("ghcr.io", "https://ghcr.io", True),
        ("ghcr.io", "https://ghcr.io/v2/", True),
        ("ghcr.io", "http://ghcr.io/some/path", True),
        ("ghcr.io", "ghcr.io/v1/", True),
        ("ghcr.io", "ghcr.io/owner", False),
        ("ghcr.io", "ghcr.io:443", False),
        ("ghcr.io", "notghcr.io", False),
        ("host:5000", "host:5000", True),
        ("host:5000", "host", False),
    ],
)
def test_keys(path: Path, server: str, key: str, found: bool) -> None:
    assert (login(path, server, {"auths": {key: AUTH}}) == ALICE) is found


def test_a_helper_of_the_registry_comes_before_the_store_and_both_before_entries(
    path: Path, programs: Path
) -> None:
    answering(programs / "docker-credential-one", "one", "p")
    answering(programs / "docker-credential-two", "two", "p")
    config = {
        "auths": {"ghcr.io": AUTH, "quay.io": AUTH},
        "credHelpers": {"ghcr.io": "one"},
        "credsStore": "two",
    }
    assert login(path, "ghcr.io", config) == Credentials("one", "p")
    assert login(path, "quay.io", config) == Credentials("two", "p")
    assert login(path, HUB_SERVER, config) == Credentials("two", "p")
    assert asked(programs / "docker-credential-one") == ["get ghcr.io"]
    assert asked(programs / "docker-credential-two") == ["get quay.io", f"get {HUB_SERVER}"]


@pytest.mark.parametrize("key", [HUB_SERVER, "index.docker.io", "docker.io"])
def test_a_helper_for_hub_has_any_of_its_names(path: Path, programs: Path, key: str) -> None:
    answering(programs / "docker-credential-hub", "<token>", "refresh")
    found = login(path, HUB_SERVER, {"credHelpers": {key: "hub"}})
    assert found == IdentityToken(Secret("refresh"))


def test_a_store_that_has_nothing_means_a_stranger(path: Path, programs: Path) -> None:
    program(
        programs / "docker-credential-x", "echo credentials not found in native keychain; exit 1"
    )
    assert login(path, "ghcr.io", {"auths": {"ghcr.io": {}}, "credsStore": "x"}) is None


def test_a_helpers_word_counts_for_a_while_and_a_change_ends_it(path: Path, programs: Path) -> None:
    one = answering(programs / "docker-credential-one", "one", "p")
    answering(programs / "docker-credential-two", "two", "p")
    path.write_text(json.dumps({"credsStore": "one"}))
    found = source(path, "ghcr.io")
    assert said(found) == Known(Credentials("one", "p"))
    assert said(found, NOON + HELPER_LIFE - 1) == Known(Credentials("one", "p"))
    assert len(asked(one)) == 1
    assert isinstance(found.current(NOON + HELPER_LIFE), Ask)
    path.write_text(json.dumps({"auths": {}, "credsStore": "two"}))
    assert said(found, NOON + HELPER_LIFE + LOOK_AGAIN) == Known(Credentials("two", "p"))


def test_a_helper_that_is_not_there_is_a_failure(path: Path, programs: Path) -> None:
    path.write_text(json.dumps({"credsStore": "missing"}))
    failed = said(source(path, "ghcr.io"))
    assert isinstance(failed, Failed)
    assert failed.why.startswith("docker-credential-missing: cannot be run")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "[" * 100_000,
        '{"auths": []}',
        '{"credHelpers": 5}',
        '{"credsStore": "../evil"}',
        '{"credsStore": "a b"}',
        '{"credsStore": 5}',
        '{"credHelpers": {"ghcr.io": ""}}',
    ],
)
def test_a_file_that_is_no_configuration(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no|must be"):
        parse(text.encode())


def test_docker_login_and_logout_are_noticed(path: Path) -> None:
    path.write_text("{}")
    reports: list[str] = []
    found = source(path, "ghcr.io", reports)
    assert said(found) == Known(None)
    path.write_text(json.dumps({"auths": {"ghcr.io": AUTH}}))
    assert said(found, NOON + LOOK_AGAIN) == Known(ALICE)
    assert found.current(NOON + LOOK_AGAIN) == Known(ALICE)
    path.write_text('{"auths": {"ghcr.io": {"auth"')
    for later in (2, 3):
        assert said(found, NOON + later * LOOK_AGAIN) == Known(ALICE)
    path.write_text('{"auths": {}}')
    assert said(found, NOON + 4 * LOOK_AGAIN) == Known(None)
    assert reports == [f"{path}: is no JSON"]


def test_a_file_that_never_was_is_a_failure(path: Path) -> None:
    reports: list[str] = []
    why = f"{path}: cannot be read: No such file or directory"
    found = source(path, "ghcr.io", reports)
    assert said(found) == said(found) == Failed(why)
    assert reports == [why]


@given(st.text(max_size=60))
def test_no_text_is_too_odd(text: str) -> None:
    with suppress(ValueError):
        parse(text.encode(errors="replace"))
