"""JSON of the registry protocol: manifests and listings in, errors and catalogs out.

Reading never raises, whatever the bytes: what is not a manifest or listing is None, and a
descriptor that is malformed, or whose digest cannot be verified here, is left out while the
rest counts. Bytes are never written anew from what was read: digests are over bytes.

To name content gives a right to it, since registries take no manifest that names what its
repository has not got: so only what they are sure to have looked at counts.

Sources: OCI image-spec 1.1 (manifest.md, image-index.md, descriptor.md), distribution-spec
1.1 (Listing Tags, Listing Referrers, Error Codes), Docker's image manifest v2 schema 1.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from attrs import frozen
from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, override

from ..core.effects import Code
from ..core.oci import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Content,
    Descriptor,
    Document,
    Kind,
    Reference,
    ReferrersRef,
    TagRef,
    TagsRef,
)
from . import spelling
from .headers import media_type

JSON = "application/json"
OCTETS = "application/octet-stream"
SIGNED_SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"
SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+json"

LARGEST = 2**63 - 1
"""Bytes; descriptors hold an int64."""

_IMAGES = (OCI_MANIFEST, DOCKER_MANIFEST)
_INDEXES = (OCI_INDEX, DOCKER_LIST)
_ARTIFACT = "application/vnd.oci.artifact.manifest.v1+json"

_VAGUE = ("application/json", OCTETS, "binary/octet-stream")
"""Types, besides `text/*`, that servers use for anything."""

T = TypeVar("T")


def parse_manifest(body: bytes, content_type: str | None) -> Document | None:
    """What the cache must know of a manifest's bytes. The type is upstream's Content-Type when
    that says something, else the JSON's own `mediaType`, else what the members show."""
    objects = _Objects()
    manifest = load(body, objects.take)
    if not isinstance(manifest, dict):
        return None
    kind = specific(content_type) or _own_type(manifest) or _inferred_type(manifest)
    if kind is None or not manifest.keys() & _MEMBERS:
        return None
    return Document(kind, () if objects.ambiguous else _unique(_named(kind, manifest)))


def parse_listing(body: bytes, content_type: str | None, reference: Reference) -> Document | None:
    """A list of tags, whose pages follow each other in `body`, or a page of referrers."""
    match reference:
        case TagsRef():
            return _tags(body)
        case ReferrersRef():
            return _referrers(body, content_type)
        case TagRef():
            return None


def error_body(code: Code, message: str, detail: Mapping[str, str] | None = None) -> bytes:
    """distribution-spec, Error Codes. Clients need the list to be there and not empty."""
    error: dict[str, object] = {"code": code.value, "message": message}
    if detail is not None:
        error["detail"] = dict(detail)
    return _text({"errors": [error]})


def catalog_body(repositories: Iterable[str]) -> bytes:
    return _text({"repositories": sorted(repositories)})


def tags_body(name: str, tags: Iterable[str]) -> bytes:
    """distribution-spec, Listing Tags."""
    return _text({"name": name, "tags": list(tags)})


def specific(content_type: str | None) -> str | None:
    """The media type, when it says more than that there are bytes or JSON."""
    said = media_type(content_type)
    vague = said is None or said.lower() in _VAGUE or said.lower().startswith("text/")
    return None if vague else said


