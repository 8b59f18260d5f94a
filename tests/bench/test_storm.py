"""The simulated storm drains as fast as the limit lets it, and the shards' work is added up rightly."""

from collections import Counter

import pytest

from bench.scale.shards import outcome
from bench.scale.storm import ORDERLY, Played, Storm, fare_of, least_s, play
from gateway.core.model import Account

ACCOUNT = Account(ORDERLY, "one")


@pytest.mark.parametrize("storm", [Storm(), Storm(sticky=True), Storm(batching=True, sticky=True)])
def test_an_account_drains_at_the_least_that_is_possible(storm: Storm) -> None:
    played = play(storm, 35, seed=1)

    assert played.drained_s == pytest.approx(played.least_s, abs=0.03)
    assert sum(count for (_, verb), count in played.calls.items() if verb == "settle") == 35


def test_an_account_drains_where_more_replicas_hold_a_slot_than_the_ring_remembers() -> None:
    storm = Storm(replicas=200)
    played = play(storm, 500, seed=1)

    assert played.drained_s == pytest.approx(played.least_s, abs=0.03)


def test_batches_need_what_waits_at_one_replica() -> None:
    apart, together = (play(Storm(batching=True, sticky=sticky), 90, seed=1) for sticky in (False, True))

    assert together.requests < apart.requests
    assert together.drained_s < apart.drained_s


def test_the_least_counts_whole_windows_after_the_first_burst() -> None:
    fare = fare_of(Storm(), ACCOUNT)

    assert [round(least_s(fare, count), 2) for count in (1, 10, 11, 20, 21)] == [0.0, 0.0, 1.02, 1.02, 2.04]


def test_a_shard_that_is_asked_for_more_than_a_core_lies_behind() -> None:
    played = [Played(10, 1.0, 1.0, 10, Counter({(0, "claim"): 10, (5, "settle"): 10}))]
    price_us = {"claim": 1000.0, "settle": 1000.0}

    found = outcome(Storm(accounts=64 * 20, shards=64, replicas=4), played, price_us, 100.0)

    # 20 accounts a shard, each with 10 claims of a millisecond: 0.2 s of work in the first tenth of a second.
    assert found.shard_late_s == pytest.approx(0.2)
    assert found.shard_calls_per_s["first step"] == pytest.approx(2000)
    assert found.cancels == 64 * 20 * 10
    assert found.replica_work_s == pytest.approx(12_800 / 4 * 100e-6)
