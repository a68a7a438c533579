"""`client-config`, `check`, and what holds for every command: help, completion, JSON."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer.core
import typer.main

from distcache.cli import app
from distcache.operations.client_config import Client
from tests.commands.shop import Shop, run
from tests.operations.old_registry import Old

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "commands.md"
_GROUP = typer.main.get_command(app)
assert isinstance(_GROUP, typer.core.TyperGroup)
GROUP = _GROUP
COMMANDS = sorted(GROUP.commands)


@pytest.mark.parametrize("client", [client.value for client in Client])
def test_every_client_s_files_are_printed_with_their_paths(shop: Shop, client: str) -> None:
    done = shop.run("client-config", client, "--addr", "https://cache.example/")
    assert (done.exit_code, done.stderr) == (0, "")
    files = shop.ask("client-config", client, "--addr", "https://cache.example/")["files"]
    for file in files:
        assert f"# {file['path']}\n{file['text']}" in done.stdout
        assert "cache.example/" not in file["text"].replace("cache.example/ghcr.io", "")


def test_a_name_without_a_scheme_is_plain_http(shop: Shop) -> None:
    (file,) = shop.ask("client-config", "docker", "--addr", "10.0.0.7:5000")["files"]
    assert json.loads(file["text"])["registry-mirrors"] == ["http://10.0.0.7:5000"]


@pytest.mark.parametrize(
    ("addr", "url", "noted"),
    [
        ("127.0.0.1:5000", "http://127.0.0.1:5000", False),
        ("cache.example:80", "http://cache.example:80", False),
        ("[::1]:5000", "http://[::1]:5000", False),
        (":5000", "http://127.0.0.1:5000", True),
        ("0.0.0.0:5000", "http://127.0.0.1:5000", True),
        ("[::]:5000", "http://[::1]:5000", True),
    ],
)
def test_without_addr_it_is_where_the_server_listens(
    shop: Shop, addr: str, url: str, noted: bool
) -> None:
    shop.http["addr"] = addr
    shop.configure()
    done = shop.run("client-config", "docker", "--json")
    assert done.exit_code == 0
    (file,) = json.loads(done.stdout)["files"]
    assert json.loads(file["text"])["registry-mirrors"] == [url]
    assert ("--addr" in done.stderr) is noted


@pytest.mark.parametrize("words", [("fridge",), (), ("docker", "--addr", "ftp://a")])
def test_wrong_usage(shop: Shop, words: tuple[str, ...]) -> None:
    done = shop.run("client-config", *words)
    assert (done.exit_code, done.stdout) == (2, "")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_a_page_that_says_what_each_word_means(command: str) -> None:
    done = run(command, "--help", COLUMNS="100", NO_COLOR="1", TERM="dumb")
    assert done.exit_code == 0
    assert f"Usage: distcache {command}" in done.stdout.replace("root", "distcache")
    assert GROUP.commands[command].help
    for parameter in GROUP.commands[command].params:
        if parameter.name != "help":
            assert getattr(parameter, "help", None), (command, parameter.name)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_given_commands_and_options(shell: str) -> None:
    typed = {"COMP_WORDS": "distcache cli", "COMP_CWORD": "1"}
    typed |= {"_TYPER_COMPLETE_ARGS": "distcache cli", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    done = run(**typed, _DISTCACHE_COMPLETE=f"complete_{shell}")
    assert "client-config" in done.stdout


def shape(tree: Any) -> set[str]:
    """Every member's name, at any depth."""
    if isinstance(tree, dict):
        return set(tree).union(*map(shape, tree.values()))
    if isinstance(tree, list):
        return set().union(*map(shape, tree))
    return set()


def documented() -> dict[str, set[str]]:
    page = DOCUMENTATION.read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \| (.*) \|$", page.partition("## JSON")[2], re.MULTILINE)
    return {
        command: set(re.findall(r"`(\w+)`", members))
        for commands, members in rows
        for command in re.findall(r"`([\w-]+)`", commands)
    }


def test_json_is_as_documented(shop: Shop, tmp_path: Path) -> None:
    old = Old(tmp_path / "old")
    old.image("a/b", "1", [b"layer"])
    old.image("a/b", "2", [b"rotten"])
    (rotten,) = (path for path in old.root.rglob("data") if path.read_bytes() == b"rotten")
    rotten.write_bytes(b"else")
    shop.http["secret"] = "without a meaning here"
    shop.configure()
    with shop.running():
        words = {
            "ls": ["ls"],
            "why": ["why", "old:1"],
            "du": ["du"],
            "pin": ["pin", "old:1"],
            "unpin": ["unpin", "old:1"],
            "forget": ["forget", "old:1"],
            "prune": ["prune", "--older-than", "1h"],
            "verify": ["verify"],
            "warm": ["warm", "old:1", "none:1"],
            "client-config": ["client-config", "kind"],
            "healthcheck": ["healthcheck"],
        }
        said = {name: shop.run(*line, "--json").stdout for name, line in words.items()}
    said["import"] = shop.run("import", old.root, "--json").stdout
    told = {name: shape(json.loads(text)) for name, text in said.items()}
    checked = json.loads(shop.run("check", "--json").stdout)
    assert checked["upstreams"].keys() == {"docker.io", "ghcr.io"}
    assert (checked["host"], checked["port"]) == ("127.0.0.1", shop.port)
    assert checked["warnings"][0].keys() == {"message", "at"}
    told["check"] = set(checked) | {"message", "at"}
    assert told == documented()
