"""What a client's Accept says about manifests (RFC 9110 §12.5.1)."""

from collections.abc import Sequence

from ..core.oci import MANIFEST_TYPES
from .headers import members
from .oci_json import SCHEMA1, SIGNED_SCHEMA1

_KNOWN = {*MANIFEST_TYPES, SCHEMA1, SIGNED_SCHEMA1}
_ANY = {"*/*", "application/*"}


def manifest_types(lines: Sequence[str]) -> tuple[str, ...]:
    """The manifest types that a client takes, sorted; empty when it takes whatever there is.

    Clients that send no Accept, a wildcard, or nothing about manifests are of the latter kind,
    as are those that take all types of today: for them a tag has one answer. `lines` are all
    Accept lines: docker and containers/image send one type in each, in any order."""
    taken = {kind for kind, quality in map(_member, members(lines)) if quality > 0}
    if taken & _ANY or taken.issuperset(MANIFEST_TYPES):
        return ()
    return tuple(sorted(taken & _KNOWN))


def _member(text: str) -> tuple[str, float]:
    kind, *parameters = (part.strip(" \t").lower() for part in text.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip(" \t") == "q":
            return kind, _quality(value.strip(" \t"))
    return kind, 1.0


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 1.0
