"""What Kubernetes would refuse in a manifest: fields that it does not know, values of another
type, and what is missing. `kubernetes.json` is made by `kubernetes_schema`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_TREE = json.loads((Path(__file__).parent / "kubernetes.json").read_text())
_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}
_UNDERSTOOD = {"type", "enum", "$ref", "oneOf", "properties", "required", "items"}
_UNDERSTOOD |= {"additionalProperties", "format"}


def problems(manifest: Any) -> list[str]:
    """Each with its path. The apiVersion and kind must be among those that are known here."""
    kind = f"{manifest.get('apiVersion')}/{manifest.get('kind')}"
    if kind not in _TREE["kinds"]:
        return [f"$: {kind} is not known here: see kubernetes_schema"]
    return list(_wrong(manifest, _TREE["definitions"][_TREE["kinds"][kind]], "$"))


def _wrong(value: Any, schema: Any, path: str) -> Iterator[str]:
    """A keyword that is not understood here is an error of ours; formats are not looked at."""
    assert schema.keys() <= _UNDERSTOOD, schema.keys() - _UNDERSTOOD
    if "$ref" in schema:
        yield from _wrong(value, _TREE["definitions"][schema["$ref"]], path)
    if "oneOf" in schema and all(any(_wrong(value, one, path)) for one in schema["oneOf"]):
        yield f"{path}: {value!r} is none of what it may be"
    types = schema.get("type", list(_TYPES))
    if not _is(value, [types] if isinstance(types, str) else types):
        yield f"{path}: {value!r} is no {types}"
    elif value not in schema.get("enum", [value]):
        yield f"{path}: {value!r} is none of {schema['enum']}"
    elif isinstance(value, dict):
        yield from _wrong_fields(value, schema, path)
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from _wrong(one, schema.get("items", {}), f"{path}[{index}]")


def _wrong_fields(value: dict[str, Any], schema: Any, path: str) -> Iterator[str]:
    fields, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{path}: {name} is missing"
    for name, one in value.items():
        if name in fields:
            yield from _wrong(one, fields[name], f"{path}.{name}")
        elif others is False:
            yield f"{path}: {name} is no field"
        elif others is not True:
            yield from _wrong(one, others, f"{path}.{name}")


def _is(value: Any, types: list[str]) -> bool:
    # To Python a bool is an int.
    if isinstance(value, bool):
        return "boolean" in types
    return any(isinstance(value, _TYPES[name]) for name in types)
