"""Is each module of the core covered by its own test file, and by it alone?

`python -m tests.core_coverage` runs `tests/core` once, remembering for every line and branch
which test file ran it, and holds each `src/distcache/core/<module>.py` against what
`tests/core/test_<module>.py` ran of it: lines and branches, all of them. A test of something
else that happens to pass through a module says nothing about it. Exit 0, 1 with the modules
and what they miss, or pytest's own code when a test fails.
"""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from coverage import Coverage

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "src" / "distcache" / "core"
TESTS = ROOT / "tests" / "core"
IMPORTS = "imports"
"""The context of what runs when the modules are imported: definitions, once for all."""


class Contexts:
    """A pytest plugin: what runs for a test file is put down to that file."""

    def __init__(self, coverage: Coverage) -> None:
        self._coverage = coverage

    def pytest_sessionstart(self) -> None:
        # Not before: pytest complains of packages with plugins that were imported without it.
        importlib.import_module("distcache.core")
        settings = importlib.import_module("hypothesis").settings
        # What is covered must not depend on luck.
        settings.register_profile("core", derandomize=True, database=None)
        settings.load_profile("core")

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Iterator[None]:
        if isinstance(collector, pytest.Module):
            self._coverage.switch_context(collector.path.name)
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._coverage.switch_context(item.path.name)
        return (yield)


def main(arguments: list[str]) -> int:
    """`arguments` go to pytest."""
    modules = sorted(path for path in CORE.glob("*.py") if path.stem != "__init__")
    with TemporaryDirectory() as scratch:
        coverage = Coverage(
            data_file=str(Path(scratch) / "coverage"),
            config_file=str(ROOT / "pyproject.toml"),
            branch=True,
            include=[str(path) for path in modules],
        )
        # The tracers of newer interpreters know no contexts.
        coverage.set_option("run:core", "ctrace")
        coverage.start()
        coverage.switch_context(IMPORTS)
        plugins = [Contexts(coverage)]
        code = pytest.main(["-q", "-p", "no:cacheprovider", *arguments, str(TESTS)], plugins)
        coverage.stop()
        if code != pytest.ExitCode.OK:
            return int(code)
        missing = [line for path in modules for line in _missing(coverage, path, Path(scratch))]
    for line in missing:
        print(line, file=sys.stderr)
    if missing:
        return 1
    print(f"{len(modules)} modules of the core, each covered by its own tests")
    return 0


def _missing(coverage: Coverage, path: Path, scratch: Path) -> list[str]:
    """What its own tests leave out of one module, as one line for people; none: nothing."""
    name = f"test_{path.name}"
    if not (TESTS / name).exists():
        return [f"{path.name}: tests/core/{name} does not exist"]
    report = scratch / "report.json"
    own = [f"^{IMPORTS}$", f"^{name.replace('.', '[.]')}$"]
    coverage.json_report([str(path)], outfile=str(report), contexts=own)
    (found,) = json.loads(report.read_text(encoding="utf-8"))["files"].values()
    lines = ", ".join(str(line) for line in found["missing_lines"])
    branches = ", ".join(f"{a}->{_target(b)}" for a, b in _open_branches(found))
    told = [f"lines {lines}"] * bool(lines) + [f"branches {branches}"] * bool(branches)
    return [f"{path.name}: tests/core/{name} misses {'; '.join(told)}"] * bool(told)


def _open_branches(found: dict[str, Any]) -> list[tuple[int, int]]:
    """The branches not taken from lines that did run."""
    missed = set(found["missing_lines"])
    return [(a, b) for a, b in found["missing_branches"] if a not in missed]


def _target(line: int) -> str:
    return str(line) if line > 0 else "exit"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
