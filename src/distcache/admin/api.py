"""The operators' questions and orders, as JSON: the same for a running server and a store at rest.

Orders are `POST`. Whoever may read and write the store's directory may give them: they need
the key that the server leaves there (`key.py`), so that no web page can have a browser give
them.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from attrs import frozen

from ..configuration import units
from ..core.events import Event, Forgotten, Pinned, Pruned
from ..core.oci import Content, Digest, Kind, Repository, TagRef, Time
from ..core.reports import Explanation, Filling, Image, Reach, Stats
from ..core.reports import Named as Pinnable
from . import why
from .names import Named, Names, digest_of

Tree = dict[str, Any]


class Subject(Protocol):
    """A cache, running or at rest."""

    def stats(self) -> Stats: ...

    def images(self, latest: int | None = None) -> list[Image]: ...

    def explain(self, what: Pinnable, repository: Repository) -> Explanation: ...

    def knows(self, what: TagRef | Repository | Digest) -> bool:
        """Whether there is something to forget."""

    def fillings(self) -> list[Filling]: ...

    def reach(self) -> list[Reach]: ...

    def prunable(self, order: Pruned) -> tuple[int, int]:
        """Blobs and bytes that would go."""

    def feed(self, event: Event) -> None: ...

    def now(self) -> Time: ...


class Wrong(Exception):
    """A question that has no answer: HTTP status and a sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@frozen
class Limits:
    """What the configuration says of the store's size, in bytes, and of idle content, seconds."""

    max_size: int | None
    ttl: float | None
    evict: bool


