"""The `distcache conformance` command.

Exit status: 0 no MUST failed; 1 one did; 2 wrong usage; 3 the target cannot be reached.
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..commands.failing import fail
from ..configuration.tls import check_authorities
from ..configuration.tree import Problem
from . import report
from .checks import Check
from .login import Credentials
from .runner import Options, Unreachable, endpoint, run

OUTPUT = Path("-")


def conformance(
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL|HOST[:PORT]",
            help="The registry or cache. Without a scheme https, but http on loopback.",
        ),
    ],
    origin: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Serve generated images there; the cache has it as its upstream.",
        ),
    ] = None,
    upstream: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Compare with the cache's upstream."),
    ] = None,
    push: Annotated[
        bool, typer.Option("--push", help="Scratch tags may be written to --upstream.")
    ] = False,
    repository: Annotated[str | None, typer.Option(help="Look only at this repository.")] = None,
    tag: Annotated[str | None, typer.Option(help="... and at this tag of it.")] = None,
    digest: Annotated[str | None, typer.Option(help="... and at this digest.")] = None,
    username: Annotated[str | None, typer.Option(help="To log in with at the target.")] = None,
    password: Annotated[
        str | None, typer.Option(envvar="DISTCACHE_CONFORMANCE_PASSWORD", help="The same.")
    ] = None,
    cacert: Annotated[
        Path | None,
        typer.Option(help="Who signed the certificate, if unknown here (PEM)."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Run this check; may be repeated.")
    ] = None,
    examples: Annotated[int, typer.Option(min=1, help="How many each property tries.")] = 40,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for a byte.")] = 30.0,
    seed: Annotated[str | None, typer.Option(help="Of generated images: the same again.")] = None,
    json: Annotated[
        Path | None,
        typer.Option(help="Write the report there as JSON; - is standard output."),
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="The same as JUnit's XML.")] = None,
) -> None:
    """Check a registry or a cache over the wire against the protocol.

    Exit status: 0 no MUST failed; 1 one did; 2 wrong usage; 3 the target cannot be reached."""
    chosen = _checks(only or [])
    if json == junit == OUTPUT:
        fail("only one report can be on standard output", 2)
    if (tag or digest) and not repository:
        fail("--tag and --digest need --repository", 2)
    if push and not upstream:
        fail("--push needs --upstream", 2)
    if origin and (repository or upstream):
        fail("--origin brings content of its own: no --repository, no --upstream", 2)
    more = {"seed": seed} if seed else {}
    try:
        options = Options(
            url=url,
            repository=repository,
            tag=tag,
            digest=digest,
            credentials=Credentials(username, password or "") if username is not None else None,
            upstream=upstream,
            push=push,
            origin=endpoint(origin) if origin else None,
            examples=examples,
            patience=timeout,
            cacert=cacert,
            **more,
        )
    except ValueError as error:
        fail(str(error), 2)
    if cacert is not None:
        _check_authority(cacert, options.url, options.upstream)
    _check(options, chosen, json, junit)


def _check_authority(cacert: Path, *urls: str | None) -> None:
    if not any(url is not None and url.startswith("https:") for url in urls):
        fail("of no use: nothing here is https://", 2, where="--cacert")
    problems: list[Problem] = []
    check_authorities(str(cacert), "--cacert", problems)
    for one in problems:
        fail(one.message, 2, where=one.path)


def _checks(only: list[str]) -> list[Check]:
    # Not at the top: they need what the extra installs, and the command line comes without it.
    try:
        from .suite import checks
    except ModuleNotFoundError as error:
        fail(f"this needs {error.name}: pip install 'distcache-registry[conformance]'", 2)
    chosen = [check for check in checks() if not only or check.id in only]
    unknown = set(only) - {check.id for check in chosen}
    if unknown:
        fail(f"no such check: {', '.join(sorted(unknown))}", 2)
    return chosen


def _check(options: Options, chosen: list[Check], json: Path | None, junit: Path | None) -> None:
    # Where a report is on standard output it is alone there.
    console = Console(stderr=OUTPUT in (json, junit), highlight=False, soft_wrap=True)
    try:
        with console.status("") as status:
            said = run(options, chosen, lambda result: status.update(result.check.id))
    except Unreachable as error:
        fail(str(error), 3)
    except OSError as error:
        fail(f"cannot listen for --origin: {error}", 2)
    report.show(said, console)
    for path, text in ((json, report.as_json(said)), (junit, report.as_junit(said))):
        if path == OUTPUT:
            print(text, end="")
        elif path is not None:
            path.write_text(text)
    raise typer.Exit(1 if said.failed else 0)
