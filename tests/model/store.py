"""The World's store: files and an index, and what a kill leaves of them.

As the real one: files are the truth about bytes, the index about everything else; the index
is written behind the files, in order, so a kill leaves some first part of what was journalled.
What has a file and no row is taken in without its document; a row without a file goes, with
the grants and tags that refer to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from distcache.core.inventory import (
    BlobDropped,
    BlobStored,
    BlobUsed,
    GrantDropped,
    GrantStored,
    Inventory,
    PinDropped,
    PinStored,
    Record,
    TagDropped,
    TagStored,
)
from distcache.core.oci import Digest

from .scene import SIZES


def restarted(records: Iterable[Record], disk: frozenset[Digest], now: float) -> Inventory:
    """What a start finds, when just these records had been written."""
    blobs: dict[Digest, BlobStored] = {}
    tags: dict[object, TagStored] = {}
    grants: dict[GrantStored, None] = {}
    pins: dict[PinStored, None] = {}
    for record in records:
        match record:
            case BlobStored():
                blobs[record.digest] = record
            case BlobUsed():
                if record.digest in blobs:
                    old = blobs[record.digest]
                    blobs[record.digest] = BlobStored(
                        old.digest, old.size, record.used, old.document
                    )
            case TagStored():
                tags[record.reference] = record
            case TagDropped():
                tags.pop(record.reference, None)
            case GrantStored():
                grants[record] = None
            case GrantDropped():
                grants.pop(GrantStored(record.repository, record.content), None)
            case PinStored():
                pins[record] = None
            case PinDropped():
                pins.pop(PinStored(record.what), None)
            case BlobDropped():
                gone = record.digest
                blobs.pop(gone, None)
                tags = {r: t for r, t in tags.items() if t.descriptor.content.digest != gone}
                grants = {g: None for g in grants if g.content.digest != gone}
            case _:
                assert_never(record)
    there = [record for digest, record in blobs.items() if digest in disk]
    adopted = [BlobStored(d, SIZES[d], now) for d in sorted(disk - blobs.keys())]
    return Inventory(
        (
            *there,
            *adopted,
            *(t for t in tags.values() if t.descriptor.content.digest in disk),
            *(g for g in grants if g.content.digest in disk),
            *pins,
        )
    )
