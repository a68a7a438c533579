"""Reading blobs again, beside a running server: files only, no index and no lock."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from distcache.core.oci import Digest

from .digests import ALGORITHMS, split, supported
from .errors import StoreError, translated

PIECE = 1024 * 1024
"""Bytes read at once."""


def stored_digests(root: Path) -> dict[Digest, int]:
    """What `blobs/` holds, with sizes in bytes; nothing where no server has begun yet.
    StoreError: it cannot be read, or there is no `root`."""
    found: dict[Digest, int] = {}
    for algorithm in ALGORITHMS:
        place = root / "blobs" / algorithm
        with translated():
            if not place.exists() and root.stat():
                continue
            for path in sorted(place.iterdir()):
                digest = Digest(f"{algorithm}:{path.name}")
                if supported(digest) and path.is_file() and not path.is_symlink():
                    found[digest] = path.stat().st_size
    return found


def verify_file(root: Path, digest: Digest, progress: Callable[[int], None]) -> bool:
    """Whether the file holds what its name says; one that is deleted meanwhile is not wrong.
    `progress` hears of bytes read. StoreError: it must not be read, which says nothing of it."""
    algorithm, name = split(digest)
    running = hashlib.new(algorithm)
    try:
        with (root / "blobs" / algorithm / name).open("rb") as file:
            while piece := file.read(PIECE):
                running.update(piece)
                progress(len(piece))
    except FileNotFoundError:
        return True
    except PermissionError as error:
        raise StoreError(str(error)) from error
    except OSError:
        return False
    return running.hexdigest() == name
