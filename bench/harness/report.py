"""Results as a table on the terminal, as JSON and Markdown, and as a chart."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .results import Case, Results, Summary
from .subjects import Subject
from .targets import TARGETS, Target

MIB = 1024 * 1024


def table(results: Results, subjects: Sequence[Subject], console: Console) -> None:
    """Every case with every subject: median and spread, ratio to the best peer, cost, target."""
    shown = Table(show_lines=False, header_style="bold", pad_edge=False)
    for name in ("case", "server"):
        shown.add_column(name, overflow="fold")
    for name in ("median", "spread", "x best peer", "CPU", "x best peer", "peak RSS"):
        shown.add_column(name, justify="right")
    shown.add_column("target")
    for case in results.cases.values():
        shown.add_section()
        title: str = f"[bold]{case.key}[/] {case.title}"
        for subject in subjects:
            cells = _cells(results, subjects, case, subject)
            if cells is not None:
                shown.add_row(title, subject.name, *cells)
                title = ""
    console.print(shown)


def summary(results: Results, subjects: Sequence[Subject]) -> str:
    """The targets that are met, missed, and not measured, in a line."""
    ours = {subject.name for subject in subjects if subject.ours}
    verdicts = [
        target.met(results)
        for target in TARGETS
        if target.case in results.cases and target.subject in ours
    ]
    met, missed = verdicts.count(True), verdicts.count(False)
    return f"targets: {met} met, {missed} missed, {verdicts.count(None)} without a number"


def to_json(
    results: Results, subjects: Sequence[Subject], facts: Mapping[str, object]
) -> dict[str, object]:
    """`facts`: about the run. Times in seconds, memory in bytes."""
    return {
        **facts,
        "cases": {
            key: {
                "title": case.title,
                "unit": case.unit,
                "higher_is_better": case.higher,
                "cpu_seconds_per": case.per or None,
                "servers": {
                    subject.name: _values(results, subjects, case, subject)
                    for subject in subjects
                    if results.summary(key, subject.name)
                },
                "absent": results.failures.get(key, {}),
            }
            for key, case in results.cases.items()
        },
        "targets": [
            {
                "case": target.case,
                "server": target.subject,
                "target": target.spelt(results),
                "met": target.met(results),
            }
            for target in TARGETS
            if target.case in results.cases
        ],
    }


def to_markdown(results: Results, subjects: Sequence[Subject], facts: Mapping[str, object]) -> str:
    """One line per case, one column per server: the median, below it processor time."""
    names = [subject.name for subject in subjects]
    lines = ["# Results", "", *_said(facts), ""]
    lines += [f"| case | unit | {' | '.join(names)} |", f"|---|---|{'---:|' * len(names)}"]
    for key, case in results.cases.items():
        cells = [_cell(results, case, subject) for subject in subjects]
        lines.append(f"| {key} {case.title} | {case.unit} | {' | '.join(cells)} |")
    lines += ["", summary(results, subjects) + ".", ""]
    absent = {
        f"- {subject}, {', '.join(keys)}: {reason}"
        for (subject, reason), keys in _absences(results).items()
    }
    return "\n".join([*lines, *sorted(absent), ""])


def chart(results: Results, subjects: Sequence[Subject], path: Path, caption: str) -> None:
    """One small diagram per case, PNG."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    cases = [case for key, case in results.cases.items() if results.samples.get(key)]
    columns = 4
    rows = -(-len(cases) // columns)
    figure, axes = pyplot.subplots(
        rows, columns, figsize=(4.2 * columns, 2.3 * rows), squeeze=False, layout="constrained"
    )
    for axis in axes.flat[len(cases) :]:
        axis.set_axis_off()
    for axis, case in zip(axes.flat, cases, strict=False):
        shown = [
            (subject, found.value)
            for subject in reversed(subjects)
            if (found := results.summary(case.key, subject.name)) is not None
        ]
        bars = axis.barh(
            [subject.name for subject, _ in shown],
            [value for _, value in shown],
            color=["tab:blue" if subject.ours else "silver" for subject, _ in shown],
        )
        axis.bar_label(bars, labels=[number(value) for _, value in shown], padding=2, fontsize=7)
        better = "more" if case.higher else "less"
        axis.set_title(f"{case.title}\n{case.unit}, {better} is better", fontsize=7)
        axis.tick_params(labelsize=7)
        axis.margins(x=0.18)
    figure.suptitle(caption, fontsize=8)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def number(value: float) -> str:
    """Three figures, whole numbers from 100 on."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def cost(case: Case, seconds: float) -> str:
    if case.per == "request":
        return f"{seconds * 1e6:,.0f} µs"
    return f"{seconds:.2f} s/{case.per}"


def _cells(
    results: Results, subjects: Sequence[Subject], case: Case, subject: Subject
) -> tuple[str, ...] | None:
    reason = results.failures.get(case.key, {}).get(subject.name)
    if reason is not None:
        return ("—", *[""] * 5, reason[:80])
    found = results.summary(case.key, subject.name)
    if found is None:
        return None
    ratio = _ratio(results, subjects, case, subject, found)
    dearer = _cpu_ratio(results, subjects, case, subject, found)
    return (
        f"{number(found.value)} {case.unit}",
        f"{number(found.low)} .. {number(found.high)}",
        "" if ratio is None else f"{ratio:.2f}",
        "" if found.cpu is None else cost(case, found.cpu),
        "" if dearer is None else f"{dearer:.2f}",
        "" if found.rss is None else f"{found.rss / MIB:.0f} MiB",
        ", ".join(_verdict(target, results) for target in _targets(case, subject)),
    )


def _verdict(target: Target, results: Results) -> str:
    mark = {True: "✓", False: "✗", None: "?"}[target.met(results)]
    return f"{mark} {target.spelt(results)}"


def _targets(case: Case, subject: Subject) -> list[Target]:
    return [t for t in TARGETS if (t.case, t.subject) == (case.key, subject.name)]


def _ratio(
    results: Results, subjects: Sequence[Subject], case: Case, subject: Subject, found: Summary
) -> float | None:
    """To the best peer; for ours only."""
    values = [peer.value for peer in _peers(results, subjects, case)]
    if not subject.ours or not values:
        return None
    best = max(values) if case.higher else min(values)
    return found.value / best if best else None


def _cpu_ratio(
    results: Results, subjects: Sequence[Subject], case: Case, subject: Subject, found: Summary
) -> float | None:
    """To the peer that takes the least processor time; for ours only."""
    costs = [peer.cpu for peer in _peers(results, subjects, case) if peer.cpu]
    if not subject.ours or not costs or found.cpu is None:
        return None
    return found.cpu / min(costs)


def _peers(results: Results, subjects: Sequence[Subject], case: Case) -> list[Summary]:
    found = (results.summary(case.key, peer.name) for peer in subjects if not peer.ours)
    return [summary for summary in found if summary is not None]


def _values(
    results: Results, subjects: Sequence[Subject], case: Case, subject: Subject
) -> dict[str, object]:
    found = results.summary(case.key, subject.name)
    assert found is not None
    return {
        "median": found.value,
        "low": found.low,
        "high": found.high,
        "rounds": found.rounds,
        "cpu_seconds": found.cpu,
        "peak_rss": found.rss,
        "ratio_to_best_peer": _ratio(results, subjects, case, subject, found),
        "cpu_ratio_to_best_peer": _cpu_ratio(results, subjects, case, subject, found),
    }


def _cell(results: Results, case: Case, subject: Subject) -> str:
    found = results.summary(case.key, subject.name)
    if found is None:
        return "—"
    marks = "".join(
        {True: " ✓", False: " ✗", None: ""}[target.met(results)]
        for target in _targets(case, subject)
    )
    used = "" if found.cpu is None else f" ({cost(case, found.cpu)})"
    return f"{number(found.value)}{used}{marks}"


def _absences(results: Results) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for key, reasons in results.failures.items():
        for subject, reason in reasons.items():
            found.setdefault((subject, reason), []).append(key)
    return found


def _said(facts: Mapping[str, object]) -> list[str]:
    lines = []
    for name, fact in facts.items():
        if isinstance(fact, Mapping):
            lines += [f"- {inner}: {value}" for inner, value in fact.items()]
        else:
            lines.append(f"- {name.replace('_', ' ')}: {fact}")
    return lines


def write(
    results: Results, subjects: Sequence[Subject], facts: Mapping[str, object], directory: Path
) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps(to_json(results, subjects, facts), indent=1, ensure_ascii=False)
    (directory / "results.json").write_text(text + "\n")
    (directory / "results.md").write_text(to_markdown(results, subjects, facts))
    caption = "; ".join(line.removeprefix("- ") for line in _said(facts)[:6])
    chart(results, subjects, directory / "results.png", caption)
