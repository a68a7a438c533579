"""Real clients against `distcache.testing`'s registry: whoever tests code that pulls images with
real tools gets what the tools would get from anywhere else."""

from pathlib import Path

import pytest

from distcache.testing import Flavor, LocalRegistry, Policy, image, index, local_registry
from distcache.testing.runtimes import RuntimeName
from tests.interop.clients import digests_of_files, run
from tests.interop.tools import need

LAYERS = [{"etc/hello": b"hi"}, {"usr/lib/large": bytes(range(256)) * 20_000, "empty": b""}]

runtimes = pytest.mark.parametrize("runtime", ["trio", "asyncio"])


def copy(registry: LocalRegistry, reference: str, place: Path) -> frozenset[str]:
    """All platforms, as served; returns the digests of what came."""
    need("skopeo")
    options = ["--insecure-policy", "copy", "--all", "--src-tls-verify=false"]
    run(["skopeo", *options, f"docker://{registry.host}/{reference}", f"dir:{place}"])
    return digests_of_files(path for path in place.iterdir() if path.name != "version")


@runtimes
@pytest.mark.parametrize("flavor", list(Flavor))
def test_skopeo_pulls_every_byte_of_an_image_made_of_dictionaries(
    runtime: RuntimeName, flavor: Flavor, tmp_path: Path
) -> None:
    platforms = ["linux/amd64", "linux/arm64/v8"]
    children = [image(LAYERS, platform=one, flavor=flavor) for one in platforms]
    made = index(children, flavor=flavor)
    whole = {made.digest, *(child.digest for child in children)}
    whole |= {blob.digest for child in children for blob in child.blobs}

    with local_registry({"team/app": {"1": made}}, runtime=runtime) as registry:
        assert copy(registry, "team/app:1", tmp_path / "cold") == whole
        registry.upstream.forget()
        assert copy(registry, "team/app:1", tmp_path / "warm") == whole
        assert [str(one) for one in registry.upstream.requests] == ["HEAD /v2/team/app/manifests/1"]
        registry.upstream.stop()
        assert copy(registry, "team/app:1", tmp_path / "alone") == whole


@runtimes
def test_skopeo_notices_nothing_of_an_upstream_that_breaks_off(
    runtime: RuntimeName, tmp_path: Path
) -> None:
    made = image(LAYERS)
    whole = {made.digest, *(blob.digest for blob in made.blobs)}
    with local_registry({"team/app": {"1": made}}, runtime=runtime) as registry:
        with registry.upstream.cut("*/blobs/*", after=10, times=2) as cut:
            assert copy(registry, "team/app:1", tmp_path / "cut") == whole
            assert cut.applied == 2
        with registry.upstream.fail("*/manifests/*", status=429, retry_after=60) as limit:
            assert copy(registry, "team/app:1", tmp_path / "limited") == whole
            assert limit.applied == 1


@runtimes
def test_skopeo_gets_the_tag_that_moved(runtime: RuntimeName, tmp_path: Path) -> None:
    old, new = image(LAYERS[:1]), image(LAYERS)
    never_twice = Policy(tag_ttl=3600)
    with local_registry({"team/app": {"1": old}}, runtime=runtime) as registry:
        assert old.digest in copy(registry, "team/app:1", tmp_path / "old")
        registry.upstream.move_tag("team/app", "1", new)
        assert new.digest in copy(registry, "team/app:1", tmp_path / "new")
    with local_registry({"team/app": {"1": old}}, policy=never_twice, runtime=runtime) as registry:
        assert old.digest in copy(registry, "team/app:1", tmp_path / "first")
        registry.upstream.move_tag("team/app", "1", new)
        assert old.digest in copy(registry, "team/app:1", tmp_path / "held")
