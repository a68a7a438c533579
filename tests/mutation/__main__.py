"""Are the tests of the core good enough to notice a slip?

`python -m tests.mutation [MODULE...]` tries every mutant (`operators`) of the named modules of
`src/distcache/core`, of all by default: first the tests of the module's own file (`--own`: these
alone), then the rest of `tests/core`, then, for at most `--explore` seconds of processor time, the
small explorations of `tests/model`. What is known is kept in `.mutants`, so that a run goes on
where the last one stopped. Mutants that change nothing are listed in `equivalents.txt`, each with
the reason. Exit 0; 1 when less than 95 % are killed, or the list is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from threading import Lock, Thread

from attrs import define, field

from .operators import Mutant, mutants
from .results import RESULTS, Result, Results, complaints, equivalents
from .server import CORE, ROOT

TARGET = 0.95


@define(eq=False)
class Run:
    """Tries mutants; each thread has servers of its own."""

    results: Results
    explore: int
    own_only: bool
    lock: Lock = field(factory=Lock)
    errors: list[str] = field(factory=list)
    _done: int = 0

    def all(self, waiting: deque[Mutant], processes: int) -> None:
        threads = [Thread(target=self._work, args=[waiting]) for _ in range(processes)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _work(self, waiting: deque[Mutant]) -> None:
        servers: dict[bool, subprocess.Popen[str]] = {}
        try:
            while True:
                with self.lock:
                    if not waiting or self.errors:
                        return
                    mutant = waiting.popleft()
                whole = not mutant.in_function
                if whole not in servers:
                    servers[whole] = self._serve(whole)
                by = _ask(servers[whole], mutant)
                with self.lock:
                    if by is None:
                        self.errors.append(f"the server ended at {mutant.name}")
                        return
                    self.results.add(mutant, by, self.effort)
                    self._told(len(waiting))
        finally:
            for server in servers.values():
                assert server.stdin is not None
                server.stdin.close()
                server.wait()

    @property
    def effort(self) -> str:
        """How hard it is tried to kill one."""
        return "own" if self.own_only else str(self.explore)

    def _serve(self, whole: bool) -> subprocess.Popen[str]:
        options = ["--from-scratch"] * whole + ["--own"] * self.own_only
        explore = "0" if self.own_only else str(self.explore)
        environment = {**os.environ, "MUTANTS_EXPLORE": explore, "PYTHONHASHSEED": "0"}
        return subprocess.Popen(
            [sys.executable, "-m", "tests.mutation.server", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
        )

    def _told(self, left: int) -> None:
        self._done += 1
        if self._done % 100 == 0:
            print(f"{self._done} tried, {left} left", file=sys.stderr, flush=True)


def _ask(server: subprocess.Popen[str], mutant: Mutant) -> str | None:
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        server.stdin.write(mutant.name + "\n")
        server.stdin.flush()
    except BrokenPipeError:
        return None
    line = server.stdout.readline()
    if not line:
        return None
    by = json.loads(line)["by"]
    assert isinstance(by, str)
    return by


def report(
    found: Sequence[Mutant], results: dict[str, Result], reasons: dict[str, str]
) -> tuple[str, float]:
    """The table by module and the survivors; the part that was killed, equivalents aside."""
    heads = f"{'by exploring':>12} {'survived':>8} {'equivalent':>10}"
    rows = [f"{'module':14} {'mutants':>7} {'killed':>6} {heads}"]
    totals = [0, 0, 0, 0, 0]
    survivors = []
    for module in sorted({m.module for m in found}):
        own = [m for m in found if m.module == module]
        same = sum(m.name in reasons for m in own)
        killed = [results[m.name].by for m in own if results[m.name].by]
        left = [m for m in own if not results[m.name].by and m.name not in reasons]
        exploring = sum(by.startswith("exploration") for by in killed)
        survivors += [m.name for m in left]
        row = [len(own), len(killed), exploring, len(left), same]
        totals = [a + b for a, b in zip(totals, row, strict=True)]
        rows.append(_row(module, row))
    rows.append(_row("all", totals))
    everything, killed_all, _, _, same_all = totals
    score = killed_all / max(1, everything - same_all)
    rows.append(
        f"{killed_all / max(1, everything):.1%} of all mutants are killed, "
        f"{score:.1%} of those that are not equivalent"
    )
    return "\n".join([*rows, *(f"survived: {name}" for name in survivors)]), score


def _row(name: str, n: list[int]) -> str:
    return f"{name:14} {n[0]:7} {n[1]:6} {n[2]:12} {n[3]:8} {n[4]:10}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation")
    parser.add_argument("modules", nargs="*", metavar="MODULE")
    parser.add_argument("--explore", type=int, default=20, metavar="SECONDS")
    parser.add_argument("--own", action="store_true", help="each module's own tests only")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    paths = sorted(CORE.glob("*.py"))
    chosen = [p for p in paths if not asked.modules or p.stem in asked.modules]
    found = [mutant for path in chosen for mutant in mutants(path)[1]]
    RESULTS.mkdir(exist_ok=True)
    results = Results(RESULTS / "results.jsonl")
    results.read()
    run = Run(results, asked.explore, asked.own)
    untried = [mutant for mutant in found if results.of(mutant, run.effort) is None]
    # What takes long comes last: whole imports, and all tests over what survived before.
    survived = {name for name, result in results.known.items() if not result.by}
    waiting = deque(sorted(untried, key=lambda m: (m.name in survived, not m.in_function)))
    print(f"{len(found)} mutants, {len(waiting)} to try", file=sys.stderr, flush=True)
    run.all(waiting, asked.processes)
    if run.errors:
        print("\n".join(run.errors), file=sys.stderr)
        return 2
    reasons = equivalents()
    listed = {n: r for n, r in reasons.items() if n in {m.name for m in found} or not asked.modules}
    text, score = report(found, results.known, listed)
    print(text)
    wrong = complaints(listed, found, results.known)
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong or score < TARGET else 0


if __name__ == "__main__":
    sys.exit(main())
