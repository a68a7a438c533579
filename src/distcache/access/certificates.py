"""The name in a client's certificate, as `ssl` hands it over once it is verified."""

import re
from collections.abc import Mapping
from typing import Any

_SHORT = {
    "commonName": "CN",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "stateOrProvinceName": "ST",
    "localityName": "L",
    "domainComponent": "DC",
    "userId": "UID",
}
_SPECIAL = re.compile(r'([,+"\\<>;=]|^[ #]| $)')


def subject(peer: Mapping[str, Any] | None) -> str | None:
    """`peer` is what `getpeercert()` gives: nothing in it for a client without certificate, or
    with one that nobody verified. The subject as RFC 4514 spells it, or the first alternative
    name, or the serial number: a certificate always has a name here."""
    if not peer:
        return None
    pairs = [pair for part in peer.get("subject", ()) for pair in part]
    if pairs:
        spelt = (
            f"{_SHORT.get(name, name)}={_SPECIAL.sub(_escape, value)}" for name, value in pairs
        )
        return ",".join(reversed(list(spelt)))
    for kind, value in peer.get("subjectAltName", ()):
        return f"{kind}:{value}"
    return f"serial:{peer.get('serialNumber', '')}"


def _escape(match: re.Match[str]) -> str:
    return f"\\{match[0]}"
