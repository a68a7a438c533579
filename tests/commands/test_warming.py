"""`warm`: what it fetches, what it says, and how it ends."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from distcache.testing import LocalRegistry, Manifest, artifact, image, index, local_registry
from tests.commands.shop import Shop, run

AMD, ARM, V7 = (
    image([{"file": name.encode()}], platform=f"linux/{name}")
    for name in ("amd64", "arm64/v8", "arm/v7")
)
MANY = index([AMD, ARM, V7])
SIGNATURE = artifact("application/vnd.example.signature", subject=ARM)
TAGS: dict[str, Manifest] = {"1": MANY, ARM.digest.replace(":", "-") + ".sig": SIGNATURE}


def asked(registry: LocalRegistry) -> set[str]:
    """The digests that came from upstream."""
    paths = (request.path for request in registry.upstream.requests if request.method == "GET")
    return {path.rpartition("/")[2] for path in paths}


def test_only_the_wanted_platform_is_fetched_with_its_signature() -> None:
    with local_registry({"team/app": TAGS}) as registry:
        done = run("warm", "team/app:1", "--platform", "linux/arm64", "--url", registry.url)
        assert done.exit_code == 0, done.output
        assert done.stdout.startswith("team/app:1: ")
        came = asked(registry)
    assert {ARM.digest, *(blob.digest for blob in ARM.blobs)} <= came
    assert {blob.digest for blob in SIGNATURE.blobs} <= came
    others = {AMD.digest, V7.digest}
    others |= {blob.digest for child in (AMD, V7) for blob in child.blobs}
    assert not came & (others - {blob.digest for blob in ARM.blobs})


@pytest.mark.parametrize(
    ("options", "manifests"),
    [
        (("--all-platforms",), 3),
        (("--platform", "linux/amd64", "--platform", "linux/arm/v7"), 2),
        (("--platform", "linux/arm/v7"), 1),
    ],
)
def test_platforms_are_chosen(options: tuple[str, ...], manifests: int) -> None:
    with local_registry({"team/app": {"1": MANY}}) as registry:
        assert run("warm", "team/app:1", *options, "--url", registry.url).exit_code == 0
        children = {child.digest for child in MANY.children}
        assert len(asked(registry) & children) == manifests


def test_an_image_for_none_of_the_wanted_platforms_is_a_failure() -> None:
    with local_registry({"team/app": {"1": MANY}}) as registry:
        done = run("warm", "team/app:1", "--platform", "linux/s390x", "--url", registry.url)
        assert done.exit_code == 1
        assert "for other platforms: linux/amd64, linux/arm/v7, linux/arm64/v8" in done.stdout


def test_a_list_is_warmed_as_far_as_can_be(shop: Shop, tmp_path: Path) -> None:
    images = tmp_path / "images.txt"
    images.write_text("# ours\nold:1\n\n  new:1  # the next one\nnone:1\nquay.io/a/b:1\n")
    with shop.running():
        done = shop.run("warm", "-f", images)
    assert done.exit_code == 1
    old, new, none, quay = done.stdout.splitlines()
    assert old.startswith("old:1: 3 blobs, ")
    assert new.startswith("new:1: 3 blobs, ")
    assert none.startswith("failed: none:1: ")
    assert "404" in none
    assert quay == "failed: quay.io/a/b:1: quay.io is not an upstream of this cache"


def test_warm_again_asks_upstream_for_no_content() -> None:
    with local_registry({"team/app": TAGS}) as registry:
        assert run("warm", "team/app:1", "--all-platforms", "--url", registry.url).exit_code == 0
        registry.upstream.forget()
        assert run("warm", "team/app:1", "--all-platforms", "--url", registry.url).exit_code == 0
        assert not any("/blobs/" in request.path for request in registry.upstream.requests)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "say which images, or give a file of them"),
        (("-f", "/nonexistent"), "/nonexistent: No such file"),
        (("-f", sys.executable), "not UTF-8"),
        (("a:1", "--platform", "linux"), "not a platform like linux/arm64: 'linux'"),
        (("a:1", "--url", "ftp://127.0.0.1"), "not a URL like http://127.0.0.1:5000"),
        (("a:1", "--url", "http://127.0.0.1:99999"), "Port out of range"),
        (("a:1", "--url", "http://"), "not a URL like"),
        (("a:1", "--url", "http://a b"), "not a URL like"),
    ],
)
def test_wrong_usage(shop: Shop, words: tuple[str, ...], message: str) -> None:
    done = shop.run("warm", *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("old:1",), "Connection refused"),
        (("old:1", "--url", "127.0.0.1:1"), "Connection refused"),
        (("[red]:1",), "not a repository's name"),
        ((f"sha256:{'0' * 64}",), "give a repository, not a digest alone"),
    ],
)
def test_what_fails_is_said_of_each_image(shop: Shop, words: tuple[str, ...], message: str) -> None:
    """Nothing listens: no server runs."""
    done = shop.run("warm", *words)
    assert done.exit_code == 1
    assert done.stdout.startswith(f"failed: {words[0]}: ")
    assert message in done.stdout
    failed = shop.run("warm", *words, "--json")
    assert failed.exit_code == 1
    assert '"error": ' in failed.stdout


def test_an_interrupt_waits_for_no_transfer() -> None:
    with (
        local_registry({"team/app": {"1": AMD}}) as registry,
        registry.upstream.hold("*/blobs/*", after=1) as held,
    ):
        command = [sys.executable, "-m", "distcache", "warm", "team/app:1", "--url", registry.url]
        with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
            held.wait(1, patience=60)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == -signal.SIGINT
            assert process.stderr is not None
            assert process.stderr.read() == b""
