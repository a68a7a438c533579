"""Writes the state diagrams in design.md from the machines' own tables.

`python docs/diagrams.py` rewrites the page; a test fails when the page and the tables differ.
"""

import re
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from distcache.core import blobs, calls, exchanges, fills, grants, pings, tags, tokens

PAGE = Path(__file__).with_name("design.md")
MACHINES: dict[str, Mapping[tuple[Any, Any], Enum]] = {
    "Tag": tags.TRANSITIONS,
    "Fill": fills.TRANSITIONS,
    "Exchange": exchanges.TRANSITIONS,
    "Call": calls.TRANSITIONS,
    "Token": tokens.TRANSITIONS,
    "Probe": grants.TRANSITIONS,
    "Ping": pings.TRANSITIONS,
    "Blob": blobs.TRANSITIONS,
}


def diagram(name: str) -> str:
    """One machine as a mermaid state diagram."""
    rows = [
        f"    {before.name} --> {after.name}: {put.value}"
        for (before, put), after in MACHINES[name].items()
    ]
    return "\n".join(["```mermaid", "stateDiagram-v2", *rows, "```"])


def render(page: str) -> str:
    """The page with every `<!-- NAME -->` … `<!-- end -->` block made anew."""

    def block(match: re.Match[str]) -> str:
        name = match[1]
        return f"<!-- {name} -->\n{diagram(name)}\n<!-- end -->"

    return re.sub(r"<!-- (\w+) -->\n.*?<!-- end -->", block, page, flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
