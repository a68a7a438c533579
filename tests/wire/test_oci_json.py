import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distcache.core.effects import Code
from distcache.core.oci import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Content,
    Descriptor,
    Document,
    Kind,
    Reference,
    ReferrersRef,
    TagRef,
    TagsRef,
)
from distcache.wire.oci_json import (
    SCHEMA1,
    SIGNED_SCHEMA1,
    catalog_body,
    error_body,
    load,
    parse_listing,
    parse_manifest,
    tags_body,
)
from tests.wire.samples import DIGEST, LONG, OTHER, REPOSITORY

ARTIFACT = "application/vnd.oci.artifact.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
CONFIG = {"mediaType": CONFIG_TYPE, "digest": DIGEST, "size": 7}
LAYER = {"mediaType": "application/x.layer", "digest": OTHER, "size": 9}
IMAGE = {"schemaVersion": 2, "config": CONFIG, "layers": [LAYER]}
INDEX = {"schemaVersion": 2, "manifests": [{**LAYER, "mediaType": OCI_MANIFEST}]}
TAGS = TagsRef(REPOSITORY)
REFERRERS = ReferrersRef(REPOSITORY, DIGEST)


def parse(manifest: Any, content_type: str | None = None) -> Document | None:
    return parse_manifest(json.dumps(manifest).encode(), content_type)


def children(manifest: Any) -> list[Content]:
    document = parse(manifest)
    assert document is not None
    return [child.content for child in document.children]


def test_an_image_names_its_config_and_layers() -> None:
    assert parse(IMAGE, DOCKER_MANIFEST) == Document(
        DOCKER_MANIFEST,
        (
            Descriptor(Content(Kind.BLOB, DIGEST), 7, CONFIG_TYPE),
            Descriptor(Content(Kind.BLOB, OTHER), 9, "application/x.layer"),
        ),
    )


def test_an_index_names_manifests() -> None:
    assert children(INDEX) == [Content(Kind.MANIFEST, OTHER)]


def test_an_artifact_manifest_names_blobs() -> None:
    artifact = {"mediaType": "application/vnd.oci.artifact.manifest.v1+json", "blobs": [LAYER]}
    assert children(artifact) == [Content(Kind.BLOB, OTHER)]


def test_schema_1_names_layers_without_sizes() -> None:
    old = {"schemaVersion": 1, "fsLayers": [{"blobSum": OTHER}, {"blobSum": OTHER}, {}, 5]}
    assert parse(old) == Document(
        SCHEMA1, (Descriptor(Content(Kind.BLOB, OTHER), None, "application/octet-stream"),)
    )


def test_the_subject_is_not_a_child() -> None:
    assert children({**IMAGE, "subject": {**LAYER, "digest": LONG}}) == [
        Content(Kind.BLOB, DIGEST),
        Content(Kind.BLOB, OTHER),
    ]


@pytest.mark.parametrize("key", ["urls", "URLs", "url\u017f"])
@pytest.mark.parametrize("said", [["https://cdn.example/layer"], "https://cdn.example/layer", []])
@pytest.mark.parametrize(
    ("kind", "member"), [(OCI_MANIFEST, "layers"), (ARTIFACT, "blobs"), (OCI_INDEX, "manifests")]
)
def test_what_is_said_to_be_elsewhere_is_not_a_child(
    kind: str, member: str, key: str, said: Any
) -> None:
    elsewhere = {**LAYER, key: said}
    document = parse({member: [elsewhere, CONFIG]}, kind)
    assert document is not None
    assert [child.content.digest for child in document.children] == [DIGEST]


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        *((kind, [DIGEST, OTHER]) for kind in (OCI_MANIFEST, DOCKER_MANIFEST)),
        *((kind, ["sha256:" + "c" * 64]) for kind in (OCI_INDEX, DOCKER_LIST)),
        (ARTIFACT, ["sha256:" + "d" * 64]),
        *((kind, ["sha256:" + "e" * 64]) for kind in (SCHEMA1, SIGNED_SCHEMA1)),
        ("application/vnd.example.other+json", []),
    ],
)
def test_only_the_members_of_its_type_name_something(kind: str, names: list[str]) -> None:
    """Registries take a manifest without a look at the others."""
    more = {"manifests": "c", "blobs": "d", "fsLayers": "e"}
    said = {
        member: [{"digest": f"sha256:{hex_ * 64}", "blobSum": f"sha256:{hex_ * 64}"}]
        for member, hex_ in more.items()
    }
    document = parse({**IMAGE, **said}, kind)
    assert document is not None
    assert [child.content.digest for child in document.children] == names


