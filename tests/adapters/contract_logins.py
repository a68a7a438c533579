"""What any adapter must do when a login that it finds elsewhere changes. The loop's clock moves
only when told.

Taken over like `contract`.
"""

import json
import os
import socket
from base64 import b64encode
from pathlib import Path

import pytest

from distcache.core.config import Config, Limits
from distcache.core.config import Upstream as Treatment
from distcache.credentials import DockerConfig, Helper
from distcache.watched import LOOK_AGAIN
from distcache.wire.outgoing import Credentials
from tests.adapters import scripted as up
from tests.adapters.harness import Bench, Benches
from tests.credentials.helpers import answering, asked

NEXT_LOOK = LOOK_AGAIN + 0.1
"""Seconds; beyond what the wall clock's resolution rounds away."""
WITH_LOGIN = Config({"up": Treatment(basic=True)}, limits=Limits())


def shown(b: Bench, name: str) -> str | None:
    """The login that upstream sees when it wants one, for content that nobody has asked for yet.
    None: it is shown none, and the client is refused."""
    seen: list[str] = []

    def script(one: socket.socket, request: up.Asked) -> None:
        value = request.headers.get("authorization")
        if value is None:
            up.status(401, {"WWW-Authenticate": 'Basic realm="upstream"'})(one, request)
        else:
            seen.append(value)
            up.whole(name.encode())(one, request)

    answer = b.get(b.upstream.blob(f"a/{name}", name.encode(), script))
    b.settled()
    if not seen:
        assert answer.status != 200
        return None
    assert (answer.status, len(seen)) == (200, 1)
    return seen[0]


def docker_login(path: Path, **entries: object) -> None:
    """As docker and podman write it: beside the old file, then in its place."""
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(entries))
    os.replace(beside, path)


def entry(user: str, password: str) -> dict[str, object]:
    return {"up": {"auth": b64encode(f"{user}:{password}".encode()).decode()}}


def test_docker_s_login_and_logout_count_without_a_restart(
    benches: Benches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config.json"
    docker_login(path, auths=entry("alice", "one"))
    sources = {"up": DockerConfig(path, "up")}
    alice, bob = Credentials("alice", "one").basic(), Credentials("bob", "two").basic()
    with benches(clock=True, sources=sources, core=WITH_LOGIN) as b:
        assert shown(b, "first") == alice
        docker_login(path, auths=entry("bob", "two"))
        assert shown(b, "at-once") == alice, "it is looked at once a second"
        b.jump(NEXT_LOOK)
        assert shown(b, "second") == bob
        docker_login(path, auths={})
        b.jump(NEXT_LOOK)
        assert shown(b, "third") is None
        (tmp_path / "bin").mkdir()
        answering(tmp_path / "bin" / "docker-credential-here", "carol", "three")
        monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
        docker_login(path, credsStore="here")
        b.jump(NEXT_LOOK)
        assert shown(b, "fourth") == Credentials("carol", "three").basic()


@pytest.mark.parametrize(("lifetime", "questions"), [(60.0, 2), (None, 1), (0.0, 3)])
def test_a_helper_is_asked_again_when_its_lifetime_is_over(
    benches: Benches, tmp_path: Path, lifetime: float | None, questions: int
) -> None:
    """0: for every request; None: never."""
    old, new = Credentials("user", "old"), Credentials("user", "new")
    program = answering(tmp_path / "helper", "user", "old")
    sources = {"up": Helper(str(program), "up", lifetime)}
    with benches(clock=True, sources=sources, core=WITH_LOGIN) as b:
        assert shown(b, "first") == old.basic()
        answering(tmp_path / "helper", "user", "new")
        b.jump(59)
        assert shown(b, "second") == (new if lifetime == 0 else old).basic()
        b.jump(2)
        assert shown(b, "third") == (old if lifetime is None else new).basic()
    assert asked(program) == ["get up"] * questions
