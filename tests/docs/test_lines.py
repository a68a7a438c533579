"""Lines for programs other than this one: what they name is there, and listens where they say.

The programs themselves are run elsewhere, where they are installed; here nothing is but text.
"""

import re
import shlex
import tomllib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from distcache.admin import key
from distcache.admin.names import Names
from distcache.settings import Settings, load, load_text
from tests.docs import files
from tests.docs.pages import ROOT, Block, all_blocks, command_lines

UNITS = ROOT / "contrib" / "systemd"
INSTALLED = load(UNITS / "config.yml", {})
"""The configuration that the examples put in place."""

VARIABLES = [
    block for block in all_blocks("sh", "bash", "shell") if block.text.startswith("REGISTRY_")
]
LINES = [
    (block, line)
    for block in all_blocks("sh", "bash", "shell")
    for line in command_lines(block)
    if block not in VARIABLES and not re.match(r"(?:\S*/)?distcache ", line)
]


def service() -> str:
    return (UNITS / "distcache.service").read_text(encoding="utf-8")


def container() -> str:
    return (ROOT / "contrib" / "container" / "Containerfile").read_text(encoding="utf-8")


def is_pulled(reference: str) -> None:
    """`HOST:PORT/NAME[:TAG]`, the port being this cache's."""
    authority, _, name = reference.partition("/")
    assert authority.rpartition(":")[2] == str(INSTALLED.port)
    assert names(INSTALLED).read(name.replace("MODEL", "model")).repository is not None


def names(settings: Settings) -> Names:
    return Names(settings.sites, settings.default)


def make(words: list[str]) -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    for word in words:
        variable, assigned, _ = word.partition("=")
        pattern = rf"^{variable} \?=" if assigned else rf"^{word}:"
        assert re.search(pattern, text, re.MULTILINE), word


def docker(words: list[str]) -> None:
    verb, place = words
    assert verb in ("pull", "login")
    if verb == "pull":
        is_pulled(place)
    else:
        assert place.rpartition(":")[2] == str(INSTALLED.port)


def helm(words: list[str]) -> None:
    assert words[0] == "pull"
    is_pulled(words[1].removeprefix("oci://"))


def ollama(words: list[str]) -> None:
    assert words[0] == "pull"
    hosts = {
        host
        for block in all_blocks("yaml")
        if re.search(r"^version: 0", block.text, re.MULTILINE) and files.PREFIX not in block.text
        for site in load_text(block.text).sites.values()
        for host in site.hosts
    }
    assert urlsplit(words[-1]).hostname in hosts
    is_pulled(words[-1].removeprefix("http://"))


def cosign(words: list[str]) -> None:
    assert words[:2] == ["verify", "--key"]
    is_pulled(words[3])


def curl(words: list[str]) -> None:
    url = urlsplit(words[-1])
    debug = INSTALLED.debug
    assert debug is not None
    if url.path.startswith("/api/"):
        assert url.netloc == debug.authority
        assert words[:2] == ["-X", "POST"]
        assert url.path.rpartition("/")[2] in ("pin", "unpin", "forget", "prune")
        assert names(INSTALLED).read(*parse_qs(url.query)["ref"]).what is not None
        assert f"$(cat {INSTALLED.root / key.NAME})" in words[3]
    else:
        assert url.port == INSTALLED.port
        name, _, tag = url.path.removeprefix("/v2/").partition("/manifests/")
        is_pulled(f"{url.netloc}/{name}:{tag}")


def htpasswd(words: list[str], etc: Path) -> None:
    assert "B" in words[0], "only bcrypt is taken"
    assert (etc / words[1].removeprefix(files.PREFIX)).is_file()
    assert any(f"path: {words[1]}" in block.text for block in all_blocks("yaml"))


def install(words: list[str]) -> None:
    source, target = words[-2:]
    assert (ROOT / source).is_file()
    if not target.startswith("/etc/systemd/"):
        assert f" serve {target}\n" in service()


