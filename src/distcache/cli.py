"""The `distcache` command.

Exit status: 0 well; 1 could not start or failed; 2 wrong usage or a wrong configuration.
"""

import gc
import importlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from . import __version__, log
from .commands.failing import Failed, Trouble, fail, tell, wants_json
from .commands.options import JsonOption
from .settings import Level, Settings, SettingsError, load
from .store.errors import StoreError

VARIABLE = "DISTCACHE_CONFIG"

LATER = {
    **{name: ("commands.looking", name) for name in ("ls", "why", "du")},
    **{name: ("commands.changing", name) for name in ("pin", "unpin", "forget", "prune")},
    "verify": ("commands.keeping", "verify"),
    "import": ("commands.keeping", "import_"),
    "warm": ("commands.warming", "warm"),
    "client-config": ("commands.clients", "client_config"),
    "healthcheck": ("commands.health", "healthcheck"),
    "conformance": ("conformance.command", "conformance"),
}
"""Module and function of the commands that are loaded when somebody wants them: together they
take as long to load as the server."""

_WORDS = "distcache.words"
_Usage: type[Exception] = typer.BadParameter.__mro__[1]
"""What typer raises for a command line that is wrong; it has no public name of its own."""


class Commands(TyperGroup):
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta[_WORDS] = list(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Here all failures of all commands are told."""
        as_json = wants_json(ctx.meta[_WORDS])
        failed: Failed | SettingsError
        try:
            return super().invoke(ctx)
        except (Failed, SettingsError) as error:
            failed = error
        except _Usage as error:
            if not as_json:
                raise
            failed = _misused(error)
        raise typer.Exit(tell(failed, as_json=as_json))

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *LATER]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in LATER:
            return super().get_command(ctx, cmd_name)
        module, function = LATER[cmd_name]
        alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        alone.command(cmd_name)(
            getattr(importlib.import_module(f".{module}", __package__), function)
        )
        return typer.main.get_command(alone)


app = typer.Typer(
    cls=Commands,
    name="distcache",
    help="A container registry that is a pull-through cache.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


class Runtime(Enum):
    TRIO = "trio"
    ASYNCIO = "asyncio"


Argument = Annotated[Path | None, typer.Argument(metavar="[CONFIG]", help="A config.yml.")]
Option = Annotated[Path | None, typer.Option("--config", help="The same as CONFIG.")]


def main() -> None:
    app()


@app.command()
def serve(
    config: Argument = None,
    option: Option = None,
    runtime: Annotated[Runtime, typer.Option(help="What the server runs on.")] = Runtime.TRIO,
) -> None:
    """Run the cache until SIGTERM or SIGINT; SIGHUP reads the configuration again.

    Without CONFIG: $DISTCACHE_CONFIG, or else Docker Hub's cache on 127.0.0.1:5000."""
    path = _path(config, option)
    settings = load(path, os.environ)
    log.configure(settings.log)
    for warning in settings.warnings:
        log.note(Level.WARN, warning.message, {"key": warning.path})
    raise typer.Exit(_run(path, runtime))


@app.command()
def check(config: Argument = None, option: Option = None, as_json: JsonOption = False) -> None:
    """Read a configuration and say what it means, or everything that is wrong with it."""
    settings = load(_path(config, option), os.environ)
    if as_json:
        print(json.dumps(_facts(settings), indent=2))
        return
    from rich.console import Console

    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    for warning in settings.warnings:
        errors.print(f"warning: {warning}", markup=False)
    _summary(settings)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"distcache {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    pass


def _path(argument: Path | None, option: Path | None) -> Path | None:
    if argument and option and argument != option:
        fail("give the configuration once", 2)
    variable = os.environ.get(VARIABLE)
    return argument or option or (Path(variable) if variable else None)


def _run(path: Path | None, runtime: Runtime) -> int:
    # Until all is there (`spare_the_collector`): a look through a million records takes a second.
    gc.disable()
    # Not at the top: `check` needs no event loop, and `serve` only one.
    with nullcontext() if runtime is Runtime.TRIO else without("trio"):
        run = importlib.import_module(f".{runtime.value}_server.serve", __package__).run
    from .tracing import from_environment

    tracing, send_the_last = from_environment(os.environ)
    status = 1
    try:
        status = run(lambda: load(path, os.environ), tracing)
    except* (OSError, StoreError) as group:
        for error in _leaves(group):
            print(f"distcache: {error}", file=sys.stderr)
    finally:
        send_the_last()
    return status


@contextmanager
def without(name: str) -> Iterator[None]:
    """A module that is not loaded counts as not installed meanwhile (The import system, 5.3.1).
    httpcore loads trio wherever it is, a tenth of the time that a start on asyncio takes. For a
    process of our own only: httpcore keeps to what it has found."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]


def _facts(settings: Settings) -> dict[str, object]:
    core = settings.core
    return {
        "host": settings.host,
        "port": settings.port,
        "root": str(settings.root),
        "max_size": core.max_size,
        "ttl": core.ttl,
        "evict": core.evict,
        "offline": core.offline,
        "default": settings.default,
        "upstreams": {key: str(site.url).rstrip("/") for key, site in settings.sites.items()},
        "warnings": [{"message": one.message, "at": one.path} for one in settings.warnings],
    }


def _summary(settings: Settings) -> None:
    from rich.console import Console
    from rich.table import Table

    from .configuration.units import spell_duration, spell_size

    host = settings.host or "*"
    cap = settings.core.max_size
    ttl = settings.core.ttl
    facts = Table.grid(padding=(0, 2))
    facts.add_row("listens on", f"{f'[{host}]' if ':' in host else host}:{settings.port}")
    facts.add_row("files in", str(settings.root))
    facts.add_row("largest store", "no bound" if cap is None else spell_size(cap))
    facts.add_row("unused content goes", "never" if ttl is None else f"after {spell_duration(ttl)}")
    if not settings.core.evict:
        facts.add_row("eviction", "off")
    if settings.core.offline:
        facts.add_row("offline", "yes: no upstream is asked")
    for key, site in settings.sites.items():
        url = str(site.url).rstrip("/")
        words = ["(default)"] if key == settings.default else []
        words += ["with a password"] if key in settings.credentials else []
        words += ["with credentials from elsewhere"] if key in settings.sources else []
        facts.add_row("upstream", " ".join([key, url, *words]))
    Console(highlight=False, markup=False, soft_wrap=True).print(facts)


def _misused(error: Any) -> Failed:
    path = None if error.ctx is None else error.ctx.command_path
    hint = None if path is None else f"{path} --help tells how"
    return Failed([Trouble(error.format_message(), path, hint)], 2)
