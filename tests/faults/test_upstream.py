"""Every fault of upstream at every stage of a pull.

The tables say what the client sees of it. Whatever that is: no wrong bytes that look whole,
nothing stuck, nothing left over, and the next pull works.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter

import pytest
from attrs import evolve, frozen

from tests.faults.bench import EXACT, HASTY, KIB, TORN, Bench, Image, running_bench
from tests.support.faults import Fault, Gate

SIZE = 300 * KIB
MIDDLE = 123_456
LAST = SIZE - 1
OFTEN = 1000

AT_ONCE = 8
UNASKED = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n"
    b"Docker-Content-Digest: sha256:" + b"0" * 64 + b"\r\n\r\nwrong"
)
"""Stays in the connection, and would be taken for the answer to the next request there."""

DEFINITE = ("401", "403", "404")

Lines = list[str]
Part = Callable[[Image], str]


def lacking(name: str) -> Callable[[Lines], Lines]:
    """A head without the field `name` (in lower case)."""
    return lambda head: [line for line in head if not line.lower().startswith(f"{name}:")]


def saying(name: str, value: str, status: str | None = None) -> Callable[[Lines], Lines]:
    """A head with `value` for `name`, and perhaps another status line."""

    def rewrite(head: Lines) -> Lines:
        first, *rest = lacking(name.lower())(head)
        return [status or first, *rest, f"{name}: {value}"]

    return rewrite


def no_http(head: Lines) -> Lines:
    return ["SSH-2.0-OpenSSH_9.2p1"]


def endless_header(head: Lines) -> Lines:
    return [head[0], "X-Long: " + "x" * 300 * KIB, *head[1:]]


@frozen
class Case:
    """`spoilt` gets its method and path from the stage, and so do the faults `before` it;
    `seen` by the client. `warm`: everything is held already."""

    name: str
    spoilt: Fault
    seen: str
    before: tuple[Fault, ...] = ()
    warm: bool = False


TAG_HEAD = [
    Case("dropped", Fault("", drop=True), EXACT),
    Case("silent", Fault("", gate=Gate(0), mute=True), "504"),
    Case("not http", Fault("", rewrite=no_http), EXACT),
    Case("not http for long", Fault("", times=OFTEN, rewrite=no_http), "502"),
    Case("endless header", Fault("", rewrite=endless_header), EXACT),
    Case("endless header for long", Fault("", times=OFTEN, rewrite=endless_header), "502"),
    Case("429", Fault("", status=429, headers=(("Retry-After", "3"),)), "429"),
    Case("500", Fault("", status=500), "502"),
    Case("503", Fault("", status=503), "502"),
    Case("401 without challenge", Fault("", status=401), "401"),
    Case("403", Fault("", status=403), EXACT),
    Case("405", Fault("", status=405), EXACT),
    Case("no digest", Fault("", rewrite=lacking("docker-content-digest")), EXACT),
    Case("no length", Fault("", rewrite=lacking("content-length")), EXACT),
    Case("no type", Fault("", rewrite=lacking("content-type")), EXACT),
    Case("digest of nonsense", Fault("", rewrite=saying("Docker-Content-Digest", "x")), EXACT),
    Case("loop", Fault("", times=OFTEN, status=307), "502"),
]

MANIFEST_GET = [
    Case("dropped", Fault("", drop=True), EXACT),
    Case("silent", Fault("", gate=Gate(0), mute=True), "504"),
    Case("not http", Fault("", rewrite=no_http), EXACT),
    Case("not http for long", Fault("", times=OFTEN, rewrite=no_http), "502"),
    Case("429", Fault("", status=429), "429"),
    Case("500", Fault("", status=500), EXACT),
    Case("503", Fault("", status=503), EXACT),
    Case("503 for long", Fault("", times=OFTEN, status=503), "502"),
    Case("cut at the first byte", Fault("", cut=0), EXACT),
    Case("cut within", Fault("", cut=20), EXACT),
    Case("stalled within", Fault("", gate=Gate(20)), EXACT),
    Case("slow", Fault("", piece=1), EXACT),
    Case("a wrong byte", Fault("", corrupt=20), "502"),
    Case("too short", Fault("", rewrite=saying("Content-Length", "20")), "502"),
    Case("too long", Fault("", rewrite=saying("Content-Length", "9999")), "502"),
    Case("a length of nonsense", Fault("", rewrite=saying("Content-Length", "-1")), EXACT),
    Case("unasked 206", Fault("", rewrite=saying("Content-Range", "bytes 5-9/99")), EXACT),
    Case("compressed", Fault("", rewrite=saying("Content-Encoding", "gzip")), EXACT),
    Case("noise after the end", Fault("", extra=b"noise" * 100), EXACT),
    Case("an answer nobody asked for", Fault("", extra=UNASKED), EXACT),
    Case("loop", Fault("", times=OFTEN, status=307), "502"),
]

BLOB_GET = [
    Case("dropped", Fault("", drop=True), EXACT),
    Case("silent", Fault("", gate=Gate(0), mute=True), "504"),
    Case("not http", Fault("", rewrite=no_http), EXACT),
    Case("not http for long", Fault("", times=OFTEN, rewrite=no_http), "502"),
    Case("429", Fault("", status=429), "429"),
    Case("500", Fault("", status=500), EXACT),
    Case("503", Fault("", status=503), EXACT),
    Case("503 for long", Fault("", times=OFTEN, status=503), "502"),
    Case("cut at the first byte", Fault("", cut=0), EXACT),
    Case("cut after the first byte", Fault("", cut=1), EXACT),
    Case("cut in the middle", Fault("", cut=MIDDLE), EXACT),
    Case("cut before the last byte", Fault("", cut=LAST), EXACT),
    Case("stalled at the first byte", Fault("", gate=Gate(0)), EXACT),
    Case("stalled after the first byte", Fault("", gate=Gate(1)), EXACT),
    Case("stalled in the middle", Fault("", gate=Gate(MIDDLE)), EXACT),
    Case("stalled before the last byte", Fault("", gate=Gate(LAST)), EXACT),
    Case("slow", Fault("", piece=KIB), EXACT),
    Case("a wrong first byte", Fault("", corrupt=0), TORN),
    Case("a wrong byte in the middle", Fault("", corrupt=MIDDLE), TORN),
    Case("a wrong last byte", Fault("", corrupt=LAST), TORN),
    Case("too short", Fault("", rewrite=saying("Content-Length", str(MIDDLE))), TORN),
    Case("too long", Fault("", rewrite=saying("Content-Length", str(2 * SIZE))), TORN),
    Case("nothing at all", Fault("", rewrite=saying("Content-Length", "0")), "502"),
    Case("a length of nonsense", Fault("", rewrite=saying("Content-Length", "1e3")), EXACT),
    Case("no length", Fault("", rewrite=lacking("content-length")), EXACT),
    Case("compressed", Fault("", rewrite=saying("Content-Encoding", "gzip")), EXACT),
    Case("noise after the end", Fault("", extra=b"noise" * 100), EXACT),
    Case("an answer nobody asked for", Fault("", extra=UNASKED), EXACT),
    Case("loop", Fault("", times=OFTEN, status=307), "502"),
]

CUT = (Fault("", cut=MIDDLE),)
REST = f"bytes {MIDDLE}-{LAST}/{SIZE}"

RESUMED = [
    Case("well", Fault("", piece=64 * KIB), EXACT, CUT),
    Case("cut again", Fault("", cut=1000), EXACT, CUT),
    Case("cut at once", Fault("", cut=0), EXACT, CUT),
    Case("dropped", Fault("", drop=True), EXACT, CUT),
    Case("silent", Fault("", gate=Gate(0), mute=True), EXACT, CUT),
    Case("429", Fault("", status=429), EXACT, CUT),
    Case("503", Fault("", status=503), EXACT, CUT),
    Case("503 for long", Fault("", times=OFTEN, status=503), TORN, CUT),
    Case("404", Fault("", status=404), TORN, CUT),
    Case("401", Fault("", status=401), TORN, CUT),
    Case("416", Fault("", status=416), EXACT, CUT),
    Case("a wrong byte", Fault("", corrupt=1000), TORN, CUT),
    Case(
        "another offset",
        Fault("", rewrite=saying("Content-Range", f"bytes 0-9/{SIZE}")),
        EXACT,
        CUT,
    ),
    Case("another size", Fault("", rewrite=saying("Content-Range", REST + "0")), EXACT, CUT),
    Case("no offset", Fault("", rewrite=lacking("content-range")), EXACT, CUT),
    Case("too short", Fault("", rewrite=saying("Content-Length", "1000")), EXACT, CUT),
]


def claiming_the_rest(head: Lines) -> Lines:
    """A 206 of the right part, before a body that begins at the first byte."""
    told = saying("Content-Range", REST, "HTTP/1.1 206 Partial Content")(head)
    return saying("Content-Length", str(SIZE - MIDDLE))(told)


RANGELESS = [
    Case("well", Fault("", piece=64 * KIB), EXACT, CUT),
    Case("cut again", Fault("", cut=MIDDLE + 1000), EXACT, CUT),
    Case("a wrong part under the right name", Fault("", rewrite=claiming_the_rest), TORN, CUT),
]


@pytest.fixture(scope="module")
def shared(runtime: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    directory = tmp_path_factory.mktemp("cache")
    with running_bench(directory, runtime, {"timeouts": HASTY}) as running:
        yield running


def test_asking_for_a_tag(bench: Bench) -> None:
    assert_seen(bench, "HEAD", TAG_HEAD, attrgetter("tag"))


def test_asking_again_for_a_tag_that_is_held(bench: Bench) -> None:
    """Only a definite answer of upstream is shown; else what is held is served. No Retry-After
    here: until then no tag at all would be asked for."""
    held = [
        evolve(
            case,
            seen=case.seen if case.seen in DEFINITE else EXACT,
            spoilt=evolve(case.spoilt, headers=()) if case.name == "429" else case.spoilt,
            warm=True,
        )
        for case in TAG_HEAD
    ]
    assert_seen(bench, "HEAD", held, attrgetter("tag"))


def test_fetching_a_manifest(bench: Bench) -> None:
    assert_seen(bench, "GET", MANIFEST_GET, attrgetter("pinned"))


def test_fetching_a_blob(bench: Bench) -> None:
    assert_seen(bench, "GET", BLOB_GET, attrgetter("layer"))


def test_going_on_after_a_cut(bench: Bench) -> None:
    assert_seen(bench, "GET", RESUMED, attrgetter("layer"))


def test_going_on_where_upstream_knows_no_ranges(bench: Bench) -> None:
    bench.origin.ranged = False
    assert_seen(bench, "GET", RANGELESS, attrgetter("layer"))


def test_a_connection_with_an_unasked_answer_in_it_answers_nothing(bench: Bench) -> None:
    """RFC 9112 §6.3: a client must not take it for the answer to another request."""
    number = next(bench.numbers)
    images = [bench.image(f"v{number}-{letter}", SIZE) for letter in "abc"]
    for image in images:
        bench.wiretap.spoil(Fault(image.config, extra=UNASKED))
        # The configuration comes last: the next image's tag is asked for after it.
        assert bench.pull(image) == [EXACT] * 4
    assert bench.wiretap.plan.left == []
    bench.assert_tidy()


def assert_seen(bench: Bench, method: str, cases: list[Case], part: Part) -> None:
    """Every case on an image of its own, some at a time: most of them wait for a timeout."""
    number = next(bench.numbers)
    images = {case: bench.image(f"v{number}-{place}", SIZE) for place, case in enumerate(cases)}

    def run(case: Case) -> str:
        if case.warm:
            bench.pull(images[case])
        path = part(images[case])
        for fault in (*case.before, case.spoilt):
            bench.wiretap.spoil(placed(fault, method, path))
        return bench.get(path)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        seen = dict(zip((case.name for case in cases), pool.map(run, cases), strict=True))
    assert seen == {case.name: case.seen for case in cases}
    assert {fault.times for fault in bench.wiretap.plan.left} <= {OFTEN}, "a fault befell nobody"
    bench.wiretap.plan.clear()
    for image in images.values():
        assert bench.pull(image) == [EXACT] * 4
    bench.assert_tidy()


def placed(fault: Fault, method: str, path: str) -> Fault:
    fault = evolve(fault, path=path, method=method)
    if fault.gate is not None:
        fault = evolve(fault, gate=Gate(fault.gate.at))
    if fault.status == 307:
        fault = evolve(fault, headers=(("Location", path),))
    return fault
