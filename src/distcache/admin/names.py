"""How an operator spells what is meant: `docker.io/library/alpine:3`, `library/alpine:3`,
`ghcr.io/a/b@sha256:…`, or a digest alone."""

from collections.abc import Mapping

from attrs import frozen

from ..core.oci import Content, Digest, Kind, Repository, TagRef
from ..wire import spelling
from ..wire.sites import UpstreamSite


class Misspelt(ValueError):
    """A sentence for the operator."""


@frozen
class Named:
    """`what` None: the repository as a whole. `repository` None: a digest alone."""

    repository: Repository | None
    what: TagRef | Content | None


class Names:
    """Reads references as clients of this cache write them, and writes them back."""

    def __init__(self, sites: Mapping[str, UpstreamSite], default: str) -> None:
        self._sites = sites
        self._default = default
        self._keys = {key.lower(): key for key in sites}
        for key, site in sites.items():
            for alias in site.aliases:
                self._keys.setdefault(alias.lower(), key)

    def read(self, text: str, *, tag: str | None = "latest") -> Named:
        """`tag` is what a name without one means, None: the repository itself."""
        digest = spelling.digest(text)
        if digest is not None:
            return Named(None, Content(Kind.BLOB, digest))
        name, at, wanted = text.partition("@")
        head, slash, last = name.rpartition("/")
        last, colon, said = last.partition(":")
        repository = self._repository(head + slash + last)
        if at:
            digest = spelling.digest(wanted)
            if digest is None:
                raise Misspelt(f"not a sha256 or sha512 digest: {wanted!r}")
            return Named(repository, Content(Kind.MANIFEST, digest))
        chosen = said if colon else tag
        if chosen is None:
            return Named(repository, None)
        if not spelling.is_tag(chosen):
            raise Misspelt(f"not a tag: {chosen!r}")
        return Named(repository, TagRef(repository, chosen))

    def below(self, repository: Repository, text: str) -> bool:
        """Whether it is what `text` names, or below that: an upstream, a repository, or what a
        repository's name begins with."""
        if not text:
            return True
        first, _, rest = text.rstrip("/").partition("/")
        key = self._keys.get(first.lower())
        if key is not None:
            wanted = [rest]
        else:
            key, wanted = self._default, [text.rstrip("/")]
        if self._sites[key].hub and wanted[0] and "/" not in wanted[0]:
            wanted.append(f"library/{wanted[0]}")
        return repository.upstream == key and any(
            name in ("", repository.name) or repository.name.startswith(f"{name}/")
            for name in wanted
        )

    def write(self, repository: Repository) -> str:
        """The full name, upstream first."""
        return f"{repository.upstream}/{repository.name}"

    def write_tag(self, reference: TagRef) -> str:
        return f"{self.write(reference.repository)}:{reference.tag}"

    def path(self, repository: Repository) -> str:
        """The name in a request's path to this cache."""
        short = repository.upstream == self._default
        return repository.name if short else self.write(repository)

    def _repository(self, name: str) -> Repository:
        first, _, rest = name.partition("/")
        key = self._keys.get(first.lower())
        if key is None and rest and ("." in first or ":" in first or first == "localhost"):
            raise Misspelt(f"{first} is not an upstream of this cache")
        key, rest = (key, rest) if key is not None and rest else (self._default, name)
        if self._sites[key].hub and "/" not in rest:
            rest = f"library/{rest}"
        if not spelling.is_name(rest):
            raise Misspelt(f"not a repository's name: {rest!r}")
        return Repository(key, rest)


def digest_of(named: Named) -> Digest | None:
    """Of a digest, with or without a repository."""
    return named.what.digest if isinstance(named.what, Content) else None
