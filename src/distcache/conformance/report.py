"""A report for people, as JSON, and as JUnit's XML."""

import json
from xml.etree import ElementTree

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .checks import Level, Result, Verdict
from .runner import Report

_STYLES = {Verdict.PASS: "green", Verdict.FAIL: "red", Verdict.SKIP: "dim"}


def show(report: Report, console: Console) -> None:
    """A line per section, then every failure with what was asked and answered, then the sum."""
    table = Table(box=None, pad_edge=False)
    table.add_column("Section")
    for verdict in Verdict:
        table.add_column(verdict.value, justify="right", style=_STYLES[verdict])
    for section in dict.fromkeys(result.check.section for result in report.results):
        own = [result for result in report.results if result.check.section == section]
        counts = [sum(one.verdict is verdict for one in own) for verdict in Verdict]
        table.add_row(section, *(str(count or "-") for count in counts))
    console.print(table)
    for result in report.counts(Verdict.FAIL):
        _failure(result, console)
    console.print()
    console.print(summary(report), style="red" if report.failed else "green")


def summary(report: Report) -> str:
    """One line."""
    must = len(report.counts(Verdict.FAIL, Level.MUST))
    should = len(report.counts(Verdict.FAIL, Level.SHOULD))
    passed, skipped = (len(report.counts(one)) for one in (Verdict.PASS, Verdict.SKIP))
    return f"{passed} passed, {must} MUST failed, {should} SHOULD failed, {skipped} skipped"


def as_json(report: Report) -> str:
    """An object: `target`, `seed`, `failed`, `summary` and `results`, one per check."""
    results = [
        {
            "id": result.check.id,
            "level": result.check.level.value,
            "section": result.check.section,
            "source": result.check.source,
            "says": result.check.says,
            "verdict": result.verdict.value,
            "message": result.message,
            "evidence": list(result.evidence),
        }
        for result in report.results
    ]
    whole = {
        "target": _bare(report.options.url),
        "seed": report.options.seed if report.options.origin else None,
        "failed": report.failed,
        "summary": summary(report),
        "results": results,
    }
    return json.dumps(whole, indent=2) + "\n"


def as_junit(report: Report) -> str:
    """A test case per check. A SHOULD that failed counts as skipped: it fails no build."""
    root = ElementTree.Element("testsuites", name=f"conformance of {_bare(report.options.url)}")
    for section in dict.fromkeys(result.check.section for result in report.results):
        own = [result for result in report.results if result.check.section == section]
        suite = ElementTree.SubElement(root, "testsuite", name=section, tests=str(len(own)))
        failures = 0
        for result in own:
            case = ElementTree.SubElement(
                suite, "testcase", classname=section, name=result.check.id
            )
            if result.verdict is Verdict.PASS:
                continue
            failed = result.verdict is Verdict.FAIL
            hard = failed and result.check.level is Level.MUST
            failures += hard
            message = f"SHOULD: {result.message}" if failed and not hard else result.message
            told = ElementTree.SubElement(case, "failure" if hard else "skipped", message=message)
            told.text = "\n".join((result.check.says, *result.evidence))
        suite.set("failures", str(failures))
        suite.set("skipped", str(len(suite.findall("testcase/skipped"))))
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _failure(result: Result, console: Console) -> None:
    check = result.check
    console.print()
    head = f"[bold red]{check.level.value} failed[/] [bold]{check.id}[/] ({escape(check.source)})"
    console.print(head)
    console.print(f"  {escape(check.says)}")
    console.print(f"  [red]{escape(result.message)}[/]")
    for line in result.evidence:
        console.print(f"    {escape(line)}", style="dim")


def _bare(url: str) -> str:
    """Without user and password."""
    scheme, mark, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{mark}{authority.rpartition('@')[2]}{slash}{path}"
