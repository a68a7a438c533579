"""Upstreams that keep their blobs elsewhere, as registries over S3 and behind CDNs do, and
those that lead nowhere.

The registry wants a user name and password; the place that it sends us to refuses a request
that carries any (S3: "only one auth mechanism allowed").
"""

import base64
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from attrs import frozen

from tests.faults.bench import EXACT, KIB, Bench, Image, running_bench
from tests.interop.tools import need
from tests.support.faults import Fault
from tests.support.origin import Origin, running_origin
from tests.support.wiretap import Wiretap

LOGIN = {"username": "alice", "password": "s3cret"}
BASIC = "Basic " + base64.b64encode(b"alice:s3cret").decode()
SIZE = 300 * KIB
PUBLIC = ("registry.example.com", "cdn.example.com")
"""Names that only the cache under test resolves, to this machine."""


@frozen(eq=False)
class Store:
    """Where the blobs are: `place` names one there, and is good for one request only."""

    origin: Origin
    wiretap: Wiretap

    def place(self, bench: Bench, path: str, host: str = "127.0.0.1") -> str:
        name = f"/bucket/{path.rpartition(':')[2]}"
        self.origin.items[name] = bench.item(path)
        number = next(bench.numbers)
        return f"//{host}:{self.wiretap.port}{name}?X-Amz-Signature={number}%2F%3D&n=1"


