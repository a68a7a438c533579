"""What upstream accepted a client's own authority for; see `authorities` for when that ends."""

from attrs import frozen

from .oci import Content, Reference, Repository, Secret, Time
from .state import State
from .values import evolve


@frozen
class Accepted:
    """What upstream accepted an authority for, until it counts no longer. `expires`: when the
    authority itself does; nothing is remembered of it after that."""

    authorization: Secret | None
    until: Time
    expires: Time | None = None
    over: bool = False
    contents: frozenset[Content] = frozenset()
    references: frozenset[Reference] = frozenset()


def authorization(state: State, repository: Repository) -> Secret | None:
    """What to show upstream for a repository that carries an authority."""
    accepted = state.authorities.get(repository.authority or "")
    return None if accepted is None else accepted.authorization


def over(state: State, repository: Repository) -> bool:
    """Whether its authority is past its own end: each pull needs upstream's word."""
    accepted = state.authorities.get(repository.authority or "")
    return accepted is not None and accepted.over


def accept(state: State, repository: Repository, what: Content | Reference) -> bool:
    """Upstream gave or confirmed it; False: it no longer counts."""
    name = repository.authority or ""
    accepted = state.authorities.get(name)
    if accepted is None or accepted.over:
        return False
    if isinstance(what, Content):
        accepted = evolve(accepted, contents=accepted.contents | {what})
    else:
        accepted = evolve(accepted, references=accepted.references | {what})
    state.authorities[name] = accepted
    return True
