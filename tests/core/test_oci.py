"""Names of content as values: what is the same thing, and what must never be taken for it."""

from typing import Any

import pytest
from attrs.exceptions import FrozenInstanceError

from distcache.core import oci
from distcache.core.oci import (
    Content,
    Descriptor,
    Digest,
    Document,
    Kind,
    ReferrersRef,
    Repository,
    TagRef,
    TagsRef,
)

D = Digest("sha256:" + "0" * 64)
APP = Repository("docker.io", "library/app")


def test_the_same_name_at_another_upstream_is_another_repository() -> None:
    assert Repository("ghcr.io", "library/app") != APP
    assert Repository("docker.io", "library_app") != APP
    assert Repository("docker.io", "library/app") == APP


def test_a_digest_is_one_thing_under_each_endpoint() -> None:
    seen = {Content(kind, D) for kind in Kind}
    assert len(seen) == len(Kind) == 3
    assert Content(Kind.BLOB, D) in seen


def test_a_tag_for_a_client_of_few_types_is_another_key() -> None:
    every, one = TagRef(APP, "latest"), TagRef(APP, "latest", (oci.DOCKER_MANIFEST,))
    assert every != one
    assert {every: 1, one: 2}[TagRef(APP, "latest")] == 1


def test_filters_and_pages_of_referrers_are_keys_of_their_own() -> None:
    kind = "application/spdx+json"
    lists = {ReferrersRef(APP, D), ReferrersRef(APP, D, kind), ReferrersRef(APP, D, kind, "p=2")}
    assert len(lists) == 3


def test_every_manifest_type_is_asked_for_indexes_first() -> None:
    vendor, oci_vendor = "application/vnd.docker.distribution.", "application/vnd.oci.image."
    assert (
        oci_vendor + "index.v1+json",
        oci_vendor + "manifest.v1+json",
        vendor + "manifest.list.v2+json",
        vendor + "manifest.v2+json",
    ) == oci.MANIFEST_TYPES


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (APP, "name"),
        (Content(Kind.BLOB, D), "digest"),
        (TagRef(APP, "latest"), "tag"),
        (TagsRef(APP), "repository"),
        (ReferrersRef(APP, D), "artifact_type"),
        (Descriptor(Content(Kind.BLOB, D), 1, "layer"), "size"),
        (Document("index"), "children"),
    ],
)
def test_values_do_not_change_and_are_keys(value: Any, name: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(value, name, None)
    assert {value: "found"}[value] == "found"
