"""YAML text as a tree of plain values that still know their spelling and their place.

A mapping is a dict, a sequence a list, null is None, any other scalar a `Scalar`: a password
`0123` stays `0123`, and every complaint can name a line. Paths are JSONPath, as in
`$.proxy.upstreams['ghcr.io'].ca`.
"""

import re

import yaml
from attrs import frozen

DEPTH = 32
"""Nesting that no configuration needs; deeper text would exhaust the stack."""

NODES = 100_000
"""Aliases can make a small text a huge tree; no configuration has so many values."""

_MERGE = "tag:yaml.org,2002:merge"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@frozen
class Scalar:
    """`kind` is YAML's: `str`, `int`, `bool`, `float`, `timestamp` … `where` says from which
    line or variable it came. The text may be a secret, so it is not shown."""

    text: str
    kind: str
    where: str

    def __repr__(self) -> str:
        return f"Scalar({self.kind}, {self.where})"


Tree = dict[str, "Tree"] | list["Tree"] | Scalar | None


@frozen
class Problem:
    """One thing that is wrong, or worth a warning, at a place."""

    message: str
    path: str

    def __str__(self) -> str:
        return f"{self.message} @ {self.path}"


def below(path: str, key: str | int) -> str:
    """The path of a member or an element."""
    if isinstance(key, str) and _NAME.fullmatch(key):
        return f"{path}.{key}"
    return f"{path}[{key!r}]"


def parse(text: str, source: str | None = None) -> tuple[Tree, list[Problem]]:
    """The tree of one YAML document, and what is wrong with the text itself.

    `source` is named in place of line numbers (an environment variable). Never raises on any
    text; text that is not YAML at all gives None and one problem."""
    try:
        # The C loader is not on every machine; composing is all that is needed of either.
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        return None, [Problem(_yaml_message(error, source), "$")]
    except (yaml.YAMLError, RecursionError, ValueError):
        return None, [Problem(f"not readable as YAML{_at(source)}", "$")]
    grower = _Grower(source)
    return grower.grow(node, "$", 0), grower.problems


class _Grower:
    def __init__(self, source: str | None) -> None:
        self.source = source
        self.problems: list[Problem] = []
        self.nodes = 0

    def grow(self, node: yaml.Node | None, path: str, depth: int) -> Tree:
        self.nodes += 1
        if node is None:
            return None
        if depth > DEPTH or self.nodes > NODES:
            if depth > DEPTH or self.nodes == NODES + 1:
                self.problems.append(Problem(f"nested too deep or too large{self.at(node)}", path))
            return None
        match node:
            case yaml.MappingNode():
                return self.mapping(node, path, depth)
            case yaml.SequenceNode():
                return [
                    self.grow(item, below(path, index), depth + 1)
                    for index, item in enumerate(node.value)
                ]
        kind = node.tag.rpartition(":")[2]
        if kind == "null":
            return None
        return Scalar(node.value, kind, self.source or f"line {node.start_mark.line + 1}")

    def mapping(self, node: yaml.MappingNode, path: str, depth: int) -> Tree:
        members: dict[str, Tree] = {}
        lines: dict[str, int] = {}
        for key_node, value in self.merged(node, depth):
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(Problem(f"a key must be a word{self.at(key_node)}", path))
                continue
            key = key_node.value
            line = key_node.start_mark.line + 1
            if key in members:
                message = f"key given twice, first in line {lines[key]}{self.at(key_node)}"
                self.problems.append(Problem(message, below(path, key)))
                continue
            lines[key] = line
            members[key] = self.grow(value, below(path, key), depth + 1)
        return members

    def merged(self, node: yaml.MappingNode, depth: int) -> list[tuple[yaml.Node, yaml.Node]]:
        """The pairs of a mapping with its merge keys (`<<: *base`) unfolded; a key of its own
        comes before a merged one."""
        pairs = [(key, value) for key, value in node.value if key.tag != _MERGE]
        self.nodes += len(pairs)
        if len(pairs) == len(node.value) or depth > DEPTH or self.nodes > NODES:
            return pairs
        own = {key.value for key, _ in pairs if isinstance(key, yaml.ScalarNode)}
        for merge_key, bases in node.value:
            if merge_key.tag != _MERGE:
                continue
            for base in bases.value if isinstance(bases, yaml.SequenceNode) else [bases]:
                if not isinstance(base, yaml.MappingNode):
                    continue
                for key, value in self.merged(base, depth + 1):
                    if isinstance(key, yaml.ScalarNode) and key.value not in own:
                        own.add(key.value)
                        pairs.append((key, value))
        return pairs

    def at(self, node: yaml.Node) -> str:
        return _at(self.source, node.start_mark.line)


def _at(source: str | None, line: int | None = None) -> str:
    if source is not None:
        return f" ({source})"
    return "" if line is None else f" (line {line + 1})"


def _yaml_message(error: yaml.MarkedYAMLError, source: str | None) -> str:
    # Never str(error): it quotes the text around, which may hold a password.
    line = error.problem_mark.line if error.problem_mark else None
    return f"not valid YAML: {_harmless(error.problem)}{_at(source, line)}"


def _harmless(problem: str | None) -> str:
    """PyYAML's own words without what they quote of the text."""
    return re.sub(r"'[^']*'|\"[^\"]*\"", "…", problem or "unreadable")
