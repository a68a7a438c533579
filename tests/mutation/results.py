"""What is known of mutants: from earlier runs, and which of them change nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from attrs import define, field, frozen

from .operators import Mutant
from .server import CORE, ROOT, TESTS

EQUIVALENTS = Path(__file__).with_name("equivalents.txt")
RESULTS = ROOT / ".mutants"


@frozen
class Result:
    """`by`: the test or exploration that found it; empty: it survived. `witness`: a hash of all
    that the finding rests on."""

    name: str
    by: str
    witness: str


@define(eq=False)
class Results:
    """A killed mutant stays so while its own function and the test that killed it are as they
    were; a survivor, while all code and all tests are."""

    path: Path
    known: dict[str, Result] = field(factory=dict)
    hashes: dict[str, str] = field(factory=dict)

    def read(self) -> None:
        if self.path.exists():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                result = Result(**json.loads(line))
                self.known[result.name] = result

    def of(self, mutant: Mutant, effort: str) -> Result | None:
        result = self.known.get(mutant.name)
        if result is None or result.witness != self._witness(mutant, result.by, effort):
            return None
        return result

    def add(self, mutant: Mutant, by: str, effort: str) -> Result:
        result = Result(mutant.name, by, self._witness(mutant, by, effort))
        self.known[mutant.name] = result
        line = json.dumps({"name": result.name, "by": by, "witness": result.witness})
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        return result

    def _witness(self, mutant: Mutant, by: str, effort: str) -> str:
        test = ROOT / by.partition("::")[0]
        if not by:
            basis = [effort, *(self._hash(path) for path in _everything())]
        elif by.startswith("exploration"):
            basis = [self._hash(path) for path in _everything() if "model" in path.parts]
        elif test.is_file():
            basis = [self._hash(test)]
        else:
            basis = [self._hash(TESTS / f"test_{mutant.module}.py")]
        return sha256("".join([mutant.original, *basis]).encode()).hexdigest()

    def _hash(self, path: Path) -> str:
        name = str(path)
        if name not in self.hashes:
            content = path.read_bytes() if path.exists() else b""
            self.hashes[name] = sha256(content).hexdigest()
        return self.hashes[name]


def equivalents() -> dict[str, str]:
    """The listed mutants, each with the reason why nobody can tell it from the original.

    In the file a reason is indented and belongs to the names above it."""
    reasons: dict[str, str] = {}
    names: list[str] = []
    done = False
    for line in EQUIVALENTS.read_text(encoding="utf-8").splitlines():
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if line.startswith(" "):
            for name in names:
                reasons[name] = f"{reasons.get(name, '')} {text}".strip()
            done = True
            continue
        if done:
            names, done = [], False
        if text in reasons or text in names:
            raise ValueError(f"listed twice: {text}")
        names.append(text)
    if names and not done:
        raise ValueError(f"no reason: {names[-1]}")
    return reasons


def complaints(
    reasons: Iterable[str], mutants: Iterable[Mutant], results: dict[str, Result]
) -> list[str]:
    """What is wrong with the list: it names what is not there, or what tests can tell apart."""
    there = {mutant.name for mutant in mutants}
    wrong = []
    for name in reasons:
        if name not in there:
            wrong.append(f"listed as equivalent, but there is no such mutant: {name}")
        elif name in results and results[name].by:
            wrong.append(f"listed as equivalent, but {results[name].by} kills it: {name}")
    return wrong


def _everything() -> list[Path]:
    model = ROOT / "tests" / "model"
    return sorted([*CORE.glob("*.py"), *TESTS.glob("*.py"), *model.glob("*.py")])
