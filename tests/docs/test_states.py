"""The site's pictures show the diagrams that stand in the page."""

import importlib.util
from types import ModuleType
from xml.etree import ElementTree

import pytest

from tests.docs.pages import ROOT, all_blocks


@pytest.fixture(scope="module")
def states() -> ModuleType:
    spec = importlib.util.spec_from_file_location("states", ROOT / "docs" / "states.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_state_and_every_input_is_in_the_picture(states: ModuleType) -> None:
    machines = all_blocks("mermaid")
    assert len(machines) >= 7
    for block in machines:
        diagram = states.read(block.text.partition("\n")[2])
        picture = ElementTree.fromstring(states.draw(diagram))
        words = [element.text for element in picture.iter("text")]
        inputs = [put for puts in diagram.edges.values() for put in puts]
        assert sorted(map(str, words)) == sorted([*diagram.states, *inputs])
        assert len(list(picture.iter("path"))) == len(diagram.edges)


def test_a_page_is_left_as_it_is_around_its_diagrams(states: ModuleType) -> None:
    page = "# A\n\n```mermaid\nstateDiagram-v2\n    A --> B: go\n```\n\nwords\n"
    shown = states.on_page_markdown(page)
    assert shown.startswith("# A\n\n<svg ")
    assert shown.endswith("</svg>\n\nwords\n")
    assert "mermaid" not in shown


def test_what_is_no_transition_is_an_error(states: ModuleType) -> None:
    with pytest.raises(ValueError, match="not a transition"):
        states.read("    A -> B\n")
