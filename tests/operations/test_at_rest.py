"""A store without a server is looked at and put in order by the same core."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from distcache.admin.api import Api, Limits, Wrong
from distcache.admin.names import Names
from distcache.core.config import Config, Upstream
from distcache.core.effects import Medium, Spool
from distcache.core.inventory import BlobStored, GrantStored, TagStored
from distcache.core.oci import (
    OCI_MANIFEST,
    Content,
    Descriptor,
    Digest,
    Document,
    Kind,
    Repository,
    TagRef,
)
from distcache.operations.at_rest import AtRest, open_at_rest
from distcache.store import StoreLocked, open_store
from distcache.wire.sites import UpstreamSite
from distcache.wire.urls import Url

HUB = UpstreamSite(
    "docker.io", Url("https", "registry-1.docker.io", 443), ("index.docker.io",), hub=True
)
GHCR = UpstreamSite("ghcr.io", Url("https", "ghcr.io", 443))
NAMES = Names({"docker.io": HUB, "ghcr.io": GHCR}, "docker.io")
CONFIG = Config({"docker.io": Upstream(tag_ttl=60), "ghcr.io": Upstream()}, ttl=None)


def digest_of(data: bytes) -> Digest:
    return Digest(f"sha256:{hashlib.sha256(data).hexdigest()}")


def fill(root: Path) -> None:
    """Two images that share a layer; `old` was last used long before `new`."""
    store = open_store(root)
    layers = {"shared": b"s" * 1000, "old": b"o" * 500, "new": b"n" * 700}
    for number, data in enumerate(layers.values()):
        body = store.create(Spool(number, Medium.FILE, digest_of(data)))
        body.write(0, data)
        store.commit(body, digest_of(data))
        body.discard()
        store.write([BlobStored(digest_of(data), len(data), 1000.0)])
    for name, used in (("old", 1000.0), ("new", 2e9)):
        children = tuple(
            Descriptor(Content(Kind.BLOB, digest_of(layers[part])), len(layers[part]), "l")
            for part in ("shared", name)
        )
        text = json.dumps(name).encode()
        body = store.create(Spool(9, Medium.FILE, digest_of(text)))
        body.write(0, text)
        store.commit(body, digest_of(text))
        body.discard()
        manifest = Content(Kind.MANIFEST, digest_of(text))
        repository = Repository("docker.io", f"library/{name}")
        descriptor = Descriptor(manifest, len(text), OCI_MANIFEST)
        store.write(
            [
                BlobStored(manifest.digest, len(text), used, Document(OCI_MANIFEST, children)),
                TagStored(TagRef(repository, "1"), descriptor, used),
                GrantStored(repository, manifest),
            ]
        )
    store.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    fill(tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def cache(root: Path) -> Iterator[AtRest]:
    with open_at_rest(CONFIG, root) as opened:
        yield opened


@pytest.fixture
def api(cache: AtRest) -> Api:
    return Api(cache, NAMES, Limits(None, None, evict=True))


def test_images_are_listed_with_what_they_weigh(api: Api) -> None:
    new, old = api.ask("images", {})["images"]
    assert (new["name"], old["name"]) == ("docker.io/library/new:1", "docker.io/library/old:1")
    assert (new["size"], new["alone"]) == (1705, 705)
    assert (old["size"], old["alone"]) == (1505, 505)
    assert old["held"]
    assert api.ask("images", {"name": "docker.io/library/old"})["images"] == [old]
    assert api.ask("images", {"name": "ghcr.io"})["images"] == []


def test_usage_is_told_by_repository_and_in_all(api: Api) -> None:
    said = api.ask("du", {})
    assert [row["repository"] for row in said["repositories"]] == [
        "docker.io/library/new",
        "docker.io/library/old",
    ]
    assert said["stored_bytes"] == 1000 + 500 + 700 + 2 * len(b'"old"')


def test_why_tells_what_a_pull_would_meet(api: Api) -> None:
    said = api.ask("why", {"ref": "new:1"})
    assert said["held"]
    assert said["granted"] == ["docker.io/library/new"]
    assert "served from disk" in said["answer"]
    assert api.ask("why", {"ref": "new:2"})["answer"] == "is not held: docker.io is asked"
    layer = digest_of(b"s" * 1000)
    assert "without asking" in api.ask("why", {"ref": f"old@{layer}"})["answer"]
    stranger = api.ask("why", {"ref": f"ghcr.io/a/b@{layer}"})
    assert "must first say" in stranger["answer"]


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("", "say ref"),
        ("quay.io/a/b", "not an upstream"),
        ("new:-", "not a tag"),
        ("n@x", "digest"),
    ],
)
def test_what_cannot_be_meant_is_told(api: Api, ref: str, message: str) -> None:
    with pytest.raises(Wrong, match=message) as caught:
        api.ask("why", {"ref": ref})
    assert caught.value.status == 400


def test_pruning_takes_the_oldest_image_and_leaves_what_others_need(
    api: Api, root: Path, cache: AtRest
) -> None:
    wanted = {"blobs": 2, "bytes": 505}
    assert api.order("prune", {"max_size": "2000", "dry_run": "1"}) == wanted | {"dry_run": True}
    assert len(api.ask("images", {})["images"]) == 2
    assert api.order("prune", {"max_size": "2000"}) == wanted | {"dry_run": False}
    assert [image["tag"] for image in api.ask("images", {})["images"]] == ["1"]
    cache.store.close()
    again = open_store(root)
    assert {r.digest for r in again.inventory.records if isinstance(r, BlobStored)} == {
        digest_of(b"s" * 1000),
        digest_of(b"n" * 700),
        digest_of(b'"new"'),
    }
    assert again.swept.adopted == again.swept.lost == 0
    again.close()


def test_what_is_pinned_stays_and_the_pin_outlives_the_process(
    api: Api, root: Path, cache: AtRest
) -> None:
    assert api.order("pin", {"ref": "old:1"}) == {"ref": "old:1", "pinned": True}
    cache.store.close()
    with open_at_rest(CONFIG, root) as again:
        later = Api(again, NAMES, Limits(None, None, evict=True))
        assert later.ask("why", {"ref": "old:1"})["pinned"]
        assert later.order("prune", {"max_size": "0"})["bytes"] == 705
        (image,) = later.ask("images", {})["images"]
        assert image["name"] == "docker.io/library/old:1"
        later.order("unpin", {"ref": "old:1"})
        assert later.order("prune", {"max_size": "0"})["bytes"] == 1505


def test_what_is_idle_for_too_long_goes(api: Api) -> None:
    assert api.order("prune", {"older_than": "24h"})["bytes"] == 505


def test_a_forgotten_tag_is_asked_for_again_and_its_content_stays(api: Api) -> None:
    api.order("forget", {"ref": "old:1"})
    assert "is asked" in api.ask("why", {"ref": "old:1"})["answer"]
    assert api.ask("status", {})["stored_blobs"] == 5


def test_a_forgotten_repository_loses_its_rights(api: Api) -> None:
    api.order("forget", {"ref": "docker.io/library/old"})
    assert [image["tag"] for image in api.ask("images", {})["images"]] == ["1"]
    assert api.ask("why", {"ref": f"old@{digest_of(b's' * 1000)}"})["granted"] == [
        "docker.io/library/new"
    ]


def test_forgotten_content_is_deleted(api: Api, root: Path) -> None:
    layer = digest_of(b"o" * 500)
    api.order("forget", {"ref": layer})
    assert api.ask("status", {})["stored_bytes"] == 1000 + 700 + 2 * len(b'"old"')
    assert not (root / "blobs" / "sha256" / layer.removeprefix("sha256:")).exists()


def test_nothing_is_pruned_where_nothing_may_be_deleted(cache: AtRest) -> None:
    api = Api(cache, NAMES, Limits(None, None, evict=False))
    with pytest.raises(Wrong, match=r"delete\.enabled"):
        api.order("prune", {"max_size": "0"})


def test_orders_are_no_questions(api: Api) -> None:
    for call, name in ((api.ask, "prune"), (api.order, "images"), (api.ask, "")):
        with pytest.raises(Wrong) as caught:
            call(name, {})
        assert caught.value.status == 404


def test_a_store_in_use_is_left_alone(cache: AtRest, root: Path) -> None:
    with pytest.raises(StoreLocked), open_at_rest(CONFIG, root):
        pass
