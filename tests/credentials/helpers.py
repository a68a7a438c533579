"""Credential helpers for the tests, as real programs."""

import json
from pathlib import Path


def program(path: Path, script: str) -> Path:
    """An executable shell script. Its environment is that of the tests."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def answering(path: Path, username: str, secret: str) -> Path:
    """A helper that says this, whoever asks, and notes each question in `<path>.asked`."""
    answer = json.dumps({"ServerURL": "", "Username": username, "Secret": secret})
    return program(path, f"echo \"$1 $(cat)\" >> '{path}.asked'\ncat <<'END'\n{answer}\nEND")


def asked(path: Path) -> list[str]:
    questions = Path(f"{path}.asked")
    return questions.read_text().splitlines() if questions.exists() else []
