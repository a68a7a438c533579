"""What was parsed and rendered before gives the bytes that h11 would give, in every case."""

from collections.abc import Callable, Sequence

import h11
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from distcache.core.decision import HIT
from distcache.core.effects import AnswerHead, Code, Problem
from distcache.core.oci import Descriptor
from distcache.core.pull import Method, Pull, Span
from distcache.wire import plain
from distcache.wire.memo import HEADS, LONGEST_HEAD, Memo
from distcache.wire.replies import PING, Reply, refusal
from distcache.wire.routes import Router
from distcache.wire.server import Reject, Request, ServerWire, Signal
from tests.wire.samples import BLOB, DIGEST, GET_BLOB, NOON, SITES

WHOLE = AnswerHead(200, HIT, 5, Descriptor(BLOB, 5, "application/x.layer"))
NOT_MODIFIED = evolve(WHOLE, status=304, length=0)
UNKNOWN = evolve(WHOLE, length=None)
MISSING = AnswerHead(404, HIT, problem=Problem(404, Code.BLOB_UNKNOWN, "no such blob"))
CATALOG = AnswerHead(200, HIT, repositories=("a", "b"))
LONG_CATALOG = AnswerHead(200, HIT, repositories=("name/" * 40,) * 30)

HEAD_OF = b"%s /v2/a/blobs/%s HTTP/1.1\r\nHost: h\r\n"
GET = HEAD_OF % (b"GET", DIGEST.encode()) + b"\r\n"

answers = st.sampled_from(
    [
        WHOLE,
        NOT_MODIFIED,
        UNKNOWN,
        MISSING,
        CATALOG,
        LONG_CATALOG,
        PING,
        refusal(405, Code.UNSUPPORTED, "no"),
        Reply(200),
        Reply(400, b"x", close=True),
    ]
)
lines = st.sampled_from(
    [
        b"Accept: a/b",
        b"accept:x/y, */*",
        b"Connection: keep-alive",
        b"Connection: close",
        b"Content-Length: 0",
        b"Content-Length: 3",
        b"Transfer-Encoding: chunked",
        b"Expect: 100-continue",
        b"Upgrade: websocket\r\nConnection: upgrade",
        b"Range: bytes=0-1",
        b"range: bytes=2-",
        b"RANGE: bytes=1-2, 4-5",
        b"X: " + b"x" * LONGEST_HEAD,
        b"Bad Name: y",
        b"Host: twice",
    ]
)
ends = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n"])


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    method = draw(st.sampled_from([b"GET", b"HEAD", b"POST", b"get"]))
    version = draw(st.sampled_from([b"1.1", b"1.1", b"1.1", b"1.0", b"2.0"]))
    head = b"%s%s /v2/%s HTTP/%s\r\nHost: h%s" % (
        draw(st.sampled_from([b"", b"", b"\r\n", b"\r\n\r\n"])),
        method,
        draw(st.sampled_from([b"", b"a/blobs/" + DIGEST.encode(), b"a/tags/list?n=1"])),
        version,
        draw(ends),
    )
    for line in draw(st.lists(lines, max_size=2)):
        head += line + draw(ends)
    return head + draw(ends)


def spoken(pieces: Sequence[bytes], said: Sequence[AnswerHead | Reply]) -> list[object]:
    """Everything that comes out of a connection that is fed `pieces` and answers with `said`,
    over and over."""
    wire = ServerWire()
    out: list[object] = []
    for piece in pieces:
        wire.receive(piece)
        for _ in range(8):
            found = wire.next()
            out.append(found)
            if isinstance(found, Signal):
                break
            if isinstance(found, Reject):
                out.append(wire.reply(found.reply, NOON))
                return out
            assert isinstance(found, Request)
            out += answered(wire, found, said[len(out) % len(said)])
            out.append((wire.reusable, wire.full))
            if h11.LocalProtocolError in out:
                return [*out, wire.next()]
    return out


def answered(wire: ServerWire, request: Request, said: AnswerHead | Reply) -> list[object]:
    out: list[object] = []
    try:
        if isinstance(said, Reply):
            return [wire.reply(said, NOON)]
        method = Method.HEAD if request.method == b"HEAD" else Method.GET
        pull = Pull(method, GET_BLOB.target)
        out.append(wire.answer(said, pull, NOON))
        bodiless = pull.method is Method.HEAD or said.status != 200 or said.repositories
        if not bodiless:
            out += [wire.frame(2), wire.frame(3)]
        out.append(wire.finish())
    except h11.LocalProtocolError as error:
        out.append(type(error))
    return out


