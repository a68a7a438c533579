"""Whatever a configuration says, it is refused with a place for each complaint, or understood in
full; and no password of it is ever quoted, neither in a complaint nor in what is understood.

Files that it names are looked for as on a real start. The input is the text.
"""

from collections.abc import Iterator, Sequence

from distcache.configuration.tree import Problem, Scalar, Tree, parse
from distcache.settings import Settings, SettingsError, load_text

PASSWORD = "hunter2"
WORDS = (
    b"version: 0.1\n",
    b"storage: {filesystem: {rootdirectory: /x}}\n",
    b"proxy: {remoteurl: https://registry-1.docker.io}\n",
    b"  upstreams:\n    ghcr.io: {tag_ttl: 5m}\n",
    b"password: " + PASSWORD.encode(),
    b"username: u",
    b"http:\n  addr: 127.0.0.1:5000\n",
    b"tls: {certificate: c, key: k}",
    b"auth: {htpasswd: {realm: r, path: p}}\n",
    b"auth: {token: {realm: r, service: s, issuer: i, rootcertbundle: b}}\n",
    b"max_size: 10GB",
    b"ttl: 168h",
    b"log: {level: info, fields: {a: b}}\n",
    b"delete: {enabled: true}",
    b"allow: ['library/*']",
    b"exec: {command: c, lifetime: 1s}",
    b"mirrors: [https://m.example]",
    b"&a ",
    b"*a",
    b"<<: ",
    b"!!binary ",
    b'"\\0"',
    b'"\\ud800"',
    b"? ",
    b"- ",
    b"|\n ",
    b"1_000",
    b"0x1f",
    b"1e400",
    b"9999999999999999999h",
)


def one_input(data: bytes) -> None:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return
    said = result(text)
    assert said == result(text)
    # Only where the word is a password and nothing else.
    if text.count(PASSWORD) == 1 and PASSWORD in passwords(parse(text)[0]):
        assert PASSWORD not in said, said


def result(text: str) -> str:
    """What a user would see of it."""
    try:
        settings = load_text(text)
    except SettingsError as error:
        check_complaints(error.problems)
        return str(error)
    check(settings)
    return repr(settings)


def check_complaints(problems: Sequence[Problem]) -> None:
    assert problems
    for problem in problems:
        assert problem.path.startswith("$"), problem
        assert problem.message, problem


def check(settings: Settings) -> None:
    assert settings.default in settings.sites, settings
    assert settings.core.upstreams.keys() == settings.sites.keys(), settings
    assert settings.credentials.keys() <= settings.sites.keys(), settings
    assert 0 <= settings.port <= 65535, settings
    assert settings.max_connections >= 1, settings
    assert settings.core.max_size is None or settings.core.max_size > 0, settings
    for site in settings.sites.values():
        assert site.url.scheme in ("http", "https"), site
        assert str(site.url).isascii(), site


def passwords(tree: Tree) -> Iterator[str]:
    """The texts of all members called `password`."""
    if isinstance(tree, dict):
        for name, value in tree.items():
            if name == "password" and isinstance(value, Scalar):
                yield value.text
            yield from passwords(value)
    elif isinstance(tree, list):
        for item in tree:
            yield from passwords(item)
