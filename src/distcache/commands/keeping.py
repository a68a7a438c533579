"""`verify`, `import`: the bytes on disk."""

import time
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from ..admin.api import Wrong
from ..core.oci import Digest
from ..operations.importing import Imported, NotARegistry, import_registry
from ..settings import Settings
from ..store import StoreLocked, open_store
from ..store.verifying import stored_digests, verify_file
from .common import ConfigOption, JsonOption, fail, progress, settings_of, show, size, told
from .connection import Line, connected, need_store
from .failing import Failed


def verify(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what is wrong; drop nothing.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read everything that is stored and drop what is not what its name says.

    Works while the server runs; what that does not know stays. Exit status 1 when something was
    wrong."""
    settings = settings_of(config)
    wrong: list[Digest] = []
    with told():
        need_store(settings)
        found = stored_digests(settings.root)
        with _bar() as bar:
            task = bar.add_task("verifying", total=sum(found.values()))
            for digest in found:
                if not verify_file(settings.root, digest, lambda n: bar.advance(task, n)):
                    wrong.append(digest)
    fates: dict[Digest, str] = {}
    trouble = _drop(settings, wrong, fates) if wrong and not dry_run else None
    tree = {
        "checked": len(found),
        "bytes": sum(found.values()),
        "wrong": wrong,
        "dropped": [name for name, fate in fates.items() if fate == DROPPED],
    }

    def draw(console: object) -> None:
        for name in wrong:
            print(f"wrong: {name}, {fates[name]}" if name in fates else f"wrong: {name}")
        print(f"{len(found)} blobs, {size(sum(found.values()))} read; {len(wrong)} wrong")

    show(tree, as_json, draw)
    if trouble is not None:
        raise trouble
    if wrong:
        raise typer.Exit(1)


DROPPED = "dropped"
UNKNOWN = "stays: the server does not know it; stop it and verify again"
STAYS = "stays: it is being fetched, or cannot be deleted; verify again later"

DELETED_WITHIN = 5.0
"""Seconds. What is forgotten is deleted at once, behind what the store has to do before."""


def _drop(settings: Settings, wrong: Sequence[Digest], fates: dict[Digest, str]) -> Failed | None:
    """Fills `fates`. Why no more could be done, if so."""
    try:
        with told(), connected(settings) as cache:
            for digest in wrong:
                if _forget(cache, digest):
                    fates[digest] = DROPPED if _deleted(settings.root, digest) else STAYS
                else:
                    right = verify_file(settings.root, digest, lambda _: None)
                    fates[digest] = DROPPED if right else UNKNOWN
    except Failed as failed:
        return failed
    return None


def _deleted(root: Path, digest: Digest) -> bool:
    """Whether the file goes, or has made room for a right one."""
    until = time.monotonic() + DELETED_WITHIN
    while not verify_file(root, digest, lambda _: None):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def _forget(cache: Line, digest: Digest) -> bool:
    """False: it is not known, and so not served, either."""
    try:
        cache.order("forget", ref=digest)
    except Wrong as wrong:
        if wrong.status != HTTPStatus.NOT_FOUND:
            raise
        return False
    return True


def import_(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The registry's rootdirectory.")],
    upstream: Annotated[
        str | None, typer.Option(help="Whose content it is; else the default upstream's.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take over the storage directory of a registry:2 or registry:3.

    Every blob is hashed; blobs are hard-linked where the file system allows it. DIR is not
    changed. The server must not run. Exit status 1 when something had to be left out."""
    settings = settings_of(config)
    key = upstream or settings.default
    if key not in settings.sites:
        fail(f"{key} is not an upstream of this configuration", 2)
    with told():
        try:
            store = open_store(settings.root)
        except StoreLocked:
            fail("the server runs on this store: stop it first", 1)
        try:
            with _bar() as bar:
                task = bar.add_task("importing", total=None)

                def step(done: Imported) -> None:
                    bar.update(task, completed=done.size)

                done = import_registry(directory, store, key, step)
        except NotARegistry as error:
            fail(str(error), 2)
        finally:
            store.close()
    tree = {
        "repositories": done.repositories,
        "tags": done.tags,
        "kept": done.kept,
        "blobs": done.blobs,
        "linked": done.linked,
        "bytes": done.size,
        "left_out": [{"path": str(w.path), "reason": w.reason} for w in done.wrong],
    }

    def draw(console: object) -> None:
        for left in done.wrong:
            print(f"left out: {left.path}: {left.reason}")
        print(
            f"{done.repositories} repositories, {done.tags} tags, {done.blobs} blobs "
            f"({done.linked} of them linked), {size(done.size)}"
        )
        if done.kept:
            print(f"{done.kept} tags stay as they are: upstream was asked about them later")

    show(tree, as_json, draw)
    if done.wrong:
        raise typer.Exit(1)


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    return progress(*columns, TimeRemainingColumn())
