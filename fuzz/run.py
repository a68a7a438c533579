"""Search: `python -m fuzz.run SECONDS [TARGET...]`, every target for so long, two at a time.

What is found goes to `.fuzz/TARGET/`: `corpus` grows from run to run, `findings` has the inputs
that break a promise, `log` libFuzzer's own words. `fuzz.keep` takes from it what is committed.
Ends with 1 when there are findings, of this run or an earlier one.
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

from attrs import frozen

from .targets import CORPUS, NAMES

AT_ONCE = 2
"""Processes."""

WORK = CORPUS.parents[1] / ".fuzz"

LIMITS = ("-timeout=25", "-rss_limit_mb=2048", "-max_len=4096", "-print_final_stats=1")
"""Seconds and memory that one input may take: more is a finding too."""

_PULSE = re.compile(r"^#(\d+)\t.*cov: (\d+) ft: (\d+) corp: (\d+)/", re.M)


@frozen
class Report:
    """`edges`: branches reached, with those of the parsers beneath us; `features`: those with
    how often; `inputs`: what they need. `why`: the end of a failed run's log."""

    name: str
    executions: int
    seconds: int
    edges: int
    features: int
    inputs: int
    findings: tuple[Path, ...]
    why: str = ""

    def row(self) -> str:
        rate = self.executions / max(self.seconds, 1)
        return (
            f"{self.name:<18}{self.executions:>12,}{rate:>10,.0f}{self.edges:>8,}"
            f"{self.features:>10,}{self.inputs:>8,}{len(self.findings):>10}"
        )


HEADING = (
    f"{'target':<18}{'executions':>12}{'a second':>10}{'edges':>8}"
    f"{'features':>10}{'inputs':>8}{'findings':>10}"
)


def search(name: str, seconds: int) -> Report:
    """One target, in a process of its own."""
    work = WORK / name
    findings = work / "findings"
    for folder in (work / "corpus", findings):
        folder.mkdir(parents=True, exist_ok=True)
    command = [
        *(sys.executable, "-m", "fuzz.child", name, *LIMITS),
        *(f"-max_total_time={seconds}", f"-artifact_prefix={findings}/"),
        *(str(folder) for folder in (work / "corpus", CORPUS / name) if folder.is_dir()),
    ]
    with (work / "log").open("wb") as log:
        # An input that names a device must not get hold of the terminal.
        ended = subprocess.run(
            command, cwd=CORPUS.parents[1], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    said = (work / "log").read_text(errors="replace")
    executions, edges, features, inputs = map(int, (_PULSE.findall(said) or [(0, 0, 0, 0)])[-1])
    bad = tuple(sorted(findings.iterdir()))
    why = "\n".join(said.splitlines()[-30:]) if ended.returncode or bad else ""
    return Report(name, executions, seconds, edges, features, inputs, bad, why)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="fuzz.run")
    parser.add_argument("seconds", type=int, help="for each target")
    parser.add_argument("targets", nargs="*", metavar="target", help=", ".join(NAMES))
    meant = parser.parse_args(arguments)
    unknown = set(meant.targets) - set(NAMES)
    if unknown or meant.seconds < 1:
        parser.error(f"no such target: {', '.join(sorted(unknown))}" if unknown else "no time")
    if find_spec("atheris") is None:
        print("fuzz: atheris is not installed (the extra `fuzz`)", file=sys.stderr)
        return 2
    with ThreadPoolExecutor(AT_ONCE) as pool:
        jobs = [pool.submit(search, name, meant.seconds) for name in meant.targets or NAMES]
        print(HEADING, flush=True)
        for job in jobs:
            print(job.result().row(), flush=True)
    failed = [report for report in (job.result() for job in jobs) if report.why]
    for report in failed:
        names = " ".join(str(path) for path in report.findings)
        print(f"\n{report.name}: {names or 'ended badly'}\n{report.why}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
