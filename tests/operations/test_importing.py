"""A registry's storage directory is taken over: what is right comes along, the rest is named."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from distcache.core.inventory import BlobStored, FillStored, GrantStored, Inventory, TagStored
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
from distcache.operations.importing import Imported, NotARegistry, import_registry
from distcache.store import Store, open_store

LAYER = b"layer" * 1000
CONFIG = b"{}"
ALPINE = Repository("docker.io", "library/alpine")


def digest_of(data: bytes) -> Digest:
    return Digest(f"sha256:{hashlib.sha256(data).hexdigest()}")


MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": "a/b", "digest": digest_of(CONFIG), "size": len(CONFIG)},
        "layers": [{"mediaType": "a/b", "digest": digest_of(LAYER), "size": len(LAYER)}],
    }
).encode()


class Old:
    """The storage directory of a registry that is replaced."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.base = root / "docker" / "registry" / "v2"

    def blob(self, data: bytes, under: Digest | None = None) -> Path:
        hexadecimal = (under or digest_of(data)).removeprefix("sha256:")
        path = self.base / "blobs" / "sha256" / hexadecimal[:2] / hexadecimal / "data"
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
        return path

    def link(self, repository: str, place: str, text: str) -> Path:
        path = self.base / "repositories" / repository / place / "link"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (1000, 1000))
        return path

    def image(self, repository: str = "library/alpine", tag: str = "3") -> None:
        for data in (LAYER, CONFIG):
            hexadecimal = digest_of(data).removeprefix("sha256:")
            self.link(repository, f"_layers/sha256/{hexadecimal}", digest_of(data))
        revision = f"_manifests/revisions/sha256/{digest_of(MANIFEST).removeprefix('sha256:')}"
        self.link(repository, revision, digest_of(MANIFEST))
        self.link(repository, f"_manifests/tags/{tag}/current", digest_of(MANIFEST))


@pytest.fixture
def old(tmp_path: Path) -> Old:
    made = Old(tmp_path / "old")
    for data in (LAYER, CONFIG, MANIFEST):
        made.blob(data)
    made.image()
    return made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "new")
    yield opened
    opened.close()


def imported(old: Old, store: Store) -> Imported:
    steps: list[Imported] = []
    return import_registry(old.root, store, "docker.io", steps.append)


def reopened(store: Store, tmp_path: Path) -> list[object]:
    store.close()
    again = open_store(tmp_path / "new")
    try:
        return list(again.inventory.records)
    finally:
        again.close()


def test_an_image_comes_over_with_its_tag_and_its_rights(
    old: Old, store: Store, tmp_path: Path
) -> None:
    done = imported(old, store)
    assert (done.repositories, done.tags, done.blobs, done.linked) == (1, 1, 3, 3)
    assert done.size == len(LAYER) + len(CONFIG) + len(MANIFEST)
    assert done.wrong == []
    records = reopened(store, tmp_path)
    (tag,) = [r for r in records if isinstance(r, TagStored)]
    assert tag.reference == TagRef(ALPINE, "3")
    assert tag.checked == 1000
    assert tag.descriptor.content == Content(Kind.MANIFEST, digest_of(MANIFEST))
    blobs = {r.digest: r for r in records if isinstance(r, BlobStored)}
    document = blobs[digest_of(MANIFEST)].document
    assert document is not None
    assert [child.content.digest for child in document.children] == [
        digest_of(CONFIG),
        digest_of(LAYER),
    ]
    came = {r.digest: r.filled for r in records if isinstance(r, FillStored)}
    assert came.keys() == blobs.keys()
    assert {(one.repository, one.client, one.status) for one in came.values()} == {
        (ALPINE, None, None)
    }
    grants = {(r.repository, r.content) for r in records if isinstance(r, GrantStored)}
    assert (ALPINE, Content(Kind.BLOB, digest_of(LAYER))) in grants
    assert (ALPINE, Content(Kind.MANIFEST, digest_of(MANIFEST))) in grants


def test_the_bytes_are_shared_and_the_old_registry_keeps_its_own(
    old: Old, store: Store, tmp_path: Path
) -> None:
    imported(old, store)
    name = digest_of(LAYER).removeprefix("sha256:")
    ours = tmp_path / "new" / "blobs" / "sha256" / name
    theirs = old.base / "blobs" / "sha256" / name[:2] / name / "data"
    assert ours.samefile(theirs)
    assert theirs.read_bytes() == LAYER


def test_what_is_not_what_its_name_says_stays_behind(old: Old, store: Store) -> None:
    path = old.blob(b"rot", under=digest_of(b"what it was"))
    hexadecimal = digest_of(b"what it was").removeprefix("sha256:")
    old.link("library/alpine", f"_layers/sha256/{hexadecimal}", digest_of(b"what it was"))
    done = imported(old, store)
    assert [wrong.path for wrong in done.wrong] == [path]
    assert "does not hold" in done.wrong[0].reason
    assert done.blobs == 3


def test_a_tag_without_its_manifest_stays_behind(old: Old, store: Store) -> None:
    link = old.link("library/alpine", "_manifests/tags/gone/current", digest_of(b"gone"))
    done = imported(old, store)
    assert [(wrong.path, done.tags) for wrong in done.wrong] == [(link, 1)]


