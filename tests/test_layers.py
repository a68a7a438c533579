"""Imports point down only, and the core is what it says: pure."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "distcache"
FILES = sorted(PACKAGE.rglob("*.py"))
CORE = [path for path in FILES if path.relative_to(PACKAGE).parts[0] == "core"]

PURE = {"attrs", "bisect", "collections", "enum", "heapq", "itertools", "re", "typing"}
PURE |= {"contextlib", "functools", "math", "operator", "hashlib", "types", "zlib", "__future__"}
PURE |= {"datetime"}
CLOCKS = {(kind, name) for kind in ("datetime", "date") for name in ("now", "utcnow", "today")}
LOOPS = {"trio", "asyncio", "anyio"}
IMPURE = (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await, ast.Yield, ast.YieldFrom)
"""Syntax that waits, or that stops half-way with its state hidden."""

BELOW = {
    "core": {"core"},
    "wire": {"wire", "core", "__version__"},
    "store": {"store", "core"},
    "watched": set(),
    "access": {"access", "core", "wire", "watched"},
    "credentials": {"credentials", "core", "wire", "watched"},
    "configuration": {"configuration", "access", "credentials", "core", "wire", "watched"},
    "settings": {"configuration", "access", "credentials", "core", "wire"},
    "lines": {"settings"},
    "log": {"lines", "settings"},
    "driver": {"driver", "core", "wire", "store", "settings", "log", "access", "credentials"},
    "embedding": {"settings"},
    "tracing": {"driver", "settings", "log", "__version__"},
    "trio_server": {"trio_server", "driver", "core", "store", "settings", "embedding", "log"}
    | {"wire", "debugging", "access"},
    "asyncio_server": {"asyncio_server", "driver", "core", "store", "settings", "embedding", "log"}
    | {"wire", "debugging", "access"},
}
"""What each part may import of the package. A part that is not here may import everything."""


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def imports(path: Path) -> Iterator[tuple[str, ...]]:
    """Absolute dotted names that a file imports."""
    package = ("distcache", *path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = (*base, *(node.module or "").split(".")) if node.module else base
            yield from ((*module, alias.name) for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_point_down(path: Path) -> None:
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if part in BELOW:
        inside = {name[1] for name in imports(path) if name[0] == "distcache"}
        assert inside <= BELOW[part]


@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_the_core_is_pure(path: Path) -> None:
    outside = {name[0] for name in imports(path) if name[0] != "distcache"}
    assert outside <= PURE
    for node in ast.walk(ast.parse(path.read_text())):
        assert not isinstance(node, IMPURE), f"line {getattr(node, 'lineno', '?')}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) not in CLOCKS, f"line {node.lineno}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"open", "print", "input", "exec", "eval", "__import__"}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_only_the_adapters_know_a_runtime(path: Path) -> None:
    # `testing` is no part of the server: it runs one, of either kind.
    if path.relative_to(PACKAGE).parts[0] not in ("trio_server", "asyncio_server", "testing"):
        assert not {name[0] for name in imports(path)} & LOOPS
