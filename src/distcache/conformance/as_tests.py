"""What `pytest --conformance-url URL` runs when no tests are named: see `plugin`."""

from collections.abc import Callable


def test_conformance(conformance_check: Callable[[], None]) -> None:
    conformance_check()
