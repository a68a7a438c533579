import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from distcache.core.inventory import (
    Answer,
    BlobDropped,
    BlobStored,
    BlobUsed,
    FillDropped,
    Filled,
    FillStored,
    GrantDropped,
    GrantStored,
    PinDropped,
    PinStored,
    Record,
    SeenDropped,
    SeenStored,
    TagDropped,
    TagStored,
)
from distcache.core.oci import Content, Document, Kind, Listed, ReferrersRef, Repository, TagRef
from distcache.core.pull import Client
from distcache.store import StoreError, StoreTooNew
from distcache.store.codec import DESCRIPTOR, REFERENCE, TEXT
from distcache.store.index import VERSION, Held, Index, open_index
from tests.store.samples import (
    ALPINE,
    answers,
    anything,
    contents,
    descriptors,
    digest_of,
    digests,
    documents,
    fills,
    grant,
    listed,
    references,
    repositories,
    stored,
    tag,
    times,
)

CAME = Filled(7.0, ALPINE, Client("192.0.2.7", "alice", "docker"), 1, 200)
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


def test_since_when_a_manifest_is_known_stays_when_it_is_not_held(path: Path, index: Index) -> None:
    index.write([BLOB, SeenStored(ALPINE, A, 5.0), SeenStored(ALPINE, B, 6.0), BlobDropped(A)])
    index.write([SeenStored(ALPINE, B, 4.0)])
    held = reopened(path, index)
    assert held.seen == [SeenStored(ALPINE, A, 5.0), SeenStored(ALPINE, B, 4.0)]
    again = open_index(path)
    again.write([SeenDropped(ALPINE, A)])
    assert reopened(path, again).seen == [SeenStored(ALPINE, B, 4.0)]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE seen SET since = 'long ago'",
        "UPDATE seen SET digest = x'ff'",
        "UPDATE seen SET name = CAST(x'ff' AS TEXT)",
    ],
)
def test_a_damaged_row_of_a_time_is_dropped_alone(path: Path, index: Index, statement: str) -> None:
    index.write([SeenStored(ALPINE, A, 5.0)])
    index.close()
    spoil(path, statement)
    index = open_index(path)
    index.write([SeenStored(ALPINE, B, 6.0)])
    found = index.load()
    assert (found.seen, found.damaged) == ([SeenStored(ALPINE, B, 6.0)], 1)
    assert reopened(path, index).damaged == 0


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
    st.builds(
        TagStored,
        references,
        descriptors,
        times,
        st.none() | anything,
        st.none() | listed,
        st.none() | answers,
    ),
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
    with pytest.raises(StoreTooNew, match=r"schema version 6, this release knows 5"):
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
        "UPDATE tags SET listed = '{}x'",
        """UPDATE tags SET listed = '{"filters":1}'""",
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


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tags SET answer = 'no answer'",
        """UPDATE tags SET answer = '{"status":"200"}'""",
    ],
)
def test_a_row_with_a_damaged_answer_is_dropped(path: Path, index: Index, statement: str) -> None:
    index.write([BLOB, evolve(tag("1", A), answer=Answer(200))])
    index.close()
    spoil(path, statement)
    assert open_index(path).load() == Held([BLOB], [], [], 1)


@pytest.mark.parametrize(
    "statement",
    [
        f"UPDATE fills SET digest = '{B}'",
        "UPDATE fills SET at = 'yesterday'",
        "UPDATE fills SET at = 9e999",
        "UPDATE fills SET client = 'alice'",
        "UPDATE fills SET client = '{}'",
        "UPDATE fills SET name = x'ff'",
        "UPDATE fills SET mirror = 'the first'",
        "UPDATE fills SET status = 200.5",
    ],
)
def test_a_damaged_row_of_how_it_came_is_dropped_alone(
    path: Path, index: Index, statement: str
) -> None:
    index.write([BLOB, FillStored(A, CAME)])
    index.close()
    spoil(path, statement)
    index = open_index(path)
    assert index.load() == Held([BLOB], [], [], 1)
    assert reopened(path, index) == Held([BLOB], [], [], 0)


@settings(max_examples=50, deadline=None)
@given(fills)
def test_however_it_came_it_comes_back_equal(
    tmp_path_factory: pytest.TempPathFactory, fill: FillStored
) -> None:
    path = tmp_path_factory.mktemp("index") / "index.sqlite"
    index = open_index(path)
    index.write([BlobStored(fill.digest, 1, 1.0), fill])
    assert reopened(path, index).fills == [fill]


def test_how_it_came_is_kept_for_as_long_as_the_content(path: Path, index: Index) -> None:
    other, imported = stored(b"b"), Filled(7.0, ALPINE, None)
    fills = [FillStored(A, CAME), FillStored(B, imported)]
    index.write([BLOB, other, *fills])
    assert reopened(path, index).fills == fills
    again = open_index(path)
    again.write([FillStored(A, imported), FillDropped(B)])
    assert reopened(path, again).fills == [FillStored(A, imported)]
    again = open_index(path)
    again.write([BlobDropped(A)])
    assert reopened(path, again).fills == []


