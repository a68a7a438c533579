"""Real clients, each with stores of its own, behind one interface.

`pull` returns what the client holds afterwards, as digests that the client computed or that
are computed here over its files; `expected` is what that must be. `forget` empties the
client's store, so that the next pull asks for everything again.
"""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from attrs import field, frozen

from tests.interop.images import HOST, Manifest
from tests.support.cache import CacheServer
from tests.support.processes import Server

PULL_TIMEOUT = 90.0


class ClientError(Exception):
    """The message holds the client's own words. They may name the wrong host: after a
    mirror's failure docker, podman and ctr report the registry that they tried next."""


class Client(Protocol):
    def pull(self, cache: CacheServer, repository: str) -> frozenset[str]:
        """Pull tag `latest`. Raises ClientError."""

    def pull_as(self, cache: CacheServer, repository: str, login: str | None) -> frozenset[str]:
        """The same from the cache by its own address, logged in there as `user:password` in the
        way that the client has for it; None: as a stranger. Raises ClientError."""

    def expected(self, manifest: Manifest) -> frozenset[str]: ...

    def forget(self) -> None: ...


def run(command: list[str], environment: Mapping[str, str] | None = None) -> str:
    """Standard output. Raises ClientError."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=PULL_TIMEOUT,
            env={**os.environ, **(environment or {})},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ClientError(f"{command[0]}: still running after {error.timeout} s") from error
    if done.returncode:
        raise ClientError(f"{' '.join(command)}: {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout


def digests_of_files(paths: Iterator[Path]) -> frozenset[str]:
    found = set()
    for path in paths:
        with path.open("rb") as file:
            found.add("sha256:" + hashlib.file_digest(file, "sha256").hexdigest())
    return frozenset(found)


def for_this_host(manifest: Manifest) -> Manifest:
    """The image that a client takes out of an index."""
    for child in manifest.children:
        assert child.config is not None
        if json.loads(child.config.data)["architecture"] == HOST:
            return child
    return manifest


def unpacked(manifest: Manifest) -> frozenset[str]:
    """What is left of an image once a client unpacked it: config and uncompressed layers."""
    return frozenset(blob.diff_id for blob in for_this_host(manifest).blobs)


@frozen
class Skopeo:
    """Keeps every file as served; with `everything` all platforms of an index."""

    directory: Path
    everything: bool = False

    def pull(self, cache: CacheServer, repository: str) -> frozenset[str]:
        self.copy(cache, repository, f"dir:{self.directory}")
        kept = (path for path in self.directory.iterdir() if path.name != "version")
        return digests_of_files(kept)

    def pull_as(self, cache: CacheServer, repository: str, login: str | None) -> frozenset[str]:
        who = ["--src-no-creds"] if login is None else ["--src-creds", login]
        self.copy(cache, repository, f"dir:{self.directory}", *who)
        kept = (path for path in self.directory.iterdir() if path.name != "version")
        return digests_of_files(kept)

    def copy(self, cache: CacheServer, repository: str, destination: str, *who: str) -> None:
        options = ["--insecure-policy", "copy", "--src-tls-verify=false"]
        options += ["--all"] if self.everything else []
        run(["skopeo", *options, *who, f"docker://{cache.address}/{repository}", destination])

    def expected(self, manifest: Manifest) -> frozenset[str]:
        return (manifest if self.everything else for_this_host(manifest)).everything

    def forget(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)


@frozen
class Podman:
    directory: Path

    def pull(self, cache: CacheServer, repository: str) -> frozenset[str]:
        return self.pull_mirrored(cache, "docker.io", repository)

    def pull_mirrored(self, cache: CacheServer, host: str, repository: str) -> frozenset[str]:
        """From registry `host`, whose mirror the cache is: under the cache's name for it."""
        place = cache.address if host == "docker.io" else f"{cache.address}/{host}"
        (self.directory / "registries.conf").write_text(
            f'[[registry]]\nprefix = "{host}"\nlocation = "{host}"\n'
            f'[[registry.mirror]]\nlocation = "{place}"\ninsecure = true\n'
        )
        name = f"{host}/{repository}:latest"
        self._podman("pull", "--quiet", name)
        return self._held(name)

    def pull_as(self, cache: CacheServer, repository: str, login: str | None) -> frozenset[str]:
        known = ["--authfile", str(self.directory / "auth.json"), "--tls-verify=false"]
        (self.directory / "auth.json").write_text("{}")
        if login is not None:
            user, _, password = login.partition(":")
            self._podman("login", *known, "-u", user, "-p", password, cache.address)
        name = f"{cache.address}/{repository}:latest"
        self._podman("pull", "--quiet", *known, name)
        return self._held(name)

    def _held(self, name: str) -> frozenset[str]:
        (facts,) = json.loads(self._podman("image", "inspect", name))
        return frozenset({f"sha256:{facts['Id']}", *facts["RootFS"]["Layers"]})

    def expected(self, manifest: Manifest) -> frozenset[str]:
        return unpacked(manifest)

    def forget(self) -> None:
        self._podman("rmi", "--all", "--force")

    def close(self) -> None:
        # The overlay driver leaves its directory mounted on itself, which no look at the directory
        # shows, and which keeps pytest from sweeping it away.
        unmount = ["umount", "--lazy", str(self.directory / "storage" / "overlay")]
        subprocess.run(unmount, stderr=subprocess.DEVNULL, check=False)

    def _podman(self, *arguments: str) -> str:
        environment = {
            "CONTAINERS_REGISTRIES_CONF": str(self.directory / "registries.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.directory / "storage.conf"),
        }
        policy = str(self.directory / "policy.json")
        extra = ["--signature-policy", policy] if arguments[0] == "pull" else []
        return run(["podman", arguments[0], *extra, *arguments[1:]], environment)


@contextmanager
def podman_in(directory: Path) -> Iterator[Podman]:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "registries.conf").write_text("")
    (directory / "storage.conf").write_text(
        '[storage]\ndriver = "overlay"\n'
        f'runroot = "{directory}/run"\ngraphroot = "{directory}/storage"\n'
    )
    accept_all = '{"default": [{"type": "insecureAcceptAnything"}]}'
    (directory / "policy.json").write_text(accept_all)
    client = Podman(directory)
    try:
        yield client
    finally:
        client.close()


