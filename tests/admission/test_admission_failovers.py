"""A Redis that is meant to survive does so with data that is older than what was given: no window may show it."""

from collections.abc import Awaitable, Callable

import pytest

from bench.admission.failovers import cluster_kill, sentinel_hasty
from bench.admission.result import Result

SECONDS = 14.0


@pytest.mark.parametrize("play", [sentinel_hasty, cluster_kill], ids=["sentinel", "cluster"])
async def test_failover_gives_out_no_slot_twice_and_the_limit_is_used_again(
    play: Callable[[float], Awaitable[Result]],
) -> None:
    result = await play(SECONDS)

    assert not result.broken, "\n".join(f"{one.text}: {one.measured}" for one in result.broken)
    assert result.violations == 0
