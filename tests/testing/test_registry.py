"""The local registry as its users meet it: whoever pulls through it meets the real cache, and
upstream does as the test says."""

import hashlib
import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from http.client import HTTPException
from pathlib import Path

import httpcore
import pytest
from attrs import evolve

from distcache import testing
from distcache.settings import Settings
from distcache.store import StoreError
from distcache.testing import (
    Flavor,
    LocalRegistry,
    Manifest,
    Policy,
    WrongRequests,
    artifact,
    image,
    index,
)
from distcache.testing.registry import settings_of
from distcache.testing.runtimes import RUNTIMES, Begun, Runtime, RuntimeName, running_cache
from tests.interop.tools import need
from tests.testing.http import ask
from tests.testing.leftovers import nothing_left

Open = Callable[..., LocalRegistry]

IMAGE = image([{"etc/hello": b"hi"}, {"big": bytes(300_000)}])
OTHER = image([{"etc/hello": b"ho"}])
LAYER = IMAGE.blobs[2]
TAG = "/v2/library/app/manifests/1"
BLOB = f"/v2/library/app/blobs/{LAYER.digest}"
IMAGES = {"library/app": {"1": IMAGE}}

on_both = pytest.mark.parametrize("runtime", list(RUNTIMES))


@pytest.fixture(params=list(RUNTIMES))
def local_registry(request: pytest.FixtureRequest, local_registry: Open) -> Open:
    return partial(local_registry, runtime=request.param)


def upstream_saw(registry: LocalRegistry) -> list[str]:
    seen = [str(one) for one in registry.upstream.requests]
    registry.upstream.forget()
    return seen


def test_a_second_pull_is_served_by_the_cache(local_registry: Open) -> None:
    registry = local_registry(IMAGES)
    assert registry.url == f"http://{registry.host}"
    for cold in (True, False):
        got = ask(registry.host, TAG)
        assert (got.status, got.body) == (200, IMAGE.body)
        assert got.headers["cache-status"].startswith("distcache; fwd=")
        assert ask(registry.host, BLOB).body == LAYER.data
        assert (f"GET {BLOB}" in upstream_saw(registry)) is cold


