import errno
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distcache.core.effects import Medium, Spool
from distcache.core.oci import Digest
from distcache.store import Body, MemorySpool, StoreError, WindowSpool
from distcache.store.digests import supported
from distcache.store.files import Files, Found
from tests.store.samples import (
    LAYER,
    digest_of,
    files_below,
    no_more_descriptors,
    path_of,
    unhurried,
)

DIGEST = digest_of(LAYER)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def read(files: Files, digest: Digest, size: int) -> bytes:
    fd = files.open(digest, size)
    with open(fd, "rb") as file:
        return file.read()


def commit(files: Files, data: bytes, digest: Digest) -> None:
    body = files.create(Spool(1, Medium.FILE, digest))
    body.write(0, data)
    files.commit(body, digest)
    body.discard()


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_committed_file_lies_in_the_image_layout(
    files: Files, tmp_path: Path, algorithm: str
) -> None:
    digest = digest_of(LAYER, algorithm)
    commit(files, LAYER, digest)
    assert files_below(tmp_path) == {f"blobs/{algorithm}/{digest.partition(':')[2]}"}
    assert read(files, digest, len(LAYER)) == LAYER


def test_a_committed_document_is_stored_verbatim(files: Files, tmp_path: Path) -> None:
    data = b'{ "schemaVersion" : 2 }\n'
    body = MemorySpool(Spool(1, Medium.MEMORY))
    body.write(0, data)
    files.commit(body, digest_of(data))
    assert path_of(tmp_path, digest_of(data)).read_bytes() == data
    assert list((tmp_path / "spool").iterdir()) == []


def test_an_empty_blob_can_be_stored(files: Files) -> None:
    commit(files, b"", digest_of(b""))
    assert read(files, digest_of(b""), 0) == b""


def test_readers_of_a_spool_go_on_after_its_commit_and_its_deletion(files: Files) -> None:
    body = files.create(Spool(1, Medium.FILE, DIGEST))
    body.write(0, LAYER)
    files.commit(body, DIGEST)
    assert body.read(0, 5000) == LAYER
    assert os.pread(body.fd, 5000, 0) == LAYER
    assert files.delete(DIGEST) == len(LAYER)
    assert body.read(0, 5000) == LAYER
    body.discard()


def test_discarding_a_committed_spool_leaves_the_blob(files: Files) -> None:
    commit(files, LAYER, DIGEST)
    assert read(files, DIGEST, len(LAYER)) == LAYER


def test_bytes_are_never_published_under_another_digest(files: Files, tmp_path: Path) -> None:
    body = files.create(Spool(1, Medium.FILE, DIGEST))
    body.write(0, LAYER[:-1])
    with pytest.raises(StoreError, match="the bytes are sha256:"):
        files.commit(body, DIGEST)
    assert not path_of(tmp_path, DIGEST).exists()
    body.write(0, LAYER)
    files.commit(body, DIGEST)
    body.discard()


def test_a_window_keeps_nothing_that_could_be_stored(files: Files) -> None:
    body = WindowSpool(Spool(1, Medium.WINDOW))
    with pytest.raises(TypeError, match="WindowSpool"):
        files.commit(body, body.digest())


def test_a_commit_that_fails_leaves_the_spool_readable_and_nothing_published(
    files: Files, tmp_path: Path
) -> None:
    body = files.create(Spool(1, Medium.FILE, DIGEST))
    body.write(0, LAYER)
    path_of(tmp_path, DIGEST).mkdir()
    with pytest.raises(StoreError):
        files.commit(body, DIGEST)
    assert body.read(0, 5000) == LAYER
    body.discard()
    assert files_below(tmp_path) == set()


def test_a_name_that_may_not_last_is_taken_back(files: Files, tmp_path: Path) -> None:
    """The core is told that there is no such blob: then the next start must find none."""
    body = files.create(Spool(1, Medium.FILE, DIGEST))
    body.write(0, LAYER)
    with no_more_descriptors(), pytest.raises(StoreError, match="Too many open files"):
        files.commit(body, DIGEST)
    assert body.read(0, 5000) == LAYER
    assert files_below(tmp_path) == set()
    body.discard()


