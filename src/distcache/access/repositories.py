"""Which repositories of an upstream this cache serves: patterns of names.

`*` stands for any characters inside one part of a name, `**` for any characters at all:
`library/*` is `library/alpine` and not `library/a/b`; `acme/**` is all of these below `acme/`.
"""

import re
from functools import cache

from attrs import frozen

_PATTERN = re.compile(r"[a-z0-9._*-]+(?:/[a-z0-9._*-]+)*")
_WILD = re.compile(r"(\*+)")


@frozen
class Patterns:
    """No `allow` allows everything; `deny` comes before `allow`. Raises ValueError for what can
    be no name of a repository."""

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()

    def __attrs_post_init__(self) -> None:
        for pattern in (*self.allow, *self.deny):
            check(pattern)

    def admits(self, name: str) -> bool:
        """`name` as upstream has it, `library/alpine`."""
        if any(_compiled(pattern).fullmatch(name) for pattern in self.deny):
            return False
        return not self.allow or any(_compiled(p).fullmatch(name) for p in self.allow)


def check(pattern: str) -> None:
    """Raises ValueError with a sentence for the user."""
    if not _PATTERN.fullmatch(pattern) or len(pattern) > 255:
        raise ValueError("must be a repository's name in lower case, with * or ** for any part")


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = _WILD.split(pattern)
    spelt = (_wild(part) if part.startswith("*") else re.escape(part) for part in parts)
    return re.compile("".join(spelt))


def _wild(stars: str) -> str:
    return "[^/]*" if stars == "*" else ".*"
