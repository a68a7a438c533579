"""What a server is made of on any loop: its parts, its first words, its configuration anew."""

import gc
import resource
from collections.abc import Callable
from contextlib import suppress

from attrs import evolve

from .. import log
from ..access import Gate
from ..credentials import open_source
from ..settings import Level, Settings
from ..store import Store
from ..wire.routes import Router
from .certificates import Certificates
from .clock import Clock
from .driver import Driver
from .listening import crowd_of
from .ports import Core, Shell, Upstreams
from .service import Service, report
from .telling import OnDecision
from .tracing import Tracing

FIXED = ("host", "port", "unix", "root", "max_connections", "debug")
"""Settings that a running server keeps."""


def assemble(
    settings: Settings,
    core: Core,
    store: Store,
    shell: Shell,
    time: Callable[[], float],
    on_decision: OnDecision | None,
    tracing: Tracing | None,
) -> Service:
    """`time` is the loop's clock. OSError: the server's certificate cannot be used."""
    driver = Driver(core, store, _upstreams(settings), Clock(time), shell, tracing)
    router = Router(settings.sites, settings.default)
    tls = settings.tls
    return Service(
        driver,
        router,
        settings.client,
        time,
        on_decision,
        gate=Gate(settings.rules, report),
        certificates=None if tls is None else Certificates(tls, shell.run_job, time),
        crowd=crowd_of(settings),
        tracing=tracing,
    )


def reconfigure(service: Service, old: Settings, new: Settings) -> Settings | None:
    """Take up what can change in a running server, and say what cannot. The settings from now
    on; None: those from before."""
    gone = old.sites.keys() - new.sites.keys()
    if gone:
        names: dict[str, log.Value] = {"upstreams": ", ".join(sorted(gone))}
        log.note(Level.WARN, "nothing changed: to remove an upstream needs a restart", names)
        return None
    for name in FIXED:
        if getattr(new, name) != getattr(old, name):
            log.note(Level.WARN, "not changed: this needs a restart", {"setting": name})
    kept = evolve(new, **{name: getattr(old, name) for name in FIXED})
    if (new.tls is None) != (old.tls is None):
        log.note(Level.WARN, "not changed: this needs a restart", {"setting": "tls"})
        kept = evolve(kept, tls=old.tls)
    if kept.tls is not None:
        try:
            service.certificates = Certificates(kept.tls, service.driver.run_job, service.time)
        except OSError as error:
            log.note(Level.ERROR, "nothing changed: no certificate", {"error": str(error)})
            return None
    service.driver.configure(kept.core, _upstreams(kept))
    service.router = Router(kept.sites, kept.default)
    service.timeouts = kept.client
    service.gate = Gate(kept.rules, report)
    crowd = crowd_of(kept)
    service.crowd.bound, service.crowd.spares_own = crowd.bound, crowd.spares_own
    return kept


def _upstreams(settings: Settings) -> Upstreams:
    return Upstreams(
        settings.sites,
        settings.credentials,
        {key: open_source(spec, report) for key, spec in settings.sources.items()},
        settings.timeouts,
        settings.upstream,
    )


def announce(settings: Settings, store: Store, url: str) -> None:
    """It listens: say so, and begin what nobody is to wait for."""
    store.check_behind()
    swept = store.swept
    cap = settings.core.max_size
    fields: dict[str, log.Value] = {
        "address": url,
        "upstreams": " ".join(f"{key}={site.url}" for key, site in settings.sites.items()),
        "store": str(settings.root),
        "max_size": "none" if cap is None else cap,
        "max_connections": settings.max_connections,
    }
    if any((swept.spools, swept.adopted, swept.lost, swept.damaged, swept.orphans, swept.renewed)):
        log.note(Level.WARN, "the store was put in order", {"found": str(swept)})
    log.note(Level.INFO, "listening", fields)


def say_stopped(driver: Driver) -> None:
    fields: dict[str, log.Value] = {
        "late_events": driver.late,
        "journal_failures": driver.journal_failures,
    }
    log.note(Level.INFO, "stopped", fields)
    log.flush()


def spare_the_collector() -> None:
    """What is there at start, up to a million records, stays: to look through all of it for
    garbage would hold the loop for seconds. For a process that does nothing else, which had none
    looked for until now."""
    gc.freeze()
    gc.enable()


def raise_file_limit() -> None:
    """Each client has a descriptor, each transfer two; 1024 is soon reached."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
