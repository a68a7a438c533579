"""Reading what is stored again."""

from hashlib import sha256
from pathlib import Path

import pytest

from distcache.core.oci import Digest
from distcache.store import StoreError
from distcache.store.verifying import stored_digests, verify_file


def stored(root: Path, data: bytes, name: bytes | None = None) -> Digest:
    """A blob that holds `data`, under the digest of `name` if that is another."""
    digest = sha256(data if name is None else name).hexdigest()
    place = root / "blobs" / "sha256"
    place.mkdir(parents=True, exist_ok=True)
    (place / digest).write_bytes(data)
    return Digest(f"sha256:{digest}")


def test_what_is_stored_is_found_and_foreign_files_are_not(tmp_path: Path) -> None:
    digest = stored(tmp_path, b"abc")
    (tmp_path / "blobs" / "sha256" / "README").write_text("not a blob")
    (tmp_path / "blobs" / "sha256" / ("0" * 64)).symlink_to("README")
    assert stored_digests(tmp_path) == {digest: 3}


def test_a_store_that_nobody_has_begun_holds_nothing(tmp_path: Path) -> None:
    assert stored_digests(tmp_path) == {}


def test_a_store_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        stored_digests(tmp_path / "nowhere")


def test_right_bytes_are_told_from_wrong_ones(tmp_path: Path) -> None:
    read: list[int] = []
    assert verify_file(tmp_path, stored(tmp_path, b"abc"), read.append)
    assert not verify_file(tmp_path, stored(tmp_path, b"abd", b"xyz"), read.append)
    assert read == [3, 3]


def test_what_was_deleted_meanwhile_is_not_wrong(tmp_path: Path) -> None:
    digest = stored(tmp_path, b"abc")
    (tmp_path / "blobs" / "sha256" / digest.partition(":")[2]).unlink()
    assert verify_file(tmp_path, digest, lambda _: None)


def test_what_cannot_be_read_is_wrong(tmp_path: Path) -> None:
    digest = Digest(f"sha256:{'0' * 64}")
    (tmp_path / "blobs" / "sha256" / ("0" * 64)).mkdir(parents=True)
    assert not verify_file(tmp_path, digest, lambda _: None)


def test_what_must_not_be_read_is_not_said_to_be_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = stored(tmp_path, b"abc")

    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "blobs/it")

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(StoreError, match=r"Permission denied: 'blobs/it'"):
        verify_file(tmp_path, digest, lambda _: None)
