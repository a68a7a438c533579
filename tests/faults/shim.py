"""A server whose file operations fail on command. Run as a program:

    python -m tests.faults.shim CONTROL ARGUMENTS...

It connects to the Unix socket CONTROL, takes commands there (one JSON list a line) and answers
each with one line. ARGUMENTS are those of `distcache`, the runtime last. The server runs in a
forked child, whose process id is the first line, so that it can end, or die at a certain
operation, and be there again at once. `{"ended": STATUS}` is said then, and `["run", OFFSET]` is
waited for and answered by the next process id; its clock is wrong by OFFSET seconds.

A disk that is full first takes half of a write. Reading and deleting never fail, but the process
may die at a deletion.
"""

import errno
import importlib
import json
import os
import signal
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, TextIO

from attrs import define, field

DIED = 9
"""Exit status at a deadly operation."""

OPERATIONS = ("open", "pwrite", "fsync", "ftruncate", "rename", "unlink")
STATEMENTS = ("BEGIN", "COMMIT", "INSERT", "UPDATE", "DELETE")


@define(eq=False)
class Saboteur:
    """Counts operations. From number `first` on they fail with `fault`: an errno, or 0 to die."""

    names: list[str] = field(factory=list)
    first: int | None = None
    fault: int = 0
    offset: float = 0.0
    """Seconds by which the wall clock is wrong."""
    lock: threading.Lock = field(factory=threading.Lock)

    def obey(self, command: list[Any]) -> object:
        with self.lock:
            match command:
                case ["arm", int(first), int(fault)]:
                    self.names, self.first, self.fault = [], first, fault
                case ["heal"]:
                    self.first = None
                    return self.names
                case ["clock", offset]:
                    self.offset = offset
                case _:
                    raise ValueError(command)
        return None

    def count(self, name: str) -> int:
        """How many operations too late this one comes; negative: it is in time."""
        with self.lock:
            self.names.append(name)
            return -1 if self.first is None else len(self.names) - self.first

    def install(self) -> None:
        for name in OPERATIONS:
            setattr(os, name, self._file_operation(name, getattr(os, name)))
        clock = time.time
        time.time = lambda: clock() + self.offset
        saboteur = self

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
                if sql.startswith(STATEMENTS) and saboteur.count(sql.partition(" ")[0]) >= 0:
                    raise saboteur.sqlite_error()
                return super().execute(sql, *values)

        connect = sqlite3.connect
        sqlite3.connect = lambda *args, **options: connect(*args, factory=Connection, **options)  # type: ignore[assignment]

    def sqlite_error(self) -> sqlite3.OperationalError:
        self.die_if_deadly()
        error = sqlite3.OperationalError(os.strerror(self.fault))
        error.sqlite_errorcode = _OF_SQLITE[self.fault]
        return error

    def die_if_deadly(self) -> None:
        if not self.fault:
            os._exit(DIED)

    def _file_operation(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **options: Any) -> Any:
            if name == "open" and not args[1] & os.O_CREAT:
                return call(*args, **options)
            late = self.count(name)
            if late < 0:
                return call(*args, **options)
            if late == 0 and name == "pwrite" and len(args[1]) > 1:
                written = call(args[0], args[1][: len(args[1]) // 2], args[2])
                if self.fault:
                    return written
            self.die_if_deadly()
            if name == "unlink":
                return call(*args, **options)
            raise OSError(self.fault, os.strerror(self.fault))

        return wrapper


_OF_SQLITE = {
    errno.ENOSPC: sqlite3.SQLITE_FULL,
    errno.EROFS: sqlite3.SQLITE_READONLY,
    errno.EIO: sqlite3.SQLITE_IOERR_WRITE,
}


def main(control: str, arguments: list[str]) -> int:
    saboteur = Saboteur()
    saboteur.install()
    # Here and not in every child: it takes most of the time of a start.
    from distcache.cli import main as run

    importlib.import_module(f"distcache.{arguments[-1]}_server.serve")
    # A harmless command loads what is only loaded when one is read.
    sys.argv = ["distcache", "check", arguments[1]]
    with suppress(SystemExit):
        run()
    sys.argv = ["distcache", *arguments]
    stopping: list[int] = []
    with socket.socket(socket.AF_UNIX) as line, line.makefile("rw") as channel:
        line.connect(control)
        while True:
            child = os.fork()
            if child == 0:
                serve(channel, saboteur, run)
            signal.signal(signal.SIGTERM, partial(pass_on, stopping, child))
            say(channel, child)
            _, status = os.waitpid(child, 0)
            code = os.waitstatus_to_exitcode(status)
            if stopping:
                return code
            say(channel, {"ended": code})
            if not await_run(channel, saboteur):
                return 1


def pass_on(stopping: list[int], child: int, number: int, _: object) -> None:
    stopping.append(number)
    with suppress(ProcessLookupError):
        os.kill(child, number)


def await_run(channel: TextIO, saboteur: Saboteur) -> bool:
    """Whether to run again. Other commands came too late, and were answered by the end."""
    while command := channel.readline():
        match json.loads(command):
            case ["run", offset]:
                saboteur.offset = offset
                return True
    return False


def say(channel: TextIO, what: object) -> None:
    print(json.dumps(what), file=channel, flush=True)


def serve(channel: TextIO, saboteur: Saboteur, run: Callable[[], None]) -> None:
    """In the child: does not return."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def obey() -> None:
        while command := channel.readline():
            say(channel, saboteur.obey(json.loads(command)))
        # Whoever gave the commands is gone.
        os._exit(1)

    threading.Thread(target=obey, daemon=True).start()
    try:
        run()
    except SystemExit as end:
        os._exit(end.code if isinstance(end.code, int) else 1)
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