@pytest.fixture(scope="module")
def shared(runtime: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with running_bench(tmp_path_factory.mktemp("cache"), runtime, LOGIN) as running:
        running.origin.refuses = unless_logged_in
        yield running


@pytest.fixture
def store() -> Iterator[Store]:
    with object_store() as running:
        yield running


@contextmanager
def object_store() -> Iterator[Store]:
    with running_origin() as origin, ExitStack() as stack:
        spent: set[str] = set()

        def refuses(target: str, headers: Mapping[str, str]) -> int | None:
            if "Authorization" in headers:
                return 400
            first = target not in spent
            spent.add(target)
            return None if first else 403

        origin.refuses = refuses
        wiretap = Wiretap(origin.port)
        wiretap.start()
        stack.callback(wiretap.stop)
        yield Store(origin, wiretap)


def unless_logged_in(target: str, headers: Mapping[str, str]) -> int | None:
    return None if headers.get("Authorization") == BASIC else 401


@pytest.mark.parametrize("scheme", ["http:", ""], ids=["absolute", "without-scheme"])
def test_a_blob_is_fetched_from_another_origin_without_the_password(
    bench: Bench, store: Store, scheme: str
) -> None:
    image = bench.image(f"abroad-{scheme.rstrip(':')}", SIZE)
    bench.origin.redirects[image.layer] = scheme + store.place(bench, image.layer)
    bench.assert_well(image)
    (asked,) = store.wiretap.seen()
    assert "authorization" not in asked.headers
    assert asked.target.partition("?")[2].endswith("%2F%3D&n=1"), "signatures cover every byte"
    bench.wiretap.stop()
    assert bench.get(image.layer) == EXACT
    bench.wiretap.start()


def test_a_redirect_within_the_origin_keeps_the_password(bench: Bench) -> None:
    image = bench.image("at-home", SIZE)
    bench.origin.items["/data/layer"] = bench.item(image.layer)
    bench.origin.redirects[image.layer] = "/data/layer?part=1"
    bench.assert_well(image)
    (asked,) = bench.wiretap.seen("GET", "/data/")
    assert asked.headers["authorization"] == BASIC


def test_after_a_cut_the_registry_is_asked_for_the_place_again(bench: Bench, store: Store) -> None:
    image = bench.image("cut-abroad", SIZE)
    first, second = (store.place(bench, image.layer) for _ in range(2))
    bench.origin.redirects[image.layer] = f"http:{first}"
    store.wiretap.spoil(Fault("/bucket/", cut=100_000))

    def moves(target: str, headers: Mapping[str, str]) -> int | None:
        if store.wiretap.seen():
            bench.origin.redirects[image.layer] = f"http:{second}"
        return unless_logged_in(target, headers)

    bench.origin.refuses = moves
    bench.assert_well(image)
    bench.origin.refuses = unless_logged_in
    assert [one.headers.get("range") for one in store.wiretap.seen()] == [None, "bytes=100000-"]
    assert [one.status for one in store.wiretap.seen()] == [200, 206]


@pytest.mark.parametrize(("hops", "seen"), [(5, EXACT), (6, "502")])
def test_redirects_are_followed_five_times(bench: Bench, hops: int, seen: str) -> None:
    image = bench.image(f"hops-{hops}", SIZE)
    places = [image.layer, *(f"/hop/{hops}/{n}" for n in range(hops))]
    bench.origin.redirects.update(pairwise(places))
    bench.origin.items[places[-1]] = bench.item(image.layer)
    assert bench.get(image.layer) == seen
    bench.origin.redirects.clear()
    bench.assert_well(image)


@pytest.mark.parametrize("kind", ["layer", "pinned", "tag"])
def test_a_loop_is_an_honest_error_and_costs_six_requests(bench: Bench, kind: str) -> None:
    image = bench.image(f"loop-{kind}", SIZE)
    path = getattr(image, kind)
    other = f"/elsewhere/{kind}"
    bench.origin.redirects |= {path: other, other: path}
    bench.wiretap.forget()
    assert bench.get(path) == "502"
    assert len([one for one in bench.wiretap.seen() if one.status == 307]) == 6
    bench.origin.redirects.clear()
    bench.assert_well(image)


@pytest.mark.parametrize(
    "location",
    [
        "ftp://127.0.0.1/layer",
        "http://user:pass@127.0.0.1/layer",
        "http://",
        "http://127.0.0.1:0/x",
    ],
)
def test_a_location_that_cannot_be_followed_is_an_honest_error(bench: Bench, location: str) -> None:
    image = bench.image(f"nowhere-{next(bench.numbers)}", SIZE)
    bench.origin.redirects[image.layer] = location
    assert bench.get(image.layer) == "502"
    bench.origin.redirects.clear()
    bench.assert_well(image)


def test_a_place_that_is_down_is_an_honest_error(bench: Bench, store: Store) -> None:
    image = bench.image("down", SIZE)
    bench.origin.redirects[image.layer] = f"http:{store.place(bench, image.layer)}"
    store.wiretap.stop()
    assert bench.get(image.layer) == "502"
    bench.origin.redirects.clear()
    bench.assert_well(image)


# A public upstream


@contextmanager
def public_bench(directory: Path, runtime: str, allowed: bool) -> Iterator[Bench]:
    """A cache that knows its upstream by a public name."""
    need("unshare", "mount", root=True)
    hosts = directory / "hosts"
    hosts.write_text(f"127.0.0.1 localhost {' '.join(PUBLIC)}\n")
    with running_bench(directory / "cache", runtime) as running:
        running.stop()
        running.cache.server.command = [
            # A mount of its own: nobody else sees these names.
            *("unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"'),
            str(hosts),
            *running.cache.server.command,
        ]
        key = f"{PUBLIC[0]}:{running.wiretap.port}"
        upstream = {"remoteurl": f"http://{key}", "allow_private_redirects": allowed}
        running.cache.proxy = {
            name: value for name, value in running.cache.proxy.items() if name != "remoteurl"
        } | {"upstreams": {key: upstream}}
        running.start()
        yield running


@pytest.fixture(scope="module")
def public(runtime: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with public_bench(tmp_path_factory.mktemp("public"), runtime, allowed=False) as running:
        yield running


def sent_abroad(bench: Bench, store: Store, host: str) -> Image:
    image = bench.image(f"abroad-{next(bench.numbers)}", SIZE)
    bench.origin.redirects[image.layer] = f"http:{store.place(bench, image.layer, host)}"
    return image


def test_a_public_upstream_may_send_us_to_another_public_place(public: Bench, store: Store) -> None:
    public.assert_well(sent_abroad(public, store, PUBLIC[1]))


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "0x7f000001", "2130706433", "localhost", "x.localhost"),
        *("[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "10.0.0.1", "registry", "0.0.0.0"),
    ],
)
def test_a_public_upstream_must_not_send_us_inside(public: Bench, store: Store, host: str) -> None:
    image = sent_abroad(public, store, host)
    assert public.get(image.layer) == "502"
    assert store.wiretap.seen() == []
    public.origin.redirects.clear()
    public.assert_well(image)


def test_a_public_upstream_may_send_us_inside_where_that_is_configured(
    runtime: str, tmp_path: Path, store: Store
) -> None:
    with public_bench(tmp_path, runtime, allowed=True) as bench:
        bench.assert_well(sent_abroad(bench, store, "127.0.0.1"))
