"""ollama, helm and cosign through the cache: cold, again, and while upstream fails."""

import json
import random
from collections.abc import Iterator

import pytest

from distcache.testing import Blob, LocalRegistry, Manifest, artifact, image, local_registry
from distcache.testing.runtimes import RuntimeName
from tests.clients.replay import (
    DOCKER_MANIFEST,
    OCI_MANIFEST,
    Ollama,
    fetch,
    packed,
    resolve,
)
from tests.support.raw import ask

MODEL = Blob(random.Random("model").randbytes(3_000_000), "application/vnd.ollama.image.model")
PARTS = [
    MODEL,
    Blob(b"{{ .Prompt }}", "application/vnd.ollama.image.template"),
    Blob(b"MIT", "application/vnd.ollama.image.license"),
    Blob(b'{"stop": ["x"]}', "application/vnd.ollama.image.params"),
]
LLAMA = packed(
    DOCKER_MANIFEST,
    Blob(b'{"model_format": "gguf"}', "application/vnd.docker.container.image.v1+json"),
    PARTS,
)
CHART = packed(
    OCI_MANIFEST,
    Blob(b'{"name": "app", "version": "1.2.3+b1"}', "application/vnd.cncf.helm.config.v1+json"),
    [
        Blob(b"chart" * 1000, "application/vnd.cncf.helm.chart.content.v1.tar+gzip"),
        Blob(b"-----BEGIN PGP", "application/vnd.cncf.helm.chart.provenance.v1.prov"),
    ],
    {"org.opencontainers.image.version": "1.2.3+b1"},
)
APP = image([{"file": b"content"}])
SIGNED = json.dumps({"critical": {"image": {"docker-manifest-digest": APP.digest}}}).encode()
SIGNATURE = packed(
    OCI_MANIFEST,
    Blob(b"{}", "application/vnd.oci.image.config.v1+json"),
    [Blob(SIGNED, "application/vnd.dev.cosign.simplesigning.v1+json")],
    of_layer={"dev.cosignproject.cosign/signature": "MEUCIQ=="},
)
BUNDLE = artifact(
    "application/vnd.dev.sigstore.bundle.v0.3+json",
    [Blob(b'{"bundle": 1}', "application/vnd.dev.sigstore.bundle.v0.3+json")],
    subject=APP,
)


def tag_of(manifest: Manifest, suffix: str = "") -> str:
    return manifest.digest.replace(":", "-") + suffix


@pytest.fixture(params=["trio", "asyncio"])
def registry(request: pytest.FixtureRequest) -> Iterator[LocalRegistry]:
    runtime: RuntimeName = request.param
    tags = {
        "library/llama": {"8b": LLAMA},
        "charts/app": {"1.2.3_b1": CHART, "1.2.2": CHART},
        "team/app": {"1": APP},
    }
    with local_registry(tags, runtime=runtime) as made:
        yield made


def port_of(registry: LocalRegistry) -> int:
    return int(registry.url.rpartition(":")[2])


def pulls(registry: LocalRegistry, blob: Blob) -> int:
    wanted = f"/blobs/{blob.digest}"
    asked = registry.upstream.requests
    return sum(r.method == "GET" and r.path.endswith(wanted) for r in asked)


def test_ollama_pulls_a_model_in_parts_side_by_side(registry: LocalRegistry) -> None:
    client = Ollama(port_of(registry), 100_000)
    tree = client.manifest("library/llama", "8b")
    for part, entry in zip(PARTS, tree["layers"], strict=True):
        assert client.blob("library/llama", entry["digest"]) == part.data
    assert client.statuses == {206}
    # Not once a part: a transfer is given up when its only reader goes early, and begun again.
    assert pulls(registry, MODEL) < 6
    registry.upstream.stop()
    again = Ollama(port_of(registry), 1_000_000)
    assert again.manifest("library/llama", "8b") == tree
    assert again.blob("library/llama", MODEL.digest) == MODEL.data


