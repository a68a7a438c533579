"""What the server does not need to begin with is not loaded: each of these costs as much as
reading some thousands of index rows."""

import json
import subprocess
import sys

import pytest

PROBE = """
import json, sys
import distcache.cli
import distcache.{runtime}_server.serve
print(json.dumps(sorted(sys.modules)))
"""
LATER = (
    "bcrypt",
    "cryptography",
    "distcache.admin",
    "distcache.commands.common",
    "distcache.conformance",
    "distcache.debugging",
    "distcache.metrics",
    "hypothesis",
    "jwt",
    "opentelemetry",
    "prometheus_client",
    "rich.console",
    "rich.table",
)


def loaded(runtime: str) -> set[str]:
    code = PROBE.format(runtime=runtime)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    return set(json.loads(run.stdout))


@pytest.mark.parametrize("runtime", ["trio", "asyncio"])
def test_a_plain_server_loads_nothing_that_only_others_need(runtime: str) -> None:
    modules = loaded(runtime)
    assert f"distcache.{runtime}_server.server" in modules
    assert "distcache.core.cache" in modules
    assert modules.isdisjoint(LATER)


def test_a_command_loads_no_server() -> None:
    code = "import sys, distcache.cli; print('\\n'.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    modules = set(run.stdout.split())
    assert "distcache.cli" in modules
    assert modules.isdisjoint({"trio", "asyncio", "httpcore", "distcache.trio_server", *LATER})
