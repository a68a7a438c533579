"""Images of dictionaries are images: their archives unpack, their manifests say the truth, and
nothing about them depends on the machine."""

import gzip
import io
import json
import tarfile
from itertools import combinations
from typing import Any

import pytest

from distcache.core.oci import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from distcache.testing import Blob, Flavor, Manifest, artifact, image, index
from distcache.testing.images import digest_of

FILES = {"etc/hello": b"hi", "/bin/sh": b"#!" * 50_000}

GOLDEN_IMAGE = "sha256:7b3a86a59612ced3ea15df2d68489cbeb3adc807feb6e8090b3013fdf8d7f294"
GOLDEN_INDEX = "sha256:1a1c9613910066aa3ea3c79a16b1d57c373d3bba0b312970ee5841bc4fca9463"


def parsed(manifest: Manifest) -> Any:
    return json.loads(manifest.body)


def unpacked(layer: Blob) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(layer.data), mode="r:gz") as tar:
        return {name: tar.extractfile(name).read() for name in tar.getnames()}  # type: ignore[union-attr]


def test_a_layer_unpacks_to_its_files() -> None:
    _, layer, empty = image([FILES, {}]).blobs
    assert unpacked(layer) == {"etc/hello": b"hi", "bin/sh": b"#!" * 50_000}
    assert unpacked(empty) == {}


def test_digests_are_the_same_everywhere() -> None:
    """Whoever pins a digest in a test must find it with another Python and another zlib."""
    assert image([FILES]).digest == GOLDEN_IMAGE
    assert index([image([FILES])]).digest == GOLDEN_INDEX


@pytest.mark.parametrize(
    ("flavor", "types"),
    [
        (Flavor.OCI, (OCI_MANIFEST, "vnd.oci.image.config.v1+json", "tar+gzip")),
        (Flavor.DOCKER, (DOCKER_MANIFEST, "vnd.docker.container.image.v1+json", "tar.gzip")),
    ],
)
def test_a_manifest_describes_its_blobs(flavor: Flavor, types: tuple[str, str, str]) -> None:
    made = image([FILES, {"a": b"b"}], flavor=flavor, annotations={"k": "v"})
    body = parsed(made)
    assert (body["mediaType"], made.media_type) == (types[0], types[0])
    assert [body["config"], *body["layers"]] == [blob.descriptor for blob in made.blobs]
    assert body["config"]["mediaType"].endswith(types[1])
    assert all(layer["mediaType"].endswith(types[2]) for layer in body["layers"])
    assert body["annotations"] == {"k": "v"}
    for blob in made.blobs:
        assert blob.descriptor["digest"] == blob.digest == digest_of(blob.data)
        assert blob.descriptor["size"] == len(blob.data)


def test_a_config_names_the_unpacked_layers_and_the_platform() -> None:
    made = image([FILES, {}], platform="linux/arm/v7", config={"Cmd": ["/bin/sh"]})
    config, *layers = made.blobs
    body = json.loads(config.data)
    tars = [digest_of(gzip.decompress(layer.data)) for layer in layers]
    assert body["rootfs"] == {"type": "layers", "diff_ids": tars}
    assert len(body["history"]) == len(layers)
    assert body["config"] == {"Cmd": ["/bin/sh"]}
    assert (body["os"], body["architecture"], body["variant"]) == ("linux", "arm", "v7")


@pytest.mark.parametrize("platform", ["", "linux", "linux/", "linux/arm/v7/more"])
def test_a_platform_that_is_none_is_refused(platform: str) -> None:
    with pytest.raises(ValueError, match="a platform is"):
        image(platform=platform)


@pytest.mark.parametrize(
    ("flavor", "media_type"), [(Flavor.OCI, OCI_INDEX), (Flavor.DOCKER, DOCKER_LIST)]
)
def test_an_index_names_one_image_for_each_platform(flavor: Flavor, media_type: str) -> None:
    images = [image([FILES], platform=p, flavor=flavor) for p in ("linux/amd64", "linux/arm/v7")]
    signature = artifact("application/example")
    made = index([*images, signature], flavor=flavor, annotations={"k": "v"})
    body = parsed(made)
    assert body["mediaType"] == made.media_type == media_type
    assert [entry["digest"] for entry in body["manifests"]] == [c.digest for c in made.children]
    assert [entry.get("platform") for entry in body["manifests"]] == [
        {"os": "linux", "architecture": "amd64"},
        {"os": "linux", "architecture": "arm", "variant": "v7"},
        None,
    ]
    assert body["annotations"] == {"k": "v"}


def test_an_artifact_refers_to_its_subject() -> None:
    subject = image([FILES])
    parts = [Blob(b"one", "text/plain"), Blob(b"two", "text/plain")]
    made = artifact("application/example", parts, subject=subject, annotations={"k": "v"})
    body = parsed(made)
    assert body["subject"] == subject.descriptor
    assert made.subject == subject.digest
    assert body["artifactType"] == made.artifact_type == "application/example"
    assert body["layers"] == [part.descriptor for part in parts]
    assert body["config"]["mediaType"] == "application/vnd.oci.empty.v1+json"


def test_an_artifact_without_files_has_the_empty_one() -> None:
    body = parsed(artifact("application/example"))
    assert body["layers"] == [body["config"]]
    assert "subject" not in body


def test_whatever_differs_has_another_digest() -> None:
    base = image([FILES])
    made = [
        base,
        image([FILES, FILES]),
        image([dict(reversed(FILES.items()))]),
        image([FILES], platform="linux/arm64"),
        image([FILES], flavor=Flavor.DOCKER),
        image([FILES], config={"Env": ["a=b"]}),
        image([FILES], annotations={"k": "v"}),
        index([base]),
        index([base, base]),
        artifact("a/b"),
        artifact("a/b", subject=base),
    ]
    assert all(one.digest != other.digest for one, other in combinations(made, 2))
    assert image([FILES]) == base
