"""What the commands share: where the configuration is, how a result or a failure is told.

Exit status: 0 well; 1 failed, or what was asked for is not there; 2 wrong usage or a wrong
configuration.
"""

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.progress import Progress, ProgressColumn

from ..admin.api import Wrong
from ..settings import Settings, load
from ..store import StoreError
from .connection import Line, connected
from .failing import fail as fail
from .options import JsonOption as JsonOption

VARIABLE = "DISTCACHE_CONFIG"

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help=f"A config.yml; else ${VARIABLE}.")
]
UNBOUNDED = 10_000
"""Columns: more than any line needs."""


def settings_of(config: Path | None) -> Settings:
    """Of the file, or of $DISTCACHE_CONFIG, or the defaults; a wrong one ends the command."""
    variable = os.environ.get(VARIABLE)
    return load(config or (Path(variable) if variable else None), os.environ)


@contextmanager
def line(config: Path | None) -> Iterator[Line]:
    """To the server or the store; what goes wrong ends the command."""
    with told(), connected(settings_of(config)) as found:
        yield found


@contextmanager
def told() -> Iterator[None]:
    """Failures become a sentence and an exit status."""
    try:
        yield
    except Wrong as wrong:
        fail(str(wrong), 2 if wrong.status == 400 else 1)
    except StoreError as error:
        fail(str(error), 1)
    except OSError as error:
        fail(error.strerror or str(error), 1, where=error.filename)


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C ends the program as the signal does, without waiting for threads that still read."""
    try:
        yield
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)


def show(tree: Any, as_json: bool, draw: Callable[[Console], None]) -> None:
    """`tree` as JSON, or what `draw` makes of it."""
    if as_json:
        print(json.dumps(tree, indent=2))
    else:
        draw(_console())


def _console() -> Console:
    """Names are printed as they are, and whole: what is piped on has lines of any length."""
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = UNBOUNDED
    return console


def progress(*columns: ProgressColumn) -> Progress:
    """Bars on standard error while they are looked at by somebody."""
    console = Console(stderr=True)
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)


def size(count: int | None) -> str:
    return "-" if count is None else decimal(count)


def when(at: float | None) -> str:
    if at is None:
        return "-"
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
