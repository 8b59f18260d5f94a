"""Three real replicas on one real Valkey, always with work; the venue counts. The long runs are in bench.admission."""

from bench.admission import lanes
from bench.admission.crowd import Ask, at_once, orders
from bench.admission.result import Result
from bench.admission.saturation import saturated
from bench.admission.setting import Setting
from bench.admission.world import scene

SECONDS = 6.0


def kept(result: Result) -> None:
    """Every promise of a scenario, or those that were not kept in full."""
    assert not result.broken, "\n".join(f"{one.text}: {one.measured}" for one in result.broken)


async def test_saturated_replicas_never_pass_the_limit_and_waste_little() -> None:
    async with scene(Setting()) as world:
        seen = await saturated(world, SECONDS)

    assert (seen.verdict.violations, seen.verdict.most) == (0, 10)
    # A short run is not a whole number of windows: up to one of the six is missing.
    assert seen.share >= 0.8
    assert seen.tally.outcomes.keys() == {"accepted"}


async def test_queue_at_orderly_goes_out_in_batches_of_ten() -> None:
    async with scene(Setting(batching=True, replicas=2)) as world:
        ask = Ask("orderly")
        refs = list(await orders(world, 200, ask))
        tally = await at_once(world, ask, refs)
        verdict = await world.judge.verdict()

    assert verdict.violations == 0
    assert tally.outcomes == {"accepted": 200}
    assert verdict.asked == dict.fromkeys(refs, 1)
    assert verdict.requests["batch_by_id"] <= 25


async def test_queue_at_hashkey_goes_out_by_the_hundred() -> None:
    async with scene(Setting(venue="hashkey", batching=True, replicas=2)) as world:
        ask = Ask("hashkey")
        refs = list(await orders(world, 300, ask))
        tally = await at_once(world, ask, refs)
        verdict = await world.judge.verdict()

    assert verdict.violations == 0
    assert len(tally.taken()) == 300
    assert verdict.asked == dict.fromkeys(refs, 1)
    assert sum(verdict.requests.values()) <= 6


async def test_callers_that_hang_up_cost_no_slot() -> None:
    kept(await lanes.left_the_line(0))
