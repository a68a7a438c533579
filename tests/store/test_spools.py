import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distcache.core.effects import Medium, Spool
from distcache.core.events import Held, StoreFault
from distcache.core.oci import Digest
from distcache.store import Body, FileSpool, MemorySpool, StoreError, TooLarge, WindowSpool
from tests.store.samples import digest_of, file_size_limit, unhurried

CONTENT = bytes(range(200))


@pytest.fixture
def new(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Body]]:
    """Makes spools of the medium that the test is run for."""
    made: list[Body] = []

    def make(digest: Digest | None = None) -> Body:
        match request.param:
            case Medium.FILE:
                body: Body = FileSpool(Spool(1, Medium.FILE, digest), tmp_path / "spool")
            case Medium.MEMORY:
                body = MemorySpool(Spool(1, Medium.MEMORY, digest))
            case _:
                body = WindowSpool(Spool(1, Medium.WINDOW, digest))
        made.append(body)
        return body

    yield make
    for body in made:
        body.discard()


every_medium = pytest.mark.parametrize("new", Medium, indirect=True)


@every_medium
def test_bytes_join_at_the_end_and_are_readable(new: Callable[[], Body]) -> None:
    body = new()
    assert body.length == 0
    assert body.write(0, CONTENT[:50]) == 50
    assert body.write(50, memoryview(CONTENT)[50:]) == 200
    assert body.length == 200
    assert body.read(10, 60) == CONTENT[10:60]
    assert body.read(150, 10_000) == CONTENT[150:]
    assert body.read(200, 300) == b""


@every_medium
def test_a_restarted_transfer_changes_nothing_that_readers_got(new: Callable[[], Body]) -> None:
    body = new()
    body.write(0, CONTENT[:100])
    assert body.write(0, bytes(60)) == 100
    assert body.write(40, bytes(60) + CONTENT[100:]) == 200
    assert body.read(0, 200) == CONTENT
    assert body.digest() == digest_of(CONTENT)


@every_medium
def test_a_gap_is_an_error(new: Callable[[], Body]) -> None:
    body = new()
    body.write(0, CONTENT[:10])
    with pytest.raises(ValueError, match="only 10 came before"):
        body.write(11, CONTENT[11:])
    assert body.length == 10
    assert body.digest() == digest_of(CONTENT[:10])


@every_medium
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_the_digest_is_of_the_algorithm_that_was_asked_for(
    new: Callable[[Digest], Body], algorithm: str
) -> None:
    body = new(digest_of(CONTENT, algorithm))
    body.write(0, CONTENT)
    assert body.digest() == digest_of(CONTENT, algorithm)


@every_medium
def test_an_unsupported_algorithm_is_a_store_error(new: Callable[[Digest], Body]) -> None:
    with pytest.raises(StoreError, match="unsupported digest algorithm 'sha384'"):
        new(digest_of(b"", "sha384"))


@every_medium
def test_discarding_twice_is_harmless(new: Callable[[], Body]) -> None:
    body = new()
    body.write(0, CONTENT)
    body.discard()
    body.discard()


pieces = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 80)), max_size=12)


def play(body: Body, script: list[tuple[int, int]]) -> None:
    """Write slices of CONTENT at any offsets; what comes out is CONTENT up to some length."""
    length = 0
    for start, count in script:
        piece = CONTENT[start : start + count]
        if start > length:
            with pytest.raises(ValueError, match="came before"):
                body.write(start, piece)
        else:
            length = max(length, start + len(piece))
            assert body.write(start, piece) == length
        assert body.length == length
        assert body.read(0, 1000) == CONTENT[:length]
        assert body.digest() == digest_of(CONTENT[:length])


@unhurried
@given(pieces)
def test_any_pieces_in_memory_make_a_prefix_of_the_content(script: list[tuple[int, int]]) -> None:
    play(MemorySpool(Spool(1, Medium.MEMORY)), script)


@unhurried
@given(pieces)
def test_any_pieces_in_a_window_make_a_prefix_of_the_content(script: list[tuple[int, int]]) -> None:
    play(WindowSpool(Spool(1, Medium.WINDOW)), script)