def test_pins_are_kept_and_let_go(path: Path, index: Index) -> None:
    pins = [PinStored(TagRef(ALPINE, "3")), PinStored(Content(Kind.MANIFEST, A))]
    index.write([*pins, *pins])
    assert reopened(path, index).pins == pins
    again = open_index(path)
    again.write([PinDropped(pins[0].what)])
    assert reopened(path, again).pins == pins[1:]


OF_2 = """
CREATE TABLE blobs (digest TEXT PRIMARY KEY, size INTEGER NOT NULL, used REAL NOT NULL, document TEXT);
CREATE TABLE tags (reference TEXT PRIMARY KEY, digest TEXT NOT NULL, descriptor TEXT NOT NULL, checked REAL NOT NULL, etag TEXT);
CREATE INDEX tags_by_digest ON tags (digest);
CREATE TABLE grants (digest TEXT NOT NULL, kind TEXT NOT NULL, upstream TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (digest, kind, upstream, name));
CREATE TABLE pins (what TEXT PRIMARY KEY);
PRAGMA user_version = 2;
"""  # noqa: E501
"""As version 2 wrote it."""

OF_3 = OF_2.replace("etag TEXT)", "etag TEXT, listed TEXT)").replace("= 2", "= 3")


def test_an_index_of_version_3_is_taken_over_whole(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(OF_3)
    target = DESCRIPTOR.dump(tag("3", A).descriptor)
    row = (REFERENCE.dump(tag("3", A).reference), A, target, 1000.0, TEXT.dump('"e"'), None)
    connection.execute("INSERT INTO tags VALUES (?, ?, ?, ?, ?, ?)", row)
    connection.execute("INSERT INTO grants VALUES (?, 'blob', 'docker.io', 'library/alpine')", (A,))
    connection.commit()
    connection.close()
    again = open_index(path)
    assert not again.renewed
    assert again.load() == Held([], [tag("3", A)], [grant(A)], 0)
    known = SeenStored(ALPINE, A, 7.0)
    again.write([known])
    assert reopened(path, again).seen == [known]


OF_4 = (
    OF_3.replace("= 3", "= 4")
    + """
CREATE TABLE seen (upstream TEXT NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL, since REAL NOT NULL, PRIMARY KEY (upstream, name, digest));
"""  # noqa: E501
)


def test_an_index_of_version_4_is_taken_over_whole(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(OF_4)
    target = DESCRIPTOR.dump(tag("3", A).descriptor)
    row = (REFERENCE.dump(tag("3", A).reference), A, target, 1000.0, TEXT.dump('"e"'), None)
    connection.execute("INSERT INTO blobs VALUES (?, 1, 1000.0, NULL)", (A,))
    connection.execute("INSERT INTO tags VALUES (?, ?, ?, ?, ?, ?)", row)
    connection.execute("INSERT INTO seen VALUES ('docker.io', 'library/alpine', ?, 7.0)", (A,))
    connection.commit()
    connection.close()
    again = open_index(path)
    assert not again.renewed
    blob = BlobStored(A, 1, 1000.0)
    assert again.load() == Held([blob], [tag("3", A)], [], 0, [], [SeenStored(ALPINE, A, 7.0)])
    told = evolve(tag("3", A), answer=Answer(200, mirror=1))
    again.write([told, FillStored(A, CAME)])
    held = reopened(path, again)
    assert (held.tags, held.fills) == ([told], [FillStored(A, CAME)])


BEFORE = {1: "DROP TABLE pins; PRAGMA user_version = 1;", 2: ""}
"""What version 2 did not have, or had, that an earlier one had not."""


@pytest.mark.parametrize("version", BEFORE)
def test_an_index_of_an_earlier_version_is_taken_over_but_for_its_lists(
    path: Path, version: int
) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(OF_2 + BEFORE[version])
    document = '{"children":[],"filters":null,"media_type":"m","next_page":null}'
    connection.execute("INSERT INTO blobs VALUES (?, ?, ?, ?)", (A, 1, 1000.0, document))
    image, target = tag("3", A), DESCRIPTOR.dump(tag("3", A).descriptor)
    repository = '"repository":{"authority":null,"name":"library/alpine","upstream":"docker.io"}'
    keys = (
        REFERENCE.dump(image.reference),
        f'{{"_type":"TagsRef","last":null,"n":null,{repository}}}',
        f'{{"_type":"ReferrersRef","artifact_type":null,"digest":"{A}",{repository}}}',
    )
    for key in keys:
        row = (key, A, target, 1000.0, TEXT.dump('"e"'))
        connection.execute("INSERT INTO tags VALUES (?, ?, ?, ?, ?)", row)
    connection.execute("INSERT INTO grants VALUES (?, 'blob', 'docker.io', 'library/alpine')", (A,))
    connection.commit()
    connection.close()
    again = open_index(path)
    assert not again.renewed
    assert again.load() == Held([BLOB], [image], [grant(A)], 0)
    listing = TagStored(ReferrersRef(ALPINE, A), image.descriptor, 1.0, None, Listed("x", "y"))
    again.write([PinStored(TagRef(ALPINE, "3")), listing])
    held = reopened(path, again)
    assert held.pins == [PinStored(TagRef(ALPINE, "3"))]
    assert held.tags == [image, listing]
