"""The images every test of this directory pulls, all in repositories under `library/`,
because docker's registry mirrors only serve those."""

from functools import cached_property

from attrs import define

from distcache.core.oci import DOCKER_LIST, OCI_INDEX
from tests.interop.images import (
    DOCKER,
    KIB,
    MIB,
    OCI,
    OCI_ZSTD,
    Manifest,
    artifact,
    fallback_index,
    fallback_tag,
    image,
    index,
    push,
)

SMALL = (KIB, 64 * KIB, MIB, 5 * MIB)
LARGE = (KIB, 3 * MIB, 100 * MIB)


@define(slots=False)
class Catalog:
    """Builds on first use; `push_all` puts everything into a registry, tagged `latest`."""

    @cached_property
    def images(self) -> dict[str, Manifest]:
        """By repository."""
        multi = {arch: image(f"multi-{arch}", SMALL[:3], OCI, arch) for arch in PLATFORMS}
        listed = {arch: image(f"list-{arch}", SMALL[:3], DOCKER, arch) for arch in PLATFORMS}
        return {
            "library/oci": image("oci", SMALL, OCI),
            "library/docker": image("docker", SMALL, DOCKER),
            "library/zstd": image("zstd", SMALL, OCI_ZSTD),
            "library/multi": index(OCI_INDEX, multi),
            "library/multidocker": index(DOCKER_LIST, listed),
            "library/large": image("large", LARGE, OCI),
        }

    @cached_property
    def artifact(self) -> Manifest:
        """Refers to `library/oci`, and lies in that repository."""
        return artifact(self.images["library/oci"])

    def push_all(self, port: int) -> None:
        for repository, manifest in self.images.items():
            push(port, repository, "latest", manifest)
        subject = self.images["library/oci"]
        push(port, "library/oci", fallback_tag(subject), fallback_index(self.artifact))


PLATFORMS = ("amd64", "arm64", "s390x")
