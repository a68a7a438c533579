"""Threads that a test did not find when it began."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def nothing_left() -> Iterator[None]:
    """Fails when a thread is there afterwards that was not before."""
    before = lasting()
    yield
    left = lasting() - before
    assert not left, left


def lasting() -> set[threading.Thread]:
    """Without daemons: trio keeps idle workers for a while, for whoever comes next."""
    return {one for one in threading.enumerate() if not one.daemon}