@unhurried
@given(pieces)
def test_any_pieces_in_a_file_make_a_prefix_of_the_content(
    tmp_path_factory: pytest.TempPathFactory, script: list[tuple[int, int]]
) -> None:
    body = FileSpool(Spool(1, Medium.FILE), tmp_path_factory.mktemp("spool") / "1")
    play(body, script)
    body.discard()


def test_a_document_beyond_its_limit_is_refused_and_nothing_of_it_taken() -> None:
    body = MemorySpool(Spool(1, Medium.MEMORY, limit=10))
    body.write(0, b"12345")
    with pytest.raises(TooLarge):
        body.write(5, b"678901")
    assert body.length == 5
    assert body.digest() == digest_of(b"12345")
    assert body.write(0, b"1234567890") == 10


def test_a_window_that_is_full_has_no_room_until_its_reader_releases() -> None:
    body = WindowSpool(Spool(1, Medium.WINDOW), window=64)
    assert body.room() == 64
    body.write(0, CONTENT[:64])
    assert body.room() == 0
    with pytest.raises(ValueError, match="1 bytes for a room of 0"):
        body.write(64, CONTENT[64:65])
    assert body.read(0, 64) == CONTENT[:64]
    body.release(40)
    assert body.room() == 40
    body.write(64, CONTENT[64:104])
    assert body.read(40, 104) == CONTENT[40:104]
    body.release(30)
    assert body.room() == 0


def test_bytes_passed_over_need_no_room() -> None:
    body = WindowSpool(Spool(1, Medium.WINDOW), window=64)
    body.write(0, CONTENT[:64])
    assert body.write(0, CONTENT[:64]) == 64


def test_what_a_reader_released_is_gone() -> None:
    body = WindowSpool(Spool(1, Medium.WINDOW))
    body.write(0, CONTENT)
    body.release(100)
    with pytest.raises(ValueError, match="byte 99 is gone"):
        body.read(99, 120)
    with pytest.raises(ValueError, match="201 was never written"):
        body.release(201)


def test_bytes_before_the_first_wanted_one_are_hashed_and_dropped() -> None:
    body = WindowSpool(Spool(1, Medium.WINDOW, first=150), window=20)
    assert body.room() == 170
    body.write(0, CONTENT[:100])
    body.release(150)
    assert body.room() == 70
    body.write(100, CONTENT[100:170])
    assert body.room() == 0
    assert body.read(150, 200) == CONTENT[150:170]
    body.release(170)
    body.write(170, CONTENT[170:190])
    body.release(190)
    body.write(190, CONTENT[190:])
    assert body.read(190, 200) == CONTENT[190:]
    assert body.digest() == digest_of(CONTENT)


steps = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=20)


@unhurried
@given(st.integers(0, 120), st.integers(1, 50), steps)
def test_a_window_hands_its_reader_the_content_from_first_on(
    first: int, window: int, script: list[tuple[int, int]]
) -> None:
    body = WindowSpool(Spool(1, Medium.WINDOW, first=first), window)
    sent = b""
    for arriving, taken in script:
        count = min(arriving, body.room())
        body.write(body.length, CONTENT[body.length : body.length + count])
        position = first + len(sent)
        assert len(body.read(position, 1000)) <= window
        sent += body.read(position, position + taken)
        body.release(first + len(sent))
    assert sent == CONTENT[first : first + len(sent)]
    assert body.digest() == digest_of(CONTENT[: body.length])


@given(st.integers(1, 200), st.lists(st.integers(0, 60), max_size=8), st.booleans())
def test_a_window_is_right_only_after_what_its_reader_was_sent(
    length: int, chunks: list[int], same: bool
) -> None:
    before = CONTENT[:length] if same else CONTENT[: length - 1] + bytes([CONTENT[length - 1] ^ 1])
    after = Held(length, digest_of(before))
    body = WindowSpool(Spool(1, Medium.WINDOW, first=length, after=after))
    for count in [*chunks, len(CONTENT)]:
        body.write(body.length, CONTENT[body.length : body.length + count])
    assert (body.digest() == digest_of(CONTENT)) == same


