"""`ls`, `why`, `du`: the same words from a server and from its store."""

import pytest

from tests.commands.shop import IN_BOTH, NEW, OLD, SHARED, Shop
from tests.support.origin import Item

LAYER = Item(SHARED, "").digest


def test_ls_names_every_tag_whole(anyhow: Shop) -> None:
    done = anyhow.run("ls")
    assert done.exit_code == 0
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["tag", "digest", "size", "last", "used", "checked"]
    assert [row.split()[0] for row in rows] == [
        "docker.io/library/new:1",
        "docker.io/library/old:1",
    ]


def test_ls_as_json(anyhow: Shop) -> None:
    new, old = anyhow.ask("ls")["images"]
    assert (new["name"], old["name"]) == ("docker.io/library/new:1", "docker.io/library/old:1")
    assert new["held"]
    assert not new["pinned"]
    assert new["size"] - new["alone"] == IN_BOTH
    assert new["alone"] - old["alone"] == len(NEW) - len(OLD)
    assert new["checked"] <= new["used"]


@pytest.mark.parametrize(
    ("name", "tags"),
    [
        ("docker.io", 2),
        ("docker.io/library", 2),
        ("docker.io/library/old", 1),
        ("docker.io/library/old/", 1),
        ("index.docker.io/library", 2),
        ("library", 2),
        ("library/old", 1),
        ("old", 1),
        ("docker.io/old", 1),
        ("docker.io/lib", 0),
        ("lib", 0),
        ("ghcr.io", 0),
    ],
)
def test_ls_and_du_of_what_is_below_a_name(shop: Shop, name: str, tags: int) -> None:
    assert len(shop.ask("ls", name)["images"]) == tags
    assert len(shop.ask("du", name)["repositories"]) == tags


def test_du_counts_a_shared_layer_for_each_and_the_store_once(anyhow: Shop) -> None:
    said = anyhow.ask("du")
    new, old = said["repositories"]
    assert new["repository"] == "docker.io/library/new"
    assert said["stored_bytes"] == new["size"] + old["size"] - IN_BOTH
    held = [path for path in (anyhow.store / "blobs" / "sha256").iterdir() if path.is_file()]
    assert said["stored_blobs"] == len(held)
    assert said["stored_bytes"] == sum(path.stat().st_size for path in held)
    last = anyhow.run("du").stdout.splitlines()[-1]
    assert last.startswith(f"{said['stored_blobs']} blobs, ")


def test_why_a_tag_that_is_held(anyhow: Shop) -> None:
    said = anyhow.ask("why", "old:1")
    assert said["state"] == "stale"
    assert said["held"]
    assert said["granted"] == ["docker.io/library/old"]
    done = anyhow.run("why", "old:1")
    assert done.exit_code == 0
    assert "asked whether the tag has moved" in done.stdout.splitlines()[0]
    # Whole, however narrow a terminal would be.
    assert said["digest"] in done.stdout


@pytest.mark.parametrize(
    ("ref", "answer"),
    [
        ("old:2", "is not held: docker.io is asked"),
        ("ghcr.io/a/b:1", "is not held: ghcr.io is asked"),
        (f"old@{LAYER}", "is served from disk, without asking upstream"),
        (f"ghcr.io/a/b@{LAYER}", "must first say that this repository has it"),
    ],
)
def test_why_of_anything_else(anyhow: Shop, ref: str, answer: str) -> None:
    assert answer in anyhow.ask("why", ref)["answer"]
    done = anyhow.run("why", ref)
    assert done.exit_code == 0
    assert answer in done.stdout


def test_why_a_tag_that_upstream_has_not(shop: Shop) -> None:
    with shop.running():
        assert shop.run("warm", "none:1").exit_code == 1
        assert "404: docker.io said so" in shop.ask("why", "none:1")["answer"]


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("quay.io/a/b:1", "quay.io is not an upstream of this cache"),
        ("old:-", "not a tag: '-'"),
        ("old@sha256:0", "not a sha256 or sha512 digest"),
        ("UPPER:1", "not a repository's name"),
        ("../../etc/passwd", ".. is not an upstream"),
        ("[bold]x[/bold]", "not a repository's name"),
        ("old:1\x1b[31m", "not a tag"),
        (LAYER, "a repository with a digest"),
        ("", "say ref"),
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(anyhow: Shop, ref: str, message: str) -> None:
    done = anyhow.run("why", ref)
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.isascii()
    assert "\x1b" not in done.stderr
