"""Load on a running server, by programs of their own; every one checks what it is answered."""

import hashlib
import http.client
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from .content import Item
from .processes import pinned
from .subjects import Running

ACCEPT = ", ".join(
    (
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "*/*",
    )
)
"""containerd's."""

PATIENCE = 300.0

SCRIPT = """
wrk.headers["Accept"] = "{accept}"
local paths = {{{paths}}}
local requests, at = {{}}, 0
init = function()
  for place, path in ipairs(paths) do requests[place] = wrk.format("GET", path) end
end
request = function()
  at = at % #requests + 1
  return requests[at]
end
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format(
    'JSON {{"requests":%d,"us":%d,"errors":%d,"p50":%d,"p99":%d}}\\n', summary.requests,
    summary.duration, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""


class LoadError(Exception):
    """A wrong answer, or none: nothing of this measurement counts."""


@frozen
class Requests:
    """`rate` in requests per second, `median` and `p99` in seconds."""

    requests: int
    rate: float
    median: float = 0.0
    p99: float = 0.0


@frozen
class Drained:
    """`first_bytes`: of each client's first body, seconds after the start of all."""

    seconds: float
    received: int
    answers: int
    first_bytes: list[float]
    digests: list[str]


@frozen
class Curled:
    """`first_byte` and `seconds` of a transfer, the first of several."""

    seconds: float
    first_byte: float


def verify(running: Running, item: Item) -> None:
    """Twice, so that the second is a cache's own: the right status, digest and bytes.
    LoadError."""
    for _ in range(2):
        connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=120)
        try:
            connection.request("GET", item.path, headers={"Accept": ACCEPT})
            with connection.getresponse() as response:
                hashing = hashlib.sha256()
                while piece := response.read(1024 * 1024):
                    hashing.update(piece)
                status, named = response.status, response.getheader("Docker-Content-Digest")
        except (OSError, http.client.HTTPException) as error:
            raise LoadError(f"{item.path}: {error!r}") from error
        finally:
            connection.close()
        if (status, f"sha256:{hashing.hexdigest()}") != (200, item.digest):
            raise LoadError(f"{item.path}: {status}, sha256:{hashing.hexdigest()}")
        if named not in (None, item.digest):
            raise LoadError(f"{item.path}: Docker-Content-Digest: {named}")


def wrk(
    running: Running,
    paths: Sequence[str],
    clients: int,
    seconds: int,
    directory: Path,
    cores: Sequence[int] | None,
) -> Requests:
    """GET of `paths` in turn. LoadError: any error or status of 400 or more."""
    script = directory / "paths.lua"
    quoted = ",".join(f'"{path}"' for path in paths)
    script.write_text(SCRIPT.format(accept=ACCEPT, paths=quoted))
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--latency", "-s", str(script)]
    output = _run([*pinned(cores), *command, running.url("/")])
    line = next((ln for ln in output.splitlines() if ln.startswith("JSON ")), None)
    if line is None:
        raise LoadError(f"wrk said: {output[-300:]}")
    said = json.loads(line.removeprefix("JSON "))
    if said["errors"] or not said["requests"]:
        raise LoadError(f"wrk: {said['errors']} errors in {said['requests']} requests")
    rate = said["requests"] / (said["us"] / 1e6)
    return Requests(said["requests"], rate, said["p50"] / 1e6, said["p99"] / 1e6)


def heads(
    running: Running, path: str, clients: int, seconds: float, cores: Sequence[int] | None
) -> Requests:
    command = [str(running.port), path, str(clients), str(seconds)]
    said = json.loads(_run([*pinned(cores), *_ours("heads"), *command]))
    return Requests(said["requests"], said["requests"] / said["seconds"])


def drain(
    running: Running, arguments: Sequence[str], cores: Sequence[int] | None = None
) -> Drained:
    """See drain.py for the arguments."""
    command = [*_ours("drain"), "--port", str(running.port), *arguments]
    return Drained(**json.loads(_run([*pinned(cores), *command])))


def curl(
    running: Running,
    item: Item,
    times: int = 1,
    cores: Sequence[int] | None = None,
    authority: Path | None = None,
) -> Curled:
    """`times` whole transfers over one connection. LoadError: a status other than 200, or a
    wrong length."""
    said = "%{http_code} %{size_download} %{time_starttransfer} %{time_total}\\n"
    trust = [] if authority is None else ["--cacert", str(authority)]
    targets = ["-o", "/dev/null", running.url(item.path)] * times
    command = ["curl", "-sS", "-w", said, *trust, *targets]
    lines = [line.split() for line in _run([*pinned(cores), *command]).splitlines()]
    if any((code, int(size)) != ("200", item.size) for code, size, _, _ in lines):
        raise LoadError(f"curl: {lines}")
    return Curled(sum(float(line[3]) for line in lines), float(lines[0][2]))


def curl_digest(running: Running, item: Item, authority: Path) -> None:
    """Over TLS: LoadError when the bytes are not the right ones."""
    url = running.url(item.path)
    command = ["curl", "-sS", "--fail", "--cacert", str(authority), url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as pulling:
        assert pulling.stdout is not None
        assert pulling.stderr is not None
        hashing = hashlib.sha256()
        while piece := pulling.stdout.read(1024 * 1024):
            hashing.update(piece)
        words = pulling.stderr.read().decode()
    if pulling.returncode or f"sha256:{hashing.hexdigest()}" != item.digest:
        raise LoadError(f"{url}: {words or hashing.hexdigest()}")


def _ours(name: str) -> list[str]:
    return [sys.executable, "-m", f"bench.harness.{name}"]


def _run(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LoadError(f"{command[0]}: {error}") from error
    if done.returncode:
        words = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise LoadError(words[-1])
    return done.stdout
