"""The wheel, with what it says that it needs and nothing else, is a program that serves."""

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email.parser import HeaderParser
from importlib.metadata import distribution
from pathlib import Path

import pytest
from hatchling import build
from packaging.requirements import Requirement

from distcache import __version__
from tests.support.cache import RUNTIMES, CacheServer
from tests.support.origin import running_origin
from tests.support.processes import free_port
from tests.support.raw import ask

ROOT = Path(__file__).parent.parent
ALONE = [sys.executable, "-S", "-m", "distcache"]
"""Without this environment's packages."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("wheel")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return place / build.build_wheel(str(place))


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As if it were installed alone: the wheel's files, and links to its requirements."""
    place = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place)
        (metadata,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        said = HeaderParser().parsestr(archive.read(metadata).decode())
    for name in closure(said.get_all("Requires-Dist") or [], ()):
        for file in distribution(name).files or ():
            top = Path(str(file)).parts[0]
            source = Path(str(distribution(name).locate_file(top)))
            if top != ".." and source.exists() and not (place / top).exists():
                (place / top).symlink_to(source)
    return place


def closure(requirements: list[str], extras: tuple[str, ...]) -> set[str]:
    found: set[str] = set()
    for requirement in map(Requirement, requirements):
        wanted = [{"extra": extra} for extra in (*extras, "")]
        if requirement.marker is None or any(map(requirement.marker.evaluate, wanted)):
            inner = distribution(requirement.name).requires or []
            found |= {requirement.name} | closure(inner, tuple(requirement.extras))
    return found


def test_what_is_not_code_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    shipped = {path for path in (ROOT / "src").rglob("*") if path.is_file()}
    shipped = {path for path in shipped if "__pycache__" not in path.parts}
    assert {str(path.relative_to(ROOT / "src")) for path in shipped} <= names
    assert {"distcache/py.typed", "distcache/admin/static/dashboard.css"} <= names
    assert not any(name.startswith(("tests", "fuzz", "bench")) for name in names)


def test_what_tests_and_documentation_need_is_in_the_source_archive(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        archive = tmp_path / build.build_sdist(str(tmp_path))
    listed = subprocess.run(["tar", "tzf", archive], capture_output=True, text=True, check=True)
    tops = {line.split("/")[1] for line in listed.stdout.splitlines()}
    assert {"src", "tests", "docs", "contrib", "pyproject.toml", "constraints.txt"} <= tops
    assert not any(top.startswith((".venv", ".git")) and top != ".gitignore" for top in tops)


def test_it_starts_with_its_own_requirements_alone(site: Path, tmp_path: Path) -> None:
    def run(*words: str) -> str:
        environment = {"PYTHONPATH": str(site), "HOME": str(tmp_path)}
        done = subprocess.run(
            [*ALONE, *words], env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout

    assert run("--version") == f"distcache {__version__}\n"
    assert "Usage" in run("conformance", "--help")


@pytest.fixture(params=RUNTIMES)
def cache(request: pytest.FixtureRequest, site: Path, tmp_path: Path) -> Iterator[CacheServer]:
    with running_origin() as origin:
        origin.add_image("team/app", "1", [b"layer" * 1000])
        made = CacheServer(
            tmp_path,
            {"remoteurl": f"http://127.0.0.1:{origin.port}"},
            runtime=request.param,
            http={"debug": {"addr": f"127.0.0.1:{free_port()}"}},
            environment={"PYTHONPATH": str(site)},
            command=ALONE,
        )
        made.start()
        yield made
        assert made.stop() == 0, made.server.text()


def test_it_serves_with_its_own_requirements_alone(cache: CacheServer) -> None:
    answer = ask(cache.port, "/v2/team/app/manifests/1")
    assert answer.status == 200
    debug = cache.http["debug"]
    assert isinstance(debug, dict)
    port = int(debug["addr"].rpartition(":")[2])
    assert ask(port, "/dashboard.css").status == 200
    assert b"<title>distcache</title>" in ask(port, "/").body
