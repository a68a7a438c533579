"""The server's own certificate, as its files have it now: renewed without a restart."""

import os
import ssl
from collections.abc import Callable
from pathlib import Path

from .. import log
from ..settings import Level, ServerTls
from .checks import RunJob

LOOK_AGAIN = 1.0
"""Seconds. The files are looked at at most so often, however many connect."""

_Mark = tuple[tuple[int, int, int], ...] | None


class Certificates:
    """OSError when they cannot be read at first; later that leaves what there was. `time` is the
    loop's clock. Belongs to the loop's thread; certificates are read again in another."""

    def __init__(self, tls: ServerTls, run_job: RunJob, time: Callable[[], float]) -> None:
        self._tls = tls
        self._run_job = run_job
        self._time = time
        self._mark = _mark(tls)
        self._context = tls.context()
        self._looked = time()
        self._loading = False

    def current(self) -> ssl.SSLContext:
        """For a connection that begins. What has changed counts for the next ones."""
        now = self._time()
        if now - self._looked >= LOOK_AGAIN and not self._loading:
            self._looked = now
            mark = _mark(self._tls)
            if mark is not None and mark != self._mark:
                self._loading, self._mark = True, mark
                self._run_job(self._load, self._take)
        return self._context

    def _load(self) -> ssl.SSLContext | OSError:
        try:
            return self._tls.context()
        except OSError as error:
            return error

    def _take(self, loaded: ssl.SSLContext | OSError) -> None:
        self._loading = False
        place: dict[str, log.Value] = {"certificate": str(self._tls.certificate)}
        if isinstance(loaded, OSError):
            place["error"] = loaded.strerror or str(loaded)
            log.note(Level.ERROR, "the new certificate cannot be used", place)
        else:
            self._context = loaded
            log.note(Level.INFO, "the certificate was renewed", place)


def _mark(tls: ServerTls) -> _Mark:
    """What changes when a file does; None while one is missing, as in the middle of a renewal."""
    try:
        found = [os.stat(path) for path in _files(tls)]
    except OSError:
        return None
    return tuple((one.st_ino, one.st_size, one.st_mtime_ns) for one in found)


def _files(tls: ServerTls) -> tuple[Path, ...]:
    return (tls.certificate, tls.key, *tls.client_cas)
