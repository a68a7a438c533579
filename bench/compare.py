"""distcache beside its peers: `python -m bench.compare`.

One run on one machine: every server a pull-through cache in front of the same origin, rounds
interleaved, medians printed. See README.md here for the rows, and `--help`. Exit status 0 even
when targets are missed: that is what the table is for; 1: no server gave a single number.
"""

import argparse
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

from rich.console import Console

from .harness import copies, footprint, images, machine, report, requests, transfers
from .harness.content import Shelf
from .harness.lab import Lab, Row
from .harness.origin import serving
from .harness.subjects import SUBJECTS, Subject

ROWS: tuple[Row, ...] = tuple(
    sorted(
        (*requests.ROWS, *transfers.ROWS, *images.ROWS, *footprint.ROWS, *copies.ROWS),
        key=lambda row: row.number,
    )
)

ROUNDS = 5


def main() -> int:
    options = parse_arguments()
    console = Console()
    if not console.is_terminal:
        console.width = 132
    rows, subjects = wanted_rows(options.rows), wanted_subjects(options.only)
    took: dict[str, float] = {}
    facts = {
        "seconds": took,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "rounds": options.rounds,
        "quick": options.quick,
        "machine": machine.describe(),
        "load_before": round(machine.load(), 2),
    }
    with ExitStack() as stack:
        place = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=options.directory))
        )
        shelf = Shelf(place / "origin")
        for row in rows:
            row.stock(shelf)
        origin = stack.enter_context(serving(shelf, place / "nginx"))
        lab = Lab(place, shelf, origin, subjects, options.rounds, options.quick, console.print)
        output = options.output or default_output(options)
        for row in rows:
            console.print(f"[bold]row {row.number}[/]: {row.title}")
            took[f"seconds of row {row.number}"] = run(row, lab, console)
            if output and any(lab.results.samples.values()):
                # After each: what is measured stays when a later row hangs or is cut off.
                report.write(lab.results, subjects, facts, output)
    report.table(lab.results, subjects, console)
    console.print(report.summary(lab.results, subjects))
    console.print(", ".join(f"{name}: {seconds:.0f}" for name, seconds in took.items()))
    if output:
        console.print(f"written: {output}/results.json, .md, .png", highlight=False)
    return int(not any(lab.results.samples.values()))


def run(row: Row, lab: Lab, console: Console) -> float:
    """Seconds that it took; a row that breaks costs its own figures, not the others'."""
    begun = perf_counter()
    try:
        row.run(lab)
    except Exception:
        console.print_exception()
        console.print(f"[bold]row {row.number} broke off[/]")
    return round(perf_counter() - begun, 1)


def parse_arguments() -> argparse.Namespace:
    rows = "; ".join(f"{row.number} {row.title}" for row in ROWS)
    servers = ", ".join(subject.name for subject in SUBJECTS)
    parser = argparse.ArgumentParser(
        prog="python -m bench.compare", description="distcache beside its peers", epilog=rows
    )
    parser.add_argument("--rows", help="like 1,3,6; default: all")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", help=f"servers, of: ours, peers, {servers}")
    parser.add_argument("--quick", action="store_true", help="small and short: does it work?")
    parser.add_argument(
        "--output", type=Path, help="directory for results; default for a full run: docs/bench"
    )
    parser.add_argument("--directory", help="for stores and content; default: temporary files")
    return parser.parse_args()


def wanted_rows(text: str | None) -> list[Row]:
    numbers = {row.number for row in ROWS}
    try:
        wanted = numbers if text is None else {int(number) for number in text.split(",")}
    except ValueError:
        raise SystemExit(f"--rows: numbers with commas between them, not {text!r}") from None
    if unknown := wanted - numbers:
        raise SystemExit(f"--rows: there is no row {min(unknown)}")
    return [row for row in ROWS if row.number in wanted]


def wanted_subjects(text: str | None) -> list[Subject]:
    if text is None:
        return list(SUBJECTS)
    names = set(text.split(","))
    groups = {"ours": True, "peers": False}
    chosen = [
        subject
        for subject in SUBJECTS
        if subject.name in names or any(g in names and groups[g] == subject.ours for g in groups)
    ]
    if unknown := names - {subject.name for subject in SUBJECTS} - groups.keys():
        raise SystemExit(f"--only: there is no {min(unknown)}")
    return chosen


def default_output(options: argparse.Namespace) -> Path | None:
    """Only a whole run replaces the figures that are kept."""
    whole = options.rows is None and options.only is None and not options.quick
    return Path(__file__).parent.parent / "docs" / "bench" if whole else None


if __name__ == "__main__":
    sys.exit(main())
