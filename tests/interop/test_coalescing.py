"""Many readers of one blob that is not there yet: one upstream fetch, and nobody suffers
from what another reader does."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.interop.catalog import Catalog
from tests.interop.images import KIB, MIB, Blob
from tests.interop.upstream import Upstream
from tests.support.cache import CacheServer
from tests.support.faults import Fault, Gate
from tests.support.raw import TIMEOUT, ask, asking, download

READERS = 20


@pytest.fixture
def blob(catalog: Catalog) -> Blob:
    """100 MiB."""
    return catalog.images["library/large"].layers[2]


@pytest.fixture
def path(blob: Blob) -> str:
    return f"/v2/library/large/blobs/{blob.digest}"


def hold(upstream: Upstream, at: int) -> Gate:
    """The next blob answer of upstream stops after `at` bytes."""
    gate = Gate(at)
    upstream.wiretap.spoil(Fault("/blobs/", gate=gate))
    return gate


def test_twenty_readers_of_a_cold_blob_cost_one_upstream_fetch(
    blob: Blob, path: str, upstream: Upstream, cache: CacheServer
) -> None:
    gate = hold(upstream, MIB)
    everybody_in = threading.Barrier(READERS + 1, timeout=TIMEOUT)

    def read() -> int:
        with download(cache.port, path, blob.data) as one:
            one.read(1)
            everybody_in.wait()
            one.read_rest()
            return one.position

    with ThreadPoolExecutor(READERS) as pool:
        readers = [pool.submit(read) for _ in range(READERS)]
        everybody_in.wait()
        gate.open()
        assert [reader.result() for reader in readers] == [len(blob.data)] * READERS
    assert upstream.wiretap.blob_gets() == {blob.digest: 1}


def test_twenty_simultaneous_tag_pulls_share_one_check(
    catalog: Catalog, upstream: Upstream, cache: CacheServer
) -> None:
    target = "/v2/library/oci/manifests/latest"
    manifest = catalog.images["library/oci"]
    assert ask(cache.port, target).body == manifest.body
    upstream.wiretap.forget()
    gate = Gate(0)
    upstream.wiretap.spoil(Fault(target, method="HEAD", gate=gate))
    with ThreadPoolExecutor(READERS) as pool, ExitStack() as stack:
        connections = [stack.enter_context(asking(cache.port, target)) for _ in range(READERS)]
        gate.await_reached()
        # Each of these is accepted after all of those, and answered in a later turn.
        for _ in range(READERS):
            assert ask(cache.port, "/v2/").status == 200
        gate.open()
        bodies = set(pool.map(lambda one: one.getresponse().read(), connections))
    assert bodies == {manifest.body}
    assert [one.method for one in upstream.wiretap.seen()] == ["HEAD"]


def test_the_first_reader_may_leave_in_the_middle(
    blob: Blob, path: str, upstream: Upstream, cache: CacheServer
) -> None:
    gate = hold(upstream, 10 * MIB)
    with download(cache.port, path, blob.data) as second:
        with download(cache.port, path, blob.data) as first:
            first.read(MIB)
            second.read(MIB)
        gate.await_reached()
        gate.open()
        second.read_rest()
    assert upstream.wiretap.blob_gets() == {blob.digest: 1}


def test_a_leader_that_aborts_after_the_headers_harms_nobody(
    blob: Blob, path: str, upstream: Upstream, cache: CacheServer
) -> None:
    # ollama does this with every layer, then asks for parts.
    with download(cache.port, path, blob.data) as first:
        assert first.headers["location"]
    part = blob.data[MIB : 2 * MIB]
    headers = {"Range": f"bytes={MIB}-{2 * MIB - 1}"}
    with download(cache.port, path, part, headers) as second:
        assert second.status == 206
        second.read_rest()
    assert upstream.wiretap.blob_gets() == {blob.digest: 1}


def test_a_fill_without_readers_near_its_end_is_finished(
    blob: Blob, path: str, upstream: Upstream, cache: CacheServer
) -> None:
    gate = hold(upstream, 95 * MIB)
    with download(cache.port, path, blob.data) as first:
        first.read(90 * MIB)
        gate.await_reached()
    gate.open()
    with download(cache.port, path, blob.data) as second:
        second.read_rest()
    assert upstream.wiretap.blob_gets() == {blob.digest: 1}


def test_a_reader_that_stops_reading_stalls_nobody(
    blob: Blob, path: str, upstream: Upstream, cache: CacheServer
) -> None:
    with download(cache.port, path, blob.data, receive_buffer=16 * KIB) as slow:
        slow.read(1)
        with download(cache.port, path, blob.data) as fast:
            fast.read_rest()
        slow.read_rest()
    assert upstream.wiretap.blob_gets() == {blob.digest: 1}


@pytest.mark.parametrize(
    ("header", "first", "stop"),
    [
        ("bytes=0-99", 0, 100),
        ("bytes=0-", 0, None),
        ("bytes=1048576-2097151", MIB, 2 * MIB),
        ("bytes=62914560-62914569", 60 * MIB, 60 * MIB + 10),
        ("bytes=-1000", -1000, None),
    ],
)
def test_a_range_of_a_blob_on_its_way_is_206_and_exact(
    header: str,
    first: int,
    stop: int | None,
    blob: Blob,
    path: str,
    upstream: Upstream,
    cache: CacheServer,
) -> None:
    gate = hold(upstream, 50 * MIB)
    with download(cache.port, path, blob.data) as whole:
        whole.read(1)
        with download(cache.port, path, blob.data[first:stop], {"Range": header}) as part:
            assert part.status == 206
            start = first % len(blob.data)
            end = start + len(blob.data[first:stop]) - 1
            assert part.headers["content-range"] == f"bytes {start}-{end}/{len(blob.data)}"
            gate.await_reached()
            gate.open()
            part.read_rest()
        whole.read_rest()
    assert upstream.wiretap.blob_gets() == {blob.digest: 1}


def test_a_range_already_there_does_not_wait_for_the_rest(
    blob: Blob, path: str, upstream: Upstream, cache: CacheServer
) -> None:
    gate = hold(upstream, 50 * MIB)
    headers = {"Range": "bytes=0-1048575"}
    with download(cache.port, path, blob.data) as whole:
        whole.read(1)
        with download(cache.port, path, blob.data[:MIB], headers) as part:
            part.read_rest()
        gate.open()
        whole.read_rest()


def test_nine_hundred_ranges_in_one_header_are_no_error(
    blob: Blob, path: str, upstream: Upstream, cache: CacheServer
) -> None:
    # podman's partial pulls; containers/image falls back on 200 but not on 416 or 501.
    ranges = ",".join(f"{at}-{at + 4095}" for at in range(0, 900 * 100_000, 100_000))
    with download(cache.port, path, blob.data, {"Range": f"bytes={ranges}"}) as one:
        assert one.status in (200, 206)
        if one.status == 200:
            one.read_rest()


def test_a_range_beyond_the_end_is_416_with_the_size(
    blob: Blob, path: str, cache: CacheServer
) -> None:
    with download(cache.port, path, blob.data) as one:
        one.read_rest()
    answer = ask(cache.port, path, headers={"Range": f"bytes={len(blob.data)}-"})
    assert answer.status == 416
    assert answer.headers["content-range"] == f"bytes */{len(blob.data)}"
