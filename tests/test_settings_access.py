"""`auth` and `http.tls`: who may ask, and how the connection is protected."""

import ssl
from pathlib import Path

import bcrypt
import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from distcache.access import HtpasswdRule, Rules, TokenRule
from distcache.access.keys import ALGORITHMS
from distcache.settings import Settings, SettingsError, load
from tests.access.signing import Signer, certify, key

FILE = """
version: 0.1
storage: {filesystem: {rootdirectory: /srv/cache}}
proxy: {remoteurl: 'https://registry-1.docker.io'}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.yml"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory with a `cert.pem` and its `key.pem`, `other.pem`, a key of nothing, `ca.pem`,
    `htpasswd` and `jwks`."""
    own = certify("cache", key("ES256"))
    (tmp_path / "cert.pem").write_bytes(own.pem)
    write_key(tmp_path / "key.pem", own)
    write_key(tmp_path / "other.pem", certify("other", key("ES256", 1)))
    (tmp_path / "ca.pem").write_bytes(certify("ca", key("ES256", 2), authority=True).pem)
    (tmp_path / "htpasswd").write_bytes(b"alice:" + bcrypt.hashpw(b"s3cret", bcrypt.gensalt(4)))
    (tmp_path / "jwks").write_text(
        '{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "one",'
        ' "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}'
    )
    return tmp_path


def write_key(path: Path, signer: Signer, passphrase: str = "") -> None:
    lock = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    pem = signer.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)
    path.touch(mode=0o600)
    path.write_bytes(pem)


def read(path: Path, text: str) -> Settings:
    path.write_text(FILE + text.replace("DIR", str(path.parent)))
    return load(path, {})


def wrong(path: Path, text: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read(path, text)
    return [str(problem).replace(str(path.parent), "DIR") for problem in caught.value.problems]


def warned(path: Path, text: str) -> list[str]:
    return [warning.path for warning in read(path, text).warnings]


HTPASSWD = "auth: {htpasswd: {realm: r, path: DIR/htpasswd}}\n"
TOKEN = "realm: 'https://i.example/token', service: s, issuer: i"


def test_without_auth_everybody_may_ask(config: Path) -> None:
    for text in ("", "auth:", "auth: {}"):
        assert read(config, text).rules == Rules("docker.io")


def test_htpasswd(config: Path, files: Path) -> None:
    settings = read(config, HTPASSWD)
    assert settings.rules.login == HtpasswdRule("r", files / "htpasswd")
    assert settings.rules.default == "docker.io"


def test_a_token_service_with_certificates(config: Path, files: Path) -> None:
    login = read(config, f"auth: {{token: {{{TOKEN}, rootcertbundle: DIR/ca.pem}}}}").rules.login
    assert isinstance(login, TokenRule)
    assert (login.realm, login.service, login.issuer) == ("https://i.example/token", "s", "i")
    assert len(login.keys.roots) == 1
    assert len(login.keys.by_id) == 2
    assert login.allowed == ALGORITHMS


def test_a_token_service_with_a_key_set_and_both(config: Path, files: Path) -> None:
    members = f"{TOKEN}, jwks: DIR/jwks, signingalgorithms: [EdDSA, HS256]"
    settings = read(config, f"auth: {{token: {{{members}}}}}")
    login = settings.rules.login
    assert isinstance(login, TokenRule)
    assert list(login.keys.by_id) == ["one"]
    assert login.allowed == {"EdDSA"}
    assert [w.path for w in settings.warnings] == ["$.auth.token.signingalgorithms[1]"]
    both = read(config, f"auth: {{token: {{{members}, rootcertbundle: DIR/ca.pem}}}}").rules.login
    assert isinstance(both, TokenRule)
    assert len(both.keys.by_id) == 3


def test_redirects_by_the_request_itself_are_not_built(config: Path, files: Path) -> None:
    text = f"auth: {{token: {{{TOKEN}, jwks: DIR/jwks, autoredirect: true, autoredirectpath: /x}}}}"
    paths = ["$.auth.token.autoredirect", "$.auth.token.autoredirectpath"]
    assert warned(config, text) == paths


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        ("{htpasswd: }", ["must be given @ $.auth.htpasswd.realm",
                          "must be given @ $.auth.htpasswd.path"]),
        ("{htpasswd: {realm: r}}", ["must be given @ $.auth.htpasswd.path"]),
        ("{htpasswd: {realm: 'ä', path: DIR/htpasswd}}",
         ["must be plain ASCII to stand in a header @ $.auth.htpasswd.realm"]),
        ("{htpasswd: {realm: r, path: DIR/none}}",
         ["DIR/none: cannot be read: No such file or directory @ $.auth.htpasswd.path"]),
        ("{htpasswd: {realm: r, path: DIR/jwks}}",
         ["DIR/jwks: line 1: the password is not in bcrypt (htpasswd -B) @ $.auth.htpasswd.path"]),
        ("{htpasswd: {realm: r, path: DIR/htpasswd}, token: {}}", None),
        ("{token: {}}", ["must be given @ $.auth.token.realm",
                         "must be given @ $.auth.token.service",
                         "must be given @ $.auth.token.issuer",
                         "give rootcertbundle or jwks: no key is known @ $.auth.token"]),
        (f"{{token: {{{TOKEN}, rootcertbundle: DIR/none}}}}",
         ["DIR/none: cannot be read: No such file or directory @ $.auth.token.rootcertbundle"]),
        (f"{{token: {{{TOKEN}, rootcertbundle: DIR/htpasswd}}}}",
         ["DIR/htpasswd: holds no certificates in PEM @ $.auth.token.rootcertbundle"]),
        (f"{{token: {{{TOKEN}, jwks: DIR/htpasswd}}}}",
         ["DIR/htpasswd: is no JSON Web Key Set @ $.auth.token.jwks"]),
        (f"{{token: {{{TOKEN}, jwks: DIR/jwks, signingalgorithms: [none]}}}}",
         ["not an algorithm that the registry knows @ $.auth.token.signingalgorithms[0]",
          "none of them can be used @ $.auth.token.signingalgorithms"]),
        (f"{{token: {{{TOKEN}, jwks: DIR/jwks, signingalgorithms: [HS512]}}}}",
         ["none of them can be used @ $.auth.token.signingalgorithms"]),
        ("{silly: {}}", None),
        ("{silly: }", None),
        ("{ldap: {}}", None),
        ("htpasswd", None),
    ],
)  # fmt: skip
def test_a_login_that_cannot_be_checked_is_never_passed_over(
    config: Path, files: Path, text: str, errors: list[str] | None
) -> None:
    found = wrong(config, f"auth: {text}")
    assert errors is None or found == errors
    assert all("$.auth" in error for error in found)


