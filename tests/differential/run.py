"""The same scripts for two servers, compared answer by answer.

    python -m tests.differential.run EXAMPLES [--runtime asyncio] [--seed 1]

runs many and prints how often each deviation was met. Exit status 1 when an answer differs in a
way that is not listed, or when something listed never occurs.
"""

import argparse
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from hypothesis import HealthCheck, given, seed, settings

from distcache.conformance.content import Content
from tests.conformance.stocked import docker_registry
from tests.conformance.targets import stocked
from tests.conformance.test_distcache import distcache
from tests.differential.answers import connected, differences
from tests.differential.deviations import DEVIATIONS, explained
from tests.differential.scripts import Request, scripts
from tests.support.cache import RUNTIMES

LABEL = "differential"
"""The content's seed: the same names and digests in each run."""


def compared(ours: int, theirs: int, content: Content, examples: int, number: int) -> Counter[str]:
    """How often each deviation was met, and `requests`. The ports are those of two servers with
    the same `content`. AssertionError: a difference that is not listed."""
    met: Counter[str] = Counter()

    # Hypothesis would complain of a busy machine, and keep what it found for the next run.
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @seed(number)
    @given(scripts(content))
    def same(script: list[Request]) -> None:
        with connected(ours, kept=True) as one, connected(theirs, kept=False) as other:
            for request in script:
                answers = one.ask(request), other.ask(request)
                found, used = explained(request, *answers, differences(*answers))
                assert not found, (request, sorted(found), *answers)
                met.update(("requests", *used))

    same()
    return met


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="tests.differential.run")
    parser.add_argument("examples", type=int)
    parser.add_argument("--runtime", choices=RUNTIMES, default=RUNTIMES[0])
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    library = stocked(LABEL)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port = stack.enter_context(docker_registry(directory, library))
        cache = stack.enter_context(distcache(directory / "cache", options.runtime, port))
        met = compared(cache.port, port, library.content(), options.examples, options.seed)
    for what, times in met.most_common():
        print(f"{what:<20}{times:>9,}")
    idle = [one.id for one in DEVIATIONS if one.id not in met]
    if idle:
        print("never met:", *idle, file=sys.stderr)
    return 1 if idle else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
