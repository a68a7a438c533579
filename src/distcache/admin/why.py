"""What a pull would be answered now and why, as JSON: where each fact of an explanation goes."""

from typing import Any

from ..core.inventory import Answer, Filled
from ..core.oci import Content, Repository, Time
from ..core.pull import Client
from ..core.reports import Explanation, Reach
from ..wire.outgoing import WARMING
from .names import Names

Tree = dict[str, Any]


def tree(name: str, found: Explanation, repository: Repository, names: Names, now: Time) -> Tree:
    """`name`: as it was asked for, under `repository`."""
    return {
        "name": name,
        "now": now,
        "state": found.state.value,
        "digest": None if found.descriptor is None else found.descriptor.content.digest,
        "media_type": None if found.descriptor is None else found.descriptor.media_type,
        "checked": found.checked,
        "fresh_until": found.fresh_until,
        "stale_until": found.stale_until,
        "absent_until": found.absent_until,
        "known_since": found.known_since,
        "held_back_until": found.held_back_until,
        "held": found.held,
        "size": found.size,
        "used": found.used,
        "pinned": found.pinned,
        "granted": [names.write(repository) for repository in found.granted],
        "filling": None if found.filling is None else list(found.filling),
        "asking": found.asking,
        "answered": _answered(found.answered),
        "filled": None if found.filled is None else _filled(found.filled, names),
        "quota": quota(found.reach),
        "answer": _sentence(found, repository, now),
    }


def quota(reach: Reach) -> Tree:
    return {
        "remaining": reach.remaining,
        "limit": reach.limit,
        "counted": reach.counted,
        "renewed": reach.renewed,
        "limited_until": reach.limited_until,
    }


def _filled(filled: Filled, names: Names) -> Tree:
    client = filled.client
    return {
        "at": filled.at,
        "by": _kind(client),
        "client": None
        if client is None
        else {"user": client.user, "address": client.address, "agent": client.agent},
        "repository": names.write(filled.repository),
        "mirror": filled.mirror,
        "status": filled.status,
    }


def _answered(answered: tuple[Time, Answer] | None) -> Tree | None:
    if answered is None:
        return None
    at, answer = answered
    return {"at": at, "status": answer.status, "error": answer.error, "mirror": answer.mirror}


def _kind(client: Client | None) -> str:
    """`client` None: it was imported. What `warm` says of itself anybody may say."""
    if client is None:
        return "import"
    if client.agent == WARMING:
        return "warm"
    return "anonymous" if client.user is None else "user"


def _sentence(found: Explanation, repository: Repository, now: Time) -> str:
    """What a pull would meet now, for people."""
    upstream = repository.upstream
    if found.absent_until is not None and found.absent_until > now:
        return f"404: {upstream} said so, and is asked again in {found.absent_until - now:.0f} s"
    if found.held_back_until is not None:
        left = (found.held_back_until - now) / 3600
        text = f"is too new: the cool-down holds it back for {left:.1f} h more"
        if isinstance(found.reference, Content):
            return f"403: {text}"
        return f"{text}; until then what the tag was before is served where that is held, else 403"
    if found.descriptor is None and not found.held:
        if found.filling is not None:
            return "is being fetched now"
        return f"is not held: {upstream} is asked"
    if isinstance(found.reference, Content):
        if repository in found.granted:
            return "is served from disk, without asking upstream"
        return f"is held, but {upstream} must first say that this repository has it"
    if not found.held:
        return f"{upstream} is asked; the content is no longer held"
    if found.fresh_until is not None and now < found.fresh_until:
        left = found.fresh_until - now
        return f"is served from disk; {upstream} is asked again in {left:.0f} s"
    return f"{upstream} is asked whether the tag has moved; if not, it is served from disk"
