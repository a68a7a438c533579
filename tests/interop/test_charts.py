"""helm and syft, the real programs: the libraries they stand on, oras and go-containerregistry, are
those of most tools that pull artifacts."""

import io
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from distcache.core.oci import OCI_MANIFEST
from tests.interop.catalog import Catalog
from tests.interop.conftest import Caches, Registries, Upstreams
from tests.interop.images import Blob, Manifest, digest_of, gzipped, push
from tests.interop.tools import need, place_of
from tests.interop.upstream import PASSWORD, USER, Mode, write_htpasswd
from tests.support.cache import CacheServer

CONFIG = "application/vnd.cncf.helm.config.v1+json"
CONTENT = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
VERSIONS = ("1.0.0", "1.2.3", "2.0.0-rc.1", "1.3.0+build.7")
NEWEST = "1.3.0+build.7"
"""Of the releases."""


def chart(version: str) -> Manifest:
    about = {"apiVersion": "v2", "name": "app", "version": version}
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, text in {"Chart.yaml": json.dumps(about), "templates/a.yaml": "a: 1\n"}.items():
            entry = tarfile.TarInfo(f"app/{name}")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    blobs = [
        Blob(data, kind, digest_of(data))
        for data, kind in (
            (json.dumps(about).encode(), CONFIG),
            (gzipped(archive.getvalue()), CONTENT),
        )
    ]
    body = {
        "schemaVersion": 2,
        "config": blobs[0].descriptor,
        "layers": [blobs[1].descriptor],
    }
    return Manifest(json.dumps(body).encode(), OCI_MANIFEST, blobs[0], (blobs[1],))


CHARTS = {version: chart(version) for version in VERSIONS}


@pytest.fixture(scope="module")
def stocked(registries: Registries) -> None:
    """The registries have the charts; a tag has no plus sign, so that helm writes an underscore."""
    port = registries(Mode.PLAIN).port
    for version, made in CHARTS.items():
        push(port, "charts/app", version.replace("+", "_"), made)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    place = tmp_path / "home"
    place.mkdir()
    return place


def run(home: Path, program: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Stores, logins and caches below `home`."""
    need(program)
    place = place_of(program)
    assert place is not None
    own = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    own |= {"HOME": str(home), "SYFT_CHECK_FOR_APP_UPDATE": "false"}
    own |= {"SYFT_REGISTRY_INSECURE_USE_HTTP": "true", "DOCKER_CONFIG": str(home / "docker")}
    return subprocess.run(
        [place, *words], capture_output=True, text=True, env=own, cwd=home, timeout=90
    )


def pulled(home: Path, cache: CacheServer, *words: str) -> dict[str, bytes]:
    """The files that `helm pull` left, by name."""
    place = home / "charts"
    place.mkdir(exist_ok=True)
    name = f"oci://{cache.address}/charts/app"
    done = run(home, "helm", "pull", name, "--plain-http", "-d", str(place), *words)
    assert done.returncode == 0, done.stderr
    found = {path.name: path.read_bytes() for path in place.iterdir()}
    for path in place.iterdir():
        path.unlink()
    return found


def archive(version: str) -> dict[str, bytes]:
    return {f"app-{version}.tgz": CHARTS[version].layers[0].data}


@pytest.mark.parametrize("mode", [Mode.PLAIN, Mode.HTPASSWD, Mode.TOKEN])
def test_helm_pulls_by_version_by_range_and_the_newest_also_while_upstream_is_down(
    stocked: None, upstreams: Upstreams, caches: Caches, home: Path, mode: Mode
) -> None:
    upstream = upstreams(mode)
    cache = caches(upstream.proxy)
    for state in ("cold", "warm", "down"):
        if state == "down":
            upstream.wiretap.stop()
        assert pulled(home, cache, "--version", "1.2.3") == archive("1.2.3")
        assert pulled(home, cache, "--version", "~1.0") == archive("1.0.0")
        assert pulled(home, cache) == archive(NEWEST)
        shown = run(
            home, "helm", "show", "chart", f"oci://{cache.address}/charts/app", "--plain-http"
        )
        assert f"version: {NEWEST}" in shown.stdout
    assert set(upstream.wiretap.blob_gets().values()) == {1}


def test_helm_is_told_what_is_not_there(stocked: None, cache: CacheServer, home: Path) -> None:
    name = f"oci://{cache.address}/charts/app"
    done = run(home, "helm", "pull", name, "--plain-http", "--version", "9.9.9")
    assert done.returncode
    assert "not found" in done.stderr


def test_helm_logs_in_at_the_cache(
    stocked: None, upstreams: Upstreams, caches: Caches, home: Path
) -> None:
    htpasswd = {"realm": "interop", "path": str(write_htpasswd(home))}
    cache = caches(upstreams(Mode.PLAIN).proxy, auth={"htpasswd": htpasswd})
    name = f"oci://{cache.address}/charts/app"
    refused = run(home, "helm", "pull", name, "--plain-http", "--version", "1.2.3")
    assert refused.returncode
    login = ["registry", "login", cache.address, "--plain-http", "-u", USER]
    for password, status in (("wrong", 1), (PASSWORD, 0)):
        assert run(home, "helm", *login, "-p", password).returncode == status
    assert pulled(home, cache, "--version", "1.2.3") == archive("1.2.3")


def test_syft_reads_every_layer_of_an_image_and_of_the_platform_it_is_told(
    upstream: object, cache: CacheServer, catalog: Catalog, home: Path
) -> None:
    for repository, platform in (("library/docker", None), ("library/multi", "arm64")):
        whole = catalog.images[repository]
        if platform is not None:
            (whole,) = (one for one in whole.children if architecture(one) == platform)
        words = ["--platform", platform] if platform else []
        source = f"registry:{cache.address}/{repository}:latest"
        done = run(home, "syft", "scan", "-q", "-o", "json", *words, source)
        assert done.returncode == 0, done.stderr
        seen = json.loads(done.stdout)["source"]["metadata"]
        assert seen["manifestDigest"] == whole.digest
        assert [one["digest"] for one in seen["layers"]] == [one.diff_id for one in whole.layers]


def architecture(manifest: Manifest) -> object:
    assert manifest.config is not None
    return json.loads(manifest.config.data)["architecture"]
