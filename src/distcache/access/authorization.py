"""A client's Authorization header (RFC 7617, RFC 6750): read strictly or not at all.

Whatever is no login of these two kinds counts as none: the client is then told what is wanted.
"""

import binascii
import re
from base64 import b64decode, b64encode

from attrs import field, frozen

from ..core.events import Secret

LONGEST_TOKEN = 48 * 1024
"""Characters. Tokens of cloud registries pass 16 KiB; the whole header may have 64."""

LONGEST_LOGIN = 4 * 1024
"""Characters of a Basic login in base64. bcrypt looks at 72 bytes of a password; access tokens
that are used as passwords have up to some 2,000."""

_SCHEME = re.compile(r"([A-Za-z]+) +([A-Za-z0-9._~+/-]+=*) *")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@frozen
class Password:
    """`user` is what the client says, not yet believed; not shown, as people type passwords into
    the wrong field."""

    user: str = field(repr=lambda _: "***")
    password: Secret


@frozen
class Bearer:
    token: Secret


def parse(value: str | None) -> Password | Bearer | None:
    """`value` is the only Authorization field of a request, None without one."""
    match = _SCHEME.fullmatch(value) if value and len(value) <= LONGEST_TOKEN + 16 else None
    if match is None:
        return None
    scheme, said = match[1].lower(), match[2]
    if scheme == "bearer":
        return Bearer(Secret(said))
    return _password(said) if scheme == "basic" else None


def _password(said: str) -> Password | None:
    if len(said) > LONGEST_LOGIN:
        return None
    try:
        data = b64decode(said, validate=True)
        pair = data.decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    if b64encode(data).decode() != said:
        # Padding or bits that base64 does not need, and that Python passes over.
        return None
    user, colon, password = pair.partition(":")
    # An empty user is skopeo's way to say that it has no login.
    if not colon or not user or _CONTROL.search(pair):
        return None
    return Password(user, Secret(password))
