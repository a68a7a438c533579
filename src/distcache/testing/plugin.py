"""The pytest plugin: the fixture `local_registry`.

Nothing else is imported before a test asks for it, since every run of pytest loads plugins.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from . import LocalRegistry


@pytest.fixture
def local_registry() -> "Iterator[Callable[..., LocalRegistry]]":
    """`distcache.testing.local_registry` as a function: each call starts a registry, with the
    same arguments, that runs until the test ends."""
    from . import local_registry as made

    with ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(made(*args, **options))
