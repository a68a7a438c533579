"""HTTP/1.1 messages as values, and a parser that forgives nothing.

The parser judges framing (RFC 9112): what makes two readers see two different messages raises
`Broken`. What is merely wrong in an answer that can be read is left to the checks.
"""

import json
import re
from collections.abc import Callable

from attrs import evolve, field, frozen

Fields = tuple[tuple[str, str], ...]

HEAD_LIMIT = 64 * 1024
"""Bytes of an answer's head; real ones have less than one KiB."""

BODILESS = (204, 304)

_STATUS = re.compile(rb"HTTP/(1\.[01]) ([1-5][0-9]{2})(?: [\t \x21-\x7e\x80-\xff]*)?")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t \x21-\x7e\x80-\xff]*?)[ \t]*")
_SIZE = re.compile(rb"([0-9a-fA-F]{1,16})(?:[ \t]*;[\t \x21-\x7e\x80-\xff]*)?")
_WIDE = 120
"""Characters of a request's field that are shown as evidence."""

_SHOWN = 12
"""Fields of an answer that are shown as evidence, at most."""


class Broken(Exception):
    """The bytes are not an HTTP answer to the request, or none came. `request` when known."""

    def __init__(self, message: str, request: "Request | None" = None) -> None:
        super().__init__(message)
        self.request = request


class Ended(Broken):
    """The connection ended, or was cut, before an answer began."""


class Stalled(Broken):
    """Nothing came for as long as the client waits."""


@frozen
class Request:
    """`target` in origin-form. `fields` without Host, which `encode` adds."""

    method: str
    target: str
    fields: Fields = ()
    body: bytes = b""
    version: str = "1.1"

    def encode(self, host: str) -> bytes:
        lines = [f"{self.method} {self.target} HTTP/{self.version}", f"Host: {host}"]
        lines += [f"{name}: {value}" for name, value in self.fields]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body

    def __str__(self) -> str:
        shown = [f"{n}: {_shown(n, v)}" for n, v in self.fields]
        return f"{self.method} {self.target}" + "".join(f" [{line}]" for line in shown)


@frozen
class Answer:
    """Names of `fields` in lower case, in the order sent. `via`: the redirects that led here."""

    request: Request
    version: str
    status: int
    fields: Fields
    body: bytes = b""
    chunked: bool = False
    via: "tuple[Answer, ...]" = field(default=(), repr=False)

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key == name]

    def get(self, name: str) -> str | None:
        """The field's first line, which is the only one of most fields."""
        return next(iter(self.values(name)), None)

    @property
    def length(self) -> int | None:
        text = self.get("content-length")
        return int(text) if text is not None else None

    @property
    def media_type(self) -> str:
        """Content-Type without parameters, in lower case."""
        return (self.get("content-type") or "").partition(";")[0].strip().lower()

    def json(self) -> object:
        """None when the body is no JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def persistent(self) -> bool:
        """Whether the connection may be used again (RFC 9112 §9.3)."""
        options = ", ".join(self.values("connection")).lower()
        if self.version == "1.0":
            return "keep-alive" in options
        return "close" not in options

    def redirected(self, via: "tuple[Answer, ...]") -> "Answer":
        return evolve(self, via=via)

    def __str__(self) -> str:
        shown = [f"{n}: {v}" for n, v in self.fields if n not in ("date", "server")][:_SHOWN]
        text = f"{self.request} -> {self.status}" + "".join(f" [{line}]" for line in shown)
        if self.status >= 400 and self.body:
            text += f" {self.body[:200]!r}"
        elif self.body:
            text += f" ({len(self.body)} bytes)"
        return text


def parse_head(data: bytes, request: Request) -> Answer:
    """The head of an answer, `data` up to and without the empty line. Raises Broken."""
    line, *rest = data.split(b"\r\n")
    status = _STATUS.fullmatch(line)
    if status is None:
        raise Broken(f"not a status line: {line[:80]!r}", request)
    fields: list[tuple[str, str]] = []
    for text in rest:
        matched = _FIELD.fullmatch(text)
        if matched is None:
            raise Broken(f"not a header field: {text[:80]!r}", request)
        fields.append((matched[1].decode().lower(), matched[2].decode("latin-1")))
    return Answer(request, status[1].decode(), int(status[2]), tuple(fields))


def framing(answer: Answer) -> int | str | None:
    """How long the body is (RFC 9112 §6.3): its bytes, "chunked", or None for "until the
    connection ends". Raises Broken when two readers could disagree."""
    codings, lengths = answer.values("transfer-encoding"), answer.values("content-length")
    if codings and lengths:
        raise Broken("both Transfer-Encoding and Content-Length (RFC 9112 §6.2)", answer.request)
    if len(lengths) > 1:
        raise Broken(f"Content-Length given {len(lengths)} times", answer.request)
    if lengths and not re.fullmatch(r"[0-9]{1,18}", lengths[0]):
        raise Broken(f"Content-Length {lengths[0]!r} is not a number", answer.request)
    if answer.request.method == "HEAD" or answer.status in BODILESS or answer.status < 200:
        return 0
    if codings:
        if [coding.lower() for coding in codings] != ["chunked"]:
            raise Broken(f"Transfer-Encoding {', '.join(codings)!r} was not asked for")
        if answer.request.version == "1.0":
            raise Broken("chunked to a client of HTTP/1.0 (RFC 9112 §6.1)", answer.request)
        return "chunked"
    return int(lengths[0]) if lengths else None


def read_chunks(
    line: Callable[[], bytes], exactly: Callable[[int], bytes], request: Request
) -> bytes:
    """A chunked body, its trailer dropped (RFC 9112 §7.1). Raises Broken."""
    parts: list[bytes] = []
    while True:
        size = _SIZE.fullmatch(line())
        if size is None:
            raise Broken("not a chunk size", request)
        length = int(size[1], 16)
        if length == 0:
            break
        parts.append(exactly(length))
        if exactly(2) != b"\r\n":
            raise Broken("a chunk is longer than its size says", request)
    while line():
        pass
    return b"".join(parts)


def _shown(name: str, value: str) -> str:
    if name.lower() == "authorization":
        return "..."
    return value if len(value) <= _WIDE else f"{value[:_WIDE]}..."
