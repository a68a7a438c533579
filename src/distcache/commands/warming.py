"""`warm`: fetch images through the running cache before anybody waits for them."""

import os
from collections.abc import Callable, Sequence
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

from ..admin.names import Misspelt, Names
from ..core.oci import TagRef
from ..operations.warming import Platform, Step, Warmer, WarmingFailed
from ..settings import Settings
from .common import ConfigOption, JsonOption, fail, settings_of, show, size

USER = "DISTCACHE_AUTHORIZATION"
"""Environment variable with the value of Authorization, where the cache asks for a login."""


def warm(
    refs: Annotated[list[str] | None, typer.Argument(metavar="REF...")] = None,
    file: Annotated[
        Path | None,
        typer.Option("-f", "--file", help="A file with one REF a line; # begins a comment."),
    ] = None,
    platform: Annotated[
        list[str] | None,
        typer.Option(help="Like linux/arm64; may be given again. Default: this machine's."),
    ] = None,
    all_platforms: Annotated[bool, typer.Option("--all-platforms")] = False,
    url: Annotated[
        str | None, typer.Option(help="The cache's address; else the configuration's.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Pull images through the cache: the manifest or index, the wanted platforms, every blob, and
    what refers to them. Run again, it goes on where it was. Exit status 1 when one failed."""
    settings = settings_of(config)
    names = Names(settings.sites, settings.default)
    wanted = [*(refs or ()), *(_lines(file) if file is not None else ())]
    if not wanted:
        fail("say which images, or give a file of them", 2)
    platforms = None if all_platforms else [_platform(text) for text in platform or [_own()]]
    base = (url or _address(settings)).rstrip("/")
    results = []
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    columns_after = (TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, *columns_after, disable=as_json, transient=True) as progress:
        for ref in wanted:
            task = progress.add_task(ref, total=0)
            results.append(_one(names, ref, base, platforms, _shown(progress, task)))
            progress.remove_task(task)

    def draw(console: object) -> None:
        for result in results:
            if "error" in result:
                print(f"failed: {result['ref']}: {result['error']}")
            else:
                print(f"{result['ref']}: {result['blobs']} blobs, {size(result['bytes'])}")

    show({"images": results}, as_json, draw)
    if any("error" in result for result in results):
        raise typer.Exit(1)


def _shown(progress: Progress, task: TaskID) -> Callable[[Step], None]:
    totals: dict[str, int] = {}

    def step(step: Step) -> None:
        if step.total is not None and step.what not in totals:
            totals[step.what] = step.total
            progress.update(task, total=sum(totals.values()))
        progress.advance(task, step.length)

    return step


def _one(
    names: Names,
    ref: str,
    base: str,
    platforms: Sequence[Platform] | None,
    step: Callable[[Step], None],
) -> dict[str, Any]:
    warmer = Warmer(base, platforms, step, os.environ.get(USER))
    try:
        named = names.read(ref)
        if named.repository is None or named.what is None:
            raise Misspelt("give a repository, not a digest alone")
        reference = named.what.tag if isinstance(named.what, TagRef) else named.what.digest
        done = warmer.warm(names.path(named.repository), reference)
    except (Misspelt, WarmingFailed) as error:
        return {"ref": ref, "error": str(error)}
    finally:
        warmer.close()
    return {"ref": ref, "manifests": done.manifests, "blobs": done.blobs, "bytes": done.size}


def _lines(file: Path) -> list[str]:
    try:
        text = file.read_text()
    except OSError as error:
        fail(f"{file}: {error.strerror}", 2)
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


def _address(settings: Settings) -> str:
    host = settings.host or "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"
