"""A Redis that is meant to survive does so with data that is older than what was given: no window may show it."""

from collections.abc import Awaitable, Callable

import pytest

from bench.admission.failovers import cluster_kill, sentinel_hasty
from bench.admission.result import Result


# Two windows of two seconds pass before the sentinels' fault, and three until the limit is used again.
@pytest.mark.parametrize(("play", "seconds"), [(sentinel_hasty, 24), (cluster_kill, 14)], ids=["sentinel", "cluster"])
async def test_failover_gives_out_no_slot_twice_and_the_limit_is_used_again(
    play: Callable[[float], Awaitable[Result]], seconds: float
) -> None:
    result = await play(seconds)

    assert not result.broken, "\n".join(f"{one.text}: {one.measured}" for one in result.broken)
    assert result.violations == 0
