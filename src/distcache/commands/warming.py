"""`warm`: fetch images through the running cache before anybody waits for them."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from ..admin.api import Wrong
from ..admin.names import Misspelt, Names
from ..core.oci import TagRef
from ..operations.warming import Limited, Platform, Step, Warmer, WarmingFailed
from ..settings import Settings
from ..store import StoreError
from .address import CacertOption, CertOption, KeyOption, reached
from .common import (
    ConfigOption,
    JsonOption,
    fail,
    interruptible,
    progress,
    settings_of,
    show,
    size,
    told,
)
from .connection import CannotAsk, connected

USER = "DISTCACHE_AUTHORIZATION"
"""Environment variable with the value of Authorization, where the cache asks for a login."""


def warm(
    refs: Annotated[
        list[str] | None, typer.Argument(metavar="REF...", help="Images, as clients name them.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("-f", "--file", help="A file with one REF a line; # begins a comment."),
    ] = None,
    platform: Annotated[
        list[str] | None,
        typer.Option(help="Like linux/arm64; may be given again. Default: this machine's."),
    ] = None,
    all_platforms: Annotated[
        bool, typer.Option("--all-platforms", help="All of an index.")
    ] = False,
    url: Annotated[
        str | None, typer.Option(help="The cache's address; else the configuration's.")
    ] = None,
    cert: CertOption = None,
    key: KeyOption = None,
    cacert: CacertOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Pull images through the cache before anybody waits for them.

    The manifest or index, the wanted platforms, every blob, and what refers to them. Run again, it
    goes on where it was. It stops where an upstream limits, and, where the configuration has a
    debug listener, before what is left of a quota runs out. Exit status 1 when one failed or was
    left out."""
    settings = settings_of(config)
    names = Names(settings.sites, settings.default)
    wanted = [*(refs or ()), *(_lines(file) if file is not None else ())]
    if not wanted:
        fail("say which images, or give a file of them", 2)
    platforms = None if all_platforms else [_platform(text) for text in platform or [_own()]]
    with told():
        base, tls = reached(settings, url, cert=cert, key=key, cacert=cacert)
    login = os.environ.get(USER)
    results = []
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn())
    columns_after = (TransferSpeedColumn(), TimeRemainingColumn())
    with interruptible(), progress(*columns, *columns_after) as bars:
        spent: set[str] = set()
        for ref in wanted:
            if url is None:
                spent |= _scarce(settings)
            task = bars.add_task(ref, total=0)
            warmer = Warmer(base, platforms, _shown(bars, task), login, tls)
            results.append(_one(names, ref, warmer, spent))
            bars.remove_task(task)

    def draw(console: object) -> None:
        for result in results:
            if "error" in result:
                print(f"failed: {result['ref']}: {result['error']}")
            else:
                print(f"{result['ref']}: {result['blobs']} blobs, {size(result['bytes'])}")

    show({"images": results}, as_json, draw)
    if any("error" in result for result in results):
        raise typer.Exit(1)


def _shown(bars: Progress, task: TaskID) -> Callable[[Step], None]:
    totals: dict[str, int] = {}

    def step(step: Step) -> None:
        if step.total is not None and step.what not in totals:
            totals[step.what] = step.total
            bars.update(task, total=sum(totals.values()))
        bars.advance(task, step.length)

    return step


def _scarce(settings: Settings) -> set[str]:
    """The upstreams that limit now, or of whose quota little is left, as the server has it."""
    if settings.debug is None:
        return set()
    low = settings.core.limits.quota_low
    try:
        with connected(settings) as cache:
            found = cache.ask("upstreams")["upstreams"]
    except (CannotAsk, StoreError, Wrong):
        return set()
    return {
        one["upstream"]
        for one in found
        if one["limited_until"] is not None
        or (one["limit"] is not None and one["remaining"] <= one["limit"] * low)
    }


def _one(names: Names, ref: str, warmer: Warmer, spent: set[str]) -> dict[str, Any]:
    """`spent`: upstreams that are not to be asked any more."""
    try:
        named = names.read(ref)
        if named.repository is None or named.what is None:
            raise Misspelt("give a repository, not a digest alone")
        upstream = named.repository.upstream
        if upstream in spent:
            return {"ref": ref, "error": f"left out: little is left of what {upstream} allows"}
        reference = named.what.tag if isinstance(named.what, TagRef) else named.what.digest
        done = warmer.warm(names.path(named.repository), reference)
    except Limited as error:
        spent.add(upstream)
        return {"ref": ref, "error": str(error)}
    except (Misspelt, WarmingFailed) as error:
        return {"ref": ref, "error": str(error)}
    finally:
        warmer.close()
    return {"ref": ref, "manifests": done.manifests, "blobs": done.blobs, "bytes": done.size}


def _lines(file: Path) -> list[str]:
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        fail(error.strerror or str(error), 2, where=file)
    except UnicodeDecodeError:
        fail("not UTF-8", 2, where=file)
    bare = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in bare if line]


def _platform(text: str) -> Platform:
    try:
        return Platform.of(text)
    except ValueError as error:
        fail(str(error), 2)


def _own() -> str:
    machine = os.uname().machine
    return "linux/" + {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
