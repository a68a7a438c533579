"""Rows as records, at start, when there may be a million of them.

What `codec` reads is read here as well, with the same result (tests/store/test_reading.py): the
usual shapes in one look, all else by `codec`. And equal parts are one object: a digest stands in
its blob, in its grants and in the manifests that name it, a repository in each of its grants.
"""

import json
import math
from sys import intern
from typing import Any

from distcache.core.inventory import BlobStored, GrantStored, PinStored, SeenStored, TagStored
from distcache.core.oci import (
    Content,
    Descriptor,
    Digest,
    Document,
    Kind,
    Reference,
    Repository,
    TagRef,
)

from .codec import DESCRIPTOR, DOCUMENT, LISTED, PINNED, REFERENCE, TEXT
from .digests import supported

Row = tuple[Any, ...]
"""Its number, then its columns; text as bytes, so that what is no UTF-8 costs one row only."""

KINDS = {kind.value: kind for kind in Kind}


class Reading:
    """For one load, blobs first. Each method reads a row of its table, or raises ValueError."""

    def __init__(self) -> None:
        self._contents: dict[str, Content] = {}
        self._repositories: dict[tuple[str, str], Repository] = {}

    def blob(self, row: Row) -> BlobStored:
        _, name, size, used, document = row
        digest = Digest(_text(name))
        if not supported(digest) or not isinstance(size, int) or size < 0:
            raise ValueError("no blob")
        said = None if document is None else self.document(_text(document))
        kind = Kind.BLOB if said is None else Kind.MANIFEST
        return BlobStored(self._content(kind, digest).digest, size, _time(used), said)

    def tag(self, row: Row) -> TagStored:
        _, key, digest, target, checked, etag, said = row
        reference = self.reference(_text(key))
        descriptor = self.descriptor(_text(target))
        if descriptor.content.digest != _text(digest):
            raise ValueError("descriptor and column name two digests")
        tag = None if etag is None else TEXT.load(_text(etag))
        listed = None if said is None else LISTED.load(_text(said))
        return TagStored(reference, descriptor, _time(checked), tag, listed)

    def grant(self, row: Row) -> GrantStored:
        _, digest, kind, upstream, name = row
        repository = self._repository(_text(upstream), _text(name))
        return GrantStored(repository, self._content(Kind(_text(kind)), _text(digest)))

    def pin(self, row: Row) -> PinStored:
        return PinStored(PINNED.load(_text(row[1])))

    def seen(self, row: Row) -> SeenStored:
        _, upstream, name, digest, since = row
        repository = self._repository(_text(upstream), _text(name))
        known = self._contents.get(_text(digest))
        return SeenStored(
            repository, Digest(_text(digest)) if known is None else known.digest, _time(since)
        )

    def document(self, text: str) -> Document:
        """As DOCUMENT.load."""
        match _tree(text):
            case {"media_type": str(kind), "children": list(children), "tags": None, **rest}:
                found = [self._descriptor(child) for child in children]
                known = [child for child in found if child is not None]
                if not rest and len(known) == len(found):
                    return Document(intern(kind), tuple(known))
        return DOCUMENT.load(text)

    def descriptor(self, text: str) -> Descriptor:
        """As DESCRIPTOR.load."""
        found = self._descriptor(_tree(text))
        return DESCRIPTOR.load(text) if found is None else found

    def reference(self, text: str) -> Reference:
        """As REFERENCE.load."""
        match _tree(text):
            case {
                "_type": "TagRef",
                "repository": {
                    "upstream": str(upstream),
                    "name": str(name),
                    "authority": None,
                    **r,
                },
                "tag": str(tag),
                "accept": [],
                **rest,
            } if not rest and not r:
                return TagRef(self._repository(upstream, name), tag)
        return REFERENCE.load(text)

    def _descriptor(self, tree: object) -> Descriptor | None:
        """None: not of the usual shape."""
        if type(tree) is not dict or len(tree) != 3:
            return None
        content, size, media_type = tree.get("content"), tree.get("size"), tree.get("media_type")
        if type(content) is not dict or len(content) != 2:
            return None
        kind, digest = content.get("kind"), content.get("digest")
        if type(size) is not int or type(media_type) is not str or type(digest) is not str:
            return None
        if type(kind) is not str or kind not in KINDS:
            return None
        return Descriptor(self._content(KINDS[kind], digest), size, intern(media_type))

    def _content(self, kind: Kind, digest: str) -> Content:
        known = self._contents.get(digest)
        if known is None:
            known = self._contents[digest] = Content(kind, Digest(digest))
        return known if known.kind is kind else Content(kind, known.digest)

    def _repository(self, upstream: str, name: str) -> Repository:
        known = self._repositories.get((upstream, name))
        if known is None:
            known = self._repositories[upstream, name] = Repository(intern(upstream), name)
        return known


def _tree(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _text(value: object) -> str:
    if not isinstance(value, bytes):
        raise ValueError("no text")
    return value.decode()


def _time(value: object) -> float:
    if not isinstance(value, float) or not math.isfinite(value):
        raise ValueError("no time")
    return value
