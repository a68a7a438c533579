"""The common request, without parsing it again: what h11 made of the same bytes before.

On an idle connection the parse of one complete head is a function of its bytes alone, and so
is the header of an answer of known length, up to its Date. Both are remembered here, for
every connection of the process. Only heads that h11 itself took whole are: a request without
a body on a connection that goes on. All else, at any point, goes through h11; that the two
ways give the same bytes is a property that the tests hold (tests/wire/test_plain.py).
"""

from __future__ import annotations

import re
from http import HTTPStatus

import h11
from attrs import frozen

from ..core.effects import AnswerHead
from ..core.pull import Pull, Span
from . import answers, urls
from .answers import Answer
from .headers import Headers, http_date
from .memo import ANSWERS, HEADS, LONGEST_ANSWER, LONGEST_HEAD, PARTS, Memo
from .replies import Reply


@frozen
class Request:
    """A request's head; its body, if any, has been dropped. Header names are in lower case."""

    method: bytes
    target: bytes
    headers: Headers
    http_version: bytes


_RANGE = re.compile(
    rb"\r\n(?<!\n\r\n)range: (bytes=[0-9]{1,19}-[0-9]{0,19})(?=\r\n)", re.IGNORECASE
)
"""A Range's line as clients write it, not behind an empty one: that would be no header any more.
Whoever reads content in parts sends another each time. `re` looks for a line's end first where the
pattern begins with one."""


def known(head: bytes) -> Request | None:
    """What h11 made of this head, if it is one to be remembered; of one with a Range, what it
    made of the rest."""
    request = _heads.get(head)
    if request is None and (found := _RANGE.search(head)) is not None:
        rest = _heads.get(head[: found.start()] + head[found.end() :])
        if rest is not None:
            place = head.count(b"\n", 0, found.start())
            headers = (*rest.headers[:place], (b"range", found[1]), *rest.headers[place:])
            return Request(rest.method, rest.target, headers, rest.http_version)
    return request


def ranged(head: bytes) -> tuple[Request, bytes] | None:
    """Of a head with a Range: what `exactly` gives for the rest, and the value."""
    found = _RANGE.search(head)
    if found is None:
        return None
    rest = _heads.get(head[: found.start()] + head[found.end() :])
    return None if rest is None else (rest, found[1])


def remember(head: bytes, request: Request) -> None:
    """h11 took `head` whole, it has no body, and the connection goes on after its answer."""
    if len(head) > LONGEST_HEAD:
        return
    found = _RANGE.search(head)
    if found is not None:
        # To h11 it is a field like any other. Before the first field there is one line end.
        place = head.count(b"\n", 0, found.start())
        headers = (*request.headers[:place], *request.headers[place + 1 :])
        request = Request(request.method, request.target, headers, request.http_version)
        head = head[: found.start()] + head[found.end() :]
    _heads.put(head, request)


def forget() -> None:
    """Everything, so that h11 does all of the work the next time."""
    _heads.clear()
    _answers.clear()
    _parts.clear()
    _replies.clear()


class Lane:
    """One such request and its answer. LocalProtocolError as h11 has it: a body that is not as
    long as announced; the connection is of no use then."""

    def __init__(self, request: Request, head: bytes) -> None:
        self.head = head
        self.begun = False
        self.complete = False
        self.own = 0
        """Bytes of body that came with the header."""
        self._request = request
        self._left = 0

    def answer(self, head: AnswerHead, pull: Pull, now: float) -> bytes | None:
        """The header, and the body where that is of our own making. None: an answer whose
        framing is h11's business."""
        span = head.span
        if span is not None and self._request.method == b"GET":
            self.begun = True
            self._left = span.stop - span.start
            return frame(self._request, head, pull, now).head(span, now)
        key = (head, pull, self._request.target)
        cut = _answers.get(key)
        if cut is None:
            if head.length is None and head.problem is None and head.repositories is None:
                return None
            made = _answer(self._request, head, pull, now)
            cut = _cut(made, self._request, head.length or 0, now)
            if len(cut.after) <= LONGEST_ANSWER:
                _answers.put(key, cut)
        self.begun = True
        self.own = cut.own
        self._left = cut.left
        return cut.before + _date(now) + cut.after

    def reply(self, said: Reply, now: float) -> bytes:
        """A complete answer."""
        key = (said, self._request.method)
        cut = _replies.get(key)
        if cut is None:
            cut = _cut(answers.reply(said, now), self._request, 0, now)
            _replies.put(key, cut)
        self.begun = self.complete = True
        self.own = cut.own
        return cut.before + _date(now) + cut.after

    def sent(self, length: int) -> None:
        """So many bytes of body follow."""
        if self._left < length:
            raise h11.LocalProtocolError("the body is longer than announced")
        self._left -= length

    def finish(self) -> None:
        if self._left:
            raise h11.LocalProtocolError("the body is shorter than announced")
        self.complete = True


