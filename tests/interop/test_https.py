"""An upstream over https whose certificate comes from an authority of its own, as registries
inside companies have it. The system's list of authorities is what OpenSSL takes for it:
SSL_CERT_FILE."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.interop.catalog import Catalog
from tests.interop.clients import Skopeo
from tests.interop.conftest import Caches, Registries
from tests.interop.upstream import Mode, Registry, certify
from tests.support.cache import CacheServer
from tests.support.raw import ask

REPOSITORY = "library/oci"

Start = Callable[[Caches, Registry, Path], CacheServer]


def address(registry: Registry) -> str:
    return f"127.0.0.1:{registry.port}"


def by_the_system(caches: Caches, registry: Registry, authority: Path) -> CacheServer:
    return caches({"remoteurl": f"https://{address(registry)}"}, {"SSL_CERT_FILE": str(authority)})


def by_the_upstream(caches: Caches, registry: Registry, authority: Path) -> CacheServer:
    return caches({"upstreams": {address(registry): {"ca": str(authority)}}})


@pytest.fixture
def registry(registries: Registries) -> Registry:
    return registries(Mode.TLS)


@pytest.fixture
def authority(registry: Registry) -> Path:
    assert registry.authority is not None
    return registry.authority


@pytest.mark.parametrize("start", [by_the_system, by_the_upstream])
def test_an_authority_that_is_trusted(
    start: Start,
    skopeo: Skopeo,
    catalog: Catalog,
    registry: Registry,
    authority: Path,
    caches: Caches,
) -> None:
    cache = start(caches, registry, authority)
    manifest = catalog.images[REPOSITORY]
    skopeo.forget()
    assert skopeo.pull(cache, REPOSITORY) == skopeo.expected(manifest)


@pytest.mark.parametrize("start", [by_the_system, by_the_upstream])
def test_an_authority_that_is_a_stranger(
    start: Start, registry: Registry, tmp_path: Path, caches: Caches
) -> None:
    stranger = certify(tmp_path, "IP:127.0.0.1")
    cache = start(caches, registry, stranger)
    assert ask(cache.port, f"/v2/{REPOSITORY}/manifests/latest").status == 502


def test_a_certificate_for_another_host(
    registry: Registry, authority: Path, caches: Caches
) -> None:
    """The registry's certificate names 127.0.0.1, not localhost."""
    url = f"https://localhost:{registry.port}"
    cache = caches({"remoteurl": url}, {"SSL_CERT_FILE": str(authority)})
    assert ask(cache.port, f"/v2/{REPOSITORY}/manifests/latest").status == 502


def test_plain_http_where_tls_is_spoken(registry: Registry, caches: Caches) -> None:
    cache = caches({"remoteurl": f"http://{address(registry)}"})
    assert ask(cache.port, f"/v2/{REPOSITORY}/manifests/latest").status == 502
