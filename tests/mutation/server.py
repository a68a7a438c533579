"""Where mutants are tried: a process that has imported and collected everything, and forks.

`python -m tests.mutation.server` reads names of mutants, one a line, and answers each with a line
of JSON. A mutant within a function takes the place of that function's code in a child; then the
tests run that pass through the changed statement, the module's own first, the quickest first, up
to the first that fails; where time is given for exploring, also the random walks of `tests/model`,
then the explorations that pass through it. A mutant elsewhere (a table, a
default) is imported in a child of a process that has imported nothing of the core yet.
"""

from __future__ import annotations

import ast
import gc
import importlib
import importlib.abc
import importlib.util
import json
import os
import re
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from types import CodeType, FunctionType, ModuleType
from typing import Any, TextIO

import hypothesis
import pytest
from _pytest.runner import runtestprotocol
from attrs import define, field
from coverage import Coverage

from .operators import Mutant, mutants

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "src" / "distcache" / "core"
TESTS = ROOT / "tests" / "core"
WALKS = ROOT / "tests" / "model" / "test_walks.py"
"""Tried before the explorations, which go in breadth and take longer."""
ARGUMENTS = ("-q", "-x", "-p", "no:cacheprovider", "--assert=plain", "--tb=no", "--capture=no")
SECONDS = 60
"""Of processor time for a run of all tests, which need a third of it."""
PATIENCE = 1, 5
"""A test that takes so many seconds more, and so many times as much, does not end any more."""
MEMORY = 4 << 30
PREFIX = 300
"""States of each exploration that are looked at to learn what it passes through."""


class Over(BaseException):
    """The time for exploring is."""


_MEMORY = re.compile("_[a-z]+")
"""How a module of the core names what it remembers."""


@define(eq=False)
class Server:
    """A pytest plugin: in place of running the tests it serves."""

    asked: TextIO
    out: TextIO
    explore: int
    own_only: bool
    known: dict[str, Mutant] = field(factory=dict)
    trees: dict[str, ast.Module] = field(factory=dict)
    passing: dict[tuple[str, int], set[str]] = field(factory=dict)
    seconds: dict[str, float] = field(factory=dict)
    items: dict[str, pytest.Item] = field(factory=dict)
    functions: dict[tuple[str, str], list[FunctionType]] = field(factory=dict)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.items = {item.nodeid: item for item in session.items}
        for path in sorted(CORE.glob("*.py")):
            self.trees[path.stem], found = mutants(path)
            self.known |= {mutant.name: mutant for mutant in found}
        self._observe()
        self._find_functions()
        gc.freeze()
        for line in self.asked:
            mutant = self.known[line.rstrip("\n")]
            by = in_child(lambda mutant=mutant: self._try(mutant))  # type: ignore[misc]
            answer(self.out, mutant.name, by)
        return True

    def _observe(self) -> None:
        """Which test and which exploration passes through which line."""
        with TemporaryDirectory() as scratch:
            coverage = Coverage(data_file=f"{scratch}/c", config_file=False, include=[f"{CORE}/*"])
            coverage.set_option("run:core", "ctrace")
            coverage.start()
            for name, item in self.items.items():
                coverage.switch_context(name)
                began = time.process_time()
                if not passes(item):
                    raise SystemExit(f"{name} fails without any mutant")
                self.seconds[name] = time.process_time() - began
            if self.explore:
                self._observe_explorations(coverage)
            coverage.stop()
            data = coverage.get_data()
            for path in data.measured_files():
                module = Path(path).stem
                for line, contexts in data.contexts_by_lineno(path).items():
                    self.passing[module, line] = set(contexts)

    def _observe_explorations(self, coverage: Coverage) -> None:
        from tests.model.bounds import SMALL
        from tests.model.explore import explore

        for name, bound in SMALL.items():
            coverage.switch_context(f"exploration: {name}")
            began = time.process_time()
            result = explore(bound, PREFIX)
            self.seconds[f"exploration: {name}"] = time.process_time() - began
            if result.complete:
                self.seconds[f"exploration: {name}"] /= 10.0

    def _find_functions(self) -> None:
        for thing in gc.get_objects():
            if isinstance(thing, FunctionType):
                code = thing.__code__
                if code.co_filename.startswith(str(CORE)):
                    key = Path(code.co_filename).stem, code.co_qualname
                    self.functions.setdefault(key, []).append(thing)

    def _try(self, mutant: Mutant) -> str:
        self._put_in_place(mutant)
        _forget()
        passing = {c for line in mutant.lines for c in self.passing.get((mutant.module, line), ())}
        own = f"test_{mutant.module}.py"
        tests = sorted(
            passing & self.items.keys(),
            key=lambda name: (self.items[name].path.name != own, self.seconds[name]),
        )
        for name in tests:
            if self.own_only and self.items[name].path.name != own:
                return ""
            _bound(PATIENCE[0] + PATIENCE[1] * self.seconds[name])
            if not passes(self.items[name]):
                return name
        _bound(SECONDS + self.explore)
        explorations = sorted(passing - self.items.keys() - {""}, key=self.seconds.__getitem__)
        return explored(explorations, self.explore) if self.explore else ""

    def _put_in_place(self, mutant: Mutant) -> None:
        filename = str(CORE / f"{mutant.module}.py")
        flags = future_flags(self.trees[mutant.module])
        compiled = mutant.code(filename, flags)
        assert isinstance(compiled, CodeType)
        done = False
        for name, code in codes(compiled):
            for function in self.functions.get((mutant.module, name), ()):
                function.__code__ = code
                done = True
        assert done, mutant.name


