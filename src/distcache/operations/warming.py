"""Fetch images before anybody waits for them, by pulling them through the cache itself.

A client like any other, so that whatever holds for clients holds here: one transfer for all,
digests checked, quota and policy kept. What is held already costs a look. Nothing is kept of
the bytes here.
"""

import json
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any

from attrs import frozen

from ..core.oci import MANIFEST_TYPES
from ..wire.oci_json import load
from ..wire.outgoing import WARMING

ACCEPT = ", ".join(MANIFEST_TYPES)
TIMEOUT = 120.0
"""Seconds without a byte after which a pull is given up."""

PARALLEL = 6
"""Blobs at once, as clients do."""


class WarmingFailed(Exception):
    """A sentence: what was asked for, and what the cache said."""


class Absent(WarmingFailed):
    """The cache says that there is no such thing."""


class Limited(WarmingFailed):
    """Upstream limits: more questions make it worse."""


@frozen
class Platform:
    """`os/architecture[/variant]`, as an index has it."""

    os: str
    architecture: str
    variant: str | None = None

    @classmethod
    def of(cls, text: str) -> "Platform":
        parts = text.split("/")
        if len(parts) not in (2, 3) or not all(parts):
            raise ValueError(f"not a platform like linux/arm64: {text!r}")
        return cls(*parts)

    def is_meant_by(self, entry: Any) -> bool:
        """An entry that names no platform is for all."""
        said = entry.get("platform") if isinstance(entry, dict) else None
        if said is None:
            return True
        if not isinstance(said, dict):
            return False
        same = said.get("os") == self.os and said.get("architecture") == self.architecture
        return same and (self.variant is None or said.get("variant") == self.variant)


@frozen
class Step:
    """Something has been pulled: `length` of its bytes just came, of `total` (None: unknown)."""

    what: str
    length: int
    total: int | None


@frozen
class Warmed:
    manifests: int
    blobs: int
    size: int


