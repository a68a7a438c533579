"""The plugin, as a run of pytest has it that may never use it."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import distcache.testing
from distcache.testing import LocalRegistry, plugin

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_the_distribution_names_the_plugin() -> None:
    project = tomllib.loads(PROJECT.read_text())["project"]
    assert plugin.__name__ in project["entry-points"]["pytest11"].values()


def test_loading_it_loads_nothing_of_the_server() -> None:
    program = "import sys, distcache.testing.plugin; print(*sys.modules)"
    command = [sys.executable, "-c", program]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert "distcache.testing.plugin" in loaded
    assert not {"trio", "h11", "yaml", "distcache.core"} & set(loaded)


def test_names_are_found_when_asked_for() -> None:
    assert distcache.testing.LocalRegistry is LocalRegistry
    with pytest.raises(AttributeError, match="no attribute 'Registry'"):
        _ = distcache.testing.Registry
