"""Links lead somewhere, and names are those of the program."""

import ast
import re
from pathlib import Path

import pytest
import yaml

from distcache.core.decision import HIT
from distcache.core.oci import Repository, TagRef
from distcache.core.pull import Method, Pull
from distcache.metrics import Gauges, Meter, names
from tests.docs.pages import PAGES, ROOT, blocks, prose

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
METRIC = re.compile(r"`((?:distcache|registry_proxy)_[a-z_]+)`")
QUERIED = re.compile(r"\b(?:distcache|registry_proxy)_[a-z_]+\b")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
PLACE = re.compile(r"`((?:contrib|tests|bench|docs|src|fuzz)/[\w./-]*)`")
SUFFIXES = re.compile(r"_(?:bucket|count|sum|created)$")


def of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """As GitHub and mkdocs both make them, for headings of plain words."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    kept = (re.sub(r"[^\w\s-]", "", heading.lower()) for heading in headings)
    return {re.sub(r"\s", "-", heading.strip()) for heading in kept}


def told() -> set[str]:
    """Every metric's name that a server which has seen everything tells."""
    gauges = Gauges(1, 1, 1, 1, 1, 1, 1, 0, 0, 0, {"docker.io": (1, 2)}, 0, 0)
    meter = Meter(lambda: gauges)
    meter.answered(Pull(Method.GET, TagRef(Repository("a", "b"), "c")), HIT, 200, 1, 0.1)
    meter.asked("docker.io", "200", 0.1)
    meter.received("docker.io", "blob", 1)
    return {SUFFIXES.sub("", name) for name in names(meter.collect())}


@pytest.mark.parametrize("page", PAGES, ids=of)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=of)
def test_files_that_are_named_exist(page: Path) -> None:
    for place in PLACE.findall(prose(page)):
        assert (ROOT / place).exists(), place


@pytest.mark.parametrize("page", PAGES, ids=of)
def test_tests_that_are_named_exist(page: Path) -> None:
    for place, name in TEST.findall(prose(page)):
        tree = ast.parse((ROOT / place).read_text(encoding="utf-8"))
        functions = (ast.FunctionDef, ast.AsyncFunctionDef)
        assert name in {one.name for one in tree.body if isinstance(one, functions)}, place


def test_security_names_a_test_for_every_promise() -> None:
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?!Promise|---)(.*)\|$", page.partition("## Promises")[2], re.MULTILINE)
    promises = [row for row in rows if "---" not in row]
    assert len(promises) > 15
    for row in promises:
        assert "`tests/" in row, row


def test_the_table_of_metrics_is_the_programs() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| `([a-z_]+)` \|", page, re.MULTILINE)
    assert len(table) == len(set(table))
    assert set(table) == told()


@pytest.mark.parametrize("page", PAGES, ids=of)
def test_metrics_that_are_named_exist(page: Path) -> None:
    named = METRIC.findall(prose(page))
    queries = [block.text for block in blocks(page) if block.language == "promql"]
    named += [name for query in queries for name in QUERIED.findall(query)]
    assert {SUFFIXES.sub("", name) for name in named} <= told()


def test_every_page_is_in_the_navigation() -> None:
    class Loader(yaml.SafeLoader):
        pass

    site = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader)
    linked = set(re.findall(r"[\w/]+\.md", yaml.safe_dump(site["nav"])))
    there = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    assert linked == there