@frozen
class Ctr:
    """containerd's own client; the cache is a mirror in a hosts.toml, so every request
    carries `?ns=docker.io`."""

    directory: Path
    address: Path = field()

    def pull(self, cache: CacheServer, repository: str) -> frozenset[str]:
        return self.pull_mirrored(cache, "docker.io", repository)

    def pull_mirrored(
        self, cache: CacheServer, host: str, repository: str, login: str | None = None
    ) -> frozenset[str]:
        """From registry `host`, whose mirror the cache is; `login` as for `pull_as`."""
        hosts = self.directory / "certs.d"
        (hosts / host).mkdir(parents=True, exist_ok=True)
        (hosts / host / "hosts.toml").write_text(
            f'server = "https://{host}"\n'
            f'[host."http://{cache.address}"]\ncapabilities = ["pull", "resolve"]\n'
        )
        who = [] if login is None else ["--user", login]
        return self._pull(f"{host}/{repository}:latest", "--hosts-dir", str(hosts), *who)

    def pull_as(self, cache: CacheServer, repository: str, login: str | None) -> frozenset[str]:
        who = [] if login is None else ["--user", login]
        return self._pull(f"{cache.address}/{repository}:latest", "--plain-http", *who)

    def _pull(self, name: str, *options: str) -> frozenset[str]:
        self._ctr("images", "pull", *options, "--platform", f"linux/{HOST}", name)
        blobs = self.directory / "root" / "io.containerd.content.v1.content" / "blobs" / "sha256"
        return digests_of_files(blobs.iterdir())

    def expected(self, manifest: Manifest) -> frozenset[str]:
        return frozenset({manifest.digest}) | for_this_host(manifest).everything

    def forget(self) -> None:
        for name in self._ctr("images", "ls", "-q").split():
            self._ctr("images", "rm", "--sync", name)
        for digest in self._ctr("content", "ls", "-q").split():
            self._ctr("content", "rm", digest)

    def _ctr(self, *arguments: str) -> str:
        return run(["ctr", "--address", str(self.address), *arguments])


