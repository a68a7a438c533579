import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distcache.core.inventory import (
    BlobDropped,
    BlobStored,
    BlobUsed,
    GrantDropped,
    GrantStored,
    PinDropped,
    PinStored,
    Record,
    TagDropped,
    TagStored,
)
from distcache.core.oci import Content, Document, Kind, Repository, TagRef
from distcache.store import StoreError, StoreTooNew
from distcache.store.index import VERSION, Held, Index, open_index
from tests.store.samples import (
    ALPINE,
    anything,
    contents,
    descriptors,
    digest_of,
    digests,
    documents,
    grant,
    references,
    repositories,
    stored,
    tag,
    times,
)

BLOB = stored(b"a", Document("m"))
A = BLOB.digest
B = digest_of(b"b")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index.sqlite"


@pytest.fixture
def index(path: Path) -> Iterator[Index]:
    opened = open_index(path)
    yield opened
    opened.close()


def reopened(path: Path, index: Index) -> Held:
    """What a later process finds."""
    index.close()
    again = open_index(path)
    assert not again.renewed
    held = again.load()
    again.close()
    return held


def test_what_was_written_is_there_in_the_next_run(path: Path, index: Index) -> None:
    index.write([BLOB, tag("3", A), grant(A), grant(A, Kind.MANIFEST)])
    held = reopened(path, index)
    assert held.blobs == [BLOB]
    assert held.tags == [tag("3", A)]
    assert set(held.grants) == {grant(A), grant(A, Kind.MANIFEST)}
    assert held.damaged == 0


def test_a_blob_stored_again_replaces_its_record(path: Path, index: Index) -> None:
    index.write([stored(b"a"), grant(A), BLOB])
    assert reopened(path, index) == Held([BLOB], [], [grant(A)], 0)


def test_a_use_is_remembered_and_of_an_unknown_blob_ignored(path: Path, index: Index) -> None:
    index.write([BLOB, BlobUsed(A, 2000.5), BlobUsed(B, 1.0)])
    assert reopened(path, index).blobs == [BlobStored(A, 1, 2000.5, Document("m"))]


def test_a_dropped_blob_takes_its_grants_and_its_tags_along(path: Path, index: Index) -> None:
    index.write([BLOB, stored(b"b"), tag("1", A), tag("2", B)])
    index.write([grant(A), grant(A, Kind.MANIFEST), grant(B), BlobDropped(A)])
    assert reopened(path, index) == Held([stored(b"b")], [tag("2", B)], [grant(B)], 0)


def test_records_take_effect_in_their_order(path: Path, index: Index) -> None:
    index.write([BlobDropped(A), BLOB, tag("1", A), tag("1", B), grant(A), BlobDropped(A), BLOB])
    assert reopened(path, index) == Held([BLOB], [tag("1", B)], [], 0)


def test_clients_that_take_other_types_have_tags_of_their_own(path: Path, index: Index) -> None:
    one = tag("1", A)
    other = TagStored(TagRef(ALPINE, "1", ("m",)), one.descriptor, 5.0)
    index.write([one, other])
    assert set(reopened(path, index).tags) == {one, other}


def test_equal_names_of_two_upstreams_are_not_confused(path: Path, index: Index) -> None:
    other = GrantStored(Repository("ghcr.io", ALPINE.name), Content(Kind.BLOB, A))
    index.write([grant(A), other, GrantDropped(ALPINE, Content(Kind.BLOB, A))])
    assert reopened(path, index).grants == [other]


def model(records: list[Record]) -> tuple[dict[object, Record], ...]:
    """The same in dictionaries."""
    blobs: dict[object, Record] = {}
    tags: dict[object, TagStored] = {}
    grants: dict[object, GrantStored] = {}
    for record in records:
        match record:
            case BlobStored(digest):
                blobs[digest] = record
            case BlobUsed(digest, used):
                if isinstance(blob := blobs.get(digest), BlobStored):
                    blobs[digest] = BlobStored(digest, blob.size, used, blob.document)
            case BlobDropped(digest):
                blobs.pop(digest, None)
                tags = {k: t for k, t in tags.items() if t.descriptor.content.digest != digest}
                grants = {k: g for k, g in grants.items() if g.content.digest != digest}
            case TagStored(reference):
                tags[reference] = record
            case TagDropped(reference):
                tags.pop(reference, None)
            case GrantStored(repository, content):
                grants[repository, content] = record
            case GrantDropped(repository, content):
                grants.pop((repository, content), None)
    return blobs, {**tags}, {**grants}


records = st.one_of(
    st.builds(BlobStored, digests, st.integers(0, 2**62), times, st.none() | documents),
    st.builds(BlobUsed, digests, times),
    st.builds(BlobDropped, digests),
    st.builds(TagStored, references, descriptors, times, st.none() | anything),
    st.builds(TagDropped, references),
    st.builds(GrantStored, repositories, contents),
    st.builds(GrantDropped, repositories, contents),
)


