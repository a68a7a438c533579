"""Content of every kind, byte for byte: indexes, layouts, artifacts, names of upstreams."""

import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest

from tests.interop.catalog import Catalog
from tests.interop.clients import Skopeo, digests_of_files
from tests.interop.conftest import Caches, Upstreams
from tests.interop.images import fallback_tag
from tests.interop.upstream import Mode, Upstream
from tests.support.cache import CacheServer
from tests.support.raw import ask

ACCEPT = {
    "Accept": "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json,"
    " application/vnd.docker.distribution.manifest.list.v2+json,"
    " application/vnd.docker.distribution.manifest.v2+json"
}
IMAGES = ["library/oci", "library/docker", "library/zstd", "library/multi", "library/multidocker"]


@pytest.mark.parametrize("repository", ["library/multi", "library/multidocker"])
def test_all_platforms_of_an_index_are_copied_with_each_blob_fetched_once(
    skopeo: Skopeo, repository: str, catalog: Catalog, upstream: Upstream, cache: CacheServer
) -> None:
    copier = Skopeo(skopeo.directory, everything=True)
    copier.forget()
    manifest = catalog.images[repository]
    assert copier.pull(cache, repository) == copier.expected(manifest)
    assert upstream.wiretap.blob_gets() == Counter({blob.digest for blob in manifest.blobs})


def test_a_layout_with_a_layer_of_100_mib_is_copied(
    skopeo: Skopeo, catalog: Catalog, upstream: Upstream, cache: CacheServer, tmp_path: Path
) -> None:
    manifest = catalog.images["library/large"]
    skopeo.copy(cache, "library/large", f"oci:{tmp_path}/layout:m")
    blobs = (tmp_path / "layout" / "blobs" / "sha256").iterdir()
    assert digests_of_files(blobs) == manifest.everything
    assert upstream.wiretap.blob_gets() == Counter({blob.digest for blob in manifest.blobs})


@pytest.mark.parametrize("repository", IMAGES)
@pytest.mark.parametrize("by_digest", [False, True])
def test_a_manifest_is_the_pushed_bytes_with_the_pushed_type(
    repository: str, by_digest: bool, catalog: Catalog, cache: CacheServer
) -> None:
    manifest = catalog.images[repository]
    path = f"/v2/{repository}/manifests/{manifest.digest if by_digest else 'latest'}"
    for method in ("GET", "HEAD"):
        answer = ask(cache.port, path, method, ACCEPT)
        assert answer.status == 200
        assert answer.body == (manifest.body if method == "GET" else b"")
        assert answer.headers["content-type"] == manifest.media_type
        assert answer.headers["content-length"] == str(len(manifest.body))
        assert answer.headers["docker-content-digest"] == manifest.digest


def test_an_artifact_is_found_by_its_subject_s_fallback_tag(
    catalog: Catalog, cache: CacheServer
) -> None:
    subject, wanted = catalog.images["library/oci"], catalog.artifact
    listing = ask(cache.port, f"/v2/library/oci/manifests/{fallback_tag(subject)}", headers=ACCEPT)
    (entry,) = json.loads(listing.body)["manifests"]
    assert entry["digest"] == wanted.digest
    found = ask(cache.port, f"/v2/library/oci/manifests/{entry['digest']}", headers=ACCEPT)
    assert found.body == wanted.body
    for blob in wanted.blobs:
        assert ask(cache.port, f"/v2/library/oci/blobs/{blob.digest}").body == blob.data


def test_an_artifact_pinned_by_digest_needs_no_tag(catalog: Catalog, cache: CacheServer) -> None:
    wanted = catalog.artifact
    found = ask(cache.port, f"/v2/library/oci/manifests/{wanted.digest}", headers=ACCEPT)
    assert (found.status, found.body) == (200, wanted.body)