def test_an_empty_key_set_opens_nothing(config: Path, files: Path) -> None:
    (files / "jwks").write_text('{"keys": []}')
    errors = wrong(config, f"auth: {{token: {{{TOKEN}, jwks: DIR/jwks}}}}")
    assert errors == ["give rootcertbundle or jwks: no key is known @ $.auth.token"]


def test_passwords_in_clear_are_warned_of(config: Path, files: Path) -> None:
    assert warned(config, HTPASSWD) == []
    assert warned(config, HTPASSWD + "http: {addr: ':5000'}") == ["$.auth.htpasswd"]
    tls = "http: {addr: ':5000', tls: {certificate: DIR/cert.pem, key: DIR/key.pem}}"
    assert warned(config, HTPASSWD + tls) == []


def test_a_login_of_ours_shared_with_known_users_is_not_warned_of(
    config: Path, files: Path
) -> None:
    text = "http: {addr: ':5000', tls: {certificate: DIR/cert.pem, key: DIR/key.pem%s}}\n"
    own = {"REGISTRY_PROXY_USERNAME": "u", "REGISTRY_PROXY_PASSWORD": "p"}
    for more, auth, expected in (
        ("", "", ["$.http.addr"]),
        ("", HTPASSWD, []),
        (", clientcas: [DIR/ca.pem]", "", []),
        (", clientcas: [DIR/ca.pem], clientauth: verify-client-cert-if-given", "", ["$.http.addr"]),
    ):
        read(config, text.replace("%s", more) + auth)
        assert [warning.path for warning in load(config, own).warnings] == expected


# TLS

PAIR = "certificate: DIR/cert.pem, key: DIR/key.pem"


def test_tls_as_the_registry_has_it(config: Path, files: Path) -> None:
    tls = read(config, f"http: {{tls: {{{PAIR}}}}}").tls
    assert tls is not None
    assert (tls.certificate, tls.key) == (files / "cert.pem", files / "key.pem")
    context = tls.context()
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_NONE
    assert not read(config, f"http: {{tls: {{{PAIR}}}}}").rules.certificate