class Warmer:
    """`base` is the cache's address, `http://127.0.0.1:5000`. `platforms` None: all of them."""

    def __init__(
        self,
        base: str,
        platforms: Sequence[Platform] | None,
        progress: Callable[[Step], None],
        authorization: str | None = None,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        """`trust` None: whom this system trusts."""
        self._base = base
        self._platforms = platforms
        self._progress = progress
        self._headers: list[tuple[bytes | str, bytes | str]] = [
            ("Accept", ACCEPT),
            ("User-Agent", WARMING),
        ]
        if authorization is not None:
            self._headers.append(("Authorization", authorization))
        # Not at the top: it brings event loops, which other commands need not load.
        import httpcore

        self._errors = httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException
        self._pool = httpcore.ConnectionPool(
            ssl_context=trust, max_connections=PARALLEL, max_keepalive_connections=PARALLEL
        )

    def close(self) -> None:
        self._pool.close()

    def warm(self, path: str, reference: str) -> Warmed:
        """`path`: the repository as this cache's clients spell it. An index with the children
        that are wanted, their blobs, and what refers to each. Raises WarmingFailed."""
        blobs: dict[str, int | None] = {}
        seen: set[str] = set()
        waiting = [reference]
        size = 0
        while waiting:
            wanted = waiting.pop(0)
            if wanted in seen:
                continue
            body = self._whole(f"/v2/{path}/manifests/{wanted}")
            seen |= {wanted, _digest(body)}
            size += len(body)
            tree = _object(body, f"{path}:{wanted}")
            children = list(self._children(tree))
            if wanted == reference and _list(tree, "manifests") and not children:
                raise WarmingFailed(
                    f"{path}:{reference} is for other platforms: {_platforms(tree)}"
                )
            waiting += children
            waiting += self._referrers(path, wanted if ":" in wanted else _digest(body))
            for entry in [tree.get("config"), *_list(tree, "layers"), *_list(tree, "blobs")]:
                if isinstance(entry, dict) and isinstance(entry.get("digest"), str):
                    blobs.setdefault(entry["digest"], entry.get("size"))
        size += self._blobs(path, blobs)
        return Warmed(sum(":" in name for name in seen), len(blobs), size)

    def _children(self, tree: dict[str, Any]) -> Iterator[str]:
        for entry in _list(tree, "manifests"):
            wanted = self._platforms is None or any(p.is_meant_by(entry) for p in self._platforms)
            if wanted and isinstance(entry, dict) and isinstance(entry.get("digest"), str):
                yield entry["digest"]

    def _referrers(self, path: str, digest: str) -> Iterator[str]:
        """Signatures, attestations and the like: by the referrers API, else by the tags that
        stand in for it (distribution-spec, Referrers Tag Schema; cosign's own)."""
        listing = self._look(f"/v2/{path}/referrers/{digest}")
        if listing is not None:
            for entry in _list(_object(listing, f"{path} referrers"), "manifests"):
                if isinstance(entry, dict) and isinstance(entry.get("digest"), str):
                    yield entry["digest"]
        tag = digest.replace(":", "-")
        names = [tag] if listing is None else []
        for name in (*names, f"{tag}.sig", f"{tag}.att", f"{tag}.sbom"):
            found = self._look(f"/v2/{path}/manifests/{name}")
            if found is not None:
                yield _digest(found)
                tree = _object(found, f"{path}:{name}")
                yield from (
                    entry["digest"]
                    for entry in _list(tree, "manifests")
                    if isinstance(entry, dict) and isinstance(entry.get("digest"), str)
                )

    def _blobs(self, path: str, blobs: Mapping[str, int | None]) -> int:
        threads = ThreadPoolExecutor(PARALLEL)
        wait = True
        try:
            return sum(threads.map(lambda blob: self._blob(path, *blob), blobs.items()))
        except KeyboardInterrupt:
            # A blob may take hours, and whoever interrupts is not to wait for it.
            wait = False
            raise
        finally:
            threads.shutdown(wait=wait, cancel_futures=True)

    def _blob(self, path: str, digest: str, size: int | None) -> int:
        target = f"/v2/{path}/blobs/{digest}"
        return sum(map(len, self._get(target, size)))

    def _whole(self, target: str) -> bytes:
        return b"".join(self._get(target, None))

    def _look(self, target: str) -> bytes | None:
        """None: it is not there, or upstream does not know of such things."""
        try:
            return self._whole(target)
        except Absent:
            return None

    def _get(self, target: str, total: int | None) -> Iterator[bytes]:
        limits = {"connect": TIMEOUT, "read": TIMEOUT, "write": TIMEOUT, "pool": None}
        try:
            with self._pool.stream(
                "GET", self._base + target, headers=self._headers, extensions={"timeout": limits}
            ) as answer:
                if answer.status in (404, 405):
                    raise Absent(f"{target}: {answer.status} {_message(answer.read())}")
                if answer.status == 429:
                    raise Limited(f"{target}: 429 {_message(answer.read())}")
                if answer.status != 200:
                    raise WarmingFailed(f"{target}: {answer.status} {_message(answer.read())}")
                for piece in answer.iter_stream():
                    self._progress(Step(target, len(piece), total))
                    yield piece
        except self._errors as error:
            raise WarmingFailed(f"{target}: {str(error) or type(error).__name__}") from None


def _digest(body: bytes) -> str:
    return f"sha256:{sha256(body).hexdigest()}"


def _object(body: bytes, what: str) -> dict[str, Any]:
    tree = load(body)
    if not isinstance(tree, dict):
        raise WarmingFailed(f"{what}: not a manifest")
    return tree


def _list(tree: dict[str, Any], name: str) -> list[Any]:
    found = tree.get(name)
    return found if isinstance(found, list) else []


def _platforms(index: dict[str, Any]) -> str:
    said = [entry.get("platform") for entry in _list(index, "manifests") if isinstance(entry, dict)]
    named = (
        "/".join(str(one[part]) for part in ("os", "architecture", "variant") if one.get(part))
        for one in said
        if isinstance(one, dict)
    )
    return ", ".join(sorted(set(named) - {"unknown/unknown", ""})) or "none is named"


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["errors"][0]["message"])
    except (ValueError, KeyError, IndexError, TypeError):
        return ""
