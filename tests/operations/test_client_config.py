"""What `client-config` prints is read by the formats' own parsers, and says what was meant."""

import json
import tomllib
from typing import Any

import pytest
import yaml

from distcache.operations.client_config import Cache, Client, Paste, pastes

PLAIN = Cache(
    "http://10.0.0.7:5000",
    {"docker.io": "https://registry-1.docker.io", "ghcr.io": "https://ghcr.io"},
    "docker.io",
)
SECURE = Cache("https://cache.example", {"ghcr.io": "https://ghcr.io"}, "ghcr.io")


def only(client: Client, cache: Cache) -> Paste:
    (paste,) = pastes(client, cache)
    return paste


def toml(paste: Paste) -> dict[str, Any]:
    return tomllib.loads(paste.text)


def test_docker_has_the_mirror_and_leave_to_use_plain_http() -> None:
    paste = only(Client.DOCKER, PLAIN)
    assert json.loads(paste.text) == {
        "registry-mirrors": ["http://10.0.0.7:5000"],
        "insecure-registries": ["10.0.0.7:5000"],
    }
    assert "docker pull 10.0.0.7:5000/ghcr.io/NAME:TAG" in paste.after


def test_docker_is_given_no_mirror_that_is_not_docker_hubs() -> None:
    paste = only(Client.DOCKER, SECURE)
    assert json.loads(paste.text) == {}
    assert "docker pull cache.example/NAME:TAG" in paste.after


def test_containerd_has_a_file_for_each_registry() -> None:
    hub, ghcr = pastes(Client.CONTAINERD, PLAIN)
    assert hub.path == "/etc/containerd/certs.d/docker.io/hosts.toml"
    assert toml(hub) == {
        "server": "https://registry-1.docker.io",
        "host": {"http://10.0.0.7:5000": {"capabilities": ["pull", "resolve"]}},
    }
    assert toml(ghcr)["server"] == "https://ghcr.io"


@pytest.mark.parametrize(("cache", "insecure"), [(PLAIN, True), (SECURE, None)])
def test_podman_finds_each_registry_under_its_own_path(cache: Cache, insecure: bool | None) -> None:
    registries = toml(only(Client.PODMAN, cache))["registry"]
    assert [r["prefix"] for r in registries] == list(cache.upstreams)
    for registry in registries:
        (mirror,) = registry["mirror"]
        suffix = "" if registry["prefix"] == cache.default else f"/{registry['prefix']}"
        assert mirror["location"] == cache.host + suffix
        assert mirror.get("insecure") is insecure


def test_buildkit_is_told_that_the_mirror_is_plain() -> None:
    registries = toml(only(Client.BUILDKIT, PLAIN))["registry"]
    assert registries["ghcr.io"] == {"mirrors": ["10.0.0.7:5000/ghcr.io"]}
    assert registries["10.0.0.7:5000"] == {"http": True}
    assert "cache.example" not in toml(only(Client.BUILDKIT, SECURE))["registry"]


def test_k3s_names_the_registry_itself_as_it_sends_ns() -> None:
    mirrors = yaml.safe_load(only(Client.K3S, PLAIN).text)["mirrors"]
    assert mirrors == {key: {"endpoint": ["http://10.0.0.7:5000"]} for key in PLAIN.upstreams}


def test_kind_mounts_what_containerd_reads() -> None:
    cluster, *hosts = pastes(Client.KIND, PLAIN)
    tree = yaml.safe_load(cluster.text)
    assert tree["nodes"][0]["extraMounts"][0]["containerPath"] == "/etc/containerd/certs.d"
    patch = tomllib.loads(tree["containerdConfigPatches"][0])
    registry = patch["plugins"]["io.containerd.grpc.v1.cri"]["registry"]
    assert registry == {"config_path": "/etc/containerd/certs.d"}
    assert [paste.path for paste in hosts] == [
        "certs.d/docker.io/hosts.toml",
        "certs.d/ghcr.io/hosts.toml",
    ]
