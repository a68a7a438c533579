"""What a request's head says is worked out once for one head, and anew for everything else."""

from attrs import define

from distcache.core.pull import Method, Pull
from distcache.driver.reading import LONGEST_CHAIN, Readings
from distcache.wire.headers import Headers
from distcache.wire.memo import LONGEST_HEAD
from distcache.wire.plain import Request
from distcache.wire.replies import PING, Reply
from tests.wire.samples import GET_BLOB

HEADERS = ((b"host", b"h"), (b"via", b"1.1 other"), (b"authorization", b"Basic eDp5"))
REQUEST = Request(b"GET", b"/v2/", HEADERS, b"1.1")


@define
class Router:
    """Counts its questions."""

    said: Pull | Reply
    asked: int = 0

    def route(
        self, method: bytes, target: bytes, headers: Headers, http_version: bytes
    ) -> Pull | Reply:
        self.asked += 1
        return self.said


def test_one_head_is_read_once() -> None:
    router, readings = Router(GET_BLOB), Readings("us")
    first, second = (readings.of(REQUEST, router) for _ in range(2))
    assert first is second
    assert router.asked == 1
    assert (first.via, first.login, first.circle) == ("1.1 other", "Basic eDp5", False)
    assert first.touches == getattr(GET_BLOB.target, "repository", None)


def test_another_router_is_asked_itself() -> None:
    readings = Readings("us")
    head = Pull(Method.HEAD, GET_BLOB.target)
    for said in (GET_BLOB, head):
        assert readings.of(REQUEST, Router(said)).routed is said


def test_an_answer_that_needs_no_cache_may_be_another_each_time() -> None:
    router, readings = Router(PING), Readings("us")
    for count in (1, 2):
        assert readings.of(REQUEST, router).routed is PING
        assert router.asked == count


def test_long_heads_are_not_held_on_to() -> None:
    router, readings = Router(GET_BLOB), Readings("us")
    long = Request(b"GET", b"/" * LONGEST_HEAD, HEADERS, b"1.1")
    for count in (1, 2):
        readings.of(long, router)
        assert router.asked == count


def test_a_circle_is_seen_by_our_name_or_by_its_length() -> None:
    for via in (b"1.1 other, 1.1 us", b"1.1 " + b"x" * LONGEST_CHAIN):
        request = Request(b"GET", b"/v2/", ((b"via", via),), b"1.1")
        assert Readings("us").of(request, Router(GET_BLOB)).circle
