"""What is counted arrives as Prometheus text, under the registry's names and our own."""

import pytest
from attrs import evolve
from prometheus_client.parser import text_string_to_metric_families

from distcache.core.decision import HIT, Decision, Fwd, Outcome
from distcache.core.oci import Content, Digest, Kind, ReferrersRef, Repository, TagRef, TagsRef
from distcache.core.pull import ByDigest, Catalog, Method, Ping, Pull
from distcache.metrics import Gauges, Meter, kind_of, names

REPOSITORY = Repository("docker.io", "library/alpine")
DIGEST = Digest("sha256:" + "ab" * 32)
BLOB = Pull(Method.GET, ByDigest(REPOSITORY, Content(Kind.BLOB, DIGEST)))
TAG = Pull(Method.GET, TagRef(REPOSITORY, "3"))
MISS = Decision(Outcome.FWD, Fwd.URI_MISS, 200, stored=True)
NOW = Gauges(
    stored_bytes=1000,
    stored_blobs=3,
    max_bytes=5000,
    fills=1,
    readers=2,
    exchanges=4,
    connections=5,
    evictions=6,
    evicted_bytes=7,
    journal_failures=0,
    quota={"docker.io": (60, 100)},
    moved=8,
    held_back=9,
)


def read(meter: Meter) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(meter.render().decode())
        for sample in family.samples
    }


def value(meter: Meter, name: str, **labels: str) -> float | None:
    return read(meter).get((name, tuple(sorted(labels.items()))))


@pytest.fixture
def meter() -> Meter:
    return Meter(lambda: NOW)


def test_a_pull_is_counted_under_both_names(meter: Meter) -> None:
    meter.answered(BLOB, MISS, 200, 1000, 0.3)
    meter.received("docker.io", "blob", 1000)
    for _ in range(3):
        meter.answered(BLOB, HIT, 200, 1000, 0.002)
    labels = {"kind": "blob", "status": "200"}
    assert value(meter, "distcache_requests_total", cache="hit", **labels) == 3
    assert value(meter, "distcache_requests_total", cache="uri-miss", **labels) == 1
    for name, count in (("requests", 4), ("hits", 3), ("misses", 1), ("pulled_bytes", 1000)):
        assert value(meter, f"registry_proxy_{name}_total", type="blob") == count
    assert value(meter, "registry_proxy_pushed_bytes_total", type="blob") == 4000
    assert value(meter, "distcache_saved_bytes") == 3000
    assert value(meter, "distcache_sent_bytes_total", kind="blob", source="cache") == 3000


def test_a_checked_tag_whose_manifest_is_held_is_a_hit_of_the_registry_s(meter: Meter) -> None:
    checked = Decision(Outcome.FWD, Fwd.STALE, 200)
    moved = evolve(checked, stored=True)
    for decision in (MISS, checked, checked, moved):
        meter.answered(TAG, decision, 200, 100, 0.1)
    for name, count in (("requests", 4), ("hits", 2), ("misses", 2)):
        assert value(meter, f"registry_proxy_{name}_total", type="manifest") == count
    for source in ("cache", "upstream"):
        sent = value(meter, "distcache_sent_bytes_total", kind="manifest", source=source)
        assert sent == 200


def test_the_registry_s_names_are_there_before_anything_happened(meter: Meter) -> None:
    for kind in ("blob", "manifest"):
        assert value(meter, "registry_proxy_requests_total", type=kind) == 0


def test_listings_are_no_pulls_of_the_registry_s_kinds(meter: Meter) -> None:
    meter.answered(Pull(Method.GET, TagsRef(REPOSITORY)), HIT, 200, 10, 0.1)
    assert value(meter, "registry_proxy_requests_total", type="manifest") == 0
    labels = {"kind": "listing", "cache": "hit", "status": "200"}
    assert value(meter, "distcache_requests_total", **labels) == 1


