"""Answers of upstreams for a small question: whole and simple ones, and all others."""

from collections.abc import Sequence

from distcache.core.events import BodySpooled, Event
from tests.adapters.scripted import digest, manifest

DOCUMENT = manifest(b"layer")
_FIELDS = (
    f"Content-Length: {len(DOCUMENT)}\r\nDocker-Content-Digest: {digest(DOCUMENT)}\r\n"
    "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: a/b\r\n"
).encode()
_HEAD = b"HTTP/1.1 200 OK\r\n" + _FIELDS


def answers(method: str) -> dict[str, bytes]:
    """By what they are called; empty: the connection just ends."""
    body = DOCUMENT if method == "GET" else b""
    return {
        "whole": _HEAD + b"\r\n" + body,
        "not found": b"HTTP/1.1 404 No\r\n" + _FIELDS + b"\r\n" + body,
        "login": b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic\r\n" + _FIELDS + b"\r\n" + body,
        "limited": b"HTTP/1.1 429 No\r\nRetry-After: 7\r\n" + _FIELDS + b"\r\n" + body,
        "moved": b"HTTP/1.1 307 No\r\nLocation: http://127.0.0.1:1/else\r\n"
        b"Content-Length: 0\r\n\r\n",
        "chunked": _HEAD.replace(b"Content-Length: ", b"X: ")
        + b"Transfer-Encoding: chunked\r\n\r\n"
        + (b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else b""),
        "coded": _HEAD + b"Content-Encoding: gzip\r\n\r\n" + body,
        "the last": _HEAD + b"Connection: close\r\n\r\n" + body,
        "hint first": b"HTTP/1.1 103 Early\r\n\r\n" + _HEAD + b"\r\n" + body,
        "folded": _HEAD + b"X: a\r\n b\r\n\r\n" + body,
        "two lengths": _HEAD + b"Content-Length: 1\r\n\r\n" + body,
        "bare ends": (_HEAD + b"\r\n").replace(b"\r\n", b"\n") + body,
        "surplus": _HEAD + b"\r\n" + body + b"HTTP/1.1 200 OK\r\n\r\n",
        "nonsense": b"220 ready\r\n\r\n",
        "nothing": b"",
    }


NAMES = sorted(answers("GET"))


def told(events: Sequence[Event], fetch: int) -> list[Event]:
    """Of that fetch. How far its body was is in there once: how often it is told of a file is a
    matter of threads."""
    of_it = [event for event in events if getattr(event, "fetch", None) == fetch]
    after = [*of_it[1:], None]
    return [
        event
        for event, following in zip(of_it, after, strict=True)
        if not (isinstance(event, BodySpooled) and isinstance(following, BodySpooled))
    ]
