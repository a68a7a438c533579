"""What the server does not need to begin with is not loaded: each of these costs as much as
reading some thousands of index rows."""

import json
import subprocess
import sys
from pathlib import Path

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


SERVE = """
import json, sys
from distcache.cli import main
sys.argv = ["distcache", "serve", "--runtime", "{runtime}", "{config}"]
try:
    main()
except SystemExit as error:
    print(json.dumps([error.code, sorted(sys.modules)]))
"""


@pytest.mark.parametrize("runtime", ["trio", "asyncio"])
def test_serving_loads_one_runtime(tmp_path: Path, runtime: str) -> None:
    """Of a server that finds a file in its store's place, and so ends where it would begin."""
    store, config = tmp_path / "store", tmp_path / "config.yml"
    store.write_bytes(b"")
    config.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {store}}}}}\n"
        "proxy: {remoteurl: 'http://127.0.0.1:9'}\n"
    )
    code = SERVE.format(runtime=runtime, config=config)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    status, modules = json.loads(run.stdout)
    assert status == 1
    assert f"distcache.{runtime}_server.server" in modules
    assert "httpcore" in modules
    assert ("trio" in modules) == (runtime == "trio")


COLLECTED = """
import gc, json, os, signal, sys
from distcache import cli
import distcache.{runtime}_server.serve as serve
looks = []
def look(phase, info):
    if phase == "start" and "distcache.tracing" in sys.modules and not gc.get_freeze_count():
        looks.append(info)
gc.callbacks.append(look)
gc.set_threshold(100, 1000, 1000)
serve.Supervisor.ready = lambda self: os.kill(os.getpid(), signal.SIGTERM)
sys.argv = ["distcache", "serve", "--runtime", "{runtime}", "{config}"]
try:
    cli.main()
except SystemExit as error:
    print(json.dumps([error.code, looks, gc.isenabled()]))
"""
"""`distcache.tracing` is the first that a server loads when it begins."""


@pytest.mark.parametrize("runtime", ["trio", "asyncio"])
def test_no_garbage_is_looked_for_before_all_is_there(tmp_path: Path, runtime: str) -> None:
    config = tmp_path / "config.yml"
    config.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path / 'store'}}}}}\n"
        "http: {addr: '127.0.0.1:0'}\nproxy: {remoteurl: 'http://127.0.0.1:9'}\n"
    )
    code = COLLECTED.format(runtime=runtime, config=config)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    status, looks, enabled = json.loads(run.stdout.splitlines()[-1])
    assert status == 0
    assert not looks
    assert enabled


def test_a_module_is_there_again_when_it_need_not_be_missing() -> None:
    code = """
import sys
from distcache.cli import without
with without("trio"):
    try:
        import trio
    except ImportError:
        print("missing")
import trio
with without("trio"):
    import trio
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert run.stdout == "missing\n"


def test_a_command_loads_no_server() -> None:
    code = "import sys, distcache.cli; print('\\n'.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    modules = set(run.stdout.split())
    assert "distcache.cli" in modules
    assert modules.isdisjoint({"trio", "asyncio", "httpcore", "distcache.trio_server", *LATER})
