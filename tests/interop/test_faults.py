"""An upstream that misbehaves, seen from the client: either it notices nothing, or it gets
an honest error; never wrong bytes, never a polite end of half a body."""

import json

import pytest

from tests.interop.catalog import Catalog
from tests.interop.clients import Skopeo
from tests.interop.conftest import Caches
from tests.interop.images import MIB, Blob
from tests.interop.upstream import Upstream
from tests.support.cache import CacheServer
from tests.support.faults import Fault, Gate
from tests.support.raw import TornError, ask, download

ALWAYS = 1000
TAG = "/v2/library/oci/manifests/latest"


@pytest.fixture
def blob(catalog: Catalog) -> Blob:
    """100 MiB."""
    return catalog.images["library/large"].layers[2]


@pytest.fixture
def path(blob: Blob) -> str:
    return f"/v2/library/large/blobs/{blob.digest}"


def ranges_asked(upstream: Upstream) -> list[str | None]:
    return [one.headers.get("range") for one in upstream.wiretap.seen("GET", "/blobs/")]


def assert_pulled_exactly(cache: CacheServer, path: str, blob: Blob) -> None:
    with download(cache.port, path, blob.data) as one:
        assert one.status == 200
        one.read_rest()


def test_a_cut_is_resumed_where_it_happened(
    blob: Blob, path: str, upstream: Upstream, cache: CacheServer
) -> None:
    upstream.wiretap.spoil(Fault("/blobs/", cut=30 * MIB))
    assert_pulled_exactly(cache, path, blob)
    assert ranges_asked(upstream) == [None, f"bytes={30 * MIB}-"]


def test_a_client_that_never_retries_survives_a_cut(
    skopeo: Skopeo, catalog: Catalog, upstream: Upstream, cache: CacheServer
) -> None:
    manifest = catalog.images["library/oci"]
    upstream.wiretap.spoil(Fault(manifest.layers[3].digest, cut=2 * MIB))
    skopeo.forget()
    assert skopeo.pull(cache, "library/oci") == skopeo.expected(manifest)
    assert f"bytes={2 * MIB}-" in ranges_asked(upstream)


def test_a_cut_before_the_first_byte_and_two_more_are_resumed(
    blob: Blob, path: str, upstream: Upstream, cache: CacheServer
) -> None:
    for cut in (0, 40 * MIB, 20 * MIB):
        upstream.wiretap.spoil(Fault("/blobs/", cut=cut))
    assert_pulled_exactly(cache, path, blob)
    assert ranges_asked(upstream)[-2:] == [f"bytes={40 * MIB}-", f"bytes={60 * MIB}-"]


def test_a_connection_killed_in_the_middle_is_resumed(
    blob: Blob, path: str, upstream: Upstream, cache: CacheServer
) -> None:
    gate = Gate(50 * MIB)
    upstream.wiretap.spoil(Fault("/blobs/", gate=gate))
    with download(cache.port, path, blob.data) as one:
        one.read(MIB)
        gate.await_reached()
        upstream.wiretap.drop_connections()
        gate.open()
        one.read_rest()
    assert len(ranges_asked(upstream)) == 2


def test_upstream_down_and_up_again_in_the_middle_is_resumed(
    blob: Blob, path: str, upstream: Upstream, cache: CacheServer
) -> None:
    gate = Gate(50 * MIB)
    upstream.wiretap.spoil(Fault("/blobs/", gate=gate))
    with download(cache.port, path, blob.data) as one:
        one.read(MIB)
        gate.await_reached()
        upstream.wiretap.drop_connections()
        gate.open()
        upstream.wiretap.stop()
        upstream.wiretap.start()
        one.read_rest()


def test_a_body_that_stalls_is_cut_and_resumed(
    blob: Blob, path: str, upstream: Upstream, caches: Caches
) -> None:
    cache = caches({**upstream.proxy, "timeouts": {"idle": "5s"}})
    upstream.wiretap.spoil(Fault("/blobs/", gate=Gate(10 * MIB)))
    assert_pulled_exactly(cache, path, blob)
    assert ranges_asked(upstream) == [None, f"bytes={10 * MIB}-"]


