"""An upstream that limits, and one that counts: what is held is given and marked, what can wait
is not asked, and the numbers are there to be seen."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.bench import EXACT, REPOSITORY, Bench, Image, running_bench
from tests.support.faults import Fault
from tests.support.processes import free_port
from tests.support.raw import ask

LIMIT = ("RateLimit-Limit: 100;w=21600", "RateLimit-Remaining: 10;w=21600")
STALE = "detail=stale-if-error"


@pytest.fixture
def counted(runtime: str, tmp_path: Path) -> Iterator[Bench]:
    """With a debug listener."""
    debug = {"addr": f"127.0.0.1:{free_port()}", "prometheus": {"enabled": True}}
    with running_bench(tmp_path, runtime, http={"debug": debug}) as bench:
        yield bench


def pulled(bench: Bench, path: str) -> str:
    """Cache-Status of a pull that gets what it wants."""
    answer = ask(bench.cache.port, path)
    assert answer.body == bench.item(path).body
    return answer.headers["cache-status"]


def warm(bench: Bench, *images: Image) -> list[str]:
    """What the command says of each: empty when it is well."""
    upstream = bench.wiretap.url.removeprefix("http://")
    names = [f"{upstream}/{REPOSITORY}:{image.tag.rpartition('/')[2]}" for image in images]
    command = [*bench.cache.command, "warm", "--config", str(bench.cache.config), "--json", *names]
    environment = {**os.environ, **bench.cache.environment}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    found = [one.get("error", "") for one in json.loads(done.stdout)["images"]]
    assert done.returncode == (1 if any(found) else 0), done.stderr
    return found


def test_with_little_left_only_what_somebody_waits_for_is_asked(counted: Bench) -> None:
    held, other = counted.image("held"), counted.image("other")
    counted.wiretap.spoil(Fault(held.tag, method="HEAD", rewrite=lambda head: [*head, *LIMIT]))
    assert counted.pull(held) == [EXACT] * 4
    counted.wiretap.forget()
    assert STALE in pulled(counted, held.tag)
    (said,) = warm(counted, other)
    assert said.startswith("left out: ")
    assert counted.wiretap.seen() == []
    debug = int(str(counted.cache.http["debug"]["addr"]).rpartition(":")[2])  # type: ignore[index]
    metrics = ask(debug, "/metrics").body.decode()
    key = counted.wiretap.url.removeprefix("http://")
    assert f'distcache_quota_remaining{{upstream="{key}"}} 10.0' in metrics
    assert f'distcache_quota_limit{{upstream="{key}"}} 100.0' in metrics
    assert counted.pull(other) == [EXACT] * 4


def test_after_a_429_nobody_asks_about_tags_and_warming_ends(bench: Bench) -> None:
    held, first, second = (bench.image(f"limited-{name}") for name in ("held", "first", "second"))
    assert bench.pull(held) == [EXACT] * 4
    limited = {"status": 429, "headers": (("Retry-After", "60"),)}
    bench.wiretap.spoil(Fault(first.tag, method="HEAD", **limited))  # type: ignore[arg-type]
    answers = warm(bench, first, second)
    assert "429" in answers[0]
    assert answers[1].startswith("left out: ")
    assert bench.wiretap.seen(part=second.tag) == []
    bench.wiretap.forget()
    assert STALE in pulled(bench, held.tag)
    assert bench.wiretap.seen() == []
    bench.assert_well(second)
    assert STALE not in pulled(bench, held.tag), "upstream answers again"


def test_a_client_is_told_how_long_to_wait(bench: Bench) -> None:
    image = bench.image("waits")
    headers = (("Retry-After", "7"),)
    bench.wiretap.spoil(Fault(image.tag, method="HEAD", status=429, headers=headers))
    answer = ask(bench.cache.port, image.tag)
    assert (answer.status, answer.headers["retry-after"]) == (429, "7")
    assert json.loads(answer.body)["errors"][0]["code"] == "TOOMANYREQUESTS"
    bench.assert_well(image)