def test_links_that_hold_no_digest_are_named(old: Old, store: Store) -> None:
    link = old.link("library/alpine", "_layers/sha256/abc", "../../../etc/passwd")
    assert [wrong.path for wrong in imported(old, store).wrong] == [link]


def test_a_file_that_is_no_manifest_does_not_become_one(old: Old, store: Store) -> None:
    old.blob(b"not json")
    hexadecimal = digest_of(b"not json").removeprefix("sha256:")
    place = f"_manifests/revisions/sha256/{hexadecimal}"
    old.link("library/alpine", place, digest_of(b"not json"))
    assert [wrong.reason for wrong in imported(old, store).wrong] == ["not a manifest"]


def test_a_second_import_reads_nothing_again(old: Old, store: Store, tmp_path: Path) -> None:
    imported(old, store)
    store.close()
    again = open_store(tmp_path / "new")
    try:
        done = imported(old, again)
    finally:
        again.close()
    assert (done.blobs, done.tags, done.wrong) == (0, 1, [])


TAG = TagRef(ALPINE, "3")
MOVED = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": []}).encode()


def descriptor_of(data: bytes) -> Descriptor:
    return Descriptor(Content(Kind.MANIFEST, digest_of(data)), len(data), OCI_MANIFEST)


def held_before(store: Store, tag: TagStored, *, blob: bool = True) -> None:
    """What a cache that has run already holds: `MOVED`, under a tag, used at 3000."""
    document = Document(OCI_MANIFEST)
    found = [BlobStored(digest_of(MOVED), len(MOVED), 3000.0, document)] if blob else []
    store.inventory = Inventory((*found, tag))


def written(store: Store, tmp_path: Path) -> list[TagStored]:
    """By the import alone."""
    return [r for r in reopened(store, tmp_path) if isinstance(r, TagStored)]


@pytest.mark.parametrize("checked", [1000.0, 1000.5])
def test_what_upstream_was_asked_about_later_stays_as_it_is(
    old: Old, store: Store, tmp_path: Path, checked: float
) -> None:
    """Whatever else the registry says that the tag was."""
    held_before(store, TagStored(TAG, descriptor_of(MOVED), checked, "an etag"))
    done = imported(old, store)
    assert (done.tags, done.kept) == (0, 1)
    assert written(store, tmp_path) == []


def test_a_tag_that_the_registry_asked_about_later_is_what_that_says(
    old: Old, store: Store, tmp_path: Path
) -> None:
    held_before(store, TagStored(TAG, descriptor_of(MOVED), 999.0, "an etag"))
    done = imported(old, store)
    assert (done.tags, done.kept) == (1, 0)
    assert written(store, tmp_path) == [TagStored(TAG, descriptor_of(MANIFEST), 1000.0)]


def test_a_tag_whose_content_is_not_held_is_what_the_registry_says(
    old: Old, store: Store, tmp_path: Path
) -> None:
    held_before(store, TagStored(TAG, descriptor_of(MOVED), 2000.0), blob=False)
    assert imported(old, store).tags == 1
    assert written(store, tmp_path) == [TagStored(TAG, descriptor_of(MANIFEST), 1000.0)]


@pytest.mark.parametrize(("checked", "kept"), [(999.0, 0), (1000.0, 0), (1001.0, 1)])
def test_of_a_tag_that_is_the_same_the_later_moment_counts(
    old: Old, store: Store, tmp_path: Path, checked: float, kept: int
) -> None:
    imported(old, store)
    store.write([TagStored(TAG, descriptor_of(MANIFEST), checked, "an etag")])
    store.close()
    again = open_store(tmp_path / "new")
    done = imported(old, again)
    assert (done.tags, done.kept) == (1 - kept, kept)
    (tag,) = written(again, tmp_path)
    assert tag == TagStored(TAG, descriptor_of(MANIFEST), max(checked, 1000.0), "an etag")


def test_what_was_used_later_has_been_used_then(old: Old, store: Store, tmp_path: Path) -> None:
    """Also where it comes as a manifest what was held as mere bytes."""
    imported(old, store)
    digests = [digest_of(LAYER), digest_of(MANIFEST)]
    store.write([BlobStored(digest, 1, 2000.0) for digest in digests])
    store.close()
    again = open_store(tmp_path / "new")
    imported(old, again)
    blobs = {r.digest: r for r in reopened(again, tmp_path) if isinstance(r, BlobStored)}
    assert {blobs[digest].used for digest in digests} == {2000.0}
    assert blobs[digest_of(MANIFEST)].document is not None


def test_names_of_any_depth_are_found_and_others_are_not(old: Old, store: Store) -> None:
    old.image("a/b/c/d/tags", "x")
    old.image("Not-A-Name", "x")
    assert imported(old, store).repositories == 2


def test_a_directory_that_no_registry_wrote_is_refused(tmp_path: Path, store: Store) -> None:
    with pytest.raises(NotARegistry, match="docker/registry/v2"):
        import_registry(tmp_path, store, "docker.io", lambda _: None)
