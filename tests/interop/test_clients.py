"""Real clients against every kind of upstream: what they get, and what that cost upstream."""

from collections import Counter

import pytest

from tests.interop.catalog import Catalog
from tests.interop.clients import Client, for_this_host
from tests.interop.conftest import Caches, Upstreams
from tests.interop.images import Manifest
from tests.interop.upstream import Mode, Upstream

CLIENTS = ["skopeo", "podman", "ctr", "docker"]
IMAGES = ["library/oci", "library/docker", "library/multi", "library/multidocker"]

every_client = pytest.mark.parametrize("client", CLIENTS, indirect=True)


def assert_each_blob_fetched_once(upstream: Upstream, manifest: Manifest) -> None:
    wanted = Counter({blob.digest for blob in manifest.blobs})
    assert upstream.wiretap.blob_gets() == wanted
    challenged = [one.target for one in upstream.wiretap.seen() if one.status == 401]
    assert len(challenged) <= 1, "the login is kept from one request to the next"


def assert_one_head_of_the_tag(upstream: Upstream, repository: str) -> None:
    asked = [(one.method, one.path) for one in upstream.wiretap.seen()]
    assert asked == [("HEAD", f"/v2/{repository}/manifests/latest")]


@every_client
@pytest.mark.parametrize("mode", [Mode.PLAIN, Mode.HTPASSWD, Mode.TOKEN])
def test_cold_then_warm_then_without_upstream(
    client: Client, mode: Mode, catalog: Catalog, upstreams: Upstreams, caches: Caches
) -> None:
    repository = "library/oci"
    manifest = catalog.images[repository]
    upstream = upstreams(mode)
    tokens_before = upstream.token_requests()
    cache = caches(upstream.proxy)

    assert client.pull(cache, repository) == client.expected(manifest)
    assert_each_blob_fetched_once(upstream, manifest)
    assert upstream.token_requests() - tokens_before == (mode is Mode.TOKEN)

    client.forget()
    upstream.wiretap.forget()
    assert client.pull(cache, repository) == client.expected(manifest)
    assert_one_head_of_the_tag(upstream, repository)
    assert upstream.token_requests() - tokens_before == (mode is Mode.TOKEN)

    client.forget()
    upstream.wiretap.stop()
    assert client.pull(cache, repository) == client.expected(manifest)


@every_client
@pytest.mark.parametrize("repository", IMAGES)
def test_every_manifest_type_reaches_every_client(
    client: Client, repository: str, catalog: Catalog, upstreams: Upstreams, caches: Caches
) -> None:
    manifest = catalog.images[repository]
    upstream = upstreams(Mode.PLAIN)
    cache = caches(upstream.proxy)
    assert client.pull(cache, repository) == client.expected(manifest)
    assert_each_blob_fetched_once(upstream, for_this_host(manifest))


@pytest.mark.parametrize("client", ["skopeo", "podman", "ctr"], indirect=True)
def test_zstd_layers_arrive_as_they_are(
    client: Client, catalog: Catalog, upstreams: Upstreams, caches: Caches
) -> None:
    upstream = upstreams(Mode.PLAIN)
    manifest = catalog.images["library/zstd"]
    assert client.pull(caches(upstream.proxy), "library/zstd") == client.expected(manifest)
    assert_each_blob_fetched_once(upstream, manifest)


@every_client
def test_an_anonymous_token_is_fetched_where_everybody_needs_one(
    client: Client, catalog: Catalog, upstreams: Upstreams, caches: Caches
) -> None:
    upstream = upstreams(Mode.TOKEN_ANONYMOUS)
    tokens_before = upstream.token_requests()
    manifest = catalog.images["library/docker"]
    assert client.pull(caches(upstream.proxy), "library/docker") == client.expected(manifest)
    assert_each_blob_fetched_once(upstream, manifest)
    assert upstream.token_requests() - tokens_before == 1


@every_client
def test_a_restarted_cache_still_has_everything(
    client: Client, catalog: Catalog, upstreams: Upstreams, caches: Caches
) -> None:
    upstream = upstreams(Mode.PLAIN)
    cache = caches(upstream.proxy)
    client.pull(cache, "library/multi")
    cache.stop()

    client.forget()
    cache.start()
    upstream.wiretap.stop()
    manifest = catalog.images["library/multi"]
    assert client.pull(cache, "library/multi") == client.expected(manifest)