def test_a_layer_that_comes_twice_counts_once_and_order_is_kept() -> None:
    twice = {"layers": [LAYER, CONFIG, LAYER, {**LAYER, "digest": LONG}]}
    assert [c.digest for c in children(twice)] == [OTHER, DIGEST, LONG]


@pytest.mark.parametrize(
    "bad",
    [
        None,
        5,
        [],
        {},
        {**LAYER, "digest": None},
        {**LAYER, "digest": "md5:00"},
        {**LAYER, "digest": OTHER.upper()},
        {**LAYER, "size": "9"},
        {**LAYER, "size": True},
        {**LAYER, "size": 9.0},
        {**LAYER, "size": -1},
        {**LAYER, "size": 2**63},
        {**LAYER, "mediaType": 5},
    ],
)
def test_a_malformed_descriptor_is_left_out_and_the_rest_counts(bad: Any) -> None:
    assert children({"layers": [bad, CONFIG]}) == [Content(Kind.BLOB, DIGEST)]


@pytest.mark.parametrize("bad", [5, "x", {"a": 1}, None])
def test_members_of_another_shape_are_no_children(bad: Any) -> None:
    shape = {"schemaVersion": 2, "config": bad, "layers": bad, "blobs": bad, "manifests": bad}
    assert parse(shape | {"fsLayers": bad}, OCI_MANIFEST) == Document(OCI_MANIFEST)


@pytest.mark.parametrize(
    ("manifest", "content_type", "expected"),
    [
        (IMAGE, DOCKER_MANIFEST, DOCKER_MANIFEST),
        (IMAGE, f"{DOCKER_MANIFEST}; charset=utf-8", DOCKER_MANIFEST),
        ({**IMAGE, "mediaType": OCI_MANIFEST}, DOCKER_MANIFEST, DOCKER_MANIFEST),
        ({**IMAGE, "mediaType": DOCKER_MANIFEST}, None, DOCKER_MANIFEST),
        ({**IMAGE, "mediaType": DOCKER_MANIFEST}, "application/json", DOCKER_MANIFEST),
        ({**IMAGE, "mediaType": DOCKER_MANIFEST}, "text/plain; charset=utf-8", DOCKER_MANIFEST),
        ({**INDEX, "mediaType": DOCKER_LIST}, "application/octet-stream", DOCKER_LIST),
        ({**IMAGE, "mediaType": "a\r\nX: y"}, "nonsense", OCI_MANIFEST),
        (IMAGE, None, OCI_MANIFEST),
        ({"layers": []}, None, OCI_MANIFEST),
        (INDEX, None, OCI_INDEX),
        ({"fsLayers": [], "signatures": []}, "application/json", SIGNED_SCHEMA1),
        ({"fsLayers": []}, "text/plain", SCHEMA1),
    ],
)
def test_a_missing_or_generic_type_is_read_from_the_json(
    manifest: Any, content_type: str | None, expected: str
) -> None:
    document = parse(manifest, content_type)
    assert document is not None
    assert document.media_type == expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"5",
        b"null",
        b'"x"',
        b"{}",
        b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}',
        b'{"schemaVersion":2}',
        b'{"schemaVersion":NaN,"layers":[]}',
        b'{"layers":[-Infinity]}',
        b'{"layers":[]} trailing',
        b'\xef\xbb\xbf{"layers":[]}',
        b'{"layers":["\xff"]}',
        '{"layers":[]}'.encode("utf-16"),
        b'{"layers":[' + b"9" * 10_000 + b"]}",
        b'{"layers":' + b"[" * 100_000,
        b'{"layers":' + b'{"a":' * 100_000,
    ],
)
def test_what_is_not_a_manifest_is_none(body: bytes) -> None:
    assert parse_manifest(body, "application/json") is None


def test_an_error_page_is_no_manifest_whatever_its_type() -> None:
    assert parse({"errors": []}, OCI_MANIFEST) is None


@pytest.mark.parametrize(
    "body",
    [
        '{"layers":[],"layers":[%s]}',
        '{"layers":[%s],"Layers":[]}',
        '{"layers":[%s],"layer\u017f":[]}',
        '{"layers":[{"size":1,"Size":2},%s]}',
        '{"layers":[%s],"annotations":{"a":"","a":""}}',
    ],
)
def test_what_registries_may_read_another_way_names_nothing(body: str) -> None:
    document = parse_manifest((body % json.dumps(LAYER)).encode(), OCI_MANIFEST)
    assert document == Document(OCI_MANIFEST)