def test_ollama_goes_on_where_an_earlier_pull_ended(registry: LocalRegistry) -> None:
    client = Ollama(port_of(registry), 100_000)
    half = MODEL.data[: len(MODEL.data) // 2]
    assert client.blob("library/llama", MODEL.digest, half) == MODEL.data
    assert client.statuses == {206}


def test_ollama_s_parts_survive_an_upstream_that_breaks_off(registry: LocalRegistry) -> None:
    with registry.upstream.cut(f"*/blobs/{MODEL.digest}", after=1_000_000, times=1) as cut:
        client = Ollama(port_of(registry), 100_000)
        assert client.blob("library/llama", MODEL.digest) == MODEL.data
        assert cut.applied == 1


def test_a_part_is_there_before_the_whole_is(registry: LocalRegistry) -> None:
    with registry.upstream.hold(f"*/blobs/{MODEL.digest}", after=1_500_000) as held:
        client = Ollama(port_of(registry), 250_000)
        path = f"/v2/library/llama/blobs/{MODEL.digest}"
        early = ask(client.port, path, headers={"Range": "bytes=0-99999"})
        held.wait(1)
        assert early.body == MODEL.data[:100_000]
    assert client.blob("library/llama", MODEL.digest) == MODEL.data


def test_helm_pulls_a_chart_and_lists_its_versions(registry: LocalRegistry) -> None:
    port = port_of(registry)
    listing = ask(port, "/v2/charts/app/tags/list")
    assert json.loads(listing.body)["tags"] == ["1.2.2", "1.2.3_b1"]
    got = resolve(port, "charts/app", "1.2.3_b1")
    assert got.headers["content-type"] == OCI_MANIFEST
    assert got.body == CHART.body
    tree = json.loads(got.body)
    for descriptor, blob in zip((tree["config"], *tree["layers"]), CHART.blobs, strict=True):
        assert fetch(port, "charts/app", descriptor) == blob.data
    registry.upstream.stop()
    assert resolve(port, "charts/app", "1.2.3_b1").body == CHART.body


def test_helm_is_told_that_a_version_is_not_there(registry: LocalRegistry) -> None:
    assert resolve(port_of(registry), "charts/app", "9.9.9").status == 404


def test_cosign_finds_a_signature_by_its_tag_as_soon_as_it_is_pushed(
    registry: LocalRegistry,
) -> None:
    port = port_of(registry)
    assert resolve(port, "team/app", "1").body == APP.body
    name = tag_of(APP, ".sig")
    assert resolve(port, "team/app", name).status == 404
    registry.upstream.push("team/app", SIGNATURE, name)
    (layer,) = json.loads(resolve(port, "team/app", name).body)["layers"]
    assert layer["annotations"] == {"dev.cosignproject.cosign/signature": "MEUCIQ=="}
    assert fetch(port, "team/app", layer) == SIGNED
    registry.upstream.stop()
    assert resolve(port, "team/app", name).body == SIGNATURE.body


def test_cosign_finds_bundles_by_the_referrers_api(registry: LocalRegistry) -> None:
    port = port_of(registry)
    registry.upstream.push("team/app", BUNDLE)
    kind = "application%2Fvnd.dev.sigstore.bundle.v0.3%2Bjson"
    for query in ("", f"?artifactType={kind}"):
        answer = ask(port, f"/v2/team/app/referrers/{APP.digest}{query}")
        assert answer.status == 200
        (entry,) = json.loads(answer.body)["manifests"]
        assert entry["digest"] == BUNDLE.digest
        assert entry["artifactType"] == BUNDLE.artifact_type
    manifest = ask(port, f"/v2/team/app/manifests/{BUNDLE.digest}")
    (layer,) = json.loads(manifest.body)["layers"]
    assert fetch(port, "team/app", layer) == b'{"bundle": 1}'


def test_where_upstream_has_no_referrers_api_the_fallback_tag_is_passed_on(
    registry: LocalRegistry,
) -> None:
    """distribution-spec, Referrers Tag Schema: 404 sends clients to the tag."""
    port = port_of(registry)
    listing = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [BUNDLE.descriptor],
    }
    index = Manifest(json.dumps(listing).encode(), str(listing["mediaType"]), children=(BUNDLE,))
    registry.upstream.push("team/app", index, tag_of(APP))
    with registry.upstream.fail("*/referrers/*", status=404):
        answer = ask(port, f"/v2/team/app/referrers/{APP.digest}")
        assert answer.status == 404
        assert b"NAME_UNKNOWN" not in answer.body
        assert resolve(port, "team/app", tag_of(APP)).body == index.body
        assert resolve(port, "team/app", BUNDLE.digest).body == BUNDLE.body
