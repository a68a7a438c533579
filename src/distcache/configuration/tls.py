"""Certificates: the server's own and those that it asks clients for, and those shown upstream."""

import ssl
from pathlib import Path

from attrs import frozen

from . import document
from .document import ClientAuth, MinimumTls
from .files import parsed
from .tree import Problem, below


class _Locked(Exception):
    pass


@frozen
class ServerTls:
    """How clients are spoken to. `client_cas`: who may sign their certificates; none: they are
    not asked for one. `demanded`: without a certificate there is no connection."""

    certificate: Path
    key: Path
    client_cas: tuple[Path, ...] = ()
    demanded: bool = True
    minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2

    def context(self) -> ssl.SSLContext:
        """From the files as they are now. Blocking; raises OSError (ssl.SSLError is one)."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = self.minimum
        context.set_alpn_protocols(["http/1.1"])
        _load_chain(context, self.certificate, self.key)
        for authority in self.client_cas:
            context.load_verify_locations(authority)
        # Python 3.13 refuses what sites' own authorities often lack (RFC 5280 4.2.1.1, 4.2.1.3).
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if self.client_cas:
            context.verify_mode = ssl.CERT_REQUIRED if self.demanded else ssl.CERT_OPTIONAL
        return context


def server(meant: document.Tls, problems: list[Problem]) -> ServerTls | None:
    """None: plain HTTP is spoken. What is wrong is added to `problems`."""
    path = "$.http.tls"
    if not meant.certificate:
        # Half a section would leave open what it was meant to close.
        for name in ("key", "clientcas"):
            if getattr(meant, name):
                problems.append(
                    Problem("of no use without http.tls.certificate", below(path, name))
                )
        return None
    if not meant.key:
        problems.append(Problem("give the key of http.tls.certificate", below(path, "key")))
        return None
    check_pair(meant.certificate, meant.key, f"{path}.certificate", f"{path}.key", problems)
    for index, name in enumerate(meant.clientcas):
        check_authorities(name, below(f"{path}.clientcas", index), problems)
    oldest = meant.minimumtls is MinimumTls.TLS_1_2
    return ServerTls(
        certificate=Path(meant.certificate),
        key=Path(meant.key),
        client_cas=tuple(map(Path, meant.clientcas)),
        demanded=meant.clientauth is ClientAuth.REQUIRED,
        minimum=ssl.TLSVersion.TLSv1_2 if oldest else ssl.TLSVersion.TLSv1_3,
    )


def trusting(authority: Path | None) -> ssl.SSLContext:
    """For a client: whom this system trusts ($SSL_CERT_FILE, where that is set), and who is in the
    file. OSError: it cannot be read."""
    context = ssl.create_default_context()
    # Python 3.13 refuses what sites' own authorities often lack (RFC 5280 4.2.1.1, 4.2.1.3).
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if authority is not None:
        context.load_verify_locations(authority)
    return context


def check_pair(
    certificate: str, key: str | None, at: str, key_at: str, problems: list[Problem]
) -> None:
    """Whether they can be read and belong together; without `key` it is in the same file."""
    before = len(problems)
    parsed(certificate, bytes, at, problems)
    if key is not None:
        parsed(key, bytes, key_at, problems)
    if len(problems) > before:
        return
    try:
        _load_chain(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), Path(certificate), key and Path(key))
    except _Locked:
        problems.append(Problem("needs a passphrase, which nobody could give", key_at))
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            problems.append(Problem("is not the key of the certificate", key_at))
        else:
            problems.append(Problem("no certificate with its key in PEM", at))


def check_authorities(name: str, at: str, problems: list[Problem]) -> None:
    """Whether a file holds certificates."""
    if parsed(name, bytes, at, problems) is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(name)
    except ssl.SSLError:
        problems.append(Problem(f"holds no certificate in PEM: {name}", at))


def _load_chain(context: ssl.SSLContext, certificate: Path, key: Path | str | None) -> None:
    def locked() -> str:
        # Else OpenSSL would ask on the terminal.
        raise _Locked

    context.load_cert_chain(certificate, key or None, password=locked)