def test_the_newest_version_only(config: Path, files: Path) -> None:
    tls = read(config, f"http: {{tls: {{{PAIR}, minimumtls: tls1.3}}}}").tls
    assert tls is not None
    assert tls.context().minimum_version is ssl.TLSVersion.TLSv1_3


@pytest.mark.parametrize(
    ("mode", "verify", "certificate"),
    [
        ("", ssl.CERT_REQUIRED, True),
        (", clientauth: require-and-verify-client-cert", ssl.CERT_REQUIRED, True),
        (", clientauth: verify-client-cert-if-given", ssl.CERT_OPTIONAL, False),
    ],
)
def test_certificates_of_clients(
    config: Path, files: Path, mode: str, verify: ssl.VerifyMode, certificate: bool
) -> None:
    settings = read(config, f"http: {{tls: {{{PAIR}, clientcas: [DIR/ca.pem]{mode}}}}}")
    assert settings.tls is not None
    context = settings.tls.context()
    assert context.verify_mode is verify
    assert len(context.get_ca_certs()) == 1
    assert settings.rules.certificate is certificate


def test_plain_http_is_no_section_or_an_empty_one(config: Path) -> None:
    for text in ("", "http: {tls: }", "http: {tls: {}}", "http: {tls: {certificate: '', key: ''}}"):
        assert read(config, text).tls is None


@pytest.mark.parametrize(
    ("members", "error"),
    [
        ("key: DIR/key.pem", "of no use without http.tls.certificate @ $.http.tls.key"),
        ("clientcas: [DIR/ca.pem]",
         "of no use without http.tls.certificate @ $.http.tls.clientcas"),
        ("certificate: DIR/cert.pem", "give the key of http.tls.certificate @ $.http.tls.key"),
        ("certificate: DIR/cert.pem, key: DIR/other.pem",
         "is not the key of the certificate @ $.http.tls.key"),
        ("certificate: DIR/cert.pem, key: DIR/locked.pem",
         "needs a passphrase, which nobody could give @ $.http.tls.key"),
        ("certificate: DIR/cert.pem, key: DIR/cert.pem",
         "no certificate with its key in PEM @ $.http.tls.certificate"),
        ("certificate: DIR/none, key: DIR/key.pem",
         "DIR/none: cannot be read: No such file or directory @ $.http.tls.certificate"),
        ("certificate: DIR/cert.pem, key: DIR/none",
         "DIR/none: cannot be read: No such file or directory @ $.http.tls.key"),
        (f"{PAIR}, clientcas: [DIR/ca.pem, DIR/jwks]",
         "holds no certificate in PEM: DIR/jwks @ $.http.tls.clientcas[1]"),
        (f"{PAIR}, clientcas: [DIR/none]",
         "DIR/none: cannot be read: No such file or directory @ $.http.tls.clientcas[0]"),
        (f"{PAIR}, letsencrypt: {{email: a, hosts: [b]}}",
         "refused: certificates are not fetched; let an ACME client renew http.tls.certificate"
         " and key @ $.http.tls.letsencrypt"),
    ],
)  # fmt: skip
def test_tls_that_cannot_be_spoken(config: Path, files: Path, members: str, error: str) -> None:
    write_key(files / "locked.pem", certify("cache", key("ES256")), "passphrase")
    assert wrong(config, f"http: {{tls: {{{members}}}}}") == [error]


@pytest.mark.parametrize("mode", ["request-client-cert", "require-any-client-cert", "maybe"])
def test_certificates_that_nobody_verifies_are_not_asked_for(
    config: Path, files: Path, mode: str
) -> None:
    text = f"http: {{tls: {{{PAIR}, clientcas: [DIR/ca.pem], clientauth: {mode}}}}}"
    (error,) = wrong(config, text)
    assert error.endswith("@ $.http.tls.clientauth")


def test_versions_that_are_broken_are_refused(config: Path, files: Path) -> None:
    (error,) = wrong(config, f"http: {{tls: {{{PAIR}, minimumtls: tls1.0}}}}")
    assert error.endswith("@ $.http.tls.minimumtls")


def test_ciphers_are_openssls_choice(config: Path, files: Path) -> None:
    text = f"http: {{tls: {{{PAIR}, ciphersuites: [TLS_RSA_WITH_AES_128_CBC_SHA]}}}}"
    assert warned(config, text) == ["$.http.tls.ciphersuites"]


def test_a_key_for_everybody_is_warned_of(config: Path, files: Path) -> None:
    (files / "key.pem").chmod(0o644)
    assert warned(config, f"http: {{tls: {{{PAIR}}}}}") == ["$.http.tls.key"]
