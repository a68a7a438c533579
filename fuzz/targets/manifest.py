"""Whatever upstream sends as a manifest, it is no document at all or one whose children the JSON
names with digests that can be verified, each once, and whose type may stand in a header.

The first line is the Content-Type, the rest the body.
"""

import json
from collections.abc import Iterator
from typing import Any

from distcache.core.oci import Document
from distcache.wire import oci_json, spelling
from distcache.wire.headers import sendable

SAID = "sha256:" + "0123456789abcdef" * 4
WORDS = (
    b"application/vnd.oci.image.index.v1+json\n",
    b"application/json; charset=utf-8\n",
    b'"schemaVersion":2',
    b'"mediaType":"application/vnd.oci.image.manifest.v1+json"',
    b'"config":{',
    b'"layers":[',
    b'"manifests":[',
    b'"fsLayers":[{"blobSum":"',
    b'"signatures":',
    b'"blobs":[',
    b'"digest":"' + SAID.encode() + b'"',
    b'"digest":"sha512:' + b"0" * 128 + b'"',
    b'"size":7',
    b'"size":-1',
    b'"size":1e9',
    b"NaN",
    b"null",
    b"\\u0073",
    b"\\ud800",
    b"\xef\xbb\xbf",
)


def one_input(data: bytes) -> None:
    kind, _, body = data.partition(b"\n")
    content_type = kind.decode("latin-1") or None
    document = oci_json.parse_manifest(body, content_type)
    assert oci_json.parse_manifest(body, content_type) == document
    if document is not None:
        check(document, body)


def check(document: Document, body: bytes) -> None:
    """Of every document that is made of `body`."""
    assert sendable(document.media_type), document
    said = set(texts(json.loads(body.decode())))
    contents = [child.content for child in document.children]
    assert len(set(contents)) == len(contents), document
    for child in document.children:
        assert child.content.digest in said, child
        assert spelling.digest(child.content.digest) == child.content.digest, child
        assert child.size is None or 0 <= child.size <= oci_json.LARGEST, child
        assert sendable(child.media_type), child


def texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts(item)