def test_a_wrong_byte_tears_the_answer_and_is_not_kept(
    blob: Blob, path: str, upstream: Upstream, cache: CacheServer
) -> None:
    at = 70 * MIB
    upstream.wiretap.spoil(Fault("/blobs/", corrupt=at))
    wrong = blob.data[:at] + bytes([blob.data[at] ^ 0xFF]) + blob.data[at + 1 :]
    with download(cache.port, path, wrong) as one:
        with pytest.raises((TornError, ConnectionError)):
            one.read_rest()
        assert one.position < len(blob.data)
    assert_pulled_exactly(cache, path, blob)


def test_a_wrong_manifest_is_never_served(
    catalog: Catalog, upstream: Upstream, cache: CacheServer
) -> None:
    manifest = catalog.images["library/oci"]
    upstream.wiretap.spoil(Fault("/manifests/", corrupt=10))
    pinned = f"/v2/library/oci/manifests/{manifest.digest}"
    first = ask(cache.port, pinned)
    assert first.body == manifest.body or first.status >= 500
    assert ask(cache.port, pinned).body == manifest.body


def test_a_passing_503_on_a_blob_is_not_shown_to_the_client(
    blob: Blob, path: str, upstream: Upstream, cache: CacheServer
) -> None:
    upstream.wiretap.spoil(Fault("/blobs/", status=503))
    assert_pulled_exactly(cache, path, blob)


def test_head_refused_by_upstream_is_no_obstacle(
    catalog: Catalog, upstream: Upstream, cache: CacheServer
) -> None:
    upstream.wiretap.spoil(Fault("/manifests/", method="HEAD", status=405, times=ALWAYS))
    manifest = catalog.images["library/oci"]
    for _ in ("cold", "warm"):
        assert ask(cache.port, TAG).body == manifest.body


def test_a_rate_limit_is_429_for_new_names_and_no_matter_for_held_ones(
    catalog: Catalog, upstream: Upstream, cache: CacheServer
) -> None:
    assert ask(cache.port, TAG).status == 200
    for method in ("HEAD", "GET"):
        limit = Fault("", method, ALWAYS, status=429, headers=(("Retry-After", "7"),))
        upstream.wiretap.spoil(limit)
    held = ask(cache.port, TAG)
    assert (held.status, held.body) == (200, catalog.images["library/oci"].body)
    new = ask(cache.port, "/v2/library/docker/manifests/latest")
    assert new.status == 429
    assert json.loads(new.body)["errors"][0]["code"] == "TOOMANYREQUESTS"
    assert int(new.headers["retry-after"]) > 0


def test_a_broken_upstream_is_5xx_for_new_names_and_no_matter_for_held_ones(
    catalog: Catalog, upstream: Upstream, cache: CacheServer
) -> None:
    assert ask(cache.port, TAG).status == 200
    for method in ("HEAD", "GET"):
        upstream.wiretap.spoil(Fault("", method, ALWAYS, status=503))
    held = ask(cache.port, TAG)
    assert (held.status, held.body) == (200, catalog.images["library/oci"].body)
    assert ask(cache.port, "/v2/library/docker/manifests/latest").status in (502, 503, 504)


def test_404_only_when_upstream_says_so(upstream: Upstream, cache: CacheServer) -> None:
    absent = "/v2/library/oci/manifests/absent"
    answer = ask(cache.port, absent)
    assert answer.status == 404
    assert json.loads(answer.body)["errors"][0]["code"] == "MANIFEST_UNKNOWN"
    upstream.wiretap.stop()
    assert ask(cache.port, "/v2/library/oci/manifests/other").status in (502, 504)


def test_the_cache_starts_and_pings_while_upstream_is_down(
    catalog: Catalog, upstream: Upstream, caches: Caches
) -> None:
    upstream.wiretap.stop()
    cache = caches(upstream.proxy)
    ping = ask(cache.port, "/v2/")
    assert ping.status == 200
    assert ping.headers["docker-distribution-api-version"] == "registry/2.0"
    upstream.wiretap.start()
    assert ask(cache.port, TAG).body == catalog.images["library/oci"].body


def test_offline_serves_what_is_held_and_is_503_for_the_rest(
    catalog: Catalog, upstream: Upstream, cache: CacheServer
) -> None:
    assert ask(cache.port, TAG).status == 200
    cache.stop()
    cache.proxy = {**cache.proxy, "offline": True}
    cache.start()
    upstream.wiretap.forget()
    assert ask(cache.port, TAG).body == catalog.images["library/oci"].body
    assert ask(cache.port, "/v2/library/docker/manifests/latest").status == 503
    assert upstream.wiretap.seen() == []