def test_lone_surrogates_do_not_get_through() -> None:
    body = b'{"mediaType":"\\ud800","layers":[{"digest":"\\ud800","mediaType":"\\udfff"}]}'
    assert parse_manifest(body, None) == Document(OCI_MANIFEST)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.sampled_from([DIGEST, OTHER, OCI_INDEX]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            [
                "schemaVersion",
                "mediaType",
                "config",
                "layers",
                "manifests",
                "blobs",
                "fsLayers",
                "digest",
                "size",
                "blobSum",
                "tags",
                "name",
            ],
        ),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@given(JSON_VALUES, st.sampled_from([None, "application/json", OCI_INDEX]))
def test_no_json_is_too_odd(value: Any, content_type: str | None) -> None:
    body = json.dumps(value).encode()
    document = parse_manifest(body, content_type)
    if document is not None:
        contents = [child.content for child in document.children]
        assert len(contents) == len(set(contents))
        hash(document)
    for reference in (TAGS, REFERRERS):
        parse_listing(body, content_type, reference)


@given(st.binary(max_size=80))
def test_no_bytes_are_too_odd(body: bytes) -> None:
    load(body)
    parse_manifest(body, None)


def tags(*names: str) -> Document:
    return Document("application/json", (), names)


@pytest.mark.parametrize(
    ("body", "reference", "expected"),
    [
        (b'{"name":"a","tags":["x"]}', TAGS, tags("x")),
        (b'{"name":"a","tags":["x","W","x","1"]}', TAGS, tags("1", "W", "x")),
        (b'{"name":"a","tags":["x","no tag","","-x"]}', TAGS, tags("x")),
        (b'{"name":"a","tags":null}', TAGS, tags()),
        (b'{"name":"a","tags":[]}', TAGS, tags()),
        (b'{"tags":["b"]}\n{"tags":null} \r\n\t{"tags":["a","b"]}\n', TAGS, tags("a", "b")),
        (b'{"tags":["b"]}{"tags":["a"]}', TAGS, tags("a", "b")),
        (b'{"tags":["b"]}{"tags":["a"', TAGS, None),
        (b'{"tags":["b"]},{"tags":["a"]}', TAGS, None),
        (b'{"tags":["b"]}[]', TAGS, None),
        (b'{"tags":["b"]}{}', TAGS, None),
        (b'{"tags":["b"],"x":NaN}', TAGS, None),
        (b'{"tags":["\xff"]}', TAGS, None),
        (b" ", TAGS, None),
        (b"", TAGS, None),
        (b'{"name":"a","tags":[5]}', TAGS, None),
        (b'{"name":"a","tags":"x"}', TAGS, None),
        (b'{"name":"a"}', TAGS, None),
        (b"[]", TAGS, None),
        (b'{"manifests":[]}', REFERRERS, Document(OCI_INDEX)),
        (b'{"manifests":[]}{"manifests":[]}', REFERRERS, None),
        (b'{"manifests":null}', REFERRERS, None),
        (b'{"errors":[]}', REFERRERS, None),
        (b"404 page not found", REFERRERS, None),
    ],
)
def test_listings(body: bytes, reference: Reference, expected: Document | None) -> None:
    assert parse_listing(body, "application/json", reference) == expected


def test_referrers_are_manifests() -> None:
    document = parse_listing(json.dumps(INDEX).encode(), OCI_INDEX, REFERRERS)
    child = Descriptor(Content(Kind.MANIFEST, OTHER), 9, OCI_MANIFEST)
    assert document == Document(OCI_INDEX, (child,))


def test_a_tag_is_not_a_listing_of_tags() -> None:
    assert parse_listing(b'{"tags":["x"]}', None, TagRef(REPOSITORY, "x")) is None


@given(st.text(max_size=30))
def test_errors_are_a_list_with_a_code_of_the_specification(message: str) -> None:
    assert json.loads(error_body(Code.NAME_INVALID, message, {"Tag": "x"})) == {
        "errors": [{"code": "NAME_INVALID", "message": message, "detail": {"Tag": "x"}}]
    }
    assert error_body(Code.DENIED, message).isascii()


def test_a_list_of_tags_is_in_the_order_it_is_given() -> None:
    assert tags_body("a/x", ("b", "a")) == b'{"name":"a/x","tags":["b","a"]}\n'


def test_a_catalog_is_sorted() -> None:
    assert catalog_body(["b", "a/x", "a"]) == b'{"repositories":["a","a/x","b"]}\n'
