"""`distcache import` of what a real docker-registry has on disk, filled by skopeo."""

import json
from pathlib import Path

from distcache.testing import Flavor, Manifest, artifact, image, index, local_registry
from tests.commands.shop import Shop
from tests.interop.clients import digests_of_files, run
from tests.interop.tools import need
from tests.interop.upstream import registry_server
from tests.support.origin import Origin

APP = image([{"etc/hello": b"hi"}, {"usr/lib/large": bytes(range(256)) * 4000}])
OLD_APP = image([{"etc/hello": b"hi"}], flavor=Flavor.DOCKER)
MANY = index([image([{"of": one.encode()}], platform=f"linux/{one}") for one in ("amd64", "arm64")])
CHART = artifact("application/vnd.cncf.helm.config.v1+json")
IMAGES: dict[str, dict[str, Manifest]] = {
    "library/app": {"2": APP, "1": OLD_APP},
    "team/with/parts": {"latest": MANY},
    "charts/app": {"1.0.0": CHART},
}
COPY = ["skopeo", "--insecure-policy", "copy", "--all", "--src-tls-verify=false"]


def everything(manifest: Manifest) -> set[str]:
    children = [everything(child) for child in manifest.children]
    return {manifest.digest, *(blob.digest for blob in manifest.blobs)}.union(*children)


def test_what_docker_registry_stored_is_served_without_any_upstream(tmp_path: Path) -> None:
    need("docker-registry", "skopeo")
    server = registry_server(tmp_path, tmp_path / "registry", {}, {})
    server.start()
    try:
        with local_registry(IMAGES) as source:
            for repository, tags in IMAGES.items():
                for tag in tags:
                    name = f"{repository}:{tag}"
                    where = [
                        f"docker://{source.host}/{name}",
                        f"docker://127.0.0.1:{server.port}/{name}",
                    ]
                    run([*COPY, "--dest-tls-verify=false", *where])
    finally:
        server.stop()

    # Nothing listens where the upstream is said to be.
    shop = Shop(tmp_path, Origin(1))
    shop.configure()
    said = shop.ask("import", tmp_path / "registry")
    assert said["left_out"] == []
    assert (said["repositories"], said["tags"]) == (3, 4)
    assert said["linked"] == said["blobs"]
    wanted = {
        digest for tags in IMAGES.values() for made in tags.values() for digest in everything(made)
    }
    assert said["blobs"] == len(wanted)
    assert shop.ask("verify")["wrong"] == []

    with shop.running():
        for repository, tags in IMAGES.items():
            for tag, made in tags.items():
                place = tmp_path / "pulled" / repository / tag
                place.parent.mkdir(parents=True, exist_ok=True)
                run([*COPY, f"docker://127.0.0.1:{shop.port}/{repository}:{tag}", f"dir:{place}"])
                files = (path for path in place.iterdir() if path.name != "version")
                assert digests_of_files(files) == everything(made)
    names = {image["name"] for image in shop.ask("ls")["images"]}
    assert names == {f"docker.io/{name}:{tag}" for name, tags in IMAGES.items() for tag in tags}
    assert json.loads((tmp_path / "pulled/team/with/parts/latest/manifest.json").read_bytes())
