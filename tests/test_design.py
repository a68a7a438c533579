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
