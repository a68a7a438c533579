"""The key to give orders with: a file in the store's directory that its owner alone can read."""

import os
import secrets
from hmac import compare_digest
from pathlib import Path

NAME = "admin.key"


def create(root: Path) -> str:
    """A new key at each start. OSError: the directory cannot be written."""
    key = secrets.token_urlsafe(32)
    path = root / NAME
    path.unlink(missing_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(key)
    return key


def read(root: Path) -> str | None:
    """None: no server has left one, or it is not for us."""
    try:
        return (root / NAME).read_text().strip() or None
    except OSError:
        return None


def shown(authorization: str | None, key: str | None) -> bool:
    """Whether a request's Authorization has it."""
    scheme, _, value = (authorization or "").partition(" ")
    return (
        key is not None
        and scheme.lower() == "bearer"
        and compare_digest(value.strip().encode(), key.encode())
    )
