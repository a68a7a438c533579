"""Rows as records, at start, when there may be a million of them.

What `codec` reads is read here as well, with the same result (tests/store/test_reading.py): the
usual shapes in one look, all else by `codec`. And equal parts are one object: a digest stands in
its blob, in its grants and in the manifests that name it, a repository in each of its grants.
"""

import json
import math
import re
from sys import intern
from typing import Any

from distcache.core.inventory import (
    Answer,
    BlobStored,
    Filled,
    FillStored,
    GrantStored,
    PinStored,
    SeenStored,
    TagStored,
)
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
from distcache.core.pull import Client

from .codec import ANSWER, CLIENT, DESCRIPTOR, DOCUMENT, LISTED, PINNED, REFERENCE, TEXT
from .digests import supported

Row = tuple[Any, ...]
"""Its number, then its columns; text as bytes, so that what is no UTF-8 costs one row only."""

KINDS = {kind.value: kind for kind in Kind}
KINDS_OF_BYTES = {kind.value.encode(): kind for kind in Kind}

_decode = json.JSONDecoder().raw_decode
"""As json.loads, without the room before and after that nobody writes."""

_PLAIN = r"([ !#-\[\]-~]*)"
"""Text that means itself in JSON."""

_TAG = re.compile(
    r'\{"_type":"TagRef","accept":\[\],"repository":\{"authority":null,'
    rf'"name":"{_PLAIN}","upstream":"{_PLAIN}"\}},"tag":"{_PLAIN}"\}}'
)
"""The usual reference, as `codec` spells it."""


class Reading:
    """For one load, blobs first. Each method reads a row of its table, or raises ValueError."""

    def __init__(self) -> None:
        self._contents: dict[str, Content] = {}
        self._answers: dict[str, Answer] = {}
        self._clients: dict[str, Client] = {}
        self._repositories: dict[tuple[object, object], Repository] = {}

    def blob(self, row: Row) -> BlobStored:
        _, name, size, used, document = row
        digest = _text(name)
        if not supported(digest) or type(size) is not int or size < 0:
            raise ValueError("no blob")
        said = None if document is None else self.document(_text(document))
        content = self._contents.get(digest)
        if content is None:
            content = self._new(Kind.BLOB if said is None else Kind.MANIFEST, digest)
        return BlobStored(content.digest, size, _time(used), said)

    def tag(self, row: Row) -> TagStored:
        _, key, digest, target, checked, etag, said, word = row
        reference = self.reference(_text(key))
        descriptor = self.descriptor(_text(target))
        if descriptor.content.digest != _text(digest):
            raise ValueError("descriptor and column name two digests")
        tag = None if etag is None else TEXT.load(_text(etag))
        listed = None if said is None else LISTED.load(_text(said))
        answer = None if word is None else self.answer(_text(word))
        return TagStored(reference, descriptor, _time(checked), tag, listed, answer)

    def grant(self, row: Row) -> GrantStored:
        _, digest, kind, upstream, name = row
        content = self._contents.get(_text(digest))
        if content is None or content.kind is not KINDS_OF_BYTES.get(kind):
            content = self._content(Kind(_text(kind)), _text(digest))
        return GrantStored(self._known(upstream, name), content)

    def pin(self, row: Row) -> PinStored:
        return PinStored(PINNED.load(_text(row[1])))

    def seen(self, row: Row) -> SeenStored:
        _, upstream, name, digest, since = row
        repository = self._known(upstream, name)
        known = self._contents.get(_text(digest))
        return SeenStored(
            repository, Digest(_text(digest)) if known is None else known.digest, _time(since)
        )

    def fill(self, row: Row) -> FillStored:
        _, digest, at, upstream, name, said, mirror, status = row
        content = self._contents.get(_text(digest))
        if content is None:
            raise ValueError("of no blob")
        client = None if said is None else self.client(_text(said))
        repository = self._known(upstream, name)
        filled = Filled(_time(at), repository, client, _number(mirror), _number(status))
        return FillStored(content.digest, filled)

    def client(self, text: str) -> Client:
        """As CLIENT.load; many come again."""
        known = self._clients.get(text)
        if known is None:
            known = self._clients[text] = CLIENT.load(text)
        return known

    def answer(self, text: str) -> Answer:
        """As ANSWER.load; there are few that differ."""
        known = self._answers.get(text)
        if known is None:
            known = self._answers[text] = ANSWER.load(text)
        return known

    def document(self, text: str) -> Document:
        """As DOCUMENT.load."""
        tree = _tree(text)
        if type(tree) is dict and len(tree) == 3 and tree.get("tags", tree) is None:
            kind, children = tree.get("media_type"), tree.get("children")
            if type(kind) is str and type(children) is list:
                found = [self._descriptor(child) for child in children]
                known = [child for child in found if child is not None]
                if len(known) == len(found):
                    return Document(intern(kind), tuple(known))
        return DOCUMENT.load(text)

    def descriptor(self, text: str) -> Descriptor:
        """As DESCRIPTOR.load."""
        found = self._descriptor(_tree(text))
        return DESCRIPTOR.load(text) if found is None else found

    def reference(self, text: str) -> Reference:
        """As REFERENCE.load."""
        found = _TAG.fullmatch(text)
        if found is None:
            return REFERENCE.load(text)
        name, upstream, tag = found.groups()
        return TagRef(self._repository(upstream, name), tag)

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
        known = self._contents.get(digest)
        if known is None or known.kind is not KINDS[kind]:
            known = self._content(KINDS[kind], digest)
        return Descriptor(known, size, intern(media_type))

    def _content(self, kind: Kind, digest: str) -> Content:
        known = self._contents.get(digest)
        return self._new(kind, digest) if known is None else Content(kind, known.digest)

    def _new(self, kind: Kind, digest: str) -> Content:
        new = self._contents[digest] = Content(kind, Digest(digest))
        return new

    def _known(self, upstream: object, name: object) -> Repository:
        """Of two columns."""
        known = self._repositories.get((upstream, name))
        if known is None:
            known = self._repository(_text(upstream), _text(name))
            self._repositories[upstream, name] = known
        return known

    def _repository(self, upstream: str, name: str) -> Repository:
        known = self._repositories.get((upstream, name))
        if known is None:
            known = self._repositories[upstream, name] = Repository(intern(upstream), name)
        return known


def _tree(text: str) -> object:
    try:
        tree, end = _decode(text)
    except (ValueError, RecursionError):
        return None
    return tree if end == len(text) else None


def _text(value: object) -> str:
    if type(value) is not bytes:
        raise ValueError("no text")
    return value.decode()


def _time(value: object) -> float:
    if type(value) is not float or not math.isfinite(value):
        raise ValueError("no time")
    return value


def _number(value: object) -> int | None:
    if value is not None and type(value) is not int:
        raise ValueError("no number")
    return value
