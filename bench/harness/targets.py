"""What ours is to reach, as data: each target beside the case that it is about."""

from attrs import frozen

from .results import Results

RUNTIMES = ("trio", "asyncio")


@frozen
class Target:
    """`subject`'s value is to be at least `factor` times `of`'s, or at most where lower is
    better. `of` is a subject, or with `case_of` a subject's value in another case; without it
    `factor` is the bound itself."""

    case: str
    subject: str
    factor: float
    of: str | None = None
    case_of: str | None = None

    def met(self, results: Results) -> bool | None:
        """None: one of the numbers is missing."""
        case = results.cases.get(self.case)
        own = results.summary(self.case, self.subject)
        bound = self.bound(results)
        if case is None or own is None or bound is None:
            return None
        return own.value >= bound if case.higher else own.value <= bound

    def bound(self, results: Results) -> float | None:
        if self.of is None:
            return self.factor
        other = results.summary(self.case_of or self.case, self.of)
        return None if other is None else self.factor * other.value

    def spelt(self, results: Results) -> str:
        case = results.cases[self.case]
        sign = "≥" if case.higher else "≤"
        if self.of is None:
            return f"{sign} {self.factor:g} {case.unit}"
        return f"{sign} {self.factor:g} x {self.case_of or self.of}"


def _both(case: str, factor: float, of: str | None = None) -> list[Target]:
    return [Target(case, runtime, factor, of) for runtime in RUNTIMES]


HERD_FLOOR = 100 * 1024 * 1024 / 200_000_000
"""Seconds that upstream's limit alone costs in row 8."""

TARGETS: tuple[Target, ...] = (
    *(Target(f"1/{clients}", "asyncio", 1.2, "nginx") for clients in (16, 256)),
    *(Target(f"1/{clients}", "trio", 0.9, "nginx") for clients in (16, 256)),
    *_both("2/16", 15, "docker-registry"),
    *_both("2/256", 15, "docker-registry"),
    *_both("2/200-tags", 8, "docker-registry"),
    *(Target(f"3/{clients}", "asyncio", 1.0, "nginx") for clients in (16, 256)),
    *(Target(f"3/{clients}", "trio", 0.8, "nginx") for clients in (16, 256)),
    *(Target(f"4/{clients}", "asyncio", 0.8, "nginx") for clients in (16, 256)),
    *(Target(f"5/{size}", "asyncio", 0.8, "nginx") for size in ("4K", "64K")),
    *_both("6/1", 1.0, "nginx"),
    *_both("6/16", 1.0, "nginx"),
    *_both("7/rate", 0.75, "nginx"),
    *_both("7/rate", 1.3, "docker-registry"),
    *_both("8/wall", 1.1 * HERD_FLOOR),
    *_both("8/first-byte", 60),
    *_both("8/upstream", 1.01),
    *_both("10/ranges", 0.9, "nginx"),
    *_both("11/p99", 5),
    *_both("12/tls", 0.9, "nginx"),
    *_both("13/idle", 60),
    *_both("13/herd", 96),
    *_both("14/start-20k", 0.8),
    *_both("14/start-1m", 10),
    *_both("14/rss-1m", 600),
    *(Target("14/evict-1m", name, 1.5, name, "14/evict-20k") for name in RUNTIMES),
)
