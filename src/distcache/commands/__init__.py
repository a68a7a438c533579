"""The operators' commands. Each module has functions that typer turns into commands."""
