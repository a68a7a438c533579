"""What a reader copies from a page works."""

import json
import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest
import typer.main
import yaml

from distcache.cli import app
from distcache.settings import load_text
from tests.docs import files
from tests.docs.pages import Block, all_blocks, command_lines

COMMANDS = typer.main.get_command(app)
CONFIGURATIONS = [
    block
    for block in all_blocks("yaml")
    if "version: 0.1" in block.text or block.text.startswith("proxy:")
]
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
    parse = {"json": json.loads, "toml": tomllib.loads, "yaml": yaml.safe_load}[block.language]
    assert parse(block.text)


@pytest.mark.parametrize("line", LINES)
def test_a_command_line_is_taken(line: str) -> None:
    """Parsed as it would be for real, up to running it."""
    words = shlex.split(line, comments=True)[1:]
    assert isinstance(COMMANDS, click.Group)
    with click.Context(COMMANDS, info_name="distcache") as above:
        _, command, rest = COMMANDS.resolve_command(above, words)
        assert command is not None
        command.make_context(words[0], rest, parent=above)


def test_every_command_is_shown() -> None:
    assert isinstance(COMMANDS, click.Group)
    shown = {shlex.split(str(line.values[0]), comments=True)[1] for line in LINES}
    assert shown == set(COMMANDS.commands)


def test_every_option_of_the_operators_commands_is_named() -> None:
    assert isinstance(COMMANDS, click.Group)
    page = (Path(__file__).parents[2] / "docs" / "commands.md").read_text(encoding="utf-8")
    conformance = page.replace("commands.md", "conformance.md")
    assert conformance
    missing = [
        f"{name} {option}"
        for name, command in COMMANDS.commands.items()
        if name != "conformance"
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for option in parameter.opts
        if option.startswith("--") and option not in page and parameter.name != "help"
    ]
    assert missing == ["warm --file"]  # shown as -f