def _forget() -> None:
    """What the core remembers between calls was worked out without the mutant."""
    for name, module in list(sys.modules.items()):
        if name.startswith("distcache.core."):
            for key, value in vars(module).items():
                if hasattr(value, "cache_clear"):
                    value.cache_clear()
                elif isinstance(value, dict) and _MEMORY.fullmatch(key):
                    value.clear()


def _bound(seconds: float) -> None:
    """The process ends when it has worked so much longer."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = ceil(time.process_time() + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def future_flags(tree: ast.Module) -> int:
    import __future__

    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            return __future__.annotations.compiler_flag
    return 0


def codes(code: CodeType) -> Iterator[tuple[str, CodeType]]:
    """Of functions and methods, by their qualified names."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType) and "<locals>" not in constant.co_qualname:
            yield constant.co_qualname, constant
            yield from codes(constant)


def passes(item: pytest.Item) -> bool:
    reports = runtestprotocol(item, nextitem=None, log=False)
    return not any(report.failed for report in reports)


def explored(names: Sequence[str], seconds: float) -> str:
    """The exploration that finds it within the time, if any does."""
    from tests.model.bounds import SMALL
    from tests.model.explore import explore

    def over(*_: object) -> None:
        raise Over

    signal.signal(signal.SIGPROF, over)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        for name in names:
            try:
                explore(SMALL[name.removeprefix("exploration: ")])
            except Exception:
                return name
    except Over:
        pass
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return ""


def in_child(work: Callable[[], str]) -> str:
    """What `work` says in a process of its own; that it ended badly, where it did."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        status = 1
        with suppress(BaseException):
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            _bound(SECONDS)
            os.write(writing, work().encode())
            status = 0
        os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return f"signal {os.WTERMSIG(status)}"
    return said if os.WEXITSTATUS(status) == 0 else "an error"


def answer(out: TextIO, name: str, by: str) -> None:
    out.write(json.dumps({"name": name, "by": by}) + "\n")
    out.flush()


class _Importer(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives one module of the core with its mutant."""

    def __init__(self, mutant: Mutant, tree: ast.Module) -> None:
        self._name = f"distcache.core.{mutant.module}"
        self._path = str(CORE / f"{mutant.module}.py")
        self._code: Any = mutant.code(self._path, 0, tree)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        return importlib.util.spec_from_file_location(fullname, self._path, loader=self)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(self._code, vars(module))


class _First:
    """A pytest plugin that remembers what failed first."""

    def __init__(self) -> None:
        self.failed = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid or "collection"


def from_scratch(mutant: Mutant, tree: ast.Module, own_only: bool) -> str:
    """Import all with the mutant, and run all of the core's tests, its own first."""
    sys.meta_path.insert(0, _Importer(mutant, tree))
    own = TESTS / f"test_{mutant.module}.py"
    first = _First()
    others = sorted(p for p in TESTS.glob("test_*.py") if p != own and not own_only)
    paths = [str(path) for path in ([own] if own.exists() else []) + others]
    code = pytest.main([*ARGUMENTS, *paths], plugins=[first])
    if code == pytest.ExitCode.OK:
        return ""
    return first.failed or "import"


def main() -> int:
    asked, out = sys.stdin, os.fdopen(os.dup(1), "w")
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    explore = int(os.environ.get("MUTANTS_EXPLORE", "0"))
    own_only = "--own" in sys.argv
    hypothesis.settings.register_profile(
        "mutants",
        derandomize=True,
        database=None,
        deadline=None,
        phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    hypothesis.settings.load_profile("mutants")
    if "--from-scratch" in sys.argv:
        known: dict[str, tuple[Mutant, ast.Module]] = {}
        for path in sorted(CORE.glob("*.py")):
            tree, found = mutants(path)
            known |= {mutant.name: (mutant, tree) for mutant in found}
        for line in asked:
            mutant, tree = known[line.rstrip("\n")]
            by = in_child(lambda m=mutant, t=tree: from_scratch(m, t, own_only))  # type: ignore[misc]
            answer(out, mutant.name, by)
        return 0
    server = Server(asked, out, explore, own_only)
    paths = [str(TESTS), str(WALKS)] if explore else [str(TESTS)]
    return int(pytest.main([*ARGUMENTS, *paths], plugins=[server]))


if __name__ == "__main__":
    sys.exit(main())
