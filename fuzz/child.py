"""One target under libFuzzer: `python -m fuzz.child TARGET [libFuzzer's arguments]`.

Standard error is libFuzzer's own account. An input that breaks the target's sentence ends the
process with a traceback and is written where `-artifact_prefix` says.
"""

import logging
import shlex
import sys
import tempfile
from collections.abc import Sequence
from importlib import import_module

from . import targets

GUIDES = ("distcache", "fuzz.targets", "h11", "tests.model", "yaml")
"""Packages whose branches count as coverage: ours, and the parsers that bytes reach first."""


def main(name: str, arguments: Sequence[str]) -> None:
    # Not a dependency of the tests, and without type hints.
    atheris = import_module("atheris")
    with atheris.instrument_imports(include=list(GUIDES), enable_loader_override=False):
        target = targets.load(name)
    # What is said to operators about bad input is said a million times here.
    logging.disable()
    with tempfile.NamedTemporaryFile("w", suffix=".dict") as words:
        words.write("".join(f'"{_escaped(word)}"\n' for word in target.WORDS))
        words.flush()
        # A merge runs itself anew, through a shell.
        itself = shlex.join([sys.executable, "-m", "fuzz.child", name])
        atheris.Setup([itself, *arguments, f"-dict={words.name}"], target.one_input)
        atheris.Fuzz()


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
