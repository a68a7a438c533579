"""`pin`, `unpin`, `forget`, `prune`: what stays and what goes."""

from typing import Annotated

import typer

from .common import ConfigOption, JsonOption, fail, line, show, size

Reference = Annotated[
    str, typer.Argument(metavar="REF", help="A tag, or NAME@DIGEST, or a digest.")
]


def pin(ref: Reference, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Keep REF, whatever its age and the store's size. A pinned tag's pin moves with it."""
    with line(config) as cache:
        tree = cache.order("pin", ref=ref)
    show(tree, as_json, lambda console: console.print(f"{ref} is pinned", markup=False))


def unpin(ref: Reference, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Let REF go again when its time comes."""
    with line(config) as cache:
        tree = cache.order("unpin", ref=ref)
    show(tree, as_json, lambda console: console.print(f"{ref} is not pinned", markup=False))


def forget(
    ref: Annotated[str, typer.Argument(metavar="REF", help="A tag, a repository, or a digest.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have the next pull of REF ask upstream.

    A digest's content is deleted. Exit status 1 when nothing is known of REF."""
    with line(config) as cache:
        tree = cache.order("forget", ref=ref)
    show(tree, as_json, lambda console: console.print(f"{ref} is forgotten", markup=False))


def prune(
    max_size: Annotated[
        str | None,
        typer.Option(help="Delete the least recently used down to this size, like 50GB."),
    ] = None,
    older_than: Annotated[
        str | None, typer.Option(help="Delete what was not used for so long, like 168h.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete content now: whole images, the least recently used first, nothing that is pinned."""
    said = {"max_size": max_size, "older_than": older_than, "dry_run": "1" if dry_run else None}
    given = {name: value for name, value in said.items() if value is not None}
    if max_size is None and older_than is None:
        fail("say --max-size, --older-than or both", 2)
    with line(config) as cache:
        tree = cache.order("prune", **given)
    words = "would be" if dry_run else "are"
    text = f"{tree['blobs']} blobs, {size(tree['bytes'])} {words} deleted"
    show(tree, as_json, lambda console: console.print(text))
