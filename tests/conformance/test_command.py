"""`distcache conformance` as its users run it: exit status, table, JSON, JUnit."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner, Result

from distcache.cli import app
from tests.conformance.targets import CHECKS, stocked
from tests.conformance.toys import Toy, becomes, is_ping, when
from tests.support.processes import free_port


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["conformance", *map(str, arguments)])


def chosen(*ids: str) -> list[str]:
    return [word for one in ids for word in ("--only", one)]


def test_a_registry_without_fault(tmp_path: Path) -> None:
    with Toy("127.0.0.1", 0, stocked("command")) as toy:
        result = invoke(f"http://127.0.0.1:{toy.port}", "--examples", "3")
    assert result.exit_code == 0, result.output
    assert "0 MUST failed, 0 SHOULD failed" in result.output


def test_what_failed_is_shown_with_its_evidence(tmp_path: Path) -> None:
    told, junit = tmp_path / "report.json", tmp_path / "report.xml"
    ids = ["base-ping", "base-version", "manifest-by-tag", "blob-get", "cache-pull", "etag-strong"]

    with Toy("127.0.0.1", 0, stocked("command"), when(is_ping, becomes(404))) as toy:
        toy.mangle = lambda _, data: data.replace(b"registry/2.0", b"registry/1.0")
        url = f"http://user:secret@127.0.0.1:{toy.port}"
        result = invoke(url, *chosen(*ids), "--json", told, "--junit", junit)
    assert result.exit_code == 1
    assert "MUST failed base-ping" in result.output
    assert "GET /v2/ -> 404" in result.output
    assert "secret" not in result.output + told.read_text() + junit.read_text()

    report = json.loads(told.read_text())
    verdicts = {one["id"]: one["verdict"] for one in report["results"]}
    assert verdicts == {
        "base-ping": "fail",
        "base-version": "fail",
        "manifest-by-tag": "pass",
        "blob-get": "pass",
        "etag-strong": "pass",
        "cache-pull": "skip",
    }
    assert report["failed"] is True
    assert all(one["says"] and one["source"] for one in report["results"])

    cases = {one.get("name"): one for one in ElementTree.parse(junit).iter("testcase")}
    assert set(cases) == set(ids)
    assert [one for one, case in cases.items() if case.find("failure") is not None] == ["base-ping"]
    skipped = [one for one, case in cases.items() if case.find("skipped") is not None]
    assert skipped == ["base-version", "cache-pull"]


@pytest.mark.parametrize(("option", "read"), [("--json", json.loads), ("--junit", ElementTree.XML)])
def test_a_report_on_standard_output_is_alone_there(
    option: str, read: Callable[[str], object]
) -> None:
    with Toy("127.0.0.1", 0, stocked("command"), when(is_ping, becomes(404))) as toy:
        result = invoke(f"http://127.0.0.1:{toy.port}", *chosen("base-ping"), option, "-")
    assert result.exit_code == 1
    read(result.stdout)
    assert "base-ping" in result.stdout
    assert "MUST failed base-ping" in result.stderr


def test_a_should_that_failed_fails_no_run() -> None:
    with Toy("127.0.0.1", 0, stocked("command")) as toy:
        toy.mangle = lambda _, data: data.replace(b"registry/2.0", b"registry/1.0")
        result = invoke(f"http://127.0.0.1:{toy.port}", *chosen("base-version"))
    assert result.exit_code == 0
    assert "SHOULD failed base-version" in result.output


def test_only_what_is_named_is_looked_at() -> None:
    library = stocked("command")
    name = library.name("docker")
    with Toy("127.0.0.1", 0, library) as toy:
        url = f"http://127.0.0.1:{toy.port}"
        one = chosen("manifest-by-tag", "blob-get")
        result = invoke(url, *one, "--repository", name, "--tag", "one")
        assert result.exit_code == 0, result.output
        digest = next(iter(library.shelf(name).blobs))
        result = invoke(url, *chosen("blob-get"), "--repository", name, "--digest", digest)
        assert "1 passed" in result.output
    asked = {one.path for one in toy.asked("/manifests/")}
    assert asked == {f"/v2/{name}/manifests/one", f"/v2/{name}/manifests/{digest}"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["ftp://here"],
        ["http://here", "--tag", "latest"],
        ["http://here", "--push"],
        ["http://here", "--only", "no-such-check"],
        ["http://here", "--origin", "here"],
        ["http://here", "--origin", "127.0.0.1:0", "--repository", "a"],
        ["http://here", "--upstream", "there:x"],
        ["http://here:5000/v2/"],
        ["here there"],
        [],
    ],
)
def test_wrong_usage(arguments: list[str]) -> None:
    assert invoke(*arguments).exit_code == 2


def test_what_has_to_be_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in sys.modules if one.startswith("distcache.conformance.suite")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    result = invoke("http://127.0.0.1:1")
    assert result.exit_code == 2
    assert "hypothesis: pip install 'distcache-registry[conformance]'" in result.stderr


def test_a_target_that_is_not_there() -> None:
    result = invoke(f"http://127.0.0.1:{free_port()}")
    assert result.exit_code == 3


def test_a_host_and_a_port_are_enough() -> None:
    with Toy("127.0.0.1", 0, stocked("command")) as toy:
        there = f"127.0.0.1:{toy.port}"
        assert invoke(there, "--upstream", there, *chosen("base-ping")).exit_code == 0
        spoken = invoke("--help").output
    assert "HOST[:PORT]" in spoken
    assert "http on loopback" in " ".join(spoken.split())


def test_elsewhere_it_is_https(tmp_path: Path) -> None:
    nowhere = tmp_path / "no.pem"
    of_no_use = invoke("127.0.0.1:1", "--cacert", nowhere)
    assert "nothing here is https://" in of_no_use.stderr
    assert str(nowhere) in invoke("here.invalid", "--cacert", nowhere).stderr


def test_an_origin_that_cannot_listen() -> None:
    with Toy("127.0.0.1", 0, stocked("command")) as toy:
        address = f"127.0.0.1:{toy.port}"
        assert invoke(f"http://{address}", "--origin", address).exit_code == 2


def test_the_same_seed_is_the_same_content() -> None:
    assert stocked("a").content() == stocked("a").content()
    assert stocked("a").content() != stocked("b").content()


def test_checks_are_told_apart_and_described() -> None:
    page = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text()
    for check in CHECKS.values():
        row = f"| `{check.id}` | {check.level.value} | {check.says} | {check.source} |"
        assert row in page, row
