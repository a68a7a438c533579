"""Where rows measure: the origin, the subjects, rounds that interleave them."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Protocol

from attrs import define, field

from .content import Shelf
from .load import LoadError
from .origin import Origin
from .processes import ServerError
from .results import Case, Results, Sample
from .subjects import Running, Setup, Subject, Unable


class Row(Protocol):
    """One of the comparison's rows, with cases of its own."""

    @property
    def number(self) -> int: ...
    @property
    def title(self) -> str: ...

    def stock(self, shelf: Shelf) -> None:
        """Put tags on the shelf: the origin is not yet running."""

    def run(self, lab: "Lab") -> None: ...


@define(eq=False)
class Lab:
    """`quick`: small sizes and short rounds, to see that everything works."""

    directory: Path
    shelf: Shelf
    origin: Origin
    subjects: Sequence[Subject]
    rounds: int
    quick: bool
    say: Callable[[str], None]
    results: Results = field(factory=Results)
    _numbers: Iterator[int] = field(factory=count)

    server_cores: tuple[int, ...] | None = (0,) if (os.cpu_count() or 1) > 1 else None
    load_cores: tuple[int, ...] | None = (1,) if (os.cpu_count() or 1) > 1 else None

    @property
    def seconds(self) -> int:
        """Of one round of requests."""
        return 1 if self.quick else 3

    def setup(self, *, pinned: bool = False, checked: bool = False, small: bool = False) -> Setup:
        """A server on a core of its own, or on all; the origin's processor time goes to the
        load's core in the first case."""
        self.origin.process.pin(self.load_cores if pinned else None)
        return Setup(self.origin.url, checked, small, self.server_cores if pinned else None)

    def place(self) -> Path:
        """A path in the working directory that nobody has had."""
        return self.directory / f"place-{next(self._numbers)}"

    @contextmanager
    def fresh(self, subject: Subject, setup: Setup) -> Iterator[Running]:
        """With an empty store, and what earlier rounds wrote already on the disk. Unable,
        ServerError."""
        directory = self.place()
        os.sync()
        try:
            with subject.running(setup, directory) as running:
                yield running
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    @contextmanager
    def everybody(
        self, setup: Setup, cases: Sequence[Case], prepare: Callable[[Running], None]
    ) -> Iterator[list[Running]]:
        """All that can do it, running at once and prepared; `cases` hear of the others."""
        with ExitStack() as stack:
            there: list[Running] = []
            for subject in self.subjects:
                try:
                    running = stack.enter_context(self.fresh(subject, setup))
                    prepare(running)
                    self.origin.settle()
                except (Unable, ServerError, LoadError) as error:
                    for case in cases:
                        self.fail(case, subject, error)
                else:
                    there.append(running)
            yield there

    def interleave(
        self, case: Case, there: list[Running], measure: Callable[[Running], Sample]
    ) -> None:
        """`rounds` times around; who fails is left out of this case."""
        taking_part = list(there)
        for running in taking_part:
            running.process.reset_peak()
        for _ in range(self.rounds):
            for running in list(taking_part):
                try:
                    sample = measure(running)
                except LoadError as error:
                    self.fail(case, running.subject, error)
                    taking_part.remove(running)
                else:
                    self.add(case, running.subject, sample)

    def cold(
        self,
        cases: Sequence[Case],
        setup: Setup,
        measure: Callable[[Running], Sequence[Sample]],
        check: Callable[[Running], None],
    ) -> None:
        """As `interleave`, each time with a server that was just started and holds nothing;
        one sample for each case. `check` comes first, on a server that is not measured."""
        taking_part = list(self.subjects)
        for number in range(self.rounds + 1):
            for subject in list(taking_part):
                try:
                    with self.fresh(subject, setup) as running:
                        if number == 0:
                            check(running)
                            continue
                        running.process.reset_peak()
                        samples = measure(running)
                except (Unable, ServerError, LoadError) as error:
                    taking_part.remove(subject)
                    for case in cases:
                        self.fail(case, subject, error)
                else:
                    for case, sample in zip(cases, samples, strict=True):
                        self.add(case, subject, sample)

    def add(self, case: Case, subject: Subject, sample: Sample) -> None:
        self.results.add(case, subject.name, sample)
        self.say(f"  {case.key:<12} {subject.name:<16} {sample.value:,.4g} {case.unit}")

    def fail(self, case: Case, subject: Subject, error: Exception) -> None:
        self.results.fail(case, subject.name, str(error))
        self.say(f"  {case.key:<12} {subject.name:<16} none: {str(error)[:300]}")
