from collections.abc import Iterator

import pytest

from tests.conformance.stocked import docker_registry
from tests.conformance.targets import stocked
from tests.interop.tools import need


@pytest.fixture(scope="session")
def real_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of Debian's docker-registry with the suite's content in it."""
    need("docker-registry")
    with docker_registry(tmp_path_factory.mktemp("registry"), stocked("real")) as port:
        yield port
