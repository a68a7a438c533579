"""`ls`, `why`, `du`: what is held, and what a pull would meet."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from .common import ConfigOption, JsonOption, line, show, size, when

Below = Annotated[str, typer.Argument(metavar="[NAME]", help="A repository, or what is below it.")]
Reference = Annotated[
    str, typer.Argument(metavar="REF", help="docker.io/library/alpine:3, or NAME@DIGEST.")
]


def ls(name: Below = "", config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List tags: what they resolve to, what they weigh, when they were last used."""
    with line(config) as cache:
        tree = cache.ask("images", name=name)

    def draw(console: Console) -> None:
        table = Table("tag", "digest", "size", "last used", "checked", "", box=None)
        for image in tree["images"]:
            marks = ["pinned"] if image["pinned"] else []
            marks += [] if image["held"] else ["not held"]
            table.add_row(
                image["name"],
                image["digest"].partition(":")[2][:12],
                size(image["size"]),
                when(image["used"]),
                when(image["checked"]),
                " ".join(marks),
            )
        console.print(table)

    show(tree, as_json, draw)


def why(ref: Reference, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Say what a pull of REF would be answered now, and why."""
    with line(config) as cache:
        tree = cache.ask("why", ref=ref)

    def draw(console: Console) -> None:
        console.print(f"{ref} {tree['answer']}", markup=False)
        facts = Table.grid(padding=(0, 2))
        for name, value in (
            ("state", tree["state"]),
            ("resolves to", tree["digest"]),
            ("last checked", when(tree["checked"])),
            ("fresh until", when(tree["fresh_until"])),
            ("usable while upstream fails until", when(tree["stale_until"])),
            ("known since", when(tree["known_since"])),
            ("held back until", when(tree["held_back_until"])),
            ("held", _held(tree)),
            ("last used", when(tree["used"])),
            ("pinned", "yes" if tree["pinned"] else "no"),
            ("may be served as", ", ".join(tree["granted"])),
            ("upstream's last answer", _answered(tree["answered"])),
            ("fetched", _filled(tree) if tree["held"] else ""),
            ("upstream's quota", _quota(tree["quota"])),
        ):
            # What is not known would be a page of dashes.
            if value and value != "-":
                facts.add_row(name, value)
        if tree["filling"] is not None:
            have, whole = tree["filling"]
            facts.add_row("being fetched", f"{size(have)} of {size(whole)}")
        console.print(facts)

    show(tree, as_json, draw)


def _held(tree: Mapping[str, Any]) -> str:
    if not tree["held"]:
        return "no"
    return f"yes, {size(tree['size'])}" + ("" if tree["digest"] is None else " of manifest")


def _answered(said: Mapping[str, Any] | None) -> str:
    if said is None:
        return "not known"
    words = [str(said[name]) for name in ("status", "error") if said[name] is not None]
    return f"{', '.join(words)}{_by(said['mirror'])}, {when(said['at'])}"


def _filled(tree: Mapping[str, Any]) -> str:
    """When, for whom and from where."""
    filled = tree["filled"]
    if filled is None:
        return "not known when and for whom"
    where = f"as {filled['repository']}{_by(filled['mirror'])}"
    return f"{when(filled['at'])}, {_whom(filled)}, {where}"


def _whom(filled: Mapping[str, Any]) -> str:
    if filled["by"] == "import":
        return "by import"
    words = {"anonymous": "somebody", "user": "somebody who had logged in", "warm": "warm"}
    client = filled["client"]
    if client is None:
        return f"for {words[filled['by']]}"
    who = words[filled["by"]] if client["user"] is None else _plain(client["user"])
    agent = f" with {client['agent']}" if client["agent"] else ""
    return f"for {who} at {client['address']}{agent}"


def _by(mirror: int | None) -> str:
    return "" if mirror is None else f" from mirror {mirror + 1}"


def _quota(quota: Mapping[str, Any]) -> str:
    words = "not known"
    if quota["limit"] is not None:
        left = f"{quota['remaining']} of {quota['limit']} left"
        words = f"{left} on {when(quota['counted'])}, all of it again by {when(quota['renewed'])}"
    if quota["limited_until"] is not None:
        words += f"; asks not to be asked until {when(quota['limited_until'])}"
    return words


def _plain(text: str) -> str:
    """A name from outside, which may hold what a terminal would obey."""
    return "".join(c if c.isprintable() else "?" for c in text)


def du(name: Below = "", config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Say how much each repository takes. Layers that images share count for each of them."""
    with line(config) as cache:
        tree = cache.ask("du", name=name)

    def draw(console: Console) -> None:
        table = Table("repository", "tags", "size", "its own alone", box=None)
        for row in tree["repositories"]:
            table.add_row(
                row["repository"], str(row["tags"]), size(row["size"]), size(row["alone"])
            )
        console.print(table)
        cap = "" if tree["max_bytes"] is None else f" of {size(tree['max_bytes'])}"
        console.print(f"{tree['stored_blobs']} blobs, {size(tree['stored_bytes'])}{cap}")

    show(tree, as_json, draw)
