"""Every known key of `config.yml` in one tree, and the sifting of a configuration by it.

The tree is made of `document.Document`'s fields and of `registry`'s tables, so that no key is
listed twice. Both the sifting and the environment find their way by it.
"""

import difflib
from collections.abc import Mapping
from enum import Enum
from types import UnionType
from typing import Any, Union, get_args, get_origin

import attrs
from attrs import define, field

from .document import Document
from .registry import IGNORED, REFUSED, Shape
from .tree import Problem, Scalar, Tree, below

ANY_NAME = "*"


class Kind(Enum):
    SECTION = "a section acted on: fixed members"
    MAP = "names of the user's choice"
    LIST = "a list of words"
    VALUE = "one word or number"
    HOLDER = "a section not acted on, with known keys"
    IGNORED = "known, without meaning here"
    REFUSED = "known, and refused when given"


@define
class Node:
    """`members` by key; `ANY_NAME` for keys of the user's choice. `why` for what is not acted
    on."""

    kind: Kind
    members: dict[str, "Node"] = field(factory=dict)
    why: str = ""


@define
class Sifted:
    """What is left of a configuration, what is wrong with it, what was left out of it."""

    tree: Tree
    errors: list[Problem] = field(factory=list)
    warnings: list[Problem] = field(factory=list)


def sift(tree: Tree) -> Sifted:
    """Keeps what is acted on. Null counts as absent, as it does for the registry."""
    sifted = Sifted({})
    if tree is not None:
        sifted.tree = _sift(tree, SCHEMA, "$", sifted) or {}
    return sifted


def _sift(value: Tree, node: Node, path: str, out: Sifted) -> Tree:
    match node.kind:
        case Kind.VALUE:
            if not isinstance(value, Scalar):
                out.errors.append(Problem("must be a single value", path))
                return None
            return value
        case Kind.LIST:
            if not isinstance(value, list) or not all(isinstance(i, Scalar) for i in value):
                out.errors.append(Problem("must be a list of words", path))
                return None
            return value
        case Kind.IGNORED:
            out.warnings.append(Problem(f"no meaning here: {node.why}", path))
            _look_below(value, node, path, out)
            return None
        case Kind.REFUSED:
            nothing = value in ([], {}) or (isinstance(value, Scalar) and not value.text)
            # A way to log in is one even without any parameter.
            if not nothing or path.startswith("$.auth."):
                out.errors.append(Problem(f"refused: {node.why}", path))
            _look_below(value, node, path, out)
            return None
    if path == "$.storage" and isinstance(value, Scalar):
        value = {value.text: {}}  # the registry's short form, `storage: filesystem`
    if not isinstance(value, dict):
        out.errors.append(Problem("must be a mapping of keys to values", path))
        return None
    if node.kind is Kind.MAP:
        return _sift_map(value, node.members[ANY_NAME], path, out)
    return _sift_section(value, node, path, out)


def _sift_section(value: Mapping[str, Tree], node: Node, path: str, out: Sifted) -> Tree:
    kept: dict[str, Tree] = {}
    for key, member in value.items():
        place = below(path, key)
        known = node.members.get(key)
        if known is None:
            out.errors.append(_unknown(key, node, place))
        elif member is None and not _named_is_chosen(path, known):
            continue
        else:
            empty = member is None and known.kind is Kind.SECTION
            rest = _sift({} if empty else member, known, place, out)
            if rest is not None and known.kind is not Kind.HOLDER:
                kept[key] = rest
    return kept


def _named_is_chosen(path: str, node: Node) -> bool:
    """Whether a key alone, with nothing after it, is already a choice: a storage driver, a way
    to log in, or a key that has no meaning anyway."""
    if path == "$.auth":
        return True
    return node.kind is Kind.IGNORED or (node.kind is Kind.REFUSED and path == "$.storage")


def _sift_map(value: Mapping[str, Tree], node: Node, path: str, out: Sifted) -> Tree:
    kept: dict[str, Tree] = {}
    for key, member in value.items():
        place = below(path, key)
        nothing: Tree = {} if node.kind is Kind.SECTION else None
        rest = _sift(nothing if member is None else member, node, place, out)
        if rest is not None:
            kept[key] = rest
    return kept


def _look_below(value: Tree, node: Node, path: str, out: Sifted) -> None:
    """Finds unknown keys below a key that is not acted on."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            _look_below(item, node, below(path, index), out)
    elif isinstance(value, dict) and ANY_NAME not in node.members:
        for key, member in value.items():
            known = node.members.get(key)
            if known is None:
                out.errors.append(_unknown(key, node, below(path, key)))
            else:
                _look_below(member, known, below(path, key), out)


def _unknown(key: str, node: Node, path: str) -> Problem:
    close = difflib.get_close_matches(key.lower(), node.members, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return Problem(f"unknown key{hint}", path)


def _of_type(kind: Any) -> Node:
    # An optional NewType is a Union, an optional class a UnionType.
    if get_origin(kind) in (UnionType, Union):
        (kind,) = (part for part in get_args(kind) if part is not type(None))
    if attrs.has(kind):
        return Node(Kind.SECTION, {f.name: _of_type(f.type) for f in attrs.fields(kind)})
    if get_origin(kind) is tuple:
        return Node(Kind.LIST)
    if arguments := get_args(kind):
        return Node(Kind.MAP, {ANY_NAME: _of_type(arguments[1])})
    return Node(Kind.VALUE)


def _of_shape(kind: Kind, shape: Shape, why: str) -> Node:
    return Node(kind, {key: _of_shape(kind, inner, why) for key, inner in shape.items()}, why)


def _whole() -> Node:
    root = _of_type(Document)
    for kind, table in ((Kind.IGNORED, IGNORED), (Kind.REFUSED, REFUSED)):
        for dotted, known in table.items():
            *parents, last = dotted.split(".")
            node = root
            for parent in parents:
                node = node.members.setdefault(parent, Node(Kind.HOLDER))
            node.members[last] = _of_shape(kind, known.shape, known.why)
    return root


SCHEMA = _whole()
