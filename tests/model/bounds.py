"""The bounds that are walked: small ones on every test run, large ones by `make explore`."""

from __future__ import annotations

from attrs import evolve

from .scene import ANSWERS, FAULTS, NETWORK, REDIRECTS, REFUSALS, STORE, Bound

BLOBS = ("blob", "range")
IMAGE = ("tag", "manifest", "blob")

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
    "greetings": Bound(("ping",), stocked=True, ttl=4000.0, starts=3),
    "a failing store, and wrong bytes": Bound(
        BLOBS, kinds=("corrupt", "fault"), faults=2, starts=1, clients=1, wakes=0
    ),
    "shut down": Bound(("blob", "tag"), drains=1, faults=0, closes=1),
    "taken offline": Bound(("tag", "blob", "head-blob"), switches=1, faults=0),
    "stocked, taken offline": Bound(("tag", "blob", "stranger"), switches=1, stocked=True),
}
"""Together they see everything that `sometimes` asks for."""


def _more(bound: Bound, **more: int) -> Bound:
    return evolve(bound, **{name: getattr(bound, name) + n for name, n in more.items()})


LARGE = {
    **{f"{name} + client": _more(b, starts=1, clients=1) for name, b in SMALL.items()},
    **{f"{name} + fault": _more(b, faults=1) for name, b in SMALL.items() if b.faults},
    "one blob + client, fault, wake, leaver": _more(
        SMALL["one blob, leavers and a broken network"],
        starts=1,
        clients=1,
        faults=1,
        wakes=1,
        closes=1,
    ),
    "a range, a failing store + all": _more(
        SMALL["a range, no length, a failing store"],
        starts=2,
        clients=2,
        faults=2,
        wakes=1,
        closes=1,
    ),
}
"""As the small ones, with a client and a pull more, or with a fault more."""
