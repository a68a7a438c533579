"""A hook of mkdocs: state diagrams of the pages as pictures in the page.

Where the pages are read as files, the viewer draws `mermaid` blocks. In the site that would need
a program from another host, or three megabytes of it here; these diagrams are small, so they are
drawn when the site is built. States stand in a column; what leads down goes round on the right,
what leads up on the left.
"""

import re
from html import escape

from attrs import Factory, define

BLOCK = re.compile(r"```mermaid\nstateDiagram-v2\n(.*?)```", re.DOTALL)
EDGE = re.compile(r"\s*(\w+) --> (\w+): ([\w-]+)")

ROW = 68
"""Pixels from one state to the next."""
REACH = 58
"""Pixels that an edge bends outwards for each state that it passes."""
WIDTH, HEIGHT = 124, 30
"""Of a state's box."""
LETTER = 6.3
"""Width of a letter, about: it decides how wide the picture is, no more."""


@define
class Diagram:
    """`states` in the order in which they are named; `edges`: the inputs by the pair of states."""

    states: list[str] = Factory(list)
    edges: dict[tuple[str, str], list[str]] = Factory(dict)


def on_page_markdown(markdown: str, **_: object) -> str:
    return BLOCK.sub(lambda match: draw(read(match[1])), markdown)


def read(text: str) -> Diagram:
    """Raises ValueError for a line that is no transition."""
    found = Diagram()
    for line in text.splitlines():
        match = EDGE.fullmatch(line)
        if match is None:
            raise ValueError(f"not a transition: {line!r}")
        before, after, put = match.groups()
        for state in (before, after):
            if state not in found.states:
                found.states.append(state)
        found.edges.setdefault((before, after), []).append(put)
    return found


def draw(diagram: Diagram) -> str:
    """SVG in the colours of the page around it, on one line: Markdown leaves it alone."""
    at = {state: index for index, state in enumerate(diagram.states)}
    sides = [0.0, 0.0]
    parts = []
    for (before, after), puts in diagram.edges.items():
        down = at[after] > at[before]
        sides[down] = max(sides[down], _width(at[before], at[after], puts))
        parts.append(_edge(at[before], at[after], puts))
    parts += [_state(index, state) for state, index in at.items()]
    left, right = sides[0] + WIDTH / 2 + 8, sides[1] + WIDTH / 2 + 8
    height = ROW * len(at)
    words = "; ".join(f"{a} to {b} on {' or '.join(p)}" for (a, b), p in diagram.edges.items())
    return (
        f'<svg class="states" role="img" aria-label="{escape(words)}" '
        f'viewBox="{-left:.0f} {-ROW / 2:.0f} {left + right:.0f} {height}" '
        f'width="{left + right:.0f}" height="{height}" style="max-width:100%" '
        f'font-family="sans-serif" font-size="11" fill="currentColor">{"".join(parts)}</svg>'
    )


def _width(before: int, after: int, puts: list[str]) -> float:
    return _bend(before, after) * 0.75 + max(map(len, puts)) * LETTER


def _bend(before: int, after: int) -> float:
    return REACH * max(0.5, abs(after - before))


def _state(index: int, name: str) -> str:
    y = index * ROW
    return (
        f'<rect x="{-WIDTH / 2}" y="{y - HEIGHT / 2}" width="{WIDTH}" height="{HEIGHT}" rx="6" '
        f'fill="none" stroke="currentColor"/>'
        f'<text x="0" y="{y + 4}" text-anchor="middle">{escape(name)}</text>'
    )


def _edge(before: int, after: int, puts: list[str]) -> str:
    side = 1 if after > before else -1
    x, bend = side * WIDTH / 2, side * _bend(before, after)
    # Both ends of a loop are on one box; else edges leave at one height and arrive at another.
    start, end = (-9, 9) if before == after else (8 * side, -8 * side)
    y0, y1 = before * ROW + start, after * ROW + end
    tip = x + side * 1
    head = f"{tip},{y1} {tip + side * 7},{y1 - 4} {tip + side * 7},{y1 + 4}"
    anchor = "start" if side > 0 else "end"
    middle = (y0 + y1) / 2 + 4 - 6 * (len(puts) - 1)
    label = "".join(
        f'<text x="{x + bend * 0.75 + side * 4:.0f}" y="{middle + 12 * n:.0f}" '
        f'text-anchor="{anchor}">{escape(put)}</text>'
        for n, put in enumerate(puts)
    )
    path = f"M{x},{y0} C{x + bend},{y0} {x + bend},{y1} {tip + side * 6},{y1}"
    return (
        f'<path d="{path}" fill="none" stroke="currentColor" opacity="0.5"/>'
        f'<polygon points="{head}" opacity="0.5"/>{label}'
    )