def test_bytes_count_as_they_come_and_go_and_once() -> None:
    """Of transfers and answers under way, which are told of once more when they have ended."""
    under_way = evolve(NOW, sending=[(BLOB, MISS, 300)], receiving=[("docker.io", "blob", 400)])
    state = [under_way]
    meter = Meter(lambda: state[0])
    meter.received("docker.io", "blob", 1000)
    for name, labels, before in (
        ("distcache_upstream_bytes_total", {"upstream": "docker.io", "kind": "blob"}, 1400),
        ("registry_proxy_pulled_bytes_total", {"type": "blob"}, 1400),
        ("registry_proxy_pushed_bytes_total", {"type": "blob"}, 300),
        ("distcache_sent_bytes_total", {"kind": "blob", "source": "upstream"}, 300),
    ):
        assert value(meter, name, **labels) == before
        assert value(meter, name, **labels) == before, "looking again changes nothing"
    state[0] = NOW
    meter.answered(BLOB, MISS, 200, 3000, 0.3)
    meter.received("docker.io", "blob", 400)
    assert value(meter, "registry_proxy_pushed_bytes_total", type="blob") == 3000
    assert value(meter, "registry_proxy_pulled_bytes_total", type="blob") == 1400
    assert value(meter, "distcache_saved_bytes") == 1600


def test_stale_and_collapsed_answers_are_told(meter: Meter) -> None:
    stale = evolve(
        MISS, fwd=Fwd.STALE, fwd_status=None, stored=False, stale_if_error=True, collapsed=True
    )
    meter.answered(TAG, stale, 200, 10, 0.1)
    assert value(meter, "distcache_stale_answers_total") == 1
    assert value(meter, "distcache_collapsed_total") == 1
    # Upstream gave nothing: the bytes came from the cache.
    assert value(meter, "distcache_sent_bytes_total", kind="manifest", source="cache") == 10


@pytest.mark.parametrize(("seconds", "below"), [(0.001, "0.001"), (0.2, "0.25"), (1e9, "+Inf")])
def test_times_fall_into_buckets_that_add_up(meter: Meter, seconds: float, below: str) -> None:
    meter.answered(TAG, HIT, 200, 10, seconds)
    meter.asked("docker.io", "timeout", seconds)
    for name, labels in (
        ("distcache_request_seconds", {"cache": "hit"}),
        ("distcache_upstream_seconds", {"upstream": "docker.io"}),
    ):
        assert value(meter, f"{name}_bucket", le=below, **labels) == 1
        assert value(meter, f"{name}_bucket", le="+Inf", **labels) == 1
        assert value(meter, f"{name}_count", **labels) == 1
        assert value(meter, f"{name}_sum", **labels) == seconds
    labels = {"upstream": "docker.io", "result": "timeout"}
    assert value(meter, "distcache_upstream_requests_total", **labels) == 1


def test_what_is_so_now_is_asked_for_at_the_moment() -> None:
    state = [NOW, evolve(NOW, stored_bytes=2000, max_bytes=None, quota={})]
    meter = Meter(lambda: state[0])
    assert value(meter, "distcache_store_bytes") == 1000
    assert value(meter, "distcache_store_max_bytes") == 5000
    assert value(meter, "distcache_quota_remaining", upstream="docker.io") == 60
    assert value(meter, "distcache_quota_limit", upstream="docker.io") == 100
    assert value(meter, "distcache_evictions_total") == 6
    state[0] = state[1]
    assert value(meter, "distcache_store_bytes") == 2000
    assert value(meter, "distcache_store_max_bytes") is None


def test_every_target_has_a_kind() -> None:
    ping = Ping(Repository("docker.io", ""))
    referrers = ReferrersRef(REPOSITORY, DIGEST)
    targets = (TAG.target, BLOB.target, TagsRef(REPOSITORY), referrers, Catalog(), ping)
    kinds = [kind_of(Pull(Method.GET, target)) for target in targets]
    assert kinds == ["manifest", "blob", "listing", "listing", "catalog", "ping"]


def test_two_servers_count_apart(meter: Meter) -> None:
    other = Meter(lambda: NOW)
    meter.answered(TAG, HIT, 200, 1, 0.1)
    assert value(other, "distcache_stale_answers_total") == 0
    assert value(other, "registry_proxy_requests_total", type="manifest") == 0


def test_names_are_those_of_queries(meter: Meter) -> None:
    assert {"distcache_evictions_total", "distcache_fills"} <= names(meter.collect())


def test_how_late_the_loop_is_is_told_by_buckets(meter: Meter) -> None:
    for seconds in (0.0005, 0.003, 0.003, 100.0):
        meter.late(seconds)
    for bound, count in (("0.001", 1), ("0.005", 3), ("60.0", 3), ("+Inf", 4)):
        assert value(meter, "distcache_loop_lag_seconds_bucket", le=bound) == count
    assert value(meter, "distcache_loop_lag_seconds_count") == 4
    assert value(meter, "distcache_immutable_tags_moved_total") == 8
    assert value(meter, "distcache_held_back_total") == 9
