"""Results of pure functions, remembered within bounds."""

from typing import Generic, TypeVar

from .headers import Headers

LONGEST_HEAD = 4096
"""Bytes of a request's head that is remembered: clients of registries send a few hundred, with
tokens two thousand."""

HEADS = 2048
"""Heads remembered; with the longest, 8 MiB."""

LONGEST_ANSWER = 4096
"""Bytes of an answer's head that is remembered: a catalog may be long."""

ANSWERS = 2048
"""Rendered answers remembered; with the longest, 8 MiB."""

PARTS = 256
"""Answers with a part of a blob that are remembered, whatever the part."""

K = TypeVar("K")
V = TypeVar("V")


def common(target: bytes, headers: Headers) -> bool:
    """Whether a request's head is short enough to be held on to."""
    return len(target) + sum(len(n) + len(v) for n, v in headers) <= LONGEST_HEAD


class Memo(Generic[K, V]):
    """At most `limit` results; the first to come is the first to go."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: dict[K, V] = {}
        self.get = self._known.get
        """None for what is not known."""

    def put(self, key: K, value: V) -> None:
        if len(self._known) >= self._limit:
            del self._known[next(iter(self._known))]
        self._known[key] = value

    def clear(self) -> None:
        self._known.clear()
