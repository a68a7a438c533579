"""Ways to point single checks at something."""

from contextlib import ExitStack

from distcache.conformance.checks import Check, Result, Target
from distcache.conformance.client import Client
from distcache.conformance.connection import Address
from distcache.conformance.origin.library import Library, stock
from distcache.conformance.runner import judge
from distcache.conformance.suite import checks

CHECKS: dict[str, Check] = {check.id: check for check in checks()}
EXAMPLES = 30
"""For each property: enough for every fault here, few enough for each test run."""


def stocked(seed: str) -> Library:
    library = Library(seed)
    stock(library)
    return library


def target_at(port: int, library: Library) -> Target:
    """Told what is there, so that a fault cannot hide the content from the checks."""
    client = Client(Address("127.0.0.1", port, tls=False), patience=10.0)
    return Target(client, library.content(), EXAMPLES)


def verdicts(target: Target, ids: list[str]) -> list[Result]:
    with ExitStack() as stack:
        for client in (target.client, target.upstream):
            if client is not None:
                stack.enter_context(client)
        return [judge(CHECKS[one], target) for one in ids]
