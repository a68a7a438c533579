"""`verify` and `import`: bytes on disk, right or wrong."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from distcache.commands import keeping
from distcache.core.oci import Digest
from distcache.store import Store, StoreError
from distcache.testing.runtimes import RUNTIMES, RuntimeName
from tests.adapters.blocking import Client
from tests.commands.shop import NEW, OLD, SHARED, Shop
from tests.operations.old_registry import Old
from tests.support.origin import Item

LAYER = Item(OLD, "").digest


def spoil(shop: Shop, digest: str) -> None:
    """One byte is another, as a bad disk has it."""
    path = shop.blob(digest)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_verify_finds_nothing_where_all_is_well(anyhow: Shop) -> None:
    said = anyhow.ask("verify")
    held = anyhow.ask("du")
    assert (said["checked"], said["bytes"]) == (held["stored_blobs"], held["stored_bytes"])
    assert (said["wrong"], said["dropped"]) == ([], [])
    done = anyhow.run("verify")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.endswith("; 0 wrong\n")
    assert done.stdout.count("\n") == 1


def test_verify_drops_what_rotted_and_it_is_fetched_again(shop: Shop) -> None:
    with shop.running():
        spoil(shop, LAYER)
        dry = shop.run("verify", "--dry-run", "--json")
        assert dry.exit_code == 1
        assert json.loads(dry.stdout)["wrong"] == [LAYER]
        assert shop.blob(LAYER).exists()
        done = shop.run("verify")
        assert done.exit_code == 1
        assert f"wrong: {LAYER}, dropped\n" in done.stdout
        assert shop.ask("warm", "old:1")["images"][0]["blobs"] == 3
        shop.settle()
        assert shop.blob(LAYER).read_bytes() == OLD
        assert shop.ask("verify")["wrong"] == []


def test_verify_says_which_wrong_file_stays_as_the_server_does_not_know_it(anyhow: Shop) -> None:
    """A server learns at its start what its directory holds."""
    strange = Item(b"strange", "").digest
    anyhow.blob(strange).write_bytes(b"something else")
    spoil(anyhow, LAYER)
    done = anyhow.run("verify")
    assert done.exit_code == 1
    served = anyhow.blob(strange).exists()
    fate = "stays: the server does not know it; stop it and verify again" if served else "dropped"
    assert f"wrong: {LAYER}, dropped\n" in done.stdout
    assert f"wrong: {strange}, {fate}\n" in done.stdout
    again = anyhow.run("verify", "--json")
    wrong = [strange] if served else []
    assert again.exit_code == len(wrong)
    told = json.loads(again.stdout)
    assert (told["wrong"], told["dropped"]) == (wrong, [])


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_verify_drops_what_is_just_being_sent_and_the_next_one_is_sent_the_right_bytes(
    shop: Shop, runtime: RuntimeName
) -> None:
    """Whoever is being sent it has the file open, and gets it to its end."""
    large = b"l" * 32 * 1024 * 1024
    digest = Item(large, "").digest
    shop.upstream.add_image("library/large", "1", [large])
    with shop.running(runtime):
        shop.ask("warm", "large:1")
        shop.settle()
        with Client.to(shop.port) as slow, Client.to(shop.port) as quick:
            path = f"/v2/library/large/blobs/{digest}"
            slow.ask(path)
            assert slow.head().status == 200
            spoil(shop, digest)
            done = shop.run("verify")
            assert f"wrong: {digest}, dropped\n" in done.stdout
            assert done.exit_code == 1
            fresh = quick.get(path)
            assert "fwd=" in fresh.headers["cache-status"]
            assert fresh.body == large
            assert len(slow.take(len(large))) == len(large)
        shop.settle()
        assert shop.ask("verify")["wrong"] == []


def test_verify_says_which_wrong_file_stays(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(store: Store, digest: Digest) -> int:
        raise StoreError("a disk that takes nothing")

    monkeypatch.setattr(keeping, "DELETED_WITHIN", 0.0)
    monkeypatch.setattr(Store, "delete", refuse)
    with shop.running():
        spoil(shop, LAYER)
        done = shop.run("verify")
    fate = "stays: it is being fetched, or cannot be deleted; verify again later"
    assert f"wrong: {LAYER}, {fate}\n" in done.stdout
    assert done.exit_code == 1


def test_verify_mends_a_store_without_a_server(shop: Shop) -> None:
    spoil(shop, LAYER)
    assert shop.run("verify").exit_code == 1
    assert not shop.blob(LAYER).exists()
    assert shop.ask("verify")["wrong"] == []


def test_verify_says_what_is_wrong_even_if_nobody_can_be_told_to_drop_it(shop: Shop) -> None:
    shop.configure(debug=False)
    with shop.running():
        spoil(shop, LAYER)
        done = shop.run("verify")
        assert done.exit_code == 1
        assert f"wrong: {LAYER}" in done.stdout + done.stderr
        assert "http.debug.addr" in done.stderr
        assert shop.blob(LAYER).exists()


@pytest.fixture
def old(tmp_path: Path) -> Old:
    made = Old(tmp_path / "registry")
    made.image("team/app", "1", [SHARED, OLD])
    made.image("team/app", "2", [SHARED, NEW])
    made.image("deep/er/and/deeper", "latest", [b"alone"])
    return made


def test_import_says_what_came_and_a_pull_finds_it(old: Old, shop: Shop) -> None:
    shutil.rmtree(shop.store)
    said = shop.ask("import", old.root)
    assert (said["repositories"], said["tags"], said["left_out"]) == (2, 3, [])
    assert said["linked"] == said["blobs"]
    assert [image["name"] for image in shop.ask("ls")["images"]] == [
        "docker.io/deep/er/and/deeper:latest",
        "docker.io/team/app:1",
        "docker.io/team/app:2",
    ]
    assert shop.ask("verify")["wrong"] == []
    again = shop.ask("import", old.root)
    assert (again["blobs"], again["tags"]) == (0, 3)


def test_import_leaves_alone_what_upstream_was_asked_about_later(old: Old, shop: Shop) -> None:
    """The shop has pulled `library/old:1` lately; the registry has another by that name."""
    old.image("library/old", "1", [b"another"])
    (before,) = shop.ask("ls", "docker.io/library/old")["images"]
    assert shop.ask("import", old.root)["kept"] == 1
    (after,) = shop.ask("ls", "docker.io/library/old")["images"]
    assert after == before | {"alone": after["alone"]}, "layers came that it shares now"
    said = shop.run("import", old.root).stdout
    assert "1 tags stay as they are: upstream was asked about them later" in said


def test_import_of_another_upstreams_content(old: Old, shop: Shop) -> None:
    shop.ask("import", old.root, "--upstream", "ghcr.io")
    assert len(shop.ask("ls", "ghcr.io")["images"]) == 3


def test_import_names_what_it_leaves_out(old: Old, shop: Shop) -> None:
    old.path(LAYER).write_bytes(b"something else")
    done = shop.run("import", old.root, "--json")
    assert done.exit_code == 0, "what is held already is not read again"
    shutil.rmtree(shop.store)
    done = shop.run("import", old.root)
    assert done.exit_code == 1
    assert f"left out: {old.path(LAYER)}: " in done.stdout
    assert "2 repositories, 3 tags" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("import", "/nonexistent"), "holds no docker/registry/v2"),
        (("import", "/nonexistent", "--upstream", "quay.io"), "quay.io is not an upstream"),
        (("import",), "Missing argument"),
    ],
)
def test_wrong_usage_of_import(shop: Shop, words: tuple[str, ...], message: str) -> None:
    done = shop.run(*words)
    assert done.exit_code == 2
    assert message in done.stderr


def test_import_into_a_store_that_is_served_is_refused(old: Old, shop: Shop) -> None:
    with shop.running():
        before = shop.ask("ls")
        done = shop.run("import", old.root)
        assert (done.exit_code, done.stdout) == (1, "")
        assert "stop it first" in done.stderr
        assert shop.ask("ls") == before


@contextmanager
def killed_once(reached: Callable[[], bool], shop: Shop, *words: str | Path) -> Iterator[None]:
    """The command, as a process that is killed as soon as `reached`, or that ends before."""
    command = [sys.executable, "-m", "distcache", *map(str, words), "--config", str(shop.config)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and not reached():
            pass
        process.send_signal(signal.SIGKILL)
    yield


def test_an_import_that_is_killed_is_taken_up_again(old: Old, shop: Shop) -> None:
    shutil.rmtree(shop.store)
    parts = [f"part {number}".encode() * 1000 for number in range(100)]
    old.image("many", "1", parts)
    blobs = shop.store / "blobs" / "sha256"
    with killed_once(lambda: blobs.is_dir() and any(blobs.iterdir()), shop, "import", old.root):
        assert shop.ask("verify")["wrong"] == []
        held = shop.ask("du")["stored_blobs"]
        assert shop.ask("import", old.root)["blobs"] + held == len(list(blobs.iterdir()))
        assert shop.ask("why", "docker.io/many/x:1")["held"] is False
        assert shop.ask("verify")["checked"] > len(parts)


def test_a_prune_that_is_killed_leaves_records_and_files_that_agree(old: Old, shop: Shop) -> None:
    for number in range(20):
        old.image(f"many/{number}", "1", [f"{number} {part}".encode() for part in range(5)])
    shop.ask("import", old.root)
    blobs = shop.store / "blobs" / "sha256"
    before = len(list(blobs.iterdir()))
    assert before > 20 * 5

    def begun() -> bool:
        return len(list(blobs.iterdir())) < before

    with killed_once(begun, shop, "prune", "--max-size", "0"):
        held = shop.ask("du")
        files = [path for path in blobs.iterdir() if path.is_file()]
        assert held["stored_blobs"] == len(files) < before
        assert held["stored_bytes"] == sum(path.stat().st_size for path in files)
        assert shop.ask("verify")["wrong"] == []
        shop.ask("prune", "--max-size", "0")
        assert shop.ask("du")["stored_bytes"] == 0
