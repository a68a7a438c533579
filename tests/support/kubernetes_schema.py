"""Make `kubernetes.json` anew: the parts of Kubernetes' API that the manifests in contrib/ use.

    pip download --no-deps kubernetes-validate==1.37.0
    python -m tests.support.kubernetes_schema kubernetes_validate-1.37.0-py3-none-any.whl

The package has the definitions of Kubernetes' own OpenAPI document (Apache-2.0, The Kubernetes
Authors) with the fields closed, as the server checks them with `--validate=strict`. It is 22 MB
for all kinds of many releases; what is needed of one is 60 KB.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

KINDS = {("", "Namespace"), ("", "ConfigMap"), ("", "Service")}
KINDS |= {("apps", "StatefulSet"), ("apps", "DaemonSet")}
"""Group and kind; all of version v1."""

RELEASE = "v1.37.0"
TARGET = Path(__file__).parent / "kubernetes.json"
_DEFINITIONS = (
    f"kubernetes_validate/kubernetes-json-schema/{RELEASE}-local-strict/_definitions.json"
)
_KIND = "x-kubernetes-group-version-kind"


def main(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        known = json.loads(archive.read(_DEFINITIONS))["$defs"]
    kinds = {
        name: f"{group['group']}/v1/{group['kind']}".removeprefix("/")
        for name, definition in known.items()
        for group in definition.get(_KIND, ())
        if (group["group"], group["kind"]) in KINDS and group["version"] == "v1"
    }
    needed: dict[str, Any] = {}
    waiting = list(kinds)
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed[name] = _bare(known[name])
            waiting += _named(needed[name])
    tree = {
        "origin": f"Kubernetes {RELEASE}, api/openapi-spec; by {Path(__file__).name}, see there",
        "licence": "Apache-2.0, The Kubernetes Authors",
        "kinds": {kind: name for name, kind in sorted(kinds.items())},
        "definitions": dict(sorted(needed.items())),
    }
    text = json.dumps(tree, separators=(",", ":"))
    # One definition a line.
    TARGET.write_text(re.sub(r'("io\.k8s[^"]*":\{)', r"\n\1", text) + "\n")


def _bare(schema: Any, *, names: bool = False) -> Any:
    """Without descriptions and what is for other tools; `names`: keys are fields, not keywords."""
    if isinstance(schema, dict):
        return {
            key: value.rpartition("/")[2]
            if key == "$ref" and not names
            else _bare(value, names=key == "properties" and not names)
            for key, value in schema.items()
            if names or not (key in ("description", "default") or key.startswith("x-"))
        }
    return [_bare(one) for one in schema] if isinstance(schema, list) else schema


def _named(schema: Any) -> list[str]:
    if isinstance(schema, dict):
        own = [schema["$ref"]] if isinstance(schema.get("$ref"), str) else []
        return own + [name for value in schema.values() for name in _named(value)]
    return [name for one in schema for name in _named(one)] if isinstance(schema, list) else []


if __name__ == "__main__":
    main(Path(sys.argv[1]))