@frozen
class Frame:
    """The bytes of a 206 between its date, its length and the two numbers of its range. `held`:
    what it is known by."""

    pieces: tuple[bytes, bytes, bytes, bytes]
    held: tuple[object, ...]

    def head(self, span: Span, now: float) -> bytes:
        """That of the answer with this part."""
        before, after_date, after_length, after_range = self.pieces
        start, stop = span.start, span.stop
        numbers = (stop - start, after_length, start, stop - 1, after_range)
        return b"%b%b%b%d%b%d-%d%b" % (before, _date(now), after_date, *numbers)


def frame(request: Request, head: AnswerHead, pull: Pull, now: float) -> Frame:
    """What all answers to a GET have in common that differ from this one in their part."""
    assert head.span is not None
    said = (head.descriptor, head.decision, pull.target)
    rest = (head.status, head.size, head.age, pull.namespace, request.target)
    key = (*map(id, said), *rest)
    known = _parts.get(key)
    if known is None:
        span = head.span
        cut = _cut(_answer(request, head, pull, now), request, span.stop - span.start, now)
        known = _frame(cut, span, said)
        _parts.put(key, known)
    return known


@frozen
class _Cut:
    """An answer's bytes, without the date."""

    before: bytes
    after: bytes
    left: int
    own: int


def _cut(made: Answer, request: Request, length: int, now: float) -> _Cut:
    """`length`: of the body that others send."""
    lines = [f"HTTP/1.1 {made.status} {HTTPStatus(made.status).phrase}".encode()]
    lines += [name + b": " + value for name, value in made.headers]
    bodiless = request.method == b"HEAD" or made.status == 304
    body = b"" if bodiless else made.body or b""
    whole = b"\r\n".join(lines) + b"\r\n\r\n" + body
    before, date, after = whole.partition(b"\r\nDate: " + _date(now))
    left = 0 if bodiless or made.body is not None else length
    return _Cut(before + date[:8], after, left, len(body))


def _answer(request: Request, head: AnswerHead, pull: Pull, now: float) -> Answer:
    _, target = urls.origin_form(request.target.decode("latin-1"))
    return answers.answer(head, pull, target, now)


def _frame(cut: _Cut, span: Span, held: tuple[object, ...]) -> Frame:
    length = b"\r\nContent-Length: %d" % (span.stop - span.start)
    after_date, _, rest = cut.after.partition(length + b"\r\n")
    after_date += length.rstrip(b"0123456789")
    part = b"\r\nContent-Range: bytes %d-%d" % (span.start, span.stop - 1)
    after_length, _, after_range = rest.partition(part + b"/")
    after_length = b"\r\n" + after_length + b"\r\nContent-Range: bytes "
    return Frame((cut.before, after_date, after_length, b"/" + after_range), held)


class _Clock:
    """The Date of the present second."""

    second = -1
    text = b""


def _date(now: float) -> bytes:
    second = int(now)
    if second != _Clock.second:
        _Clock.second, _Clock.text = second, http_date(second).encode()
    return _Clock.text


_heads: Memo[bytes, Request] = Memo(HEADS)

exactly = _heads.get
"""As `known`, but always the same object for the same bytes: nothing with a Range."""

_answers: Memo[tuple[AnswerHead, Pull, bytes], _Cut] = Memo(ANSWERS)
_parts: Memo[tuple[object, ...], Frame] = Memo(PARTS)
_replies: Memo[tuple[Reply, bytes], _Cut] = Memo(64)