@given(
    st.lists(heads(), min_size=1, max_size=4),
    st.lists(answers, min_size=1, max_size=3),
    st.integers(1, 400),
)
def test_the_second_time_is_as_the_first(
    requests: list[bytes], said: list[AnswerHead | Reply], cut: int
) -> None:
    stream = b"".join(requests)
    pieces = [stream[:cut], stream[cut:], b""] if cut < len(stream) else [stream, b""]
    plain.forget()
    first = spoken(pieces, said)
    # In two runs: what is known after the first is used in the second.
    assert spoken(pieces, said) == first
    plain.forget()
    one_by_one = [r for r in requests for _ in range(2)]
    known = spoken(one_by_one, said)
    assert spoken(one_by_one, said) == known


def parsed(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], int]:
    """How often h11 is given bytes while a request is taken in."""
    given_to_h11: list[bytes] = []
    receive = h11.Connection.receive_data

    def counted(self: h11.Connection, data: bytes) -> None:
        given_to_h11.append(data)
        receive(self, data)

    monkeypatch.setattr(h11.Connection, "receive_data", counted)

    def count(head: bytes) -> int:
        before = len(given_to_h11)
        wire = ServerWire()
        wire.receive(head)
        assert isinstance(wire.next(), Request)
        return len(given_to_h11) - before

    return count


def test_a_common_head_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    plain.forget()
    count = parsed(monkeypatch)
    assert [count(GET), count(GET)] == [1, 0]


