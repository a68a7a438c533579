"""Take over what a CNCF Distribution registry (`registry:2`, `registry:3`) has on disk.

Its layout, below `docker/registry/v2/`:
    blobs/<algorithm>/<two digits>/<hex>/data
    repositories/<name>/_manifests/revisions/<algorithm>/<hex>/link
    repositories/<name>/_manifests/tags/<tag>/current/link
    repositories/<name>/_layers/<algorithm>/<hex>/link
Each `link` holds a digest. Nothing there is changed: blobs are hard-linked where the file
system allows it, and every byte is hashed first.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from attrs import Factory, define, evolve, frozen

from ..core.inventory import BlobStored, Filled, FillStored, GrantStored, Record, TagStored
from ..core.oci import Content, Descriptor, Digest, Document, Kind, Repository, TagRef
from ..store import Store, StoreError
from ..wire import oci_json, spelling

LARGEST_LINK = 200
"""Bytes: a digest of sha512 has 135."""

LARGEST_MANIFEST = 4 * 1024 * 1024
"""Bytes; a revision beyond is left out, as it would be when pulled."""


@frozen
class Wrong:
    """What was left out, and why."""

    path: Path
    reason: str


@define
class Imported:
    """What came over. `size` in bytes; `linked` blobs of `blobs` share their bytes with the
    old registry, the others were copied. `kept` tags are as they were here: upstream was asked
    about them after the registry wrote its own."""

    repositories: int = 0
    tags: int = 0
    kept: int = 0
    blobs: int = 0
    linked: int = 0
    size: int = 0
    wrong: list[Wrong] = Factory(list)


class NotARegistry(Exception):
    """The directory does not hold what a registry writes."""


def import_registry(
    directory: Path, store: Store, upstream: str, progress: Callable[[Imported], None]
) -> Imported:
    """Into an open store, as content of `upstream`. `directory` is the registry's
    `rootdirectory`. Tags count as last checked when the registry wrote them, so that the first
    pull asks upstream. What is held already is not read again, and what upstream was asked about
    later than that stays as it is. NotARegistry; StoreError: this store cannot be written."""
    base = directory / "docker" / "registry" / "v2"
    if not (base / "repositories").is_dir() or not (base / "blobs").is_dir():
        raise NotARegistry(f"{directory} holds no docker/registry/v2 with blobs and repositories")
    run = _Run(base, store, upstream, progress)
    for name in _names(base / "repositories"):
        run.repository(name)
    return run.done


class _Run:
    def __init__(
        self, base: Path, store: Store, upstream: str, progress: Callable[[Imported], None]
    ) -> None:
        self.done = Imported()
        self._base = base
        self._store = store
        self._upstream = upstream
        self._progress = progress
        self._held: dict[Digest, BlobStored] = {
            record.digest: record
            for record in store.inventory.records
            if isinstance(record, BlobStored)
        }
        self._known = {
            record.reference: record
            for record in store.inventory.records
            if isinstance(record, TagStored) and record.descriptor.content.digest in self._held
        }

    def repository(self, name: str) -> None:
        repository = Repository(self._upstream, name)
        place = self._base / "repositories" / name
        records: list[Record] = []
        for digest, link in self._linked(place / "_layers"):
            records += self._take(repository, Kind.BLOB, digest, link)
        manifests = self._linked(place / "_manifests" / "revisions")
        for digest, link in manifests:
            records += self._take(repository, Kind.MANIFEST, digest, link)
        for tag in _entries(place / "_manifests" / "tags"):
            records += self._tag(repository, tag.name, tag / "current" / "link")
        self._store.write(records)
        self.done.repositories += bool(records)
        self._progress(self.done)

    def _take(self, repository: Repository, kind: Kind, digest: Digest, link: Path) -> list[Record]:
        """The records of one content; empty when it cannot be had."""
        known = before = self._held.get(digest)
        if known is None or (kind is Kind.MANIFEST and known.document is None):
            known = self._adopt(kind, digest, link)
        if known is None:
            return []
        granted = GrantStored(repository, Content(kind, digest))
        if before is not None:
            return [known, granted]
        return [known, FillStored(digest, Filled(time.time(), repository, None)), granted]

    def _adopt(self, kind: Kind, digest: Digest, link: Path) -> BlobStored | None:
        algorithm, _, name = digest.partition(":")
        source = self._base / "blobs" / algorithm / name[:2] / name / "data"
        try:
            size = source.stat().st_size
            document = self._document(source, size) if kind is Kind.MANIFEST else None
            used = link.stat().st_mtime
            if digest in self._held:
                used = max(used, self._held[digest].used)
            else:
                self.done.linked += self._store.adopt(source, digest)
                self.done.blobs += 1
                self.done.size += size
        except OSError as error:
            self._leave(source, error.strerror or str(error))
            return None
        except (StoreError, ValueError) as error:
            self._leave(source, str(error))
            return None
        record = BlobStored(digest, size, used, document)
        self._held[digest] = record
        self._progress(self.done)
        return record

    def _document(self, source: Path, size: int) -> Document:
        if size > LARGEST_MANIFEST:
            raise ValueError("larger than a manifest may be")
        document = oci_json.parse_manifest(source.read_bytes(), None)
        if document is None:
            raise ValueError("not a manifest")
        return document

    def _tag(self, repository: Repository, tag: str, link: Path) -> list[Record]:
        digest = self._read(link)
        known = self._held.get(digest) if digest else None
        if known is None or known.document is None or not spelling.is_tag(tag):
            self._leave(link, "its manifest is not there")
            return []
        content = Content(Kind.MANIFEST, known.digest)
        descriptor = Descriptor(content, known.size, known.document.media_type)
        reference, written = TagRef(repository, tag), link.stat().st_mtime
        old = self._known.get(reference)
        same = old is not None and old.descriptor == descriptor
        if old is not None and (old.checked > written or (old.checked == written and not same)):
            self.done.kept += 1
            return []
        self.done.tags += 1
        if old is not None and same:
            return [evolve(old, checked=written)]
        return [TagStored(reference, descriptor, written)]

    def _linked(self, directory: Path) -> list[tuple[Digest, Path]]:
        found = []
        for algorithm in _entries(directory):
            for entry in _entries(algorithm):
                digest = self._read(entry / "link")
                if digest is not None:
                    found.append((digest, entry / "link"))
        return found

    def _read(self, link: Path) -> Digest | None:
        try:
            with link.open("rb") as file:
                text = file.read(LARGEST_LINK).decode("ascii", "replace").strip()
        except OSError as error:
            self._leave(link, error.strerror or str(error))
            return None
        digest = spelling.digest(text)
        if digest is None:
            self._leave(link, "holds no digest")
        return digest

    def _leave(self, path: Path, reason: str) -> None:
        self.done.wrong.append(Wrong(path, reason))


def _names(repositories: Path) -> Iterator[str]:
    """Repository names, at any depth: the directories that hold `_manifests`."""
    waiting = [repositories]
    while waiting:
        place = waiting.pop()
        for entry in _entries(place):
            if entry.name == "_manifests":
                name = place.relative_to(repositories).as_posix()
                if spelling.is_name(name):
                    yield name
            elif not entry.name.startswith("_") and entry.is_dir() and not entry.is_symlink():
                waiting.append(entry)


def _entries(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
