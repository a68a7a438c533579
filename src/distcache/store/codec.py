"""The core's values as the JSON text that the index keeps, and back, strictly.

Text is ASCII and canonical: equal values give equal text, so a reference's text is its key.
Reading never coerces: a wrong type, an unknown field or a missing one is a ValueError.
"""

import json
from collections.abc import Callable
from typing import Any, Generic, TypeVar, get_args, get_origin

from cattrs import BaseConverter, Converter
from cattrs.gen import make_dict_structure_fn
from cattrs.strategies import configure_tagged_union

from distcache.core.inventory import Answer
from distcache.core.oci import Content, Descriptor, Document, Listed, Reference, TagRef
from distcache.core.pull import Client

T = TypeVar("T")

OLD_FIELDS = ("next_page", "filters")
"""Of documents, in an index of version 2 or before: since then they are a reference's."""


class Column(Generic[T]):
    """How one type of value is written."""

    def __init__(self, kind: Any) -> None:
        """`kind` is T at run time, which may be a union."""
        self._kind = kind
        self._structure = _converter.get_structure_hook(kind)

    def dump(self, value: T) -> str:
        tree = _converter.unstructure(value, self._kind)
        return json.dumps(tree, sort_keys=True, separators=(",", ":"))

    def load(self, text: str) -> T:
        """ValueError: not what `dump` writes."""
        try:
            value: T = self._structure(json.loads(text), self._kind)
        except Exception as error:  # cattrs raises whatever its input makes it stumble over
            raise ValueError(f"damaged value: {error!r}") from error
        return value


def _new_converter() -> Converter:
    converter = Converter(forbid_extra_keys=True, detailed_validation=False)
    # Simple types first: hooks of the compound ones are made from them.
    for kind in (int, str):
        converter.register_structure_hook(kind, _strict(kind))
    converter.register_structure_hook_factory(_is_tuple, _list_only)
    converter.register_structure_hook(Document, _document(converter))
    configure_tagged_union(Reference, converter)
    configure_tagged_union(TagRef | Content, converter)
    return converter


def _document(converter: Converter) -> Callable[[Any, Any], Document]:
    structure = make_dict_structure_fn(Document, converter, _cattrs_forbid_extra_keys=True)

    def without_old_fields(value: Any, kind: Any) -> Document:
        if isinstance(value, dict):
            value = {name: part for name, part in value.items() if name not in OLD_FIELDS}
        return structure(value, kind)

    return without_old_fields


def _strict(kind: type) -> Callable[[Any, Any], Any]:
    def structure(value: Any, _: Any) -> Any:
        if type(value) is not kind:
            raise ValueError(f"{value!r} is no {kind.__name__}")
        return value

    return structure


def _is_tuple(kind: Any) -> bool:
    return get_origin(kind) is tuple


def _list_only(kind: Any, converter: BaseConverter) -> Callable[[Any, Any], Any]:
    """Of `tuple[item, ...]`: cattrs itself would take any iterable, even an empty string."""
    item = get_args(kind)[0]
    hook = converter.get_structure_hook(item)

    def structure(value: Any, _: Any) -> Any:
        if type(value) is not list:
            raise ValueError(f"{value!r} is no list")
        return tuple(hook(element, item) for element in value)

    return structure


_converter = _new_converter()

DOCUMENT: Column[Document] = Column(Document)
DESCRIPTOR: Column[Descriptor] = Column(Descriptor)
LISTED: Column[Listed] = Column(Listed)
REFERENCE: Column[Reference] = Column(Reference)
PINNED: Column[TagRef | Content] = Column(TagRef | Content)
ANSWER: Column[Answer] = Column(Answer)
CLIENT: Column[Client] = Column(Client)
TEXT: Column[str] = Column(str)
"""For text from outside, which may hold what SQLite's UTF-8 cannot."""
