"""A small cache that stores and forwards, with faults to choose from."""

import json
import socket
import threading
from io import BufferedReader

from attrs import define, evolve, field

from distcache.conformance.client import ACCEPT, Client
from distcache.conformance.connection import Address
from distcache.conformance.digests import matches
from distcache.conformance.messages import Answer, Broken, Fields
from distcache.conformance.origin.registry import Asked, Reply, error
from distcache.conformance.origin.server import Framing, Origin

GAP = error(502, "UNSUPPORTED")
WAITER = 5.0
"""Seconds that a fetch is drawn out at the most, until somebody else has asked for the same."""

KEPT = ("content-type", "docker-content-digest", "etag", "retry-after")


@define(eq=False)
class ToyCache(Origin):
    """In front of the registry at `upstream`, a port. It answers when it has the whole, asks for
    tags each time and for one thing once at a time; `faults` are words that `respond` and its
    helpers look for."""

    upstream: int = 0
    faults: frozenset[str] = frozenset()
    _store: dict[str, Reply] = field(factory=dict, init=False)
    _locks: dict[str, threading.Lock] = field(factory=dict, init=False)
    _companies: dict[str, threading.Event] = field(factory=dict, init=False)
    _first: dict[str, Asked] = field(factory=dict, init=False)
    _sending: threading.Lock = field(factory=threading.Lock, init=False)

    def respond(self, asked: Asked) -> Reply:
        if asked.path == "/v2/":
            return Reply(200, (), b"{}")
        key = self._key(asked)
        lock = self._locks.setdefault(key, threading.Lock())
        if "no-lock" in self.faults:
            lock = threading.Lock()
        if "waiters-refused" in self.faults and lock.locked():
            self._company(key).set()
            return GAP
        with lock:
            cold = key not in self._store
            reply = self._fetched(asked, key)
        if asked.method == "HEAD" and cold and "head-zero" in self.faults:
            return evolve(reply, body=b"")
        if reply.status != 200 or (cold and "cold-range" in self.faults):
            return reply
        return part(asked, reply)

    def exchange(
        self, client: socket.socket, reader: BufferedReader, asked: Asked, framing: Framing
    ) -> bool:
        if "one-at-a-time" not in self.faults:
            return super().exchange(client, reader, asked, framing)
        with self._sending:
            return super().exchange(client, reader, asked, framing)

    def _key(self, asked: Asked) -> str:
        digest = "sha256:" in asked.path
        return asked.path.rpartition("/")[2] if digest and "no-scope" in self.faults else asked.path

    def _fetched(self, asked: Asked, key: str) -> Reply:
        held = self._store.get(key)
        moves = "sha256:" not in asked.path and "tags-forever" not in self.faults
        if held is not None and not moves and "asks-always" not in self.faults:
            return held
        if self._first.setdefault(key, asked) is not asked:
            self._company(key).set()
        reply = self._judged(asked, self._asked(asked))
        if "/blobs/" in asked.path and self.faults & {"no-lock", "waiters-refused"}:
            # Who asked at the same time may have a thread that has not begun yet.
            self._company(key).wait(WAITER)
        if reply.status == 200:
            self._store[key] = reply
        elif reply.status == 404:
            return error(500, "UNSUPPORTED") if "absent-is-500" in self.faults else reply
        elif held is not None and "never-stale" not in self.faults:
            return held
        elif "keeps-failures" in self.faults:
            self._store[key] = reply
        return error(404, "MANIFEST_UNKNOWN") if "all-is-404" in self.faults else reply

    def _company(self, key: str) -> threading.Event:
        """Set when somebody else wants what is being fetched."""
        return self._companies.setdefault(key, threading.Event())

    def _asked(self, asked: Asked) -> Reply:
        try:
            with Client(Address("127.0.0.1", self.upstream, tls=False)) as client:
                if "head-first" in self.faults and client.head(asked.path).status != 200:
                    return GAP
                answer = client.get(asked.path, *self._sent(asked))
        except Broken:
            short = Reply(200, (), b"only the beginning")
            return short if "short-is-whole" in self.faults else GAP
        except OSError:
            return GAP
        if answer.via and "no-redirects" in self.faults:
            return GAP
        return self._changed(answer)

    def _sent(self, asked: Asked) -> Fields:
        passed = ("accept", "accept-encoding", "authorization")
        if "passes-all" in self.faults:
            return tuple(pair for pair in asked.fields if pair[0] in passed)
        return (ACCEPT,)

    def _changed(self, answer: Answer) -> Reply:
        if answer.status >= 500:
            return GAP
        fields = tuple(pair for pair in answer.fields if pair[0] in KEPT)
        reply = Reply(answer.status, fields, answer.body)
        if "serializes" in self.faults and "/manifests/" in answer.request.target:
            return evolve(reply, body=json.dumps(json.loads(answer.body)).encode())
        return reply

    def _judged(self, asked: Asked, reply: Reply) -> Reply:
        """Not what upstream says a thing is: what it is."""
        if reply.status != 200 or "trusts" in self.faults or "serializes" in self.faults:
            return reply
        digest = asked.path.rpartition("/")[2]
        said = reply.get("docker-content-digest")
        right = matches(digest if ":" in digest else said, reply.body)
        return reply if right or "short-is-whole" in self.faults else GAP


def part(asked: Asked, reply: Reply) -> Reply:
    """Of a whole answer, what Range asks for: `bytes=a-b`, `bytes=a-`, `bytes=-n`."""
    first, dash, last = (asked.get("range") or "").removeprefix("bytes=").partition("-")
    if not dash or asked.method != "GET":
        return reply
    size = len(reply.body)
    start = int(first) if first else size - int(last)
    stop = min(size, int(last) + 1) if first and last else size
    span = ("Content-Range", f"bytes {start}-{stop - 1}/{size}")
    return evolve(reply, status=206, fields=(*reply.fields, span), body=reply.body[start:stop])
