"""How commands fail: by one object where they are asked for JSON, with the same exit status and
nothing on standard output, and never by passing over what was said."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import Result

from tests.access.signing import key, lasting, write
from tests.commands.shop import Shop, run

NOT_DONE: list[tuple[list[str], int]] = [
    (["ls"], 1),
    (["why", "old:1"], 1),
    (["du"], 1),
    (["pin", "old:1"], 1),
    (["unpin", "old:1"], 1),
    (["forget", "old:1"], 1),
    (["prune", "--older-than", "1h"], 1),
    (["verify"], 1),
    (["import", "/nonexistent"], 2),
    (["warm"], 2),
    (["client-config", "docker", "--addr", "ftp://a"], 2),
    (["healthcheck", "--url", "ftp://a"], 2),
]
"""Where there is no store."""

COMMANDS = ["check", *(words[0] for words, _ in NOT_DONE)]
NAMED = {"why", "pin", "unpin", "forget"}


def errors(done: Result) -> list[dict[str, str | None]]:
    """All that was said."""
    assert done.stdout == ""
    told = json.loads(done.stderr)
    assert told.keys() == {"errors"}
    for one in told["errors"]:
        assert one.keys() == {"what", "where", "hint"}
        assert one["what"]
    found: list[dict[str, str | None]] = told["errors"]
    return found


@pytest.mark.parametrize(("words", "status"), NOT_DONE, ids=str)
def test_what_cannot_be_done_is_one_object_with_the_same_status(
    tmp_path: Path, words: list[str], status: int
) -> None:
    root = {"REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": str(tmp_path / "none")}
    plain, told = run(*words, **root), run(*words, "--json", **root)
    assert plain.exit_code == told.exit_code == status
    (error,) = errors(told)
    assert plain.stderr.startswith("distcache: ")
    for part in filter(None, error.values()):
        assert part in plain.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_configuration_is_told_place_by_place(shop: Shop, command: str) -> None:
    shop.config.write_text("version: 0.1\nproxi: {}\nhtpt: 1\n")
    words = [command, "docker" if command == "client-config" else "old:1"]
    if command in ("du", "ls", "prune", "verify", "healthcheck", "check"):
        words = [command, *(("--older-than", "1h") if command == "prune" else ())]
    done = shop.run(*words, "--json")
    assert done.exit_code == 2
    assert {one["where"] for one in errors(done)} >= {"$.proxi", "$.htpt"}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_command_line_is_told_with_where_to_look(command: str) -> None:
    done = run(command, "--json", "--no-such-option")
    assert done.exit_code == 2
    (error,) = errors(done)
    assert "--no-such-option" in str(error["what"])
    assert str(error["hint"]).endswith(f" {command} --help tells how")


def test_a_command_that_there_is_not_is_told(shop: Shop) -> None:
    done = run("fetch", "old:1", "--json")
    assert done.exit_code == 2
    (error,) = errors(done)
    assert "fetch" in str(error["what"])


def test_without_json_a_wrong_command_line_is_for_people() -> None:
    done = run("ls", "--no-such-option")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "Usage: " in done.stderr


def test_what_follows_two_dashes_is_no_option(tmp_path: Path) -> None:
    root = {"REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": str(tmp_path / "none")}
    assert run("ls", "--", "--json", **root).stderr.startswith("distcache: ")


@pytest.mark.parametrize(
    ("words", "as_json"), [(["--json", "-"], True), (["--json=-"], True), (["--json", "x"], False)]
)
def test_conformance_fails_as_its_report_would_have_come(words: list[str], as_json: bool) -> None:
    done = run("conformance", "http://127.0.0.1:1", *words)
    assert done.exit_code == 3
    if as_json:
        (error,) = errors(done)
        assert "http://127.0.0.1:1" in str(error["what"])
    else:
        assert done.stderr.startswith("distcache: http://127.0.0.1:1")


class TestAuthority:
    """`--cacert`, for a cache whose certificate somebody signed whom nobody here knows."""

    @pytest.fixture
    def authority(self, shop: Shop) -> Iterator[Path]:
        signer = lasting("authority", key("ES256", 1), authority=True)
        shown = lasting("cache", key("ES256"), signer, address="127.0.0.1")
        own = write(shop.directory / "own.pem", shown)
        shop.http["tls"] = {"certificate": str(own), "key": str(own)}
        shop.configure()
        path = write(shop.directory / "ca.pem", signer)
        with shop.running():
            yield path

    @pytest.mark.parametrize("words", [["healthcheck", "--url"], ["warm", "old:1", "--url"]])
    def test_who_signed_it_is_trusted_where_that_is_said(
        self, shop: Shop, authority: Path, words: list[str]
    ) -> None:
        url = f"https://127.0.0.1:{shop.port}"
        assert shop.run(*words, url).exit_code == 1
        assert shop.run(*words, url, "--cacert", authority).exit_code == 0
        assert shop.run(*words, url, SSL_CERT_FILE=str(authority)).exit_code == 0

    def test_conformance_reaches_it(self, shop: Shop, authority: Path) -> None:
        words = ["conformance", f"https://127.0.0.1:{shop.port}", "--only", "base-ping"]
        words += ["--repository", "library/old", "--tag", "1"]
        assert run(*words).exit_code == 3
        assert run(*words, "--cacert", authority).exit_code == 0

    @pytest.mark.parametrize(
        ("words", "where", "what"),
        [
            (["--cacert", "{ca}"], "--cacert", "of no use without --url"),
            (["--url", "https://a", "--cacert", "/none"], "--cacert", "No such file"),
            (["--url", "https://a", "--cacert", "{config}"], "--cacert", "no certificate in PEM"),
            (["--url", "http://a", "--cacert", "{ca}"], "--cacert", "http://a is plain HTTP"),
            (["--url", "http://a", "--cert", "{own}"], "--cert", "http://a is plain HTTP"),
            (["--url", "http://a", "--key", "{own}"], "--key", "http://a is plain HTTP"),
        ],
    )
    @pytest.mark.parametrize("command", [["healthcheck"], ["warm", "old:1"]])
    def test_what_would_have_no_effect_is_said(
        self,
        shop: Shop,
        authority: Path,
        command: list[str],
        words: list[str],
        where: str,
        what: str,
    ) -> None:
        shop.configure(debug=False)
        files = {"ca": authority, "own": shop.directory / "own.pem", "config": shop.config}
        said = [word.format(**files) for word in words]
        done = shop.run(*command, *said, "--json")
        assert done.exit_code == 2
        (error,) = errors(done)
        assert error["where"] == where
        assert what in str(error["what"])

    @pytest.mark.parametrize("option", ["--cert", "--key", "--cacert"])
    def test_the_debug_listener_is_shown_nothing(
        self, shop: Shop, authority: Path, option: str
    ) -> None:
        done = shop.run("healthcheck", option, authority)
        assert (done.exit_code, done.stdout) == (2, "")
        assert f"{option}: of no use: http://{shop.debug}/readyz is plain HTTP" in done.stderr

    def test_conformance_says_it_too(self, authority: Path) -> None:
        done = run("conformance", "http://127.0.0.1:1", "--cacert", authority)
        assert done.exit_code == 2
        assert "--cacert: of no use" in done.stderr
