"""The mutants are what they are said to be, and the list of those that change nothing is true."""

from __future__ import annotations

import ast
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from .__main__ import report
from .operators import Mutant, mutants
from .results import Result, Results, complaints, equivalents
from .server import CORE


def of(tmp_path: Path, source: str) -> list[Mutant]:
    path = tmp_path / "sample.py"
    path.write_text(source, encoding="utf-8")
    return mutants(path)[1]


@pytest.mark.parametrize(
    ("source", "changes"),
    [
        ("a < b", {"a < b -> a <= b"}),
        ("a is not b", {"a is not b -> a is b"}),
        ("not a", {"not a -> a"}),
        ("a and b", {"a and b -> a", "a and b -> b", "a and b -> a or b"}),
        ("a + 1", {"a + 1 -> a - 1", "1 -> 2"}),
        ("True", {"True -> False"}),
        ("0.5", {"0.5 -> 1.5"}),
        ("'text'", set()),
        ("a if b else c", {"a if b else c -> c if b else a"}),
        ("f(a, b, c=d)", {"f(a, b, c=d) -> f(a, None, c=d)", "f(a, b, c=d) -> f(a, b)"}),
        ("[x for x in a if b]", {"[x for x in a if b] -> [x for x in a if not b]"}),
    ],
)
def test_an_expression_has_its_mutants(source: str, changes: set[str], tmp_path: Path) -> None:
    found = of(tmp_path, f"def f():\n    x = {source}\n")
    assert {m.name for m in found} == {f"sample:f: {change}" for change in changes}
    assert all(m.in_function for m in found)


@pytest.mark.parametrize(
    ("source", "changes"),
    [
        ("return a", {"return a -> return None"}),
        ("return None", set()),
        ("f(a)", {"left out: f(a)"}),
        ("a.b = c", {"left out: a.b = c"}),
        ("a += b", {"left out: a += b", "a += b -> a -= b"}),
        ("del a[b]", {"left out: del a[b]"}),
        ("while a: continue", {"while a -> while not a", "left out: continue"}),
        ("assert a < b", set()),
        ("'words'", set()),
        (
            "match a:\n  case b.c if d: pass\n  case _: pass",
            {"left out: case b.c", "case guard d -> not d"},
        ),
    ],
)
def test_a_statement_has_its_mutants(source: str, changes: set[str], tmp_path: Path) -> None:
    body = source.replace("\n", "\n    ")
    found = of(tmp_path, f"def f():\n    {body}\n")
    assert {m.name for m in found} == {f"sample:f: {change}" for change in changes}


def test_a_mutant_is_the_module_with_one_change_and_leaves_the_others_alone(
    tmp_path: Path,
) -> None:
    path = tmp_path / "sample.py"
    path.write_text("LIMIT = 3\n\ndef f(a):\n    return a <= LIMIT\n", encoding="utf-8")
    tree, found = mutants(path)
    before = ast.dump(tree)
    answers = set()
    for mutant in found:
        code = mutant.code("sample.py", 0, tree)
        assert isinstance(code, CodeType)
        space: dict[str, Any] = {}
        exec(code, space)
        answers.add((mutant.name, space["f"](3), space["f"](4)))
        assert ast.dump(tree) == before
    assert answers == {
        ("sample:module: 3 -> 4", True, True),
        ("sample:f: return a <= LIMIT -> return None", None, None),
        ("sample:f: a <= LIMIT -> a < LIMIT", False, False),
    }


def test_no_two_mutants_have_the_same_name_and_all_compile() -> None:
    for path in CORE.glob("*.py"):
        tree, found = mutants(path)
        assert len({mutant.name for mutant in found}) == len(found)
    assert isinstance(found[0].code(str(path), 0, tree), CodeType)


def test_every_mutant_that_is_listed_as_equivalent_is_there_and_has_a_reason() -> None:
    there = [mutant for path in CORE.glob("*.py") for mutant in mutants(path)[1]]
    assert complaints(equivalents(), there, {}) == []
    assert all(equivalents().values())


def test_a_listed_mutant_that_a_test_kills_or_that_is_not_there_is_an_error(
    tmp_path: Path,
) -> None:
    (mutant,) = of(tmp_path, "def f():\n    x = 1\n")
    killed = {mutant.name: Result(mutant.name, "a test", "")}
    assert len(complaints([mutant.name], [mutant], killed)) == 1
    assert len(complaints(["another"], [mutant], killed)) == 1


def test_what_is_known_holds_while_what_it_rests_on_is_the_same(tmp_path: Path) -> None:
    (mutant,) = of(tmp_path, "def f():\n    x = 1\n")
    results = Results(tmp_path / "results")
    results.add(mutant, "tests/core/test_oci.py::test_x", "20")
    again = Results(tmp_path / "results")
    again.read()
    found = again.of(mutant, "20")
    assert found is not None
    assert found.by == "tests/core/test_oci.py::test_x"
    (changed,) = of(tmp_path, "def f():\n    x = 1  \n    y = ''\n")
    assert changed.name == mutant.name
    assert again.of(changed, "20") is None


def test_the_score_leaves_out_what_changes_nothing(tmp_path: Path) -> None:
    found = of(tmp_path, "def f():\n    x = 1\n    y = 2\n    z = 3\n    u = 4\n")
    by = ["a test", "", "exploration: x", ""]
    results = {m.name: Result(m.name, b, "") for m, b in zip(found, by, strict=True)}
    text, score = report(found, results, {found[1].name: "for a reason"})
    assert score == 2 / 3
    assert "50.0% of all mutants are killed, 66.7% of those that are not equivalent" in text
    assert text.endswith(f"survived: {found[3].name}")
