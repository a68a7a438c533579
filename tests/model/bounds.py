"""The bounds that are walked: small ones on every test run, large ones by `make explore`."""

from __future__ import annotations

from attrs import evolve

from .scene import (
    ANSWERS,
    FAULTS,
    MIRROR,
    NETWORK,
    PAGES,
    REDIRECTS,
    REFUSALS,
    STORE,
    Bound,
)

BLOBS = ("blob", "range")
IMAGE = ("tag", "manifest", "blob")
MIRRORS = (*NETWORK, *ANSWERS, *MIRROR, "private", "denied")

SMALL = {
    "a tag and a blob, any fault": Bound(),
    "one blob, leavers and a broken network": Bound(("blob",), closes=1, wakes=2, kinds=NETWORK),
    "a range and a whole, a failing store": Bound(BLOBS, kinds=STORE, faults=2),
    "a range, no length, a failing store": Bound(("range",), kinds=STORE, chunked=True, clients=1),
    "no length, an old client": Bound(("blob", "old-client"), chunked=True, closes=1),
    "the tag moves": Bound(("tag",), moves=1, kinds=(*NETWORK, *ANSWERS)),
    "the tag moves, answers last": Bound(("tag",), moves=1, tag_ttl=60.0, kinds=("slow",)),
    "the tag is gone for a while": Bound(("tag",), moves=1, clients=1, starts=3, wakes=2, faults=0),
    "HEADs, conditions, empty": Bound(("head-tag", "head-blob", "have-blob", "empty", "beyond")),
    "strangers and cousins": Bound(("blob", "cousin", "stranger"), kinds=("unhelpful", "bare")),
    "strangers, and upstream breaks": Bound(
        ("stranger",), stocked=True, closes=1, kinds=("broken", "cut")
    ),
    "a stranger's HEAD": Bound(("head-stranger", "blob"), faults=0, closes=1),
    "HEAD refused, no digests, listings": Bound(("tag", "tags", "head-blob"), plain=True),
    "a token": Bound(auth="bearer", wakes=0, kinds=(*REDIRECTS, *REFUSALS)),
    "a token that is refused or runs out": Bound(
        ("blob", "head-blob"), auth="bearer", kinds=REFUSALS, clients=1, starts=3, wakes=2
    ),
    "a password": Bound(auth="basic", wakes=0, kinds=(*REDIRECTS, "unauthorized")),
    "room for one image": Bound(IMAGE, max_size=5, starts=3, clients=1, kinds=("delete", "full")),
    "room for one manifest": Bound(("tag", "catalog"), max_size=2, moves=1, kinds=("delete",)),
    "room for nothing": Bound(("tag", "blob"), max_size=1, faults=0),
    "idle content goes": Bound(("tag",), ttl=60.0, wakes=2, kinds=("down",), stocked=True),
    "stocked, and upstream fails": Bound(("tag", "blob"), stocked=True, kinds=FAULTS, moves=1),
    "killed": Bound(("tag", "blob"), kills=1, clients=1, starts=3, faults=0),
    "killed while it evicts": Bound(IMAGE, kills=1, clients=1, max_size=3, faults=0, wakes=0),
    "greetings": Bound(("nobody-ping", "alice-ping"), starts=3, pauses=1, pause=3700.0),
    "a failing store, and wrong bytes": Bound(
        BLOBS, kinds=("corrupt", "fault"), faults=2, starts=1, clients=1, wakes=0
    ),
    "shut down": Bound(("blob", "tag"), drains=1, faults=0, closes=1),
    "taken offline": Bound(("tag", "blob", "head-blob"), switches=1, faults=0),
    "stocked, taken offline": Bound(("tag", "blob", "stranger"), switches=1, stocked=True),
    "a mirror that fails": Bound(
        ("tag", "blob"), mirrors=1, kinds=MIRRORS, clients=1, pauses=1, wakes=0
    ),
    "a mirror that fails again": Bound(
        ("head-blob",),
        mirrors=1,
        kinds=("down", "broken"),
        faults=3,
        starts=4,
        clients=1,
        pauses=2,
        pause=10.0,
        wakes=0,
    ),
    "two mirrors that fail": Bound(
        ("blob",), mirrors=2, kinds=MIRRORS, faults=2, clients=1, starts=1, wakes=2
    ),
    "a list at a mirror": Bound(
        ("tags",), mirrors=1, kinds=(*MIRRORS, *PAGES), clients=1, starts=2, wakes=0
    ),
    "a mirror, and tokens": Bound(
        ("blob",), mirrors=1, auth="bearer", kinds=(*REDIRECTS, *REFUSALS), wakes=0, starts=1
    ),
    "a mirror, and a password": Bound(
        ("blob",), mirrors=1, auth="basic", kinds=(*REDIRECTS, "unauthorized"), wakes=0
    ),
    "whoever may": Bound(
        ("alice-blob", "mallory-blob", "bob-blob"), kinds=("home", "denied"), wakes=0
    ),
    "whoever may, for a while": Bound(("alice-blob", "bob-blob"), faults=0),
    "whose tag": Bound(
        ("alice-tag", "mallory-tag", "nobody-blob"), kinds=("unauthorized",), wakes=0
    ),
    "accepted for a while": Bound(
        ("carol-blob",), starts=3, clients=1, faults=0, wakes=2, pauses=1, pause=100.0
    ),
    "accepted for five minutes": Bound(("alice-blob",), faults=0, wakes=2, pauses=1, pause=299.0),
    "more authorities than are remembered": Bound(
        ("alice-tag", "bob-blob"), authorities=1, clients=2, starts=3, wakes=0, faults=0
    ),
    "little is left": Bound(
        ("tag",),
        scarce=True,
        moves=1,
        clients=1,
        pauses=2,
        pause=200.0,
        faults=0,
        wakes=0,
        starts=3,
    ),
    "upstream limits us": Bound(
        ("tag",), stocked=True, moves=1, clients=1, pauses=1, wakes=0, starts=3, kinds=("limited",)
    ),
    "no older than that": Bound(
        ("tag",), stocked=True, stale_if_error=150.0, starts=2, pauses=1, kinds=NETWORK
    ),
    "a tag that never moves": Bound(("tag",), immutable=True, starts=3, moves=1, kinds=NETWORK),
    "stocked, the tag moves, answers last": Bound(
        ("tag",), stocked=True, tag_ttl=130.0, moves=1, starts=3, pauses=1, kinds=("down",)
    ),
    "pinned": Bound(
        ("tag",),
        stocked=True,
        max_size=3,
        moves=1,
        wishes=2,
        starts=3,
        clients=1,
        faults=0,
        wakes=0,
        orders=("pin-tag", "pin-blob", "unpin-tag", "unpin-blob"),
    ),
    "pruned": Bound(
        ("blob",),
        stocked=True,
        wishes=2,
        clients=1,
        starts=1,
        kinds=("delete",),
        orders=("pin-tag", "pin-blob", "prune", "prune-idle"),
    ),
    "forgotten": Bound(
        ("tag", "blob"),
        stocked=True,
        wishes=1,
        moves=1,
        faults=0,
        wakes=0,
        clients=1,
        orders=("forget-tag", "forget-repository", "forget-blob"),
    ),
    "forgotten while it is read": Bound(
        ("blob",),
        stocked=True,
        wishes=1,
        clients=2,
        closes=1,
        wakes=0,
        kinds=("lost", "delete", "down"),
        orders=("forget-blob",),
    ),
    "forgotten, and killed": Bound(
        ("blob",),
        stocked=True,
        wishes=2,
        kills=1,
        clients=1,
        faults=0,
        wakes=0,
        starts=1,
    ),
    "too new": Bound(
        ("tag", "manifest"),
        stocked=True,
        cool_down=100.0,
        moves=1,
        clients=1,
        starts=3,
        pauses=2,
        pause=60.0,
        wakes=0,
        kinds=("down", "unhelpful"),
    ),
    "too new, and killed": Bound(
        ("tag", "manifest"),
        cool_down=100.0,
        kills=1,
        clients=1,
        starts=3,
        pauses=2,
        pause=60.0,
        wakes=0,
        faults=0,
    ),
    "pages of a list": Bound(("few-tags", "last-tags"), kinds=PAGES, wakes=0),
}
"""Together they see everything that `sometimes` asks for."""


def _larger(bound: Bound) -> Bound:
    """A client and a pull more, and where there are faults, wishes or pauses one more of each."""
    budgets = ("faults", "wishes", "pauses")
    more = {name: getattr(bound, name) + 1 for name in budgets if getattr(bound, name)}
    return evolve(bound, clients=bound.clients + 1, starts=bound.starts + 1, **more)


LARGE = {
    **{f"{name} +": _larger(bound) for name, bound in reversed(SMALL.items())},
    "one blob, leavers and a broken network ++": evolve(
        _larger(_larger(SMALL["one blob, leavers and a broken network"])), closes=2, wakes=3
    ),
    "a range, no length, a failing store ++": evolve(
        _larger(_larger(SMALL["a range, no length, a failing store"])), closes=1, wakes=2
    ),
}
"""As the small ones, with more of what they have."""
