"""The quick way to read a row gives what the strict one gives, and shares what is equal."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from distcache.store.codec import DESCRIPTOR, DOCUMENT, REFERENCE
from distcache.store.reading import Reading

digests = st.sampled_from([Digest(f"sha256:{letter * 64}") for letter in "abc"])
contents = st.builds(Content, st.sampled_from(Kind), digests)
sizes = st.none() | st.integers(0, 2**40)
descriptors = st.builds(Descriptor, contents, sizes, st.text(max_size=5))
names = st.lists(st.text(max_size=3), max_size=2).map(tuple)
documents = st.builds(
    Document, st.text(max_size=5), st.lists(descriptors, max_size=3).map(tuple), st.none() | names
)
repositories = st.builds(
    Repository, st.sampled_from(["a", "b"]), st.text(max_size=3), st.none() | st.text(max_size=2)
)
references = st.one_of(
    st.builds(TagRef, repositories, st.text(max_size=3), names),
    st.builds(TagsRef, repositories),
    st.builds(ReferrersRef, repositories, digests, st.none() | st.text(max_size=2)),
)

ODD: tuple[object, ...] = (None, True, 0, 1.5, "", "blob", [], {}, "TagRef")
"""What may stand in the place of something else."""


def outcome(load: Callable[[str], object], text: str) -> object:
    try:
        return load(text)
    except ValueError:
        return ValueError


def spoilt(tree: object, draw: st.DataObject) -> object:
    """The same with one part lost, added or replaced, or as it was."""
    if isinstance(tree, dict) and tree:
        name = draw.draw(st.sampled_from(sorted(tree)))
        match draw.draw(st.sampled_from(["into", "lose", "add", "old", "replace"])):
            case "into":
                return {**tree, name: spoilt(tree[name], draw)}
            case "lose":
                return {key: value for key, value in tree.items() if key != name}
            case "add":
                return {**tree, "more": draw.draw(st.sampled_from(ODD))}
            case "old":
                return {**tree, "next_page": None}
            case _:
                return {**tree, name: draw.draw(st.sampled_from(ODD))}
    if isinstance(tree, list) and tree:
        return [spoilt(tree[0], draw), *tree[1:]]
    return tree


@given(documents | descriptors | references, st.data())
def test_what_is_read_is_what_the_codec_reads(
    value: Document | Descriptor | TagRef | TagsRef | ReferrersRef, data: st.DataObject
) -> None:
    reading = Reading()
    quick: Callable[[str], object]
    slow: Callable[[str], object]
    match value:
        case Document():
            text, slow, quick = DOCUMENT.dump(value), DOCUMENT.load, reading.document
        case Descriptor():
            text, slow, quick = DESCRIPTOR.dump(value), DESCRIPTOR.load, reading.descriptor
        case _:
            text, slow, quick = REFERENCE.dump(value), REFERENCE.load, reading.reference
    assert quick(text) == value
    text = json.dumps(spoilt(json.loads(text), data))
    assert outcome(quick, text) == outcome(slow, text)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"TagRef"', "[" * 100_000, "\ud800"])
def test_what_is_no_value_is_refused(text: str) -> None:
    reading = Reading()
    for load in (reading.document, reading.descriptor, reading.reference):
        with pytest.raises(ValueError, match="damaged value"):
            load(text)


def test_equal_parts_are_one_object() -> None:
    reading = Reading()
    digest = "sha256:" + "a" * 64
    blob = reading.blob((1, digest.encode(), 7, 1.0, None))
    grants = [reading.grant((n, digest.encode(), b"blob", b"up", b"name")) for n in (1, 2)]
    document = Document("m", (Descriptor(Content(Kind.BLOB, Digest(digest)), 7, "t"),))
    manifest = reading.blob((2, b"sha256:" + b"b" * 64, 9, 1.0, DOCUMENT.dump(document).encode()))
    assert manifest.document == document
    child = manifest.document.children[0]
    assert grants[0].repository is grants[1].repository
    assert grants[0].content is grants[1].content is child.content
    assert child.content.digest is blob.digest