@pytest.mark.parametrize(
    "head",
    [
        GET[:-2] + b"Connection: close\r\n\r\n",
        GET[:-2] + b"Content-Length: 0\r\n\r\n",
        GET[:-2] + b"X: " + b"x" * LONGEST_HEAD + b"\r\n\r\n",
        GET.replace(b"HTTP/1.1", b"HTTP/1.0"),
        GET.replace(b"\r\n", b"\n") + GET,
    ],
    ids=["ends the connection", "says that there is no body", "long", "old", "bare line feeds"],
)
def test_an_uncommon_head_is_parsed_each_time(head: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    plain.forget()
    count = parsed(monkeypatch)
    assert count(head) >= 1
    assert count(head) >= 1


def test_a_head_with_bare_line_feeds_is_not_taken_for_the_one_before() -> None:
    """What one client sends must never be read as what another sent."""
    plain.forget()
    other = b"GET /v2/other/tags/list HTTP/1.1\r\nHost: h\r\n\n"
    spoken([GET, other], [PING])
    wire = ServerWire()
    wire.receive(GET)
    found = wire.next()
    assert isinstance(found, Request)
    assert found.target.startswith(b"/v2/a/blobs/")


def taken_in(head: bytes) -> Request | Reject | Signal:
    wire = ServerWire()
    wire.receive(head)
    return wire.next()


fields = st.lists(
    st.sampled_from(
        [b"Accept: a/b", b"accept:x/y, */*", b"If-Range: x", b"X:", b"Range: bytes=7-"]
    ),
    max_size=4,
)
parts = st.builds(
    lambda name, first, last: b"%s: bytes=%d-%s" % (name, first, last),
    st.sampled_from([b"Range", b"range", b"rAnge"]),
    st.integers(0, 10**20),
    st.one_of(st.just(b""), st.integers(0, 10**20).map(lambda n: b"%d" % n)),
)


@given(fields, st.data(), parts, parts, ends)
def test_whatever_part_is_wanted_the_rest_of_the_head_is_known(
    others: list[bytes], data: st.DataObject, learnt: bytes, asked: bytes, end: bytes
) -> None:
    def head(part: bytes | None) -> bytes:
        place = data.draw(st.integers(0, len(others)))
        put = [*others[:place], *([] if part is None else [part]), *others[place:]]
        start = HEAD_OF % (b"GET", DIGEST.encode())
        return start + b"".join(line + end for line in put) + b"\r\n"

    wanted, before = head(asked), head(data.draw(st.sampled_from([learnt, None])))
    plain.forget()
    first = taken_in(wanted)
    plain.forget()
    taken_in(before)
    assert taken_in(wanted) == first


def test_another_part_needs_no_parsing(monkeypatch: pytest.MonkeyPatch) -> None:
    plain.forget()
    count = parsed(monkeypatch)
    heads = [GET[:-2] + b"Range: bytes=%d-\r\n\r\n" % n for n in range(3)]
    assert [count(head) for head in heads] == [1, 0, 0]


def test_a_range_behind_the_head_is_none_of_it() -> None:
    """It would be the next request, and a bad one."""
    plain.forget()
    taken_in(GET)
    wire = ServerWire()
    wire.receive(GET + b"Range: bytes=0-1\r\n")
    found = wire.next()
    assert isinstance(found, Request)
    assert b"range" not in dict(found.headers)
    assert not wire.reusable
    wire.reply(PING, NOON)
    assert wire.next() is Signal.NEED_DATA
    wire.receive(b"\r\n")
    assert isinstance(wire.next(), Reject)


def test_pipelined_requests_are_known_too() -> None:
    plain.forget()
    assert spoken([GET * 3], [WHOLE]) == spoken([GET * 3], [WHOLE])
    wire = ServerWire()
    wire.receive(GET * 2)
    assert isinstance(wire.next(), Request)
    assert wire.reply(PING, NOON).endswith(b"{}")
    assert isinstance(wire.next(), Request)


def test_the_date_is_that_of_the_answer() -> None:
    for now, date in ((NOON, b"08:49:37"), (NOON + 1, b"08:49:38"), (NOON, b"08:49:37")):
        wire = ServerWire()
        wire.receive(GET)
        wire.next()
        assert b"\r\nDate: Sun, 06 Nov 1994 " + date in wire.answer(WHOLE, GET_BLOB, now)


def test_what_is_remembered_is_bounded_and_the_oldest_goes() -> None:
    memo: Memo[int, str] = Memo(2)
    for key in range(4):
        memo.put(key, str(key))
    assert [memo.get(key) for key in range(4)] == [None, None, "2", "3"]


def test_a_flood_of_heads_does_not_push_out_what_works() -> None:
    plain.forget()
    for number in range(HEADS + 1):
        assert spoken([b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % number], [PING])
    assert spoken([GET], [WHOLE]) == spoken([GET], [WHOLE])


def test_another_router_is_another_memory() -> None:
    """A configuration read again must not answer with the old one's upstreams."""
    for sites in (SITES, {"ghcr.io": SITES["ghcr.io"]}):
        key = next(iter(sites))
        router = Router(sites, key)
        for _ in range(2):
            pull = router.route(b"GET", b"/v2/x/y/tags/list", ((b"host", b"h"),), b"1.1")
            assert isinstance(pull, Pull)
            assert getattr(pull.target, "repository").upstream == key  # noqa: B009


def test_a_known_head_may_still_be_answered_with_the_end_of_the_connection() -> None:
    plain.forget()
    closing = Reply(400, b"x", close=True)
    first, second = (spoken([GET], [closing]) for _ in range(2))
    assert first == second
    assert b"Connection: close" in first[1]  # type: ignore[operator]


def part(start: int, stop: int, size: int) -> AnswerHead:
    return evolve(WHOLE, status=206, length=stop - start, size=size, span=Span(start, stop))


spans = st.tuples(*(st.integers(1, 10**13),) * 3).map(
    lambda n: (n[0], n[0] + n[1], n[0] + n[1] + n[2])
)


@given(st.lists(spans, min_size=1, max_size=3), st.sampled_from([b"GET", b"HEAD"]))
def test_the_head_of_a_part_is_as_if_it_were_the_only_one(
    wanted: list[tuple[int, int, int]], method: bytes
) -> None:
    """h11 writes it where the connection is to end after it."""
    plain.forget()
    head = HEAD_OF % (method, DIGEST.encode())
    for numbers in (*wanted, *wanted):
        said = part(*numbers)
        pull = Pull(Method(method.decode()), GET_BLOB.target)
        written = []
        for end in (b"\r\n", b"Connection: close\r\n\r\n"):
            for _ in range(2):
                wire = ServerWire()
                wire.receive(head + end)
                assert isinstance(wire.next(), Request)
            written.append(wire.answer(said, pull, NOON))
        assert written[0] == written[1].replace(b"Connection: close\r\n", b"")
