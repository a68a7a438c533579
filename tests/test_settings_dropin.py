"""Configurations as registries of versions 2 and 3 have them: taken, or told what cannot be.

Each section stands as the registry's documentation lists its keys; mirrors of Docker Hub in the
wild are made of these.
"""

from pathlib import Path

import pytest

from distcache.settings import Settings, SettingsError, load, load_text

BASE = """
version: 0.1
storage: {filesystem: {rootdirectory: /var/lib/registry}}
proxy: {remoteurl: https://registry-1.docker.io}
"""

LOG = """
log:
  accesslog: {disabled: true}
  level: debug
  formatter: text
  fields: {service: registry, environment: staging}
  hooks:
    - type: mail
      disabled: true
      levels: [panic]
      options:
        smtp: {addr: "mail.example.com:25", username: mailuser, password: password, insecure: true}
        from: sender@example.com
        to: [errors@example.com]
"""
HTTP = """
http:
  addr: localhost:5000
  net: tcp
  prefix: /
  host: https://myregistryaddress.org:5000
  secret: asecretforlocaldevelopment
  relativeurls: false
  draintimeout: 60s
  headers: {X-Content-Type-Options: [nosniff]}
  http2: {disabled: false}
  h2c: {enabled: false}
  debug: {addr: "localhost:5001", prometheus: {enabled: true, path: /metrics}}
"""
NOTIFICATIONS = """
notifications:
  events: {includereferences: true}
  endpoints:
    - name: alistener
      disabled: false
      url: https://my.listener.com/event
      headers: {Authorization: [Bearer abc]}
      timeout: 1s
      threshold: 10
      backoff: 1s
      ignoredmediatypes: [application/octet-stream]
      ignore: {mediatypes: [application/octet-stream], actions: [pull]}
"""
REDIS_2 = """
redis:
  addr: localhost:6379
  password: asecret
  db: 0
  dialtimeout: 10ms
  readtimeout: 10ms
  writetimeout: 10ms
  tls: {enabled: false}
  pool: {maxidle: 16, maxactive: 64, idletimeout: 300s}
"""
REDIS_3 = """
redis:
  tls: {certificate: /path/to/cert.crt, key: /path/to/key.pem, clientcas: [/path/to/ca.pem]}
  addrs: [localhost:6379]
  password: asecret
  db: 0
  dialtimeout: 10ms
  readtimeout: 10ms
  writetimeout: 10ms
  maxidleconns: 16
  poolsize: 64
  connmaxidletime: 300s
"""
HEALTH = """
health:
  storagedriver: {enabled: true, interval: 10s, threshold: 3}
  file: [{file: /path/to/checked/file, interval: 10s}]
  http:
    - uri: http://server.to.check/must/return/200
      headers: {Authorization: [Basic abc]}
      statuscode: 200
      timeout: 3s
      interval: 10s
      threshold: 3
  tcp: [{addr: "redis-server.domain.com:6379", timeout: 3s, interval: 10s, threshold: 3}]
"""
MIDDLEWARE = """
middleware:
  registry: [{name: ARegistryMiddleware, options: {foo: bar}}]
  repository: [{name: ARepositoryMiddleware, options: {foo: bar}}]
  storage:
    - name: cloudfront
      options: {baseurl: "https://my.cloudfronted.domain.com/", privatekey: /key, keypairid: id}
"""
VALIDATION = """
validation:
  disabled: false
  manifests:
    urls: {allow: ["^https?://([^/]+\\\\.)*example\\\\.com/"], deny: ["^https?://www\\\\.example\\\\.com/"]}
    indexes: {platforms: List, platformlist: [{architecture: amd64, os: linux}]}
"""
REST = "compatibility: {schema1: {signingkeyfile: /etc/registry/key.json, enabled: true}}\n"
REPORTING = (
    "reporting: {bugsnag: {apikey: k, releasestage: r, endpoint: e}, newrelic: {verbose: true}}\n"
)
CATALOG = "catalog: {maxentries: 1000}\n"
POLICY = "policy: {repository: {classes: [image]}}\n"
STORAGE = """
version: 0.1
storage:
  filesystem: {rootdirectory: /var/lib/registry, maxthreads: 100}
  delete: {enabled: true}
  redirect: {disable: false}
  tag: {concurrencylimit: 8}
  cache: {blobdescriptor: redis, blobdescriptorsize: 10000}
  maintenance:
    uploadpurging: {enabled: true, age: 168h, interval: 24h, dryrun: false}
    readonly: {enabled: false}
proxy: {remoteurl: https://registry-1.docker.io, username: u, password: p, ttl: 168h}
"""


def paths(settings: Settings) -> list[str]:
    return sorted(warning.path for warning in settings.warnings)


