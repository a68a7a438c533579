"""What was measured: cases, samples, medians."""

import statistics

from attrs import define, field, frozen


@frozen
class Case:
    """One number of the comparison. `key` begins with its row's number, as in `6/16`. `unit`
    is the value's; `higher` is better, or lower. `per`: what processor time is divided by."""

    key: str
    title: str
    unit: str
    higher: bool
    per: str = ""

    @property
    def row(self) -> int:
        return int(self.key.partition("/")[0])


@frozen
class Sample:
    """`cpu`: processor seconds of the server's whole tree per `Case.per`; `rss`: its peak of
    resident memory in bytes."""

    value: float
    cpu: float | None = None
    rss: int | None = None


@frozen
class Summary:
    """Medians over `rounds`; `rss` is the largest. `low` and `high`: the values' extremes."""

    value: float
    low: float
    high: float
    rounds: int
    cpu: float | None
    rss: int | None


@define
class Results:
    """In the order in which they were measured. `failures`: why a subject has no number."""

    cases: dict[str, Case] = field(factory=dict)
    samples: dict[str, dict[str, list[Sample]]] = field(factory=dict)
    failures: dict[str, dict[str, str]] = field(factory=dict)

    def add(self, case: Case, subject: str, sample: Sample) -> None:
        self.cases[case.key] = case
        self.samples.setdefault(case.key, {}).setdefault(subject, []).append(sample)

    def fail(self, case: Case, subject: str, reason: str) -> None:
        """Its numbers of this case count no more."""
        self.cases[case.key] = case
        self.samples.get(case.key, {}).pop(subject, None)
        self.failures.setdefault(case.key, {})[subject] = reason

    def summary(self, case: str, subject: str) -> Summary | None:
        samples = self.samples.get(case, {}).get(subject)
        if not samples:
            return None
        values = [sample.value for sample in samples]
        cpus = [sample.cpu for sample in samples if sample.cpu is not None]
        peaks = [sample.rss for sample in samples if sample.rss is not None]
        return Summary(
            statistics.median(values),
            min(values),
            max(values),
            len(values),
            statistics.median(cpus) if cpus else None,
            max(peaks) if peaks else None,
        )
