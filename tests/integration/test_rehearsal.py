"""Redis is tried with every command that the scripts use, on a key of its own that does not stay."""

import re

from real_valkey import Server

from gateway.backends.redis import scripts
from gateway.backends.redis.link import Link
from gateway.backends.rehearsal import Rehearsal
from gateway.core.model import Account, VenueId

COMMAND = re.compile(r"call\('([A-Z]+)'")


def _commands(script: scripts.Script) -> set[str]:
    return set(COMMAND.findall(script.text))


def test_rehearsal_uses_every_command_that_cancels_need() -> None:
    # A trail that can't be written is told by the trail itself; it is no reason to leave the shared limits.
    # Nor is what only the console asks.
    apart = ("rehearse", "trail_", "unknowns")
    others = [script for script in scripts.ALL if not script.name.startswith(apart)]

    # Nor is it one that nobody can be told of news: whoever waits for some looks by himself then.
    assert _commands(scripts.REHEARSE) == set().union(*map(_commands, others)) - {"PUBLISH"}


async def test_rehearsal_leaves_nothing_behind_and_minds_nothing_that_lies_there(link: Link, valkey: Server) -> None:
    rehearsal, holders = Rehearsal(link), (Account(VenueId("orderly"), "desk-a"), Account(VenueId("etna"), "@egress"))
    valkey.client.rpush("cg1:{orderly:desk-a}:rehearsal", "a list")

    await rehearsal(holders)

    assert valkey.client.dbsize() == 0
