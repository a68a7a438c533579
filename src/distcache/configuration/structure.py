"""From a sifted tree to the typed document.

Values come as `tree.Scalar`s and are taken strictly: a word is never a number by accident.
"""

from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

import cattrs

from . import units
from .document import Bytes, Document, Seconds
from .tree import Problem, Scalar, Tree, below


def structure(sifted: Tree) -> tuple[Document, list[Problem]]:
    """The document that a sifted tree spells (`schema.sift`), and its problems. A value with a
    problem is taken as absent, so that what else is wrong can be said in the same breath."""
    try:
        return _CONVERTER.structure(sifted, Document), []
    except cattrs.BaseValidationError as error:
        faults = list(_faults(error, ()))
    for keys, _ in faults:
        _remove(sifted, keys)
    return _CONVERTER.structure(sifted, Document), [
        Problem(message, _path(keys)) for keys, message in faults
    ]


Keys = tuple[str | int, ...]


def _faults(error: BaseException, keys: Keys) -> Iterator[tuple[Keys, str]]:
    if isinstance(error, cattrs.ClassValidationError):
        for cause, field_note in error.group_exceptions()[0]:
            yield from _faults(cause, (*keys, field_note.name))
    elif isinstance(error, cattrs.IterableValidationError):
        for cause, item_note in error.group_exceptions()[0]:
            yield from _faults(cause, (*keys, item_note.index))
    else:
        yield keys, str(error)


def _remove(tree: Tree, keys: Keys) -> None:
    *parents, last = keys
    for key in parents:
        tree = tree[key]  # type: ignore[index]
    del tree[last]  # type: ignore[arg-type,union-attr]


def _path(keys: Keys) -> str:
    path = "$"
    for key in keys:
        path = below(path, key)
    return path


def _text(value: Scalar | str, _: object) -> str:
    # Keys of mappings are plain strings already.
    return value.text if isinstance(value, Scalar) else value


def _switch(value: Scalar, _: object) -> bool:
    if value.kind != "bool":
        raise ValueError(f"must be true or false ({value.where})")
    return value.text.lower() in ("true", "yes", "on")


def _count(value: Scalar, _: object) -> int:
    # A number longer than this would only meet Python's limit on digits.
    if not (value.text.isascii() and value.text.isdigit() and len(value.text) < 19):
        raise ValueError(f"must be a whole number ({value.where})")
    return int(value.text)


def _measured(parse: Callable[[str], Any]) -> Callable[[Scalar, object], Any]:
    def hook(value: Scalar, _: object) -> Any:
        try:
            return parse(value.text)
        except ValueError as error:
            raise ValueError(f"{error} ({value.where})") from None

    return hook


def _choice(value: Scalar, kind: type[Enum]) -> Enum:
    try:
        return kind(value.text.lower())
    except ValueError:
        words = ", ".join(str(member.value) for member in kind)
        raise ValueError(f"must be one of {words}: {value.text!r} ({value.where})") from None


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True, detailed_validation=True)
    # Without these, cattrs would turn anything into a word or a number by calling its type.
    converter.register_structure_hook(str, _text)
    converter.register_structure_hook(bool, _switch)
    converter.register_structure_hook(int, _count)
    converter.register_structure_hook(Seconds, _measured(units.duration))
    converter.register_structure_hook(Bytes, _measured(units.size))
    converter.register_structure_hook_func(
        lambda kind: isinstance(kind, type) and issubclass(kind, Enum), _choice
    )
    return converter


_CONVERTER = _converter()
