"""The programs these tests drive, and what happens when one is not installed."""

import os
import shutil
import sys
from pathlib import Path

import pytest


def required() -> bool:
    """True where a missing program is a failure, not a reason to skip."""
    return os.environ.get("CI") == "true" or os.environ.get("DISTCACHE_INTEROP") == "required"


def place_of(program: str) -> str | None:
    """Where it is: on the PATH, or beside the tests' own Python."""
    return shutil.which(program) or shutil.which(program, path=Path(sys.prefix) / "bin")


def need(*programs: str, root: bool = False) -> None:
    """Skip the test (fail it, when `required()`) unless every program is there."""
    missing = [name for name in programs if place_of(name) is None]
    reason = (
        f"not installed: {', '.join(missing)} (see tests/interop/packages.txt and `make packages`)"
    )
    if not missing and root and os.geteuid() != 0:
        missing, reason = ["root"], f"{', '.join(programs)} must run as root here"
    if not missing:
        return
    if required():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
