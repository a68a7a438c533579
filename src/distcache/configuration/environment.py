"""`REGISTRY_*` variables over a configuration, as the registry has them.

`REGISTRY_HTTP_ADDR` is `http.addr`: the path in upper case, joined by `_`, the value read as
YAML. A number is a place in a list. Variables are taken in the order of their names, so that a
section given whole comes before its members. Where the schema has names with `_` in them, or a
map has keys with dots or dashes, the longest name that fits is meant: `REGISTRY_PROXY_TAG_TTL`
is `proxy.tag_ttl`, `REGISTRY_PROXY_UPSTREAMS_GHCR_IO_PASSWORD` the password of `ghcr.io` when
that upstream is in the file.

Source: the registry's configuration/parser.go.
"""

import re
from collections.abc import Mapping

from .schema import ANY_NAME, SCHEMA, Kind, Node
from .tree import Problem, Scalar, Tree, below, parse

PREFIX = "REGISTRY_"

Key = str | int


def override(tree: Tree, environ: Mapping[str, str]) -> tuple[Tree, list[Problem], list[Problem]]:
    """The tree with every variable applied, the errors, and the warnings (variables that name
    no known key, as other programs set them too). Changes `tree`."""
    errors: list[Problem] = []
    warnings: list[Problem] = []
    for name in sorted(environ):
        if not name.startswith(PREFIX):
            continue
        keys = _resolve(SCHEMA, name.removeprefix(PREFIX).split("_"), tree)
        if not keys:
            warnings.append(Problem("names no known key, ignored", f"${name}"))
            continue
        value, problems = parse(environ[name], source=name)
        errors += [Problem(problem.message, _path(keys)) for problem in problems]
        if problems:
            continue
        try:
            tree = _assign(tree, keys, value)
        except IndexError:
            errors.append(Problem(f"a place beyond the end of the list ({name})", _path(keys)))
    return tree, errors, warnings


def _resolve(node: Node, parts: list[str], tree: Tree) -> list[Key] | None:
    """The keys that a variable's name spells below this node; None when it spells none."""
    if not parts:
        return []
    if _is_index(parts[0]) and node.kind in (Kind.LIST, Kind.IGNORED, Kind.REFUSED):
        index = int(parts[0])
        inside = tree[index] if isinstance(tree, list) and index < len(tree) else None
        rest: list[Key] | None = [] if node.kind is Kind.LIST and len(parts) == 1 else None
        if node.kind is not Kind.LIST:
            rest = _resolve(node, parts[1:], inside)
        return None if rest is None else [index, *rest]
    for key, used in _candidates(node, parts, tree):
        inside = tree.get(key) if isinstance(tree, dict) else None
        member = node.members.get(key) or node.members[ANY_NAME]
        rest = _resolve(member, parts[used:], inside)
        if rest is not None:
            return [key, *rest]
    return None


def _candidates(node: Node, parts: list[str], tree: Tree) -> list[tuple[str, int]]:
    """Keys that the first parts may mean, with how many parts each takes; longest first, and
    after the known ones a new key of one part where any name may stand."""
    names = [name for name in node.members if name != ANY_NAME]
    free = ANY_NAME in node.members
    if free and isinstance(tree, dict):
        names += tree
    found = []
    for name in names:
        form = re.sub(r"[^A-Z0-9.\-:]", "_", name.upper())
        for spelling in {form, re.sub(r"[^A-Z0-9]", "_", form)}:
            words = spelling.split("_")
            if parts[: len(words)] == words:
                found.append((name, len(words)))
    found.sort(key=lambda candidate: -candidate[1])
    if free and parts[0]:
        found.append((parts[0].lower(), 1))
    return found


def _assign(tree: Tree, keys: list[Key], value: Tree) -> Tree:
    """The tree with `value` at `keys`; what is in the way there makes room, as in the
    registry."""
    if not keys:
        return value
    key, *rest = keys
    if isinstance(key, int):
        items = tree if isinstance(tree, list) else []
        if key > len(items):
            raise IndexError
        if key == len(items):
            items.append(None)
        items[key] = _assign(items[key], rest, value)
        return items
    if isinstance(tree, Scalar):
        tree = {tree.text: {}}  # `REGISTRY_STORAGE=filesystem` before its members
    members = tree if isinstance(tree, dict) else {}
    members[key] = _assign(members.get(key), rest, value)
    return members


def _path(keys: list[Key]) -> str:
    path = "$"
    for key in keys:
        path = below(path, key)
    return path


def _is_index(part: str) -> bool:
    return part.isascii() and part.isdigit() and len(part) < 5