@pytest.fixture
def body(tmp_path: Path) -> Iterator[FileSpool]:
    made = FileSpool(Spool(1, Medium.FILE), tmp_path / "1")
    yield made
    made.discard()


def test_a_partial_write_that_fails_leaves_the_spool_at_its_last_length(body: FileSpool) -> None:
    body.write(0, CONTENT[:100])
    with file_size_limit(150), pytest.raises(StoreError):
        body.write(100, CONTENT[100:])
    assert os.fstat(body.fd).st_size == 150
    assert body.length == 100
    assert body.read(0, 200) == CONTENT[:100]
    assert body.digest() == digest_of(CONTENT[:100])
    assert body.write(100, CONTENT[100:]) == 200
    assert body.read(0, 200) == CONTENT
    assert body.digest() == digest_of(CONTENT)


def test_a_failed_write_leaves_no_bytes_in_what_is_moved(body: FileSpool, tmp_path: Path) -> None:
    body.write(0, CONTENT[:100])
    with file_size_limit(150), pytest.raises(StoreError):
        body.write(100, CONTENT[100:])
    body.move(tmp_path / "moved")
    assert (tmp_path / "moved").read_bytes() == CONTENT[:100]


def test_what_is_appended_is_there_at_once_and_in_the_digest_when_that_is_asked_for(
    body: FileSpool,
) -> None:
    pieces = [bytearray(CONTENT[:50]), bytearray(CONTENT[50:100])]
    assert [body.append(start, piece) for start, piece in zip((0, 50), pieces, strict=True)] == [
        50,
        100,
    ]
    assert body.read(0, 100) == CONTENT[:100]
    # Another's write, which must not get before them in the hash.
    assert body.write(90, bytes(10) + CONTENT[100:150]) == 150
    assert body.append(150, CONTENT[150:]) == 200
    assert body.digest() == digest_of(CONTENT)


def test_what_was_settled_may_change(body: FileSpool) -> None:
    piece = bytearray(CONTENT[:100])
    body.append(0, piece)
    body.settle()
    piece[:] = bytes(100)
    body.append(100, CONTENT[100:])
    assert body.digest() == digest_of(CONTENT)


def test_a_full_disk_is_told_as_no_space(body: FileSpool) -> None:
    full = os.open("/dev/full", os.O_RDWR)
    os.dup2(full, body.fd)
    os.close(full)
    with pytest.raises(StoreError) as caught:
        body.write(0, CONTENT)
    assert caught.value.fault is StoreFault.NO_SPACE
    assert body.length == 0


def test_a_file_cut_behind_our_back_is_an_error_not_fewer_bytes(body: FileSpool) -> None:
    body.write(0, CONTENT)
    os.ftruncate(body.fd, 50)
    assert body.read(0, 50) == CONTENT[:50]
    with pytest.raises(StoreError, match="ends before its length"):
        body.read(0, 51)


def test_a_discarded_file_is_gone_and_takes_no_more_bytes(body: FileSpool, tmp_path: Path) -> None:
    body.write(0, CONTENT)
    fd = body.fd
    body.discard()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    with pytest.raises(StoreError, match="closed"):
        body.write(200, CONTENT)
    with pytest.raises(StoreError, match="closed"):
        body.read(0, 1)
    with pytest.raises(StoreError, match="no file any more"):
        body.move(tmp_path / "moved")


def test_two_spools_never_share_a_file(body: FileSpool, tmp_path: Path) -> None:
    body.write(0, CONTENT)
    with pytest.raises(StoreError, match="File exists"):
        FileSpool(Spool(1, Medium.FILE), tmp_path / "1")
    assert body.read(0, 200) == CONTENT


def test_a_write_of_many_megabytes_arrives_whole(body: FileSpool) -> None:
    data = os.urandom(1 << 20) * 9
    body.write(0, data)
    assert os.fstat(body.fd).st_size == len(data)
    assert body.digest() == f"sha256:{hashlib.sha256(data).hexdigest()}"
