"""The programs of docs/embedding.md do what the page says, as they stand; only the upstream they
name is replaced by a local one."""

import asyncio
import os
import re
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from distcache.testing import Upstream, image
from tests.testing.http import ask
from tests.testing.leftovers import nothing_left

PAGE = Path(__file__).parents[2] / "docs" / "embedding.md"
HEADING = re.compile(r"^## (.+)$", re.M)
PROGRAM = re.compile(r"^```python\n(.+?)^```$", re.M | re.S)
PRINTED = re.compile(r"^```text\n(.+?)^```$", re.M | re.S)

APP = image([{"etc/hello": b"hi"}])
TAG = "/v2/owner/app/manifests/1"


def section(title: str) -> str:
    parts = HEADING.split(PAGE.read_text())
    return dict(zip(parts[1::2], parts[2::2], strict=True))[title]


def program(title: str, upstream: Upstream | None = None) -> str:
    (found,) = PROGRAM.findall(section(title))
    return str(found).replace("https://ghcr.io", upstream.url if upstream else "")


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream({"owner/app": {"1": APP}}) as one:
        yield one


def run(directory: Path, source: str, *command: str) -> str:
    """What the program prints; warnings are errors."""
    (directory / "test_program.py").write_text(source)
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-W", "error", *command, "test_program.py"],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**clean, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def test_every_program_is_run_here() -> None:
    titles = [title for title in HEADING.findall(PAGE.read_text()) if "```python" in section(title)]
    assert titles == ["asyncio", "trio", "Starlette and FastAPI", "pytest", "Without the fixture"]


def test_the_asyncio_program(upstream: Upstream, tmp_path: Path) -> None:
    (printed,) = PRINTED.findall(section("asyncio"))
    assert run(tmp_path, program("asyncio", upstream)) == printed
    assert [one.path for one in upstream.requests].count(TAG) == 1


def test_the_trio_program(upstream: Upstream, tmp_path: Path) -> None:
    printed = run(tmp_path, program("trio", upstream))
    assert printed == f"200 {len(APP.body)} bytes\n" * 2
    assert [str(one) for one in upstream.requests].count(
        f"GET {TAG.replace('/1', '/' + APP.digest)}"
    ) == 1


def test_the_application(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    module: Any = types.ModuleType("application")
    exec(program("Starlette and FastAPI", upstream), module.__dict__)
    app = module.app

    async def main() -> None:
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://app") as client,
        ):
            registry = (await client.get("/registry")).json()["registry"]
            got = await asyncio.to_thread(ask, registry.removeprefix("http://"), TAG)
            assert got.body == APP.body

    with nothing_left():
        asyncio.run(main())
        # Its threads see a connection's end a moment after the cache does.
        upstream.stop()


def test_the_pytest_file(tmp_path: Path) -> None:
    options = ("-q", "-p", "distcache.testing.plugin", "-p", "no:cacheprovider")
    printed = run(tmp_path, program("pytest"), "-m", "pytest", *options)
    assert "3 passed" in printed


def test_the_program_without_the_fixture(tmp_path: Path) -> None:
    line = "{'name': 'library/app', 'tags': ['1']}"
    assert f"`{line}`" in section("Without the fixture")
    assert run(tmp_path, program("Without the fixture")) == f"{line}\n" * 2
