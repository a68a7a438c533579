"""What to paste into a client's configuration so that it pulls through this cache.

Formats: Docker's daemon.json, containerd's hosts.toml, containers-registries.conf(5),
buildkitd.toml, k3s' registries.yaml, kind's cluster configuration.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from urllib.parse import urlsplit

from attrs import frozen

HUB = "docker.io"


class Client(Enum):
    DOCKER = "docker"
    CONTAINERD = "containerd"
    PODMAN = "podman"
    BUILDKIT = "buildkit"
    K3S = "k3s"
    KIND = "kind"


@frozen
class Paste:
    """`text` belongs into the file `path`; `after` says what to do then."""

    path: str
    text: str
    after: str


@frozen
class Cache:
    """`url`: where clients find the cache. `upstreams`: the registries it serves, by the host
    that image references name, each with the URL that a client falls back to. `default`: the
    one that is meant when a path names none."""

    url: str
    upstreams: Mapping[str, str]
    default: str

    @property
    def plain(self) -> bool:
        return urlsplit(self.url).scheme != "https"

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    def location(self, key: str) -> str:
        """Host and path under which a client that can say no more finds an upstream."""
        return self.host if key == self.default else f"{self.host}/{key}"


def pastes(client: Client, cache: Cache) -> Sequence[Paste]:
    """Every file that the client needs, for all upstreams that it can be told of."""
    return _WRITERS[client](cache)


def _docker(cache: Cache) -> Sequence[Paste]:
    """Docker asks mirrors for Docker Hub's images only."""
    options: dict[str, list[str]] = {}
    if cache.default == HUB:
        options["registry-mirrors"] = [cache.url]
    if cache.plain:
        options["insecure-registries"] = [cache.host]
    others = [key for key in cache.upstreams if key != HUB or cache.default != HUB]
    after = "systemctl reload docker"
    if others:
        after += f"; for other registries: docker pull {cache.location(others[0])}/NAME:TAG"
    return [Paste("/etc/docker/daemon.json", json.dumps(options, indent=2) + "\n", after)]


def _containerd(cache: Cache) -> Sequence[Paste]:
    after = (
        'nothing to restart, once config.toml has config_path = "/etc/containerd/certs.d" '
        '(under plugins."io.containerd.grpc.v1.cri".registry; in containerd 2: '
        "plugins.'io.containerd.cri.v1.images'.registry)"
    )
    return [
        Paste(
            f"/etc/containerd/certs.d/{key}/hosts.toml",
            f'server = "{server}"\n\n[host."{cache.url}"]\n  capabilities = ["pull", "resolve"]\n',
            after,
        )
        for key, server in cache.upstreams.items()
    ]


def _podman(cache: Cache) -> Sequence[Paste]:
    insecure = "insecure = true\n" if cache.plain else ""
    blocks = [
        f'[[registry]]\nprefix = "{key}"\nlocation = "{key}"\n\n'
        f'[[registry.mirror]]\nlocation = "{cache.location(key)}"\n{insecure}'
        for key in cache.upstreams
    ]
    path = "/etc/containers/registries.conf.d/distcache.conf"
    return [Paste(path, "\n".join(blocks), "nothing to restart; CRI-O: systemctl reload crio")]


def _buildkit(cache: Cache) -> Sequence[Paste]:
    blocks = [
        f'[registry."{key}"]\n  mirrors = ["{cache.location(key)}"]\n' for key in cache.upstreams
    ]
    if cache.plain:
        blocks.append(f'[registry."{cache.host}"]\n  http = true\n')
    after = "docker buildx create --use --buildkitd-config /etc/buildkit/buildkitd.toml"
    return [Paste("/etc/buildkit/buildkitd.toml", "\n".join(blocks), after)]


def _k3s(cache: Cache) -> Sequence[Paste]:
    lines = ["mirrors:"]
    for key in cache.upstreams:
        lines += [f'  "{key}":', f'    endpoint: ["{cache.url}"]']
    text = "\n".join(lines) + "\n"
    return [Paste("/etc/rancher/k3s/registries.yaml", text, "systemctl restart k3s on every node")]


def _kind(cache: Cache) -> Sequence[Paste]:
    cluster = (
        "kind: Cluster\n"
        "apiVersion: kind.x-k8s.io/v1alpha4\n"
        "containerdConfigPatches:\n"
        "  - |-\n"
        '    [plugins."io.containerd.grpc.v1.cri".registry]\n'
        '      config_path = "/etc/containerd/certs.d"\n'
        "nodes:\n"
        "  - role: control-plane\n"
        "    extraMounts:\n"
        "      - hostPath: ./certs.d\n"
        "        containerPath: /etc/containerd/certs.d\n"
    )
    after = "kind create cluster --config kind.yaml; the cache's address must be one that reaches "
    after += "it from inside the node's container"
    hosts = [
        Paste(paste.path.removeprefix("/etc/containerd/"), paste.text, "mounted into the node")
        for paste in _containerd(cache)
    ]
    return [Paste("kind.yaml", cluster, after), *hosts]


_WRITERS: Mapping[Client, Callable[[Cache], Sequence[Paste]]] = {
    Client.DOCKER: _docker,
    Client.CONTAINERD: _containerd,
    Client.PODMAN: _podman,
    Client.BUILDKIT: _buildkit,
    Client.K3S: _k3s,
    Client.KIND: _kind,
}
