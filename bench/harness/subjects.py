"""The servers that are compared: how each is set up as a pull-through cache, and started.

Each gets an empty store in a directory of its own, no access log, and the settings that its
documentation recommends for speed. What one cannot do (TLS) is `Unable`.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from attrs import field, frozen

from .processes import Process, free_port, start

FRESH = 3600
"""Seconds that a tag answer stays fresh where it may."""


class Unable(Exception):
    """This server does not do that, or is not there. The message says which."""


@frozen
class Setup:
    """How a row wants its servers.

    `checked`: upstream is asked at every pull of a tag. `small`: the answers are; for nginx,
    which has no setting that is good for small and large ones alike. `cores`: where the server
    may run, None for all; peers get one worker per core. `tls`: certificate and key. `store`: a
    directory that is used as it is; `max_size` in bytes; both for ours only."""

    upstream: str
    checked: bool = False
    small: bool = False
    cores: tuple[int, ...] | None = None
    tls: tuple[Path, Path] | None = None
    store: Path | None = None
    max_size: int | None = None

    @property
    def workers(self) -> int:
        return len(self.cores) if self.cores else os.cpu_count() or 1


@frozen
class Command:
    """What is run, from which directory."""

    arguments: Sequence[str | Path]
    environment: Mapping[str, str] = field(factory=dict)


@frozen
class Subject:
    name: str
    build: Callable[[Setup, Path, int], Command]
    ours: bool = False

    @contextmanager
    def running(self, setup: Setup, directory: Path) -> Iterator["Running"]:
        """Listening, until the block is left. Unable: it cannot do this. ServerError: it did
        not start."""
        directory.mkdir(parents=True)
        port = free_port()
        command = self.build(setup, directory, port)
        process = start(
            command.arguments,
            directory / "log",
            setup.cores,
            command.environment,
            directory,
        )
        try:
            process.await_port(port)
            yield Running(self, process, port, setup.tls is not None)
        finally:
            process.stop()


@frozen
class Running:
    subject: Subject
    process: Process
    port: int
    tls: bool

    def url(self, path: str) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}{path}"


def distcache(runtime: str, *, access_log: bool = False) -> Callable[[Setup, Path, int], Command]:
    def build(setup: Setup, directory: Path, port: int) -> Command:
        http: dict[str, object] = {"addr": f"127.0.0.1:{port}"}
        if setup.tls is not None:
            certificate, key = setup.tls
            http["tls"] = {"certificate": str(certificate), "key": str(key)}
        proxy: dict[str, object] = {
            "remoteurl": setup.upstream,
            "tag_ttl": "0s" if setup.checked else f"{FRESH}s",
        }
        if setup.max_size is not None:
            proxy["max_size"] = setup.max_size
        config = {
            "version": "0.1",
            "log": {"level": "info", "accesslog": {"disabled": not access_log}},
            "storage": {"filesystem": {"rootdirectory": str(setup.store or directory / "store")}},
            "http": http,
            "proxy": proxy,
        }
        # JSON is YAML.
        path = directory / "config.yml"
        path.write_text(json.dumps(config))
        program = [sys.executable, "-m", "distcache", "serve"]
        return Command([*program, "--runtime", runtime, str(path)])

    return build


def docker_registry(setup: Setup, directory: Path, port: int) -> Command:
    """Asks upstream at every pull of a tag, and cannot be told otherwise."""
    program = _program("docker-registry")
    http: dict[str, object] = {"addr": f"127.0.0.1:{port}"}
    if setup.tls is not None:
        http["tls"] = {"certificate": str(setup.tls[0]), "key": str(setup.tls[1])}
    config = {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(directory / "store")},
            "cache": {"blobdescriptor": "inmemory"},
            "delete": {"enabled": True},
        },
        "http": http,
        "proxy": {"remoteurl": setup.upstream},
    }
    path = directory / "config.yml"
    path.write_text(json.dumps(config))
    return Command([program, "serve", path], {"OTEL_TRACES_EXPORTER": "none"})


NGINX = """
daemon off;
pid {directory}/nginx.pid;
error_log stderr;
user root;
worker_processes {workers};
worker_rlimit_nofile 65536;
events {{ worker_connections 8192; multi_accept on; }}
http {{
    access_log off;
    {sending}
    tcp_nodelay on;
    keepalive_timeout 75s;
    keepalive_requests 1000000000;
    open_file_cache max=8192 inactive=1h;
    ssl_protocols TLSv1.2 TLSv1.3;
    proxy_cache_path {directory}/store levels=1:2 keys_zone=c:64m max_size=100g inactive=30d
        use_temp_path=off;
    upstream registry {{ server {upstream}; keepalive 64; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port} {ssl} backlog=1024;
        {certificate}
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host {upstream};
        proxy_buffer_size 64k;
        proxy_buffers 16 64k;
        proxy_busy_buffers_size 128k;
        proxy_cache_lock on;
        proxy_cache_lock_timeout 60s;
        proxy_cache_lock_age 60s;
        proxy_cache_key $request_uri;
        location / {{
            proxy_pass http://registry;
            proxy_cache c;
            proxy_cache_valid 200 {fresh}s;
        }}
        location ~ /manifests/[^/:]+$ {{
            proxy_pass http://registry;
            proxy_cache {tags};
            proxy_cache_valid 200 {fresh}s;
        }}
    }}
}}
"""


SENDING_SMALL = "sendfile off; output_buffers 2 128k;"
"""Head and body in one write. With sendfile they are two, and with tcp_nopush besides, a body of
64 KiB waits 40 ms for the client's delayed ACK."""