def load(body: bytes, object_: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """A JSON text in UTF-8, or None: also for what other parsers would refuse (NaN, a byte
    order mark) and for what is nested deeper, or has longer numbers, than can be read.
    `object_` makes an object of its members."""
    try:
        return json.loads(body.decode(), parse_constant=_refuse, object_pairs_hook=object_)
    except (ValueError, RecursionError):
        return None


def structure(value: Any, shape: type[T]) -> T | None:
    """`value` as an attrs class, without any coercion; None when it does not fit."""
    try:
        return _converter.structure(value, shape)
    except (KeyError, TypeError, ValueError):
        return None


@frozen
class _Described:
    digest: str
    size: int | None = None
    media_type: str | None = None


def _exactly(kind: type[T]) -> Any:
    def check(value: Any, _: Any) -> T:
        # bool is a kind of int in Python, not in JSON.
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise TypeError(f"not {kind.__name__}")
        return value

    return check


# One converter for all JSON. cattrs coerces ("12" becomes 12) unless told otherwise.
_converter = Converter(detailed_validation=False)
for _plain in (str, int, float, bool):
    _converter.register_structure_hook(_plain, _exactly(_plain))
_converter.register_structure_hook(
    _Described,
    make_dict_structure_fn(_Described, _converter, media_type=override(rename="mediaType")),
)

_MEMBERS = {"schemaVersion", "mediaType", "config", "layers", "manifests", "blobs", "fsLayers"}


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


_DECODER = json.JSONDecoder(parse_constant=_refuse)
_BLANKS = re.compile(r"[ \t\n\r]*")


def _tags(body: bytes) -> Document | None:
    """Spelled as a tag can be, each once: nothing else could be pulled."""
    found: set[str] = set()
    pages = _texts(body)
    for page in pages:
        if not isinstance(page, dict) or "tags" not in page:
            return None
        # Some write the empty list as null.
        tags = page["tags"] or []
        if not _all_text(tags):
            return None
        found.update(filter(spelling.is_tag, tags))
    return Document(JSON, (), tuple(sorted(found))) if pages else None


def _referrers(body: bytes, content_type: str | None) -> Document | None:
    listing = load(body)
    if not isinstance(listing, dict) or not isinstance(listing.get("manifests"), list):
        return None
    children = _descriptors(Kind.MANIFEST, listing["manifests"])
    return Document(specific(content_type) or OCI_INDEX, _unique(children))


def _texts(body: bytes) -> list[Any]:
    """The JSON texts of which `body` consists, none when there is anything else in it."""
    found: list[Any] = []
    try:
        text = body.decode()
        at = _end_of_blanks(text, 0)
        while at < len(text):
            value, end = _DECODER.raw_decode(text, at)
            found.append(value)
            at = _end_of_blanks(text, end)
    except (ValueError, RecursionError):
        return []
    return found


def _end_of_blanks(text: str, at: int) -> int:
    found = _BLANKS.match(text, at)
    return found.end() if found else at


def _text(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


class _Objects:
    """Makes the objects of a text. `ambiguous`: one has the same key twice, or two that only
    differ in case, which Go takes for one: a registry may have read another value than we do."""

    def __init__(self) -> None:
        self.ambiguous = False

    def take(self, members: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(members)
        self.ambiguous = self.ambiguous or len({key.casefold() for key in found}) < len(members)
        return found


def _named(kind: str, manifest: Mapping[str, Any]) -> list[Descriptor]:
    """In the members that a manifest of that type has: what it says in others, or is of a type
    that is not known here, no registry looks at."""
    if kind in _IMAGES:
        return _descriptors(Kind.BLOB, [manifest.get("config"), *_list(manifest, "layers")])
    if kind in _INDEXES:
        return _descriptors(Kind.MANIFEST, _list(manifest, "manifests"))
    if kind == _ARTIFACT:
        return _descriptors(Kind.BLOB, _list(manifest, "blobs"))
    if kind in (SCHEMA1, SIGNED_SCHEMA1):
        return _descriptors(Kind.BLOB, map(_schema1_layer, _list(manifest, "fsLayers")))
    return []


def _descriptors(kind: Kind, items: Iterable[Any]) -> list[Descriptor]:
    """What is said to lie at other `urls` is left out: no registry looks whether it has that
    content, so whoever may push could name a stranger's and be given it here."""
    found = []
    for item in items:
        if not isinstance(item, dict) or any(key.casefold() == "urls" for key in item):
            continue
        described = structure(item, _Described)
        if described is None or not 0 <= (described.size or 0) <= LARGEST:
            continue
        digest = spelling.digest(described.digest)
        if digest is not None:
            type_ = media_type(described.media_type) or OCTETS
            found.append(Descriptor(Content(kind, digest), described.size, type_))
    return found


def _unique(children: Iterable[Descriptor]) -> tuple[Descriptor, ...]:
    first: dict[Content, Descriptor] = {}
    for child in children:
        first.setdefault(child.content, child)
    return tuple(first.values())


def _own_type(manifest: Mapping[str, Any]) -> str | None:
    own = manifest.get("mediaType")
    return media_type(own) if isinstance(own, str) else None


def _inferred_type(manifest: Mapping[str, Any]) -> str | None:
    if isinstance(manifest.get("manifests"), list):
        return OCI_INDEX
    if isinstance(manifest.get("fsLayers"), list):
        return SIGNED_SCHEMA1 if "signatures" in manifest else SCHEMA1
    if "config" in manifest or "layers" in manifest:
        return OCI_MANIFEST
    return None


def _list(manifest: Mapping[str, Any], name: str) -> Sequence[Any]:
    value = manifest.get(name)
    return value if isinstance(value, list) else ()


def _schema1_layer(layer: Any) -> Any:
    return {"digest": layer.get("blobSum")} if isinstance(layer, dict) else None


def _all_text(tags: Any) -> bool:
    return isinstance(tags, list) and all(isinstance(tag, str) for tag in tags)
