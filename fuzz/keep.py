"""Choose what is committed: `python -m fuzz.keep [TARGET...]`.

From all that a target's searches found worth keeping, the few inputs that reach most: libFuzzer
goes through them by size and says what each one is the first to reach.
"""

import hashlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .run import LIMITS, WORK
from .targets import CORPUS, NAMES

FILES = 48
SIZE = 8 * 1024
"""Bytes of all files of a target: a repository keeps every version for ever."""

_OURS = re.compile(r"[0-9a-f]{12}")


def chosen(name: str) -> list[bytes]:
    """At most so many inputs, the most useful first."""
    with tempfile.TemporaryDirectory() as folder:
        seen, merged, control = (Path(folder, part) for part in ("seen", "merged", "control"))
        seen.mkdir()
        merged.mkdir()
        # A search under way replaces its files by shorter ones, which a merge does not survive.
        for source in (CORPUS / name, WORK / name / "corpus"):
            for file in source.iterdir() if source.is_dir() else ():
                data = file.read_bytes()
                (seen / _name(data)).write_bytes(data)
        command = [
            *(sys.executable, "-m", "fuzz.child", name, *LIMITS, "-merge=1"),
            *(f"-merge_control_file={control}", str(merged), str(seen)),
        ]
        root, nothing = CORPUS.parents[1], subprocess.DEVNULL
        subprocess.run(command, cwd=root, stdin=nothing, capture_output=True, check=True)
        reached = first_reached(control.read_text().splitlines())
        inputs = {path: Path(path).read_bytes() for path in reached}
    useful = [path for path, new in reached.items() if any(new)]
    best = sorted(useful, key=lambda path: (reached[path], -len(inputs[path]), path))
    kept: list[bytes] = []
    for path in reversed(best):
        if len(kept) < FILES and sum(map(len, kept)) + len(inputs[path]) <= SIZE:
            kept.append(inputs[path])
    return kept


def first_reached(lines: Sequence[str]) -> dict[str, tuple[int, int]]:
    """From libFuzzer's control file: by path, the edges and the features that an input is the
    first to reach."""
    count = int(lines[0])
    paths = lines[2 : 2 + count]
    found: dict[str, tuple[int, int]] = {}
    for line in lines[2 + count :]:
        word, number, *reached = line.split()
        path = paths[int(number)]
        edges, features = found.get(path, (0, 0))
        if word == "COV":
            found[path] = (len(reached), features)
        elif word == "FT":
            found[path] = (edges, len(reached))
    return found


def _name(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


def keep(name: str) -> None:
    folder = CORPUS / name
    folder.mkdir(parents=True, exist_ok=True)
    inputs = chosen(name)
    for old in folder.iterdir():
        if _OURS.fullmatch(old.name):
            old.unlink()
    for data in inputs:
        (folder / _name(data)).write_bytes(data)
    print(f"{name:<18}{len(inputs):>4} inputs{sum(map(len, inputs)):>8,} bytes", flush=True)


if __name__ == "__main__":
    for one in sys.argv[1:] or NAMES:
        keep(one)