SENDING_LARGE = "sendfile on; tcp_nopush off;"


def nginx(setup: Setup, directory: Path, port: int) -> Command:
    program = _program("nginx")
    certificate = ""
    if setup.tls is not None:
        certificate = "ssl_certificate {}; ssl_certificate_key {};".format(*setup.tls)
    config = directory / "nginx.conf"
    text = NGINX.format(
        directory=directory,
        workers=setup.workers,
        sending=SENDING_SMALL if setup.small else SENDING_LARGE,
        upstream=setup.upstream.removeprefix("http://"),
        port=port,
        ssl="ssl" if setup.tls else "",
        certificate=certificate,
        fresh=FRESH,
        # What nginx calls revalidation needs an answer that has gone stale, one second at the
        # least: without cache every pull asks upstream.
        tags="off" if setup.checked else "c",
    )
    config.write_text(text)
    return Command([program, "-p", directory, "-c", config])


VARNISH = """
vcl 4.1;
backend default {{ .host = "127.0.0.1"; .port = "{port}"; .max_connections = 256; }}
sub vcl_recv {{
    unset req.http.Cookie;
    if (req.method != "GET" && req.method != "HEAD") {{ return (synth(405)); }}
    {tags}
    return (hash);
}}
sub vcl_backend_response {{ set beresp.ttl = {fresh}s; set beresp.do_stream = true; }}
"""


def varnish(setup: Setup, directory: Path, port: int) -> Command:
    program = _program("varnishd")
    if setup.tls is not None:
        raise Unable("does no TLS")
    passing = 'if (req.url ~ "/manifests/[^/:]+$") { return (pass); }'
    vcl = directory / "cache.vcl"
    text = VARNISH.format(
        port=setup.upstream.rpartition(":")[2],
        tags=passing if setup.checked else "",
        fresh=FRESH,
    )
    vcl.write_text(text)
    state = directory / "state"
    where = ["-n", str(state), "-f", str(vcl), "-a", f"127.0.0.1:{port}"]
    how = ["-j", "none", "-s", "malloc,4G", "-p", "thread_pool_min=100"]
    return Command([program, "-F", *where, *how])


def drayage(setup: Setup, directory: Path, port: int) -> Command:
    program = _program("drayage")
    if setup.tls is not None:
        raise Unable("does TLS only as a transparent proxy with certificates of its own")
    store = directory / "store"
    store.mkdir()
    lines = (
        f'listen = "127.0.0.1:{port}"',
        f'cache_dir = "{store}"',
        f"manifest_ttl_seconds = {0 if setup.checked else FRESH}",
        "[upstreams.docker_io]",
        f'registry = "{setup.upstream}"',
    )
    config = directory / "config.toml"
    config.write_text("\n".join(lines) + "\n")
    return Command([program, "serve", "-c", config], {"RUST_LOG": "error"})


def _program(name: str) -> str:
    """Beside this Python, or on the PATH."""
    places = (str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin")
    found = shutil.which(name, path=os.pathsep.join(places))
    if found is None:
        raise Unable("is not installed")
    return found


SUBJECTS = (
    Subject("trio", distcache("trio"), ours=True),
    Subject("asyncio", distcache("asyncio"), ours=True),
    Subject("nginx", nginx),
    Subject("varnish", varnish),
    Subject("drayage", drayage),
    Subject("docker-registry", docker_registry),
)