@settings(max_examples=50, deadline=None)
@given(batches=st.lists(st.lists(records, max_size=8), max_size=4))
def test_any_records_come_back_as_a_dictionary_would_keep_them(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[Record]]
) -> None:
    path = tmp_path_factory.mktemp("index") / "index.sqlite"
    index = open_index(path)
    for batch in batches:
        index.write(batch)
        # Once more changes nothing: a shell that does not know may repeat a batch.
        index.write(batch)
    held = reopened(path, index)
    blobs, tags, grants = model([record for batch in batches for record in batch])
    assert {blob.digest: blob for blob in held.blobs} == blobs
    assert {item.reference: item for item in held.tags} == tags
    assert {(item.repository, item.content): item for item in held.grants} == grants
    assert held.damaged == 0


def test_a_batch_that_fails_leaves_nothing_of_it(path: Path, index: Index) -> None:
    index.write([BLOB])
    timeless = BlobStored(B, 1, float("nan"))
    with pytest.raises(StoreError, match="NOT NULL"):
        index.write([BlobDropped(A), timeless])
    index.write([tag("1", A)])
    assert reopened(path, index) == Held([BLOB], [tag("1", A)], [], 0)


def test_writing_to_a_closed_index_is_a_store_error(index: Index) -> None:
    index.close()
    with pytest.raises(StoreError, match="closed"):
        index.write([BLOB])


def test_an_index_of_a_later_release_is_left_as_it_is(path: Path, index: Index) -> None:
    index.write([BLOB])
    index.close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    content = path.read_bytes()
    with pytest.raises(StoreTooNew, match=r"schema version 3, this release knows 2"):
        open_index(path)
    assert path.read_bytes() == content
    assert [entry.name for entry in path.parent.iterdir()] == ["index.sqlite"]


def spoil(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE blobs SET document = '{'",
        "UPDATE blobs SET document = '{}'",
        "UPDATE blobs SET document = x'ff'",
        "UPDATE blobs SET document = CAST(x'ff' AS TEXT)",
        "UPDATE blobs SET document = 7",
        "UPDATE blobs SET size = 'many'",
        "UPDATE blobs SET size = -1",
        "UPDATE blobs SET size = 0.5",
        "UPDATE blobs SET used = 'never'",
        "UPDATE blobs SET used = 9e999",
        "UPDATE blobs SET digest = 'sha256:../../lock'",
        "UPDATE blobs SET digest = x'00'",
        "UPDATE blobs SET digest = NULL",
    ],
)
def test_a_damaged_blob_row_is_dropped_alone(path: Path, index: Index, statement: str) -> None:
    index.write([BLOB, tag("1", B)])
    index.close()
    spoil(path, statement)
    index = open_index(path)
    index.write([stored(b"b")])
    assert index.load() == Held([stored(b"b")], [tag("1", B)], [], 1)
    assert reopened(path, index) == Held([stored(b"b")], [tag("1", B)], [], 0)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tags SET reference = 'alpine'",
        "UPDATE tags SET reference = NULL",
        "UPDATE tags SET descriptor = '{}'",
        f"UPDATE tags SET digest = '{B}'",
        "UPDATE tags SET checked = 'yesterday'",
        "UPDATE tags SET etag = 'not json'",
        "UPDATE tags SET etag = '1'",
    ],
)
def test_a_damaged_tag_row_is_dropped_alone(path: Path, index: Index, statement: str) -> None:
    index.write([BLOB, tag("1", A)])
    index.close()
    spoil(path, statement)
    index = open_index(path)
    index.write([tag("2", A)])
    assert index.load() == Held([BLOB], [tag("2", A)], [], 1)
    assert reopened(path, index) == Held([BLOB], [tag("2", A)], [], 0)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE grants SET kind = 'everything'",
        "UPDATE grants SET name = x'ff'",
        "UPDATE grants SET upstream = CAST(x'ff' AS TEXT)",
    ],
)
def test_a_damaged_grant_row_is_dropped_alone(path: Path, index: Index, statement: str) -> None:
    index.write([BLOB, grant(A)])
    index.close()
    spoil(path, statement)
    index = open_index(path)
    index.write([grant(B)])
    assert index.load() == Held([BLOB], [], [grant(B)], 1)
    assert reopened(path, index) == Held([BLOB], [], [grant(B)], 0)


def test_pins_are_kept_and_let_go(path: Path, index: Index) -> None:
    pins = [PinStored(TagRef(ALPINE, "3")), PinStored(Content(Kind.MANIFEST, A))]
    index.write([*pins, *pins])
    assert reopened(path, index).pins == pins
    again = open_index(path)
    again.write([PinDropped(pins[0].what)])
    assert reopened(path, again).pins == pins[1:]


def test_an_index_of_version_1_is_taken_over_whole(path: Path, index: Index) -> None:
    index.write([BLOB, tag("3", A), grant(A)])
    index.close()
    connection = sqlite3.connect(path)
    connection.executescript("DROP TABLE pins; PRAGMA user_version = 1")
    connection.close()
    again = open_index(path)
    assert not again.renewed
    assert again.load() == Held([BLOB], [tag("3", A)], [grant(A)], 0)
    again.write([PinStored(TagRef(ALPINE, "3"))])
    assert reopened(path, again).pins == [PinStored(TagRef(ALPINE, "3"))]
