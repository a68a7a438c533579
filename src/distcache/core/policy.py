"""Tags that are not to move, as the operator knows."""

import re
from functools import cache

from .oci import Reference, TagRef
from .state import State


def immutable(state: State, reference: Reference) -> bool:
    """A tag that is never asked about again once its content is held."""
    if not isinstance(reference, TagRef):
        return False
    patterns = state.config.upstreams[reference.repository.upstream].immutable
    return any(_pattern(p).fullmatch(reference.tag) for p in patterns)


@cache
def _pattern(text: str) -> re.Pattern[str]:
    """`*` stands for any text, slashes included, `?` for one character; all else is itself."""
    parts = (_WILD.get(c) or re.escape(c) for c in text)
    return re.compile("".join(parts), re.S)


_WILD = {"*": ".*", "?": "."}
