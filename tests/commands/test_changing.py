"""`pin`, `unpin`, `forget`, `prune`: a server does what its store alone would."""

import pytest

from tests.commands.shop import OLD, SHARED, Shop
from tests.support.origin import Item

LAYER = Item(OLD, "").digest


def pinned(shop: Shop) -> list[str]:
    return [image["tag"] for image in shop.ask("ls")["images"] if image["pinned"]]


def names(shop: Shop) -> list[str]:
    return [image["repository"] for image in shop.ask("ls")["images"]]


def test_a_pin_keeps_and_outlives_the_server(anyhow: Shop) -> None:
    assert anyhow.ask("pin", "old:1") == {"ref": "old:1", "pinned": True}
    assert anyhow.run("ls").stdout.splitlines()[2].endswith("pinned ")
    assert anyhow.ask("prune", "--max-size", "0")["bytes"] > 0
    assert names(anyhow) == ["docker.io/library/old"]
    assert anyhow.ask("unpin", "old:1") == {"ref": "old:1", "pinned": False}
    anyhow.ask("prune", "--max-size", "0")
    assert names(anyhow) == []
    assert anyhow.ask("du")["stored_bytes"] == 0


def test_a_pin_that_a_server_took_is_in_the_store(shop: Shop) -> None:
    with shop.running():
        assert shop.run("pin", "old:1").stdout == "old:1 is pinned\n"
    assert pinned(shop) == ["1"]
    with shop.running("trio"):
        assert pinned(shop) == ["1"]
        assert shop.run("unpin", "old:1").stdout == "old:1 is not pinned\n"
    assert pinned(shop) == []


def test_a_forgotten_tag_is_asked_for_again(anyhow: Shop) -> None:
    assert anyhow.ask("forget", "old:1") == {"ref": "old:1", "forgotten": True}
    assert "is asked" in anyhow.ask("why", "old:1")["answer"]
    assert names(anyhow) == ["docker.io/library/new"]
    assert anyhow.blob(LAYER).exists()


def test_a_forgotten_repository_may_serve_nothing(anyhow: Shop) -> None:
    assert anyhow.run("forget", "docker.io/library/old").exit_code == 0
    assert "must first say" in anyhow.ask("why", f"old@{LAYER}")["answer"]
    shared = Item(SHARED, "").digest
    assert anyhow.ask("why", f"old@{shared}")["granted"] == ["docker.io/library/new"]


def test_a_forgotten_digest_is_deleted(anyhow: Shop) -> None:
    assert anyhow.blob(LAYER).exists()
    before = anyhow.ask("du")["stored_blobs"]
    assert anyhow.run("forget", LAYER).stdout == f"{LAYER} is forgotten\n"
    assert anyhow.ask("du")["stored_blobs"] == before - 1


@pytest.mark.parametrize(
    "ref", ["old:2", "docker.io/library/none", "ghcr.io/library/old:1", f"sha256:{'0' * 64}"]
)
def test_there_is_nothing_to_forget_of_what_is_not_known(anyhow: Shop, ref: str) -> None:
    before = anyhow.ask("ls")
    done = anyhow.run("forget", ref)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == f"distcache: {ref} is not known: there is nothing to forget\n"
    assert anyhow.ask("ls") == before


@pytest.mark.parametrize("ref", ["old:1", "docker.io/library/old", LAYER])
def test_what_was_forgotten_is_not_there_to_be_forgotten_again(anyhow: Shop, ref: str) -> None:
    assert [anyhow.run("forget", ref).exit_code for _ in range(2)] == [0, 1]


def test_a_dry_run_deletes_nothing_and_says_what_would_go(anyhow: Shop) -> None:
    before = anyhow.ask("du")
    enough = f"{before['repositories'][0]['size']}B"
    dry = anyhow.ask("prune", "--max-size", enough, "--dry-run")
    assert dry["dry_run"]
    assert anyhow.ask("du") == before
    said = anyhow.run("prune", "--max-size", enough)
    assert said.stdout.startswith(f"{dry['blobs']} blobs, ")
    assert said.stdout.endswith("are deleted\n")
    assert before["stored_bytes"] - anyhow.ask("du")["stored_bytes"] == dry["bytes"]
    assert names(anyhow) == ["docker.io/library/new"]


def test_what_was_used_lately_is_not_too_old(anyhow: Shop) -> None:
    assert anyhow.ask("prune", "--older-than", "1h") == {"blobs": 0, "bytes": 0, "dry_run": False}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("prune",), "say --max-size, --older-than or both"),
        (("prune", "--max-size", "big"), "not a size like 10GB"),
        (("prune", "--max-size", "-1"), "not a size like 10GB"),
        (("prune", "--older-than", "old"), "not a duration"),
        (("pin", "old:-"), "not a tag"),
        (("unpin", "quay.io/a/b:1"), "not an upstream"),
        (("forget", "UPPER"), "not a repository's name"),
        (("forget",), "Missing argument"),
        (("pin", "old:1", "new:1"), "unexpected extra argument"),
    ],
)
def test_wrong_usage(anyhow: Shop, words: tuple[str, ...], message: str) -> None:
    before = anyhow.ask("du")
    done = anyhow.run(*words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr
    assert anyhow.ask("du") == before


def test_where_nothing_may_be_deleted_nothing_is_pruned(shop: Shop) -> None:
    text = shop.config.read_text().replace("storage:", "storage:\n  delete: {enabled: false}")
    shop.config.write_text(text)
    done = shop.run("prune", "--max-size", "0")
    assert done.exit_code == 1
    assert "storage.delete.enabled" in done.stderr
    assert len(names(shop)) == 2
