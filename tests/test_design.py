"""The design page shows the tables that are really there."""

import importlib.util
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"


def test_the_diagrams_are_those_of_the_tables() -> None:
    spec = importlib.util.spec_from_file_location("diagrams", DOCS / "diagrams.py")
    assert spec is not None
    assert spec.loader is not None
    diagrams = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(diagrams)
    page = diagrams.PAGE.read_text(encoding="utf-8")
    assert diagrams.render(page) == page
    assert all(f"<!-- {name} -->" in page for name in diagrams.MACHINES)


def test_the_adapters_are_as_long_as_the_page_says() -> None:
    page = (DOCS / "design.md").read_text(encoding="utf-8")
    row = next(line for line in page.splitlines() if line.startswith("| lines "))
    said = [int(cell.strip().replace(",", "")) for cell in row.split("|")[2:4]]
    source = DOCS.parent / "src" / "distcache"
    for number, adapter in zip(said, ("trio_server", "asyncio_server"), strict=True):
        files = (source / adapter).glob("*.py")
        real = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)
        assert abs(real - number) <= real / 20, f"{adapter} has {real} lines, not {number}"