def held(*contents: bytes) -> list[tuple[Body, Digest]]:
    """Contents in memory, to be committed."""
    bodies = [MemorySpool(Spool(number, Medium.FILE)) for number in range(len(contents))]
    for body, data in zip(bodies, contents, strict=True):
        body.write(0, data)
    return [(body, digest_of(data)) for body, data in zip(bodies, contents, strict=True)]


def test_contents_committed_together_fail_each_by_itself(files: Files, tmp_path: Path) -> None:
    first, wrong, hindered, last = held(b"first", b"wrong", b"hindered", b"last")
    path_of(tmp_path, hindered[1]).mkdir()
    results = files.commit_all([first, (wrong[0], DIGEST), hindered, last])
    assert [type(result) for result in results] == [type(None), StoreError, StoreError, type(None)]
    assert read(files, first[1], 5) == b"first"
    assert read(files, last[1], 4) == b"last"
    assert len(files_below(tmp_path)) == 2


def test_of_names_that_may_not_last_none_stays(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, lost = os.fsync, []

    def fsync(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            lost.append(fd)
            raise OSError(errno.EIO, "lost")
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    results = files.commit_all(held(b"one", b"two"))
    assert [str(result) for result in results] == ["[Errno 5] lost"] * 2
    assert len(lost) == 1, "the directory is synchronized once"
    assert files_below(tmp_path) == set()


def test_a_document_whose_commit_fails_leaves_no_temporary_file(
    files: Files, tmp_path: Path
) -> None:
    body = MemorySpool(Spool(1, Medium.MEMORY))
    body.write(0, LAYER)
    path_of(tmp_path, DIGEST).mkdir()
    with pytest.raises(StoreError):
        files.commit(body, DIGEST)
    assert files_below(tmp_path) == set()


def test_committing_what_is_there_replaces_it_with_the_same(files: Files) -> None:
    commit(files, LAYER, DIGEST)
    fd = files.open(DIGEST, len(LAYER))
    commit(files, LAYER, DIGEST)
    assert os.pread(fd, 5000, 0) == LAYER
    os.close(fd)
    assert read(files, DIGEST, len(LAYER)) == LAYER


def test_deleting_says_what_it_freed_and_nothing_the_second_time(files: Files) -> None:
    commit(files, LAYER, DIGEST)
    assert files.delete(DIGEST) == len(LAYER)
    assert files.delete(DIGEST) == 0


def test_a_reader_of_a_deleted_blob_reads_on(files: Files) -> None:
    commit(files, LAYER, DIGEST)
    fd = files.open(DIGEST, len(LAYER))
    files.delete(DIGEST)
    assert os.pread(fd, 5000, 0) == LAYER
    os.close(fd)


def test_a_blob_deleted_before_it_is_opened_is_an_error_not_an_empty_body(files: Files) -> None:
    commit(files, LAYER, DIGEST)
    files.delete(DIGEST)
    with pytest.raises(StoreError, match="No such file"):
        files.open(DIGEST, len(LAYER))


def test_a_blob_of_another_size_is_an_error(files: Files, tmp_path: Path) -> None:
    commit(files, LAYER, DIGEST)
    path_of(tmp_path, DIGEST).write_bytes(LAYER[:-1])
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(StoreError, match="4999 bytes instead of 5000"):
        files.open(DIGEST, len(LAYER))
    assert len(os.listdir("/proc/self/fd")) == before
    # Nobody takes it for the blob from now on.
    assert not path_of(tmp_path, DIGEST).exists()


def test_a_blob_that_goes_while_it_is_looked_for_is_not_found(files: Files) -> None:
    commit(files, LAYER, DIGEST)
    (name,) = files.names()
    files.delete(DIGEST)
    assert files.look(name) is None


def test_a_directory_in_a_blobs_place_cannot_be_opened(files: Files, tmp_path: Path) -> None:
    path_of(tmp_path, DIGEST).mkdir()
    with pytest.raises(StoreError):
        files.open(DIGEST, path_of(tmp_path, DIGEST).stat().st_size)


def test_descriptors_are_not_inherited_by_child_processes(files: Files) -> None:
    commit(files, LAYER, DIGEST)
    fd = files.open(DIGEST, len(LAYER))
    assert not os.get_inheritable(fd)
    os.close(fd)


@pytest.mark.parametrize(
    "digest",
    [
        "",
        "sha256",
        "sha256:",
        "sha256:../../lock",
        "sha256:" + "A" * 64,
        "sha256:" + "a" * 63,
        "sha256:" + "a" * 64 + "\n",
        "sha384:" + "a" * 96,
        "../sha256:" + "a" * 64,
    ],
)
def test_what_is_no_digest_names_no_file(files: Files, digest: str) -> None:
    with pytest.raises(StoreError, match="not a digest"):
        files.open(Digest(digest), 0)
    with pytest.raises(StoreError, match="not a digest"):
        files.delete(Digest(digest))


@unhurried
@given(st.text(max_size=80))
def test_only_lower_case_hexadecimal_of_full_length_is_a_digest(text: str) -> None:
    assert not supported(text)
    assert not supported("sha256:" + text) or set(text) <= set("0123456789abcdef")


def test_sweeping_deletes_all_that_lies_in_the_spool_directory(
    files: Files, tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    (spool / "17").write_bytes(b"partial")
    (spool / "link").symlink_to(tmp_path)
    (spool / "directory" / "deeper").mkdir(parents=True)
    (spool / "directory" / "deeper" / "file").write_bytes(b"")
    assert files.sweep() == 3
    assert list(spool.iterdir()) == []
    assert tmp_path.exists()


def test_what_cannot_be_swept_is_passed_over(files: Files, tmp_path: Path) -> None:
    (tmp_path / "spool" / "directory").mkdir()
    (tmp_path / "spool" / "17").write_bytes(b"partial")
    with no_more_descriptors(one=True):
        assert files.sweep() == 1
    assert [entry.name for entry in (tmp_path / "spool").iterdir()] == ["directory"]


def test_looking_finds_blobs_and_leaves_foreign_files_alone(files: Files, tmp_path: Path) -> None:
    commit(files, LAYER, DIGEST)
    blobs = tmp_path / "blobs"
    for name in ("sha256/README", "sha256/" + "A" * 64, "sha384/" + "a" * 96, "sha512/" + "a" * 64):
        (blobs / name).parent.mkdir(exist_ok=True)
        (blobs / name).write_bytes(b"foreign")
    (blobs / "sha256" / ("b" * 64)).mkdir()
    (blobs / "sha256" / ("c" * 64)).symlink_to(path_of(tmp_path, DIGEST))
    os.utime(path_of(tmp_path, DIGEST), (5.0, 5.0))
    found = [files.look(name) for name in sorted(files.names())]
    assert [file for file in found if file is not None] == [Found(DIGEST, len(LAYER), 5.0)]
    assert len(files_below(blobs)) == 6


def test_a_foreign_file_is_adopted_by_link_and_stays_where_it_is(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(LAYER)
    files = Files(tmp_path / "root")
    assert files.adopt(source, digest_of(LAYER))
    assert path_of(tmp_path / "root", digest_of(LAYER)).samefile(source)
    assert files.right(digest_of(LAYER))
    assert files_below(tmp_path / "root") == {
        str(path_of(Path(), digest_of(LAYER))),
    }


def test_across_file_systems_it_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "another file system")

    source = tmp_path / "source"
    source.write_bytes(LAYER)
    files = Files(tmp_path / "root")
    monkeypatch.setattr(os, "link", refuse)
    assert not files.adopt(source, digest_of(LAYER))
    assert path_of(tmp_path / "root", digest_of(LAYER)).read_bytes() == LAYER


@pytest.mark.parametrize("kind", ["other bytes", "nothing", "a directory", "a symbolic link"])
def test_what_is_not_the_named_bytes_is_not_adopted(tmp_path: Path, kind: str) -> None:
    source = tmp_path / "source"
    match kind:
        case "other bytes":
            source.write_bytes(b"other")
        case "a directory":
            source.mkdir()
        case "a symbolic link":
            source.symlink_to(__file__)
    files = Files(tmp_path / "root")
    with pytest.raises(StoreError):
        files.adopt(source, digest_of(LAYER))
    assert files_below(tmp_path / "root") == set()


def test_a_blob_that_has_rotted_is_not_right(tmp_path: Path) -> None:
    files = Files(tmp_path / "root")
    assert not files.right(digest_of(LAYER))
    path_of(tmp_path / "root", digest_of(LAYER)).write_bytes(b"rot")
    assert not files.right(digest_of(LAYER))