@pytest.mark.parametrize(
    ("section", "ignored"),
    [
        (LOG, ["$.log.hooks"]),
        ("loglevel: debug\n", []),
        (
            HTTP,
            [
                f"$.http.{key}"
                for key in ("h2c", "headers", "host", "http2", "relativeurls", "secret")
            ],
        ),
        (NOTIFICATIONS, ["$.notifications"]),
        (REDIS_2, ["$.redis"]),
        (REDIS_3, ["$.redis"]),
        (HEALTH, ["$.health"]),
        (MIDDLEWARE, ["$.middleware"]),
        (VALIDATION, ["$.validation"]),
        (REST, ["$.compatibility"]),
        (REPORTING, ["$.reporting"]),
        (CATALOG, ["$.catalog"]),
        (POLICY, ["$.policy"]),
    ],
)
def test_a_section_is_taken_and_what_has_no_meaning_here_is_told_once(
    section: str, ignored: list[str]
) -> None:
    settings = load_text(BASE + section)
    assert paths(settings) == ignored
    assert settings.default == "docker.io"


def test_everything_together_is_taken() -> None:
    settings = load_text(
        STORAGE + LOG + HTTP + NOTIFICATIONS + REDIS_3 + HEALTH + MIDDLEWARE + VALIDATION + CATALOG
    )
    assert (settings.host, settings.port, settings.drain) == ("localhost", 5000, 60)
    assert settings.debug is not None
    assert (settings.debug.port, settings.debug.metrics) == (5001, "/metrics")
    assert not settings.log.access
    assert settings.core.ttl == 168 * 3600
    assert settings.credentials["docker.io"].username == "u"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (BASE + "auth: {silly: {realm: silly-realm, service: silly-service}}\n", "$.auth.silly"),
        (BASE + "http: {net: unix, addr: /run/registry.sock}\n", "$.http.net"),
        (BASE + "http: {prefix: /my/nested/registry/}\n", "$.http.prefix"),
        (
            BASE + "http: {tls: {letsencrypt: {cachefile: /c, email: a@b.c, hosts: [h]}}}\n",
            "letsencrypt",
        ),
        (BASE.replace("0.1", "0.2"), "$.version"),
        (
            BASE.replace("filesystem: {rootdirectory: /var/lib/registry}", "s3: {bucket: b}"),
            "$.storage.s3",
        ),
        (
            BASE.replace("filesystem: {rootdirectory: /var/lib/registry}", "inmemory:"),
            "$.storage.inmemory",
        ),
        (BASE.replace("proxy: {", "proxy: {remotenamespace: library, "), "$.proxy.remotenamespace"),
        (BASE + "htpp: {addr: ':5000'}\n", "did you mean http? @ $.htpp"),
    ],
)
def test_what_cannot_be_meant_here_is_told_by_its_place(text: str, place: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_text(text)
    assert place in str(caught.value)


def test_a_container_configured_by_variables_alone_is_a_mirror() -> None:
    settings = load(
        None,
        {
            "REGISTRY_PROXY_REMOTEURL": "https://registry-1.docker.io",
            "REGISTRY_PROXY_USERNAME": "u",
            "REGISTRY_PROXY_PASSWORD": "p",
            "REGISTRY_PROXY_TTL": "72h",
            "REGISTRY_HTTP_ADDR": "0.0.0.0:5000",
            "REGISTRY_HTTP_SECRET": "s",
            "REGISTRY_HTTP_HEADERS_X-Content-Type-Options": "[nosniff]",
            "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": "/var/lib/registry",
            "REGISTRY_STORAGE_DELETE_ENABLED": "true",
            "REGISTRY_STORAGE_CACHE_BLOBDESCRIPTOR": "inmemory",
            "REGISTRY_LOG_LEVEL": "warn",
            "REGISTRY_LOG_ACCESSLOG_DISABLED": "true",
            "REGISTRY_HEALTH_STORAGEDRIVER_ENABLED": "true",
            "OTEL_TRACES_EXPORTER": "none",
        },
    )
    assert (settings.host, settings.port, str(settings.root)) == (
        "0.0.0.0",
        5000,
        "/var/lib/registry",
    )
    assert settings.core.ttl == 72 * 3600
    assert not settings.log.access
    assert settings.credentials["docker.io"].password == "p"


def test_what_a_registry_left_in_the_directory_is_not_passed_over_in_silence(
    tmp_path: Path,
) -> None:
    text = BASE.replace("/var/lib/registry", str(tmp_path))
    assert paths(load_text(text)) == []
    (tmp_path / "docker" / "registry" / "v2").mkdir(parents=True)
    (warning,) = load_text(text).warnings
    assert warning.path == "$.storage.filesystem.rootdirectory"
    assert "distcache import" in warning.message