@contextmanager
def containerd(directory: Path, port: int) -> Iterator[Ctr]:
    """A containerd of our own. `port` is for its metrics: it tells us when it is up."""
    directory.mkdir(parents=True, exist_ok=True)
    client = Ctr(directory, directory / "containerd.sock")
    config = directory / "config.toml"
    config.write_text(
        f'version = 2\nroot = "{directory}/root"\nstate = "{directory}/state"\n'
        'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
        f'[grpc]\naddress = "{client.address}"\n[metrics]\naddress = "127.0.0.1:{port}"\n'
        f'[plugins."io.containerd.internal.v1.opt"]\npath = "{directory}/opt"\n'
    )
    command = ["containerd", "--config", str(config)]
    server = Server(command, port, directory / "containerd.log")
    server.start()
    try:
        yield client
    finally:
        server.stop()


@frozen
class Docker:
    """Its mirror is the daemon's setting, changed by SIGHUP."""

    directory: Path
    server: Server

    def pull(self, cache: CacheServer, repository: str) -> frozenset[str]:
        self._mirror(cache)
        return self._pull(repository.removeprefix("library/"))

    def pull_as(self, cache: CacheServer, repository: str, login: str | None) -> frozenset[str]:
        return self.pull_by(cache.address, repository, login)

    def pull_by(self, address: str, repository: str, login: str | None) -> frozenset[str]:
        """The same from the cache at `address`, one of its names."""
        keep = self.directory / "client"
        shutil.rmtree(keep, ignore_errors=True)
        if login is not None:
            self.log_in(address, login, keep)
        return self._pull(f"{address}/{repository}:latest", "--config", str(keep))

    def log_in(self, address: str, login: str, directory: Path) -> Path:
        """At the registry at `address`; the `config.json` that docker wrote in `directory`."""
        user, _, password = login.partition(":")
        keep = ("--config", str(directory))
        self._docker(*keep, "login", "-u", user, "-p", password, address)
        return directory / "config.json"

    def _pull(self, name: str, *keep: str) -> frozenset[str]:
        self._docker(*keep, "pull", "--quiet", name)
        (facts,) = json.loads(self._docker("image", "inspect", name))
        (origin,) = facts["RepoDigests"]
        return frozenset({facts["Id"], *facts["RootFS"]["Layers"], origin.partition("@")[2]})

    def expected(self, manifest: Manifest) -> frozenset[str]:
        return unpacked(manifest) | {manifest.digest}

    def forget(self) -> None:
        self._docker("image", "prune", "--all", "--force")

    def _docker(self, *arguments: str) -> str:
        return run(["docker", "--host", f"unix://{self.directory}/docker.sock", *arguments])

    def _mirror(self, cache: CacheServer) -> None:
        wanted = f"http://{cache.address}/"
        write_daemon_config(self.directory, [wanted])
        assert self.server.process is not None
        self.server.process.send_signal(1)
        for _ in range(200):
            shown = self._docker("info", "--format", "{{json .RegistryConfig.Mirrors}}")
            if json.loads(shown) == [wanted]:
                return
        raise ClientError("dockerd did not take its new configuration")


def write_daemon_config(directory: Path, mirrors: list[str]) -> None:
    (directory / "daemon.json").write_text(json.dumps({"registry-mirrors": mirrors}))


@contextmanager
def dockerd(directory: Path, port: int) -> Iterator[Docker]:
    """A dockerd of our own, which brings its own containerd. `port` is for its metrics."""
    directory.mkdir(parents=True, exist_ok=True)
    write_daemon_config(directory, [])
    paths = {
        "config-file": directory / "daemon.json",
        "data-root": directory / "data",
        "exec-root": directory / "exec",
        "pidfile": directory / "docker.pid",
    }
    options = [f"--{name}={path}" for name, path in paths.items()]
    options += [f"--host=unix://{directory}/docker.sock", f"--metrics-addr=127.0.0.1:{port}"]
    options += ["--experimental", "--iptables=false", "--ip6tables=false", "--bridge=none"]
    options += ["--storage-driver=overlay2"]
    server = Server(["dockerd", *options], port, directory / "dockerd.log")
    server.start()
    try:
        yield Docker(directory, server)
    finally:
        server.stop()