def systemctl(words: list[str]) -> None:
    verb = words[0]
    assert verb in ("daemon-reload", "enable", "start", "stop")
    if verb != "daemon-reload":
        name = words[-1] if "." in words[-1] else f"{words[-1]}.service"
        unit = (UNITS / name).read_text(encoding="utf-8")
        assert verb != "enable" or "\n[Install]\n" in unit


def buildah(words: list[str]) -> None:
    assert words[:1] == ["build"]
    assert words[words.index("-t") + 1] == "distcache"
    if "\nHEALTHCHECK " in container():
        assert words[words.index("--format") + 1] == "docker", "the other has no health check"
    assert (ROOT / words[words.index("-f") + 1]).is_file()


def podman(words: list[str]) -> None:
    assert words[0] == "run"
    assert words[-1] == "distcache", "as it was built"
    inside = load(ROOT / "contrib" / "container" / "config.yml", {})
    assert words[words.index("-p") + 1].endswith(f":{inside.port}")
    assert words[words.index("-v") + 1].endswith(f":{inside.root}")
    assert f"\nEXPOSE {inside.port}\n" in container()
    assert f"\nVOLUME {inside.root}\n" in container()


def kubectl(words: list[str]) -> None:
    assert words[:2] == ["apply", "-f"]
    text = (ROOT / words[2]).read_text(encoding="utf-8")
    assert all("kind" in part for part in yaml.safe_load_all(text))


def venv(words: list[str]) -> None:
    assert words[:2] == ["-m", "venv"]
    assert f"ExecStart={words[2]}/bin/distcache " in service()


def pip(words: list[str]) -> None:
    assert words[0] == "install"
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    name, _, extra = words[1].rstrip("]").partition("[")
    assert name == project["name"]
    assert not extra or extra in project["optional-dependencies"]


def conformance(words: list[str]) -> None:
    """Of pytest, with this program's plugin."""
    text = (ROOT / "src" / "distcache" / "conformance" / "plugin.py").read_text(encoding="utf-8")
    for option in (word for word in words if word.startswith("--")):
        assert re.search(rf'(?:add\(|^ +)"{option}",', text, re.MULTILINE), option


PROGRAMS: dict[str, Callable[[list[str]], None]] = {
    "make": make,
    "docker": docker,
    "helm": helm,
    "ollama": ollama,
    "cosign": cosign,
    "curl": curl,
    "install": install,
    "systemctl": systemctl,
    "buildah": buildah,
    "podman": podman,
    "kubectl": kubectl,
    "python3": venv,
    "pip": pip,
    "pytest": conformance,
}


@pytest.mark.parametrize(
    "line", [pytest.param(line, id=f"{block.where} {line[:40]}") for block, line in LINES]
)
def test_what_a_line_names_is_there(line: str, tmp_path: Path) -> None:
    """A program that is not known here needs a check of its own first."""
    first, *words = shlex.split(line, comments=True)
    program = first.rpartition("/")[2]
    if program == "htpasswd":
        files.make(tmp_path / "etc")
        htpasswd(words, tmp_path / "etc")
    else:
        PROGRAMS[program](words)


@pytest.mark.parametrize("block", VARIABLES, ids=lambda block: str(block.where))
def test_every_variable_says_something(block: Block, tmp_path: Path) -> None:
    """Over a file that lists the upstream which one of them is about, and says something else."""
    file = tmp_path / "config.yml"
    login = "{username: alice, password: other}"
    storage = f"storage: {{filesystem: {{rootdirectory: {tmp_path}}}}}"
    file.write_text(f"version: 0.1\n{storage}\nproxy: {{upstreams: {{ghcr.io: {login}}}}}\n")
    said = dict(line.split("=", 1) for line in command_lines(block))
    settings = load(file, said)
    assert settings.port == int(said["REGISTRY_HTTP_ADDR"].removeprefix(":"))
    assert str(settings.root) == said["REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY"]
    assert not [warning for warning in settings.warnings if "REGISTRY_" in str(warning)]
    for name in said:
        rest = {other: value for other, value in said.items() if other != name}
        assert load(file, rest) != settings, name
