"""What a reader copies from a page works."""

import json
import re
import shlex
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import typer.core
import typer.main
import yaml
from typer.core import TyperGroup
from typer.testing import CliRunner

from distcache.cli import app
from distcache.settings import load_text
from tests.docs import files
from tests.docs.pages import PAGES, ROOT, Block, all_blocks, command_lines, prose

_APP = typer.main.get_command(app)
assert isinstance(_APP, TyperGroup)
GROUP = _APP
_CONTEXT = typer.Context(GROUP)
COMMANDS = {
    name: command
    for name in GROUP.list_commands(_CONTEXT)
    if (command := GROUP.get_command(_CONTEXT, name)) is not None
}
CONFIGURATIONS = [
    block
    for block in all_blocks("yaml")
    if re.search(r"^(?:version: 0|proxy:)", block.text, re.MULTILINE)
]
PARSERS: dict[str, Callable[[str], object]] = {
    "json": json.loads,
    "toml": tomllib.loads,
    "yaml": yaml.safe_load,
}
AT_REST = ("check", "client-config", "du", "forget", "ls", "pin", "prune", "unpin", "verify", "why")
"""Commands that need no server."""
LINES = [
    pytest.param(line, id=f"{block.where} {line[:40]}")
    for block in all_blocks("sh", "bash", "shell")
    for line in command_lines(block)
    if re.match(r"(?:\S*/)?distcache ", line)
]


def where(block: Block) -> str:
    return block.where


@pytest.fixture(scope="module")
def etc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("etc") / "distcache"
    files.make(place)
    return place


@pytest.mark.parametrize("block", CONFIGURATIONS, ids=where)
def test_a_configuration_is_read(block: Block, etc: Path) -> None:
    settings = load_text(block.text.replace(files.PREFIX, f"{etc}/"))
    assert settings.sites


@pytest.mark.parametrize("block", all_blocks("json", "toml", "yaml"), ids=where)
def test_a_data_file_can_be_parsed(block: Block) -> None:
    assert PARSERS[block.language](block.text)


@pytest.mark.parametrize("line", LINES)
def test_a_command_line_is_taken(line: str) -> None:
    """Parsed as it would be for real, up to running it."""
    words = shlex.split(line, comments=True)[1:]
    above = GROUP.make_context("distcache", list(words))
    name, command, rest = GROUP.resolve_command(above, words)
    assert command is not None
    command.make_context(name, rest, parent=above)


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the examples are typed: `config.yml` is here, and a store that nobody has filled."""
    store = tmp_path / "store"
    store.mkdir()
    lines = [f"storage: {{filesystem: {{rootdirectory: {store}}}}}"]
    lines.append("proxy: {upstreams: {docker.io: {}, ghcr.io: {}}}")
    (tmp_path / "config.yml").write_text("\n".join(["version: 0.1", *lines]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DISTCACHE_CONFIG", "config.yml")


@pytest.mark.usefixtures("at_home")
@pytest.mark.parametrize(
    "line", [line for line in LINES if str(line.values[0]).split()[1] in AT_REST]
)
def test_a_command_that_needs_no_server_runs(line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    done = CliRunner().invoke(app, words)
    # There is nothing to forget there.
    assert done.exit_code == (words[0] == "forget"), done.output


def test_commands_that_the_text_names_exist() -> None:
    named = {
        name
        for page in PAGES
        for name in re.findall(r"`(?:\S*/)?distcache ([a-z-]+)[^`]*`", prose(page))
    }
    assert named <= set(COMMANDS)


def test_every_command_is_shown() -> None:
    shown = {shlex.split(str(line.values[0]), comments=True)[1] for line in LINES}
    assert shown == set(COMMANDS)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "conformance"])
def test_every_option_is_named(name: str) -> None:
    """Those of `conformance` are on its own page."""
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    for parameter in COMMANDS[name].params:
        options = [option for option in parameter.opts if option.startswith("-")]
        assert not options or any(option in page for option in options), options
