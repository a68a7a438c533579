"""The core's effects, taken by the World: each is held to what it promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distcache.core import effects as fx
from distcache.core import events as ev
from distcache.core.inventory import SeenStored
from distcache.core.oci import Digest

from . import ages, health, promises, store
from .clients import BrokenPromise, Client
from .scene import PULLS, TAG, A, challenge
from .upstream import Sim

if TYPE_CHECKING:
    from .world import World


def take(world: World, effect: fx.Effect) -> None:
    """BrokenPromise: nothing excuses it."""
    match effect:
        case fx.Respond(number, head):
            _respond(world, number, head)
        case fx.SendBody():
            client = _client(world, effect.exchange)
            promises.send(world, client, effect)
            world.clients[effect.exchange] = client._replace(out=effect)
        case fx.Finish(number):
            promises.finish(_client(world, number), number)
            del world.clients[number]
        case fx.Abort(number):
            if _client(world, number).head is None:
                raise BrokenPromise(f"aborted without an answer: {effect}")
            del world.clients[number]
        case fx.Fetch(number, request, spool):
            if number <= world.last_fetch and not world.bound.kills:
                raise BrokenPromise(f"a number given twice: {effect}")
            world.last_fetch = number
            if spool is not None:
                world.spools.setdefault(spool.number, ())
            world.fetches[number] = Sim(request, spool)
        case fx.CancelFetch(number):
            if world.fetches.pop(number, None) is None:
                raise BrokenPromise(f"cancelled what is not there: {effect}")
        case fx.AcquireToken(number, _, wanted, mirror):
            if wanted.realm != challenge(A, mirror).realm:
                raise BrokenPromise(f"the token of one asked of another: {effect}")
            if mirror is None and world.bound.mirrors:
                health.asked_itself(world, None)
            world.tokens[number] = wanted
        case fx.CommitBlob(spool):
            if spool.number in world.discarded or spool.number not in world.spools:
                raise BrokenPromise(f"committed after it was discarded: {effect}")
            world.jobs = (*world.jobs, effect)
        case fx.DeleteBlob(digest):
            if world.event == ev.Forgotten(digest):
                _go_on_with_the_open_file(world, digest)
            # Who reads an open file that is no longer the one on disk goes on with it.
            reading = [c.out.source for c in world.clients.values() if c.out and not c.old]
            if fx.Stored(digest) in reading:
                raise BrokenPromise(f"deleted while read: {effect}")
            promises.deletes(world, digest)
            store.let_go(world, digest)
            world.jobs = (*world.jobs, effect)
        case fx.DiscardSpool(spool):
            world.discarded |= {spool.number}
        case fx.Journal(record):
            if isinstance(record, SeenStored):
                ages.told(world, record)
            if world.left["kills"]:
                world.records = (*world.records, record)
        case fx.Note():
            pass


def _go_on_with_the_open_file(world: World, digest: Digest) -> None:
    """An operator need not wait for who has been handed out all that it wants."""
    for number, client in world.clients.items():
        if client.out is not None and client.out.source == fx.Stored(digest):
            world.clients[number] = client._replace(old=True)
            world.sightings.happened.add("what is being read is forgotten")


def _respond(world: World, number: int, head: fx.AnswerHead) -> None:
    client = _client(world, number)
    promise = promises.respond(world, client, head, number)
    world.sightings.decided(head)
    world.clients[number] = client._replace(head=promise)
    target = PULLS[client.pull].target
    if target == TAG and promise.body and head.descriptor and not head.decision.stale_if_error:
        digest = head.descriptor.content.digest
        coming = any(isinstance(j, fx.CommitBlob) and j.digest == digest for j in world.jobs)
        there = coming or digest in world.disk
        world.held = digest if there and digest == world.said else None


def _client(world: World, number: int) -> Client:
    if number not in world.clients:
        raise BrokenPromise(f"an effect for the finished exchange {number}")
    return world.clients[number]