class Api:
    def __init__(self, subject: Subject, names: Names, limits: Limits) -> None:
        self._subject = subject
        self._names = names
        self._limits = limits
        self._questions: Mapping[str, Callable[[Mapping[str, str]], Tree]] = {
            "status": self._status,
            "images": self._images,
            "why": self._why,
            "du": self._du,
            "fills": self._fills,
            "upstreams": self._upstreams,
        }
        self._orders: Mapping[str, Callable[[Mapping[str, str]], Tree]] = {
            "pin": lambda said: self._pin(said, keep=True),
            "unpin": lambda said: self._pin(said, keep=False),
            "forget": self._forget,
            "prune": self._prune,
        }

    def ask(self, name: str, said: Mapping[str, str], *, whole: bool = False) -> Tree:
        """Raises Wrong. `whole`: who asks may know which clients there are."""
        tree = self._call(self._questions, name, said)
        if not whole and tree.get("filled"):
            tree["filled"]["client"] = None
        return tree

    def order(self, name: str, said: Mapping[str, str]) -> Tree:
        """Raises Wrong."""
        return self._call(self._orders, name, said)

    def _call(
        self,
        known: Mapping[str, Callable[[Mapping[str, str]], Tree]],
        name: str,
        said: Mapping[str, str],
    ) -> Tree:
        if name not in known:
            raise Wrong(404, f"no such question or order: {name}")
        try:
            return known[name](said)
        except ValueError as error:
            raise Wrong(400, str(error)) from None

    def _status(self, _: Mapping[str, str]) -> Tree:
        stats = self._subject.stats()
        return {
            "stored_bytes": stats.stored_bytes,
            "stored_blobs": stats.stored_blobs,
            "max_bytes": self._limits.max_size,
            "fills": stats.fills,
            "readers": stats.readers,
            "exchanges": stats.exchanges,
            "tags": stats.tags,
            "pins": stats.pins,
        }

    def latest(self, count: int) -> list[Tree]:
        """The images that were used last, as `images` has them."""
        return [self._image(image) for image in self._subject.images(count)]

    def _images(self, said: Mapping[str, str]) -> Tree:
        """`name` narrows it down to a repository, or to an upstream."""
        wanted = said.get("name", "")
        below = self._names.below
        found = (i for i in self._subject.images() if below(i.reference.repository, wanted))
        return {"images": [self._image(image) for image in found]}

    def _image(self, image: Image) -> Tree:
        return {
            "name": self._names.write_tag(image.reference),
            "repository": self._names.write(image.reference.repository),
            "tag": image.reference.tag,
            "digest": image.descriptor.content.digest,
            "media_type": image.descriptor.media_type,
            "held": image.held,
            "size": image.size,
            "alone": image.alone,
            "checked": image.checked,
            "used": image.used,
            "pinned": image.pinned,
        }

    def _why(self, said: Mapping[str, str]) -> Tree:
        named = self._named(said, "ref")
        if named.repository is None or named.what is None:
            raise Wrong(400, "give a tag, or a repository with a digest")
        now = self._subject.now()
        found = self._subject.explain(named.what, named.repository)
        known = found.held or found.filling or found.answered or found.held_back_until is not None
        if isinstance(named.what, Content) and not known:
            blob = Content(Kind.BLOB, named.what.digest)
            found = self._subject.explain(blob, named.repository)
        return why.tree(said["ref"], found, named.repository, self._names, now)

    def _du(self, said: Mapping[str, str]) -> Tree:
        by_name: dict[str, Tree] = {}
        for image in self._images(said)["images"]:
            row = by_name.setdefault(
                image["repository"],
                {"repository": image["repository"], "tags": 0, "size": 0, "alone": 0},
            )
            row["tags"] += 1
            row["size"] += image["size"]
            row["alone"] += image["alone"]
        rows = sorted(by_name.values(), key=lambda row: -row["size"])
        return {"repositories": rows, **self._status({})}

    def _fills(self, _: Mapping[str, str]) -> Tree:
        return {"fills": [self._filling(one) for one in self._subject.fillings()]}

    def _filling(self, one: Filling) -> Tree:
        return {
            "digest": one.content.digest,
            "kind": one.content.kind.value,
            "repository": self._names.write(one.repository),
            "state": one.state,
            "have": one.have,
            "size": one.size,
            "readers": one.readers,
        }

    def _upstreams(self, _: Mapping[str, str]) -> Tree:
        found = [
            {"upstream": one.upstream, **why.quota(one), "resting_mirrors": list(one.resting)}
            for one in self._subject.reach()
        ]
        return {"upstreams": found}

    def _pin(self, said: Mapping[str, str], *, keep: bool) -> Tree:
        named = self._named(said, "ref")
        if named.what is None:
            raise Wrong(400, "give a tag or a digest")
        self._subject.feed(Pinned(named.what, keep))
        return {"ref": said["ref"], "pinned": keep}

    def _forget(self, said: Mapping[str, str]) -> Tree:
        named = self._named(said, "ref", tag=None)
        digest = digest_of(named)
        what: TagRef | Repository | Digest
        if digest is not None:
            what = digest
        elif isinstance(named.what, TagRef):
            what = named.what
        else:
            assert named.repository is not None
            what = named.repository
        if not self._subject.knows(what):
            raise Wrong(404, f"{said['ref']} is not known: there is nothing to forget")
        self._subject.feed(Forgotten(what))
        return {"ref": said["ref"], "forgotten": True}

    def _prune(self, said: Mapping[str, str]) -> Tree:
        size, idle = said.get("max_size"), said.get("older_than")
        if size is None and idle is None:
            raise Wrong(400, "say max_size, older_than or both")
        if not self._limits.evict:
            raise Wrong(409, "storage.delete.enabled is false: nothing may be deleted")
        order = Pruned(
            None if size is None else units.size(size),
            None if idle is None else units.duration(idle),
        )
        blobs, freed = self._subject.prunable(order)
        dry = said.get("dry_run", "") in ("1", "true", "yes")
        if not dry:
            self._subject.feed(order)
        return {"blobs": blobs, "bytes": freed, "dry_run": dry}

    def _named(self, said: Mapping[str, str], key: str, tag: str | None = "latest") -> Named:
        if not said.get(key):
            raise Wrong(400, f"say {key}")
        return self._names.read(said[key], tag=tag)
