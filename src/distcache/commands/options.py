"""Options that every command has, apart from what the commands need."""

from typing import Annotated

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable: one JSON object.")]
