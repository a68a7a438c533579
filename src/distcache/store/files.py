"""The store's files: `blobs/<algorithm>/<hex>` as in an OCI image layout, and `spool/`.

A blob appears under its name whole or not at all: its bytes are durable before the name is,
and the name is durable before anybody is told (fsync, rename, fsync of the directory).
Nothing else is ever written below `blobs/`, so whatever is unfinished lies in `spool/`.
"""

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

from attrs import frozen

from distcache.core.effects import Spool
from distcache.core.oci import Digest, Time

from .digests import ALGORITHMS, split, supported
from .errors import StoreError, translated
from .spools import Body, FileSpool, MemorySpool


@frozen
class Found:
    """A blob's file as the directory shows it: size in bytes, time of last modification."""

    digest: Digest
    size: int
    modified: Time


class Files:
    """Operations on different digests may run in different threads at once."""

    def __init__(self, root: Path) -> None:
        """Creates what is missing below `root`."""
        self._blobs = root / "blobs"
        self._spool = root / "spool"
        with translated():
            for algorithm in ALGORITHMS:
                (self._blobs / algorithm).mkdir(parents=True, exist_ok=True)
            self._spool.mkdir(exist_ok=True)
            _sync_directory(self._blobs)
            _sync_directory(root)

    def create(self, spool: Spool) -> FileSpool:
        """A new spool file. StoreError: it cannot be created."""
        return FileSpool(spool, self._spool / str(spool.number))

    def commit(self, body: Body, digest: Digest) -> None:
        """Make the body's bytes durable under `digest`; the caller still discards the spool.
        StoreError: nothing was published, or the bytes are not what the digest names."""
        (failed,) = self.commit_all([(body, digest)])
        if failed is not None:
            raise failed

    def commit_all(self, wanted: Sequence[tuple[Body, Digest]]) -> list[StoreError | None]:
        """As `commit` does each of them; what became of them, in their order. The names are made
        durable together."""
        results: list[StoreError | None] = [None] * len(wanted)
        moved: dict[Path, list[tuple[int, Path]]] = {}
        for place, (body, digest) in enumerate(wanted):
            try:
                target = self._move(body, digest)
            except StoreError as error:
                results[place] = error
            else:
                moved.setdefault(target.parent, []).append((place, target))
        for directory, there in moved.items():
            try:
                with translated():
                    _sync_directory(directory)
            except StoreError as error:
                # The core will hear that there are no such blobs; then there must be none.
                for place, target in there:
                    with suppress(OSError):
                        target.unlink(missing_ok=True)
                    results[place] = error
        return results

    def delete(self, digest: Digest) -> int:
        """Returns the bytes given back, 0 when there was no such file."""
        path = self._path(digest)
        with translated():
            try:
                size = path.lstat().st_size
                path.unlink()
            except FileNotFoundError:
                return 0
            return size

    def open(self, digest: Digest, size: int) -> int:
        """A descriptor for reading, the caller's to close and not inherited by children
        (PEP 446). StoreError: no file, or not one of `size` bytes; such a file is deleted, or
        the next start would take it for the blob."""
        with translated():
            fd = os.open(self._path(digest), os.O_RDONLY)
            try:
                found = os.fstat(fd)
                if not stat.S_ISREG(found.st_mode) or found.st_size != size:
                    with suppress(OSError):
                        self._path(digest).unlink()
                    raise StoreError(f"{digest} has {found.st_size} bytes instead of {size}")
            except BaseException:
                os.close(fd)
                raise
            return fd

    def adopt(self, source: Path, digest: Digest) -> bool:
        """Take a file of somebody else's in under `digest`, durably: by a hard link where the
        file system allows it (True), else by a copy. StoreError: it cannot be read, or its
        bytes are not what the digest names; then nothing was taken."""
        target = self._path(digest)
        own = self._spool / f"adopt-{target.name}"
        with translated():
            own.unlink(missing_ok=True)
            try:
                linked = _link_or_copy(source, own)
                with own.open("rb") as file:
                    if _digest_of_file(file, digest) != digest:
                        raise StoreError(f"{source} does not hold what {digest} names")
                    os.fsync(file.fileno())
                own.rename(target)
                _sync_directory(target.parent)
            finally:
                own.unlink(missing_ok=True)
        return linked

    def right(self, digest: Digest) -> bool:
        """Read the whole blob: whether it is there and holds what its name says."""
        try:
            with translated(), self._path(digest).open("rb") as file:
                return _digest_of_file(file, digest) == digest
        except StoreError:
            return False

    def sweep(self) -> int:
        """Delete what an earlier run left in `spool/`; returns how many entries went. What
        cannot be deleted is no reason not to start."""
        swept = 0
        with translated(), os.scandir(self._spool) as entries:
            for entry in entries:
                try:
                    if entry.is_dir(follow_symlinks=False):
                        shutil.rmtree(entry.path)
                    else:
                        os.unlink(entry.path)
                except OSError:
                    continue
                swept += 1
        return swept

    def names(self) -> set[str]:
        """`algorithm:name` of every regular file, of foreign ones too. What is in them is not
        looked at: a million times that takes longer than all else at start."""
        found: set[str] = set()
        for algorithm in ALGORITHMS:
            with translated(), os.scandir(self._blobs / algorithm) as entries:
                found.update(
                    f"{algorithm}:{entry.name}"
                    for entry in entries
                    if entry.is_file(follow_symlinks=False)
                )
        return found

    def look(self, name: str) -> Found | None:
        """What one of `names` is; None for what is no blob of ours, or is gone."""
        if not supported(name):
            return None
        digest = Digest(name)
        with translated():
            try:
                info = self._path(digest).lstat()
            except FileNotFoundError:
                return None
        return Found(digest, info.st_size, info.st_mtime)

    def _path(self, digest: Digest) -> Path:
        algorithm, name = split(digest)
        return self._blobs / algorithm / name

    def _move(self, body: Body, digest: Digest) -> Path:
        """Its bytes are durable then, and the name that is returned not yet."""
        if body.digest() != digest:
            raise StoreError(f"the bytes are {body.digest()}, not {digest}")
        target = self._path(digest)
        match body:
            case FileSpool():
                body.move(target)
            case MemorySpool():
                with self._copy(body) as copy:
                    copy.move(target)
            case _:
                raise TypeError(f"{type(body).__name__} keeps nothing that could be stored")
        return target

    @contextmanager
    def _copy(self, body: MemorySpool) -> Iterator[FileSpool]:
        copy = self.create(body.spool)
        try:
            # What it holds has been hashed.
            copy.append(0, body.read(0, body.length))
            yield copy
        finally:
            copy.discard()


def _link_or_copy(source: Path, own: Path) -> bool:
    """Whether it is a link."""
    if source.is_symlink() or not source.is_file():
        raise StoreError(f"{source} is not a file")
    try:
        os.link(source, own)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP):
            raise
        shutil.copyfile(source, own)
        return False
    return True


def _digest_of_file(file: BufferedReader, like: Digest) -> Digest:
    algorithm, _ = split(like)
    return Digest(f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}")


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
