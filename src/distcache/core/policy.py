"""Tags that are not to move, as the operator knows."""

import re
from functools import cache

from .effects import Level, Note
from .oci import Digest, Reference, TagRef
from .state import State

MOVED = "upstream has moved a tag that is not to move"
"""What is noted of it; the metric counts these."""


def immutable(state: State, reference: Reference) -> bool:
    """A tag that is never asked about again once its content is held."""
    if not isinstance(reference, TagRef):
        return False
    patterns = state.config.upstreams[reference.repository.upstream].immutable
    return matches(patterns, reference.tag)


def moved(state: State, reference: Reference, before: Digest, after: Digest) -> None:
    """Upstream was asked all the same, because the content is not there any more."""
    if isinstance(reference, TagRef) and immutable(state, reference):
        repository = reference.repository
        fields = (
            ("upstream", repository.upstream),
            ("repository", repository.name),
            ("tag", reference.tag),
            ("before", before),
            ("after", after),
        )
        state.emit(Note(Level.WARNING, MOVED, fields))


def matches(patterns: tuple[str, ...], text: str) -> bool:
    """Whether one of them stands for the whole of `text`."""
    return bool(patterns) and any(_pattern(p).fullmatch(text) for p in patterns)


@cache
def _pattern(text: str) -> re.Pattern[str]:
    """`*` stands for any text, slashes included, `?` for one character; all else is itself."""
    parts = (_WILD.get(c) or re.escape(c) for c in text)
    return re.compile("".join(parts), re.S)


_WILD = {"*": ".*", "?": "."}