def test_referrers_that_upstream_lacks_are_404_so_that_clients_fall_back(
    catalog: Catalog, cache: CacheServer
) -> None:
    subject = catalog.images["library/oci"]
    answer = ask(cache.port, f"/v2/library/oci/referrers/{subject.digest}")
    assert answer.status == 404
    codes = [error["code"] for error in json.loads(answer.body)["errors"]]
    assert codes, "an OCI error names at least one code"
    assert "NAME_UNKNOWN" not in codes, "oras takes that one for an error"


def test_tags_are_listed(catalog: Catalog, cache: CacheServer) -> None:
    # docker-registry 2.8 does not page tags: rewriting Link is tested at the wire.
    subject = catalog.images["library/oci"]
    answer = ask(cache.port, "/v2/library/oci/tags/list")
    assert json.loads(answer.body)["tags"] == ["latest", fallback_tag(subject)]


def test_ns_names_the_default_upstream(catalog: Catalog, cache: CacheServer) -> None:
    manifest = catalog.images["library/oci"]
    answer = ask(cache.port, "/v2/library/oci/manifests/latest?ns=docker.io", headers=ACCEPT)
    assert (answer.status, answer.body) == (200, manifest.body)
    assert answer.headers["oci-namespace"] == "docker.io"


def test_two_upstreams_share_bytes_but_not_permissions(
    catalog: Catalog, upstreams: Upstreams, caches: Caches
) -> None:
    plain, closed = upstreams(Mode.PLAIN), upstreams(Mode.HTPASSWD)
    proxy = {
        "upstreams": {
            "open.test": {"remoteurl": plain.wiretap.url},
            # No user name and no password: this upstream lets us see nothing.
            "closed.test": {"remoteurl": closed.wiretap.url},
        }
    }
    cache = caches({**plain.proxy, **proxy})
    blob = catalog.images["library/oci"].layers[0]
    path = f"library/oci/blobs/{blob.digest}"
    assert ask(cache.port, f"/v2/open.test/{path}").body == blob.data
    assert ask(cache.port, f"/v2/{path}?ns=open.test").body == blob.data
    assert sum(plain.wiretap.blob_gets().values()) == 1
    for target in (f"/v2/closed.test/{path}", f"/v2/{path}?ns=closed.test"):
        refused = ask(cache.port, target)
        assert refused.status == 401
        assert blob.data not in refused.body


def test_a_host_outside_the_list_is_refused_and_nobody_is_asked(
    upstream: Upstream, caches: Caches
) -> None:
    cache = caches(
        {**upstream.proxy, "upstreams": {"ghcr.io": {"remoteurl": upstream.wiretap.url}}}
    )
    answer = ask(cache.port, "/v2/library/oci/manifests/latest?ns=evil.test", headers=ACCEPT)
    assert answer.status == 404
    assert json.loads(answer.body)["errors"][0]["code"] == "NAME_UNKNOWN"
    assert upstream.wiretap.seen() == []


def test_a_head_of_an_absent_blob_tells_its_size_and_fetches_nothing(
    catalog: Catalog, upstream: Upstream, cache: CacheServer
) -> None:
    blob = catalog.images["library/large"].layers[2]
    answer = ask(cache.port, f"/v2/library/large/blobs/{blob.digest}", "HEAD")
    assert answer.status == 200
    assert answer.headers["content-length"] == str(len(blob.data))
    assert answer.headers["docker-content-digest"] == blob.digest
    assert upstream.wiretap.seen("GET", "/blobs/") == []


def test_a_blob_is_what_its_digest_says(catalog: Catalog, cache: CacheServer) -> None:
    blob = catalog.images["library/oci"].layers[3]
    for _ in ("cold", "warm"):
        answer = ask(cache.port, f"/v2/library/oci/blobs/{blob.digest}")
        assert "sha256:" + hashlib.sha256(answer.body).hexdigest() == blob.digest
        assert answer.headers["accept-ranges"] == "bytes"
