"""The keys of the CNCF Distribution registry's `config.yml`, versions 2 and 3, that this cache
does not act on.

`IGNORED` keys are accepted with one warning: they steer parts that a pull-through cache of this
kind does not have. `REFUSED` keys would change who may read what, or what is served and where:
to start without them would be worse than not to start. Keys that are acted on are the fields of
`document.Document`; a key in neither place is unknown.

Source: the registry's docs/content/about/configuration.md and configuration/configuration.go,
v2.8 and v3.1.
"""

from collections.abc import Mapping

from attrs import frozen

Shape = Mapping[str, "Shape"]
"""The keys known below a key, through lists; `ANY` says that any may stand there."""

ANY: Shape = {"*": {}}


@frozen
class Known:
    """A key that is known but not acted on: what may stand below it, and why."""

    shape: Shape
    why: str


def _keys(leaves: str, **sections: Shape) -> Shape:
    return {**{key: {} for key in leaves.split()}, **sections}


_SMTP = _keys("addr username password insecure")
_HOOKS = _keys("type disabled levels", options=_keys("from to", smtp=_SMTP))
_MIDDLEWARE = _keys("name disabled", options=ANY)
_ENDPOINT = _keys(
    "name disabled url timeout threshold backoff ignoredmediatypes",
    headers=ANY,
    ignore=_keys("mediatypes actions"),
)
_REDIS = _keys(
    # version 2
    "addr password db dialtimeout readtimeout writetimeout "
    # version 3: go-redis' UniversalOptions
    "addrs clientname protocol username sentinelusername sentinelpassword maxretries "
    "minretrybackoff maxretrybackoff contexttimeoutenabled poolfifo poolsize pooltimeout "
    "minidleconns maxidleconns maxactiveconns connmaxidletime connmaxlifetime maxredirects "
    "readonly routebylatency routerandomly mastername disableidentity identitysuffix "
    "unstableresp3",
    pool=_keys("maxidle maxactive idletimeout"),
    tls=_keys("enabled certificate key clientcas rootcas"),
)
_HEALTH = _keys(
    "",
    storagedriver=_keys("enabled interval threshold"),
    file=_keys("file interval threshold"),
    http=_keys("uri statuscode timeout interval threshold", headers=ANY),
    tcp=_keys("addr timeout interval threshold"),
)
_VALIDATION = _keys(
    "enabled disabled",
    manifests=_keys(
        "",
        urls=_keys("allow deny"),
        indexes=_keys("platforms", platformlist=_keys("architecture os")),
    ),
)
_REPORTING = _keys(
    "",
    bugsnag=_keys("apikey releasestage endpoint"),
    newrelic=_keys("licensekey name verbose"),
)

_PUSHES = "nothing can be pushed to a cache"
_NO_PART = "this cache has no such part"
_NOT_YET = "not built yet"
_SAID = "clients are sent to the realm as it is given"

IGNORED: Mapping[str, Known] = {
    "log.hooks": Known(_HOOKS, "log lines are not mailed"),
    "log.reportcaller": Known({}, _NO_PART),
    "storage.filesystem.maxthreads": Known({}, _NO_PART),
    "storage.cache": Known(_keys("blobdescriptor blobdescriptorsize layerinfo"), _NO_PART),
    "storage.tag": Known(_keys("concurrencylimit"), _NO_PART),
    "storage.redirect": Known(_keys("disable"), "no answer is a redirect"),
    "storage.maintenance": Known(
        _keys(
            "",
            uploadpurging=_keys("enabled age interval dryrun"),
            readonly=_keys("enabled"),
        ),
        _PUSHES,
    ),
    "http.host": Known({}, "every URL in an answer is relative"),
    "http.relativeurls": Known({}, "every URL in an answer is relative"),
    "http.secret": Known({}, _PUSHES),
    "http.headers": Known(ANY, "not sent; X-Content-Type-Options: nosniff always is"),
    "http.http2": Known(_keys("disabled"), "HTTP/1.1 is spoken"),
    "http.h2c": Known(_keys("enabled"), "HTTP/1.1 is spoken"),
    "http.tls.ciphersuites": Known({}, "OpenSSL's own choice of ciphers is used"),
    "auth.token.autoredirect": Known({}, _SAID),
    "auth.token.autoredirectpath": Known({}, _SAID),
    "proxy.cachewritetimeout": Known({}, "a slow disk slows no answer"),
    "middleware": Known(
        _keys("", registry=_MIDDLEWARE, repository=_MIDDLEWARE, storage=_MIDDLEWARE), _NO_PART
    ),
    "notifications": Known(
        _keys("", events=_keys("includereferences"), endpoints=_ENDPOINT), _NO_PART
    ),
    "redis": Known(_REDIS, _NO_PART),
    "health": Known(_HEALTH, _NO_PART),
    "catalog": Known(_keys("maxentries"), "clients choose the length of a page"),
    "tags": Known(_keys("maxtags"), "clients and upstream choose the length of a page"),
    "validation": Known(_VALIDATION, _PUSHES),
    "policy": Known(_keys("", repository=_keys("classes")), _PUSHES),
    "reporting": Known(_REPORTING, _NO_PART),
    "compatibility": Known(_keys("", schema1=_keys("signingkeyfile enabled")), _PUSHES),
}

_ELSEWHERE = "only the filesystem driver is built; give storage.filesystem.rootdirectory"
_NO_ACME = "certificates are not fetched; let an ACME client renew http.tls.certificate and key"

REFUSED: Mapping[str, Known] = {
    "auth.silly": Known(ANY, "it lets everybody in who sends any Authorization at all"),
    "http.tls.letsencrypt": Known(_keys("cachefile email hosts directoryurl"), _NO_ACME),
    "proxy.remotenamespace": Known(
        {}, f"{_NOT_YET}, and without it other repositories would be served"
    ),
    "storage.azure": Known(ANY, _ELSEWHERE),
    "storage.gcs": Known(ANY, _ELSEWHERE),
    "storage.inmemory": Known(ANY, _ELSEWHERE),
    "storage.oss": Known(ANY, _ELSEWHERE),
    "storage.s3": Known(ANY, _ELSEWHERE),
    "storage.s3aws": Known(ANY, _ELSEWHERE),
    "storage.s3goamazon": Known(ANY, _ELSEWHERE),
    "storage.swift": Known(ANY, _ELSEWHERE),
}
"""`*` stands for any name."""
