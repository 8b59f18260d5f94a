"""What /metrics says of what a caller has just done."""

from service_rig import Rig

OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"}


async def test_an_answer_that_is_told_again_is_counted_as_a_replay(rig: Rig) -> None:
    order = await rig.order("hashkey")
    before = await rig.count('replays_total{venue="hashkey"}')

    for _ in range(3):
        await rig.desk().cancel("hashkey", order["order_id"], {"Idempotency-Key": f"again-{order['order_id']}"})

    assert await rig.count('replays_total{venue="hashkey"}') - before == 2


async def test_a_scraper_that_takes_openmetrics_is_told_whose_request_it_was(rig: Rig) -> None:
    order = await rig.order("loopring")
    await rig.desk().cancel("loopring", order["order_id"], {"X-Request-ID": "mine-0123456789"})

    plain = await rig.admin.call("GET", "/metrics")
    openly = await rig.admin.call("GET", "/metrics", OPENMETRICS)

    assert plain.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert b"mine-0123456789" not in plain.body
    assert openly.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert openly.body.endswith(b"# EOF\n")
    marked = [line for line in openly.body.decode().splitlines() if '# {request_id="mine-0123456789"}' in line]
    assert {line.partition("{")[0] for line in marked} == {
        "cancel_gateway_request_seconds_bucket",
        "cancel_gateway_time_to_terminal_seconds_bucket",
    }


async def test_a_venue_that_takes_cancels_and_does_nothing_is_counted(rig: Rig) -> None:
    await rig.venue("orderly").fault("delayed_state", endpoint="cancel", ms=60_000)
    order = await rig.order("orderly")
    before = await rig.count('waited_in_vain_total{venue="orderly"}')

    said = await rig.desk().cancel("orderly", order["order_id"], {"X-Request-Timeout-Ms": "600"}, wait="terminal")
    plain = await rig.desk().cancel("orderly", (await rig.order("orderly"))["order_id"])

    assert (said.outcome, plain.outcome) == ("accepted", "accepted")
    assert await rig.count('waited_in_vain_total{venue="orderly"}') - before == 1
    assert rig.gateway.heard("cancel.done", ref=order["order_id"])["wait"] == "terminal"
