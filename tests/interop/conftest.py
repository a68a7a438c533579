import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from tests.interop.catalog import Catalog
from tests.interop.clients import (
    Client,
    Ctr,
    Docker,
    Podman,
    Skopeo,
    containerd,
    dockerd,
    podman_in,
)
from tests.interop.tools import need
from tests.interop.upstream import Mode, Registry, Upstream, registry, watched
from tests.support.cache import RUNTIMES, CacheServer
from tests.support.processes import free_port

Registries = Callable[[Mode], Registry]
Upstreams = Callable[[Mode], Upstream]


class Caches(Protocol):
    def __call__(
        self,
        proxy: dict[str, object],
        environment: Mapping[str, str] | None = None,
        auth: Mapping[str, object] | None = None,
    ) -> CacheServer: ...


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return Catalog()


@pytest.fixture(scope="session")
def registries(tmp_path_factory: pytest.TempPathFactory, catalog: Catalog) -> Iterator[Registries]:
    """Registries over one storage directory, each mode started at its first use."""
    base = tmp_path_factory.mktemp("registries")
    running: dict[Mode, Registry] = {}
    with ExitStack() as stack:

        def obtain(mode: Mode) -> Registry:
            if mode not in running:
                need("docker-registry", "htpasswd", "openssl", "zstd")
                started = registry(mode, base / mode.value, base / "storage")
                running[mode] = stack.enter_context(started)
            return running[mode]

        def filled(mode: Mode) -> Registry:
            first = Mode.PLAIN not in running
            plain = obtain(Mode.PLAIN)
            if first:
                catalog.push_all(plain.port)
            return obtain(mode)

        yield filled


@pytest.fixture
def upstreams(registries: Registries) -> Iterator[Upstreams]:
    """Each call taps the mode's registry anew, for this test alone."""
    with ExitStack() as stack:
        yield lambda mode: stack.enter_context(watched(registries(mode)))


@pytest.fixture
def upstream(upstreams: Upstreams) -> Upstream:
    return upstreams(Mode.PLAIN)


@pytest.fixture(params=RUNTIMES)
def caches(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Caches]:
    """Starts a cache with an empty store per call; `proxy` is the section of its configuration,
    `environment` is added to the tests' own."""
    with ExitStack() as stack:
        count = 0

        def start(
            proxy: dict[str, object],
            environment: Mapping[str, str] | None = None,
            auth: Mapping[str, object] | None = None,
        ) -> CacheServer:
            nonlocal count
            count += 1
            cache = CacheServer(
                tmp_path / f"cache{count}",
                proxy,
                runtime=request.param,
                environment=environment or {},
                auth=auth or {},
            )
            cache.start()
            stack.callback(end, cache)
            return cache

        yield start


def end(cache: CacheServer) -> None:
    """A cache that has to be killed, or that ends with an error, fails its test."""
    # A server that keeps SIGTERM's default, such as docker-registry, dies of it.
    assert cache.stop() in (0, -signal.SIGTERM), cache.server.text()[-4000:]


@pytest.fixture
def cache(upstream: Upstream, caches: Caches) -> CacheServer:
    """A cache whose default upstream is the open registry."""
    return caches(upstream.proxy)


@pytest.fixture(scope="session")
def skopeo(tmp_path_factory: pytest.TempPathFactory) -> Skopeo:
    need("skopeo")
    return Skopeo(tmp_path_factory.mktemp("skopeo") / "copy")


@pytest.fixture(scope="session")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    need("podman", root=True)
    with podman_in(tmp_path_factory.mktemp("podman")) as client:
        yield client


@pytest.fixture(scope="session")
def ctr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ctr]:
    need("containerd", "ctr", root=True)
    with containerd(tmp_path_factory.mktemp("containerd"), free_port()) as client:
        yield client


@pytest.fixture(scope="session")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    need("dockerd", "docker", "containerd", root=True)
    with dockerd(tmp_path_factory.mktemp("docker"), free_port()) as client:
        yield client


@pytest.fixture
def client(request: pytest.FixtureRequest) -> Client:
    """The client whose name the test is parametrized with, its store empty."""
    chosen: Client = request.getfixturevalue(request.param)
    chosen.forget()
    return chosen