@pytest.mark.parametrize(
    "made",
    [
        IMAGE,
        image([{"etc/hello": b"hi"}], flavor=Flavor.DOCKER),
        index([IMAGE, image([{"a": b"b"}], platform="linux/arm64")]),
        index(
            [
                image([{"a": b"b"}], platform=p, flavor=Flavor.DOCKER)
                for p in ("linux/amd64", "a/b")
            ],
            flavor=Flavor.DOCKER,
        ),
    ],
    ids=["oci", "docker", "index", "list"],
)
def test_skopeo_copies_everything_of_an_image(
    made: Manifest, local_registry: Open, tmp_path: Path
) -> None:
    need("skopeo")
    registry = local_registry({"library/app": {"1": made}})
    source, goal = f"docker://{registry.host}/library/app:1", f"dir:{tmp_path}/copy"
    command = ["skopeo", "copy", "--all", "--src-tls-verify=false", source, goal]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    files = (path for path in (tmp_path / "copy").iterdir() if path.name != "version")
    copied = {"sha256:" + hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    assert copied == everything(made)


def everything(made: Manifest) -> set[str]:
    below = {digest for child in made.children for digest in everything(child)}
    return below | {made.digest} | {blob.digest for blob in made.blobs}


def test_httpcore_keeps_its_connection(local_registry: Open) -> None:
    registry = local_registry(IMAGES)
    with httpcore.ConnectionPool() as pool:
        for path in (TAG, BLOB, TAG):
            assert pool.request("GET", registry.url + path).status == 200
        assert len(pool.connections) == 1


def test_an_outage_is_bridged_and_what_is_unknown_is_an_honest_error(local_registry: Open) -> None:
    registry = local_registry(IMAGES)
    ask(registry.host, TAG)
    registry.upstream.stop()
    assert ask(registry.host, TAG).body == IMAGE.body
    assert ask(registry.host, "/v2/library/app/manifests/2").status == 502
    registry.upstream.start()
    assert ask(registry.host, "/v2/library/app/manifests/2").status == 404


def test_a_limit_of_upstream_reaches_who_asks_for_something_new(local_registry: Open) -> None:
    registry = local_registry(IMAGES)
    with registry.upstream.fail(status=429, retry_after=7):
        got = ask(registry.host, TAG)
    assert (got.status, got.headers["retry-after"]) == (429, "7")
    assert ask(registry.host, TAG).status == 200


def test_what_changes_upstream_is_there_at_the_next_pull(local_registry: Open) -> None:
    registry = local_registry(IMAGES)
    newer = "/v2/library/app/manifests/2"
    assert ask(registry.host, TAG).body == IMAGE.body
    assert ask(registry.host, newer).status == 404
    registry.upstream.move_tag("library/app", "1", OTHER)
    registry.upstream.push("library/app", IMAGE, "2")
    assert ask(registry.host, TAG).body == OTHER.body
    assert ask(registry.host, newer).body == IMAGE.body
    registry.upstream.remove_tag("library/app", "2")
    assert ask(registry.host, newer).status == 404


def test_a_policy_is_followed(local_registry: Open) -> None:
    registry = local_registry(IMAGES, policy=Policy(tag_ttl=3600))
    ask(registry.host, TAG)
    registry.upstream.move_tag("library/app", "1", OTHER)
    assert ask(registry.host, TAG).body == IMAGE.body


def test_pulls_at_the_same_time_cost_upstream_one_request(local_registry: Open) -> None:
    registry = local_registry(IMAGES)
    with ThreadPoolExecutor(5) as pool:
        with registry.upstream.hold("*/blobs/*", after=1000) as held:
            pulls = [pool.submit(ask, registry.host, BLOB) for _ in range(5)]
            held.wait()
        assert [one.result().body for one in pulls] == [LAYER.data] * 5
    assert upstream_saw(registry).count(f"GET {BLOB}") == 1


def test_a_broken_transfer_is_taken_up_where_it_broke(local_registry: Open) -> None:
    registry = local_registry(IMAGES)
    registry.upstream.cut("*/blobs/*", after=100_000, times=1)
    assert ask(registry.host, BLOB).body == LAYER.data
    first, second = (one for one in registry.upstream.requests if one.path == BLOB)
    assert "range" not in first.headers
    assert second.headers["range"] == "bytes=100000-"


def test_referrers_and_tags_come_through(local_registry: Open) -> None:
    registry = local_registry(IMAGES)
    signature = artifact("application/signature", subject=IMAGE)
    registry.upstream.push("library/app", signature)
    got = ask(registry.host, f"/v2/library/app/referrers/{IMAGE.digest}")
    assert [one["digest"] for one in json.loads(got.body)["manifests"]] == [signature.digest]
    listed = ask(registry.host, "/v2/library/app/tags/list")
    assert json.loads(listed.body) == {"name": "library/app", "tags": ["1"]}


def test_several_have_nothing_in_common(local_registry: Open) -> None:
    first, second, empty = local_registry(IMAGES), local_registry(IMAGES), local_registry()
    first.upstream.move_tag("library/app", "1", OTHER)
    assert ask(first.host, TAG).body == OTHER.body
    assert ask(second.host, TAG).body == IMAGE.body
    assert ask(empty.host, TAG).status == 404
    assert len(upstream_saw(second)) == 2


@on_both
def test_one_can_be_used_again_and_has_forgotten_what_it_had(runtime: RuntimeName) -> None:
    registry = testing.local_registry(IMAGES, runtime=runtime)
    for _ in range(2):
        with registry:
            ask(registry.host, BLOB)
            assert f"GET {BLOB}" in upstream_saw(registry)


@on_both
def test_leaving_cuts_what_is_still_on_its_way(runtime: RuntimeName) -> None:
    def failed(host: str) -> bool:
        try:
            return ask(host, BLOB).status == 503
        except (OSError, HTTPException):
            return True

    with ThreadPoolExecutor(1) as pool:
        with testing.local_registry(IMAGES, runtime=runtime) as registry:
            held = registry.upstream.hold("*/blobs/*", after=1000)
            pull = pool.submit(failed, registry.host)
            held.wait()
        assert pull.result()


@on_both
def test_nothing_is_left(
    runtime: RuntimeName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def once() -> None:
        with testing.local_registry(IMAGES, runtime=runtime) as registry:
            ask(registry.host, TAG)
            ask(registry.host, BLOB)

    once()
    descriptors = len(os.listdir("/proc/self/fd"))
    with nothing_left():
        once()
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert list(tmp_path.iterdir()) == []


def test_what_the_cache_asked_wrongly_is_raised_at_the_end() -> None:
    with nothing_left(), ExitStack() as stack:
        registry = stack.enter_context(testing.local_registry(IMAGES))
        ask(registry.upstream.host, "/v2/_catalog")
        with pytest.raises(WrongRequests, match="GET /v2/_catalog"):
            stack.close()


def test_one_that_cannot_start_says_so_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with nothing_left(), pytest.raises(FileNotFoundError), testing.local_registry():
        pass


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_of(tmp_path / "store", "http://127.0.0.1:1", Policy())


@pytest.mark.parametrize("runtime", RUNTIMES.values())
def test_a_cache_that_cannot_start_says_so(
    runtime: Runtime, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    unusable = evolve(settings, root=tmp_path / "file")
    with pytest.raises((StoreError, OSError)), running_cache(unusable, runtime):
        pass


@pytest.mark.parametrize("inside", RUNTIMES.values())
def test_a_cache_that_ends_before_its_time_says_why(inside: Runtime, settings: Settings) -> None:
    over = threading.Event()

    def runtime(settings: Settings, begun: "Future[Begun]") -> None:
        inner: Future[Begun] = Future()
        inner.add_done_callback(lambda done: done.result().end())
        inner.add_done_callback(lambda done: begun.set_result(done.result()))
        inside(settings, inner)
        over.set()
        raise ZeroDivisionError

    with ExitStack() as stack:
        stack.enter_context(running_cache(settings, runtime))
        over.wait()
        with pytest.raises(ZeroDivisionError):
            stack.close()
