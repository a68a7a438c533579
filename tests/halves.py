"""All tests, in two processes side by side: on two cores in little more than half the time.

`python -m tests.halves` runs what starts servers and real clients (`OUTSIDE`), where much is
waiting, beside all the rest, where nearly everything computes. Each half is an ordinary run of
pytest, one test after another, and each test is in exactly one of them; the second half's output
comes whole, when the first has ended. Exit 0 only when both have passed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryFile

ROOT = Path(__file__).resolve().parent.parent
OUTSIDE = ["tests/browser", "tests/crash", "tests/differential", "tests/faults", "tests/interop"]
"""They start processes and speak with them."""
CORE = "tests/core"
"""`tests.core_coverage` runs it, and measures it meanwhile."""
PYTEST = [sys.executable, "-m", "pytest", "-q", "-rfEs", "--durations=10"]


def main() -> int:
    """The exit code of the half that failed, else 0."""
    print(f"{' '.join(OUTSIDE)}; all other tests at the same time, told below", flush=True)
    with TemporaryFile() as told:
        others = subprocess.Popen(
            [sys.executable, "-m", "tests.halves", "--others"],
            stdin=subprocess.DEVNULL,
            stdout=told,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
        )
        try:
            outside = subprocess.run([*PYTEST, *OUTSIDE], cwd=ROOT).returncode
        finally:
            others.wait()
            told.seek(0)
            sys.stdout.buffer.write(told.read())
            sys.stdout.flush()
    return outside or others.returncode


def others() -> int:
    """All that is not outside: first the core, measured."""
    core = subprocess.run([sys.executable, "-m", "tests.core_coverage"], cwd=ROOT).returncode
    elsewhere = [f"--ignore={path}" for path in [CORE, *OUTSIDE]]
    rest = subprocess.run([*PYTEST, *elsewhere, "tests"], cwd=ROOT).returncode
    return core or rest


if __name__ == "__main__":
    sys.exit(others() if sys.argv[1:] == ["--others"] else main())
