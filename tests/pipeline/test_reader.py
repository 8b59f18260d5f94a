"""Reading orders back: under the query limit, yielding to cancels, and as often as a caller wants to wait."""

import asyncio
from dataclasses import replace

import pytest
from fake_venue import FakeSigner
from fakes import DESK_A, World
from virtual_time import let_run, on_virtual_time

from gateway.core.model import By, Lane, Op, OrderRef, Wait
from gateway.core.outcome import Facts, OrderState, Outcome, ReadBack, Seen, Settled, Unclear, Unlisted
from gateway.reader import NO_READ, NO_SLOT, PAGES_MOST, Look

READS, WINDOW_S = 20, 1.02
ACK = Settled(Outcome.ACCEPTED)


def look(world: World, by: By = By.ORDER_ID, *, within_s: float = 5.0) -> Look:
    deadline = world.clock.monotonic() + within_s
    return Look(world.desk, DESK_A, OrderRef(by, "1"), FakeSigner(), "desk", deadline, world.clock.now_ms())


@on_virtual_time
async def test_a_read_pays_the_query_limit_and_not_the_cancels() -> None:
    world = World()

    sighting = await world.reader.read(look(world))

    assert sighting == Seen(OrderState.CANCELLED)
    ((_, demands),) = world.meter.sends
    assert [demand.limit for demand in demands] == ["read"]


@on_virtual_time
async def test_a_read_is_signed_after_its_wait() -> None:
    world = World()
    world.spend(READS, Op.READ)
    began_ms = world.clock.now_ms()

    await world.reader.read(look(world))

    (read,) = world.sender.reads
    assert read.request.url.endswith(f"?at={began_ms + 1020}")


@on_virtual_time
async def test_an_order_without_a_read_call_costs_no_slot() -> None:
    world = World()

    assert await world.reader.read(look(world, By.CLIENT_ID)) is NO_READ
    assert world.sender.reads == []


@on_virtual_time
async def test_an_order_that_stands_in_a_list_is_looked_for_page_by_page_each_in_a_slot_of_its_own() -> None:
    world = World()
    world.sender.on_read = [Unlisted("", pages=9), Unlisted("", pages=9), Seen(OrderState.FILLED)]

    sighting = await world.reader.read(look(world))

    assert sighting == Seen(OrderState.FILLED)
    assert [sent.request.url.partition("?")[0] for sent in world.sender.reads] == [
        "https://venue.example/1", "https://venue.example/1/1", "https://venue.example/1/2",
    ]  # fmt: skip
    assert len(world.meter.sends) == 3


@pytest.mark.parametrize(("pages", "asked"), [(1, 1), (2, 2), (1000, PAGES_MOST)])
def test_a_list_is_leafed_through_to_its_end_and_no_further_than_a_look_may(pages: int, asked: int) -> None:
    @on_virtual_time
    async def story() -> None:
        world = World()
        world.sender.on_read = [Unlisted("", pages=pages)]

        assert await world.reader.read(look(world)) == Unlisted("", pages=pages)
        assert len(world.sender.reads) == asked

    story()


@on_virtual_time
async def test_no_slot_in_time_is_no_sighting() -> None:
    world = World()
    world.spend(READS, Op.READ)

    assert await world.reader.read(look(world, within_s=0.5)) is NO_SLOT


@on_virtual_time
async def test_a_caller_that_waits_for_the_end_is_told_the_end() -> None:
    world = World()
    world.sender.on_cancel = [ACK]
    world.sender.on_read = [
        Seen(OrderState.OPEN),
        Unclear("HTML"),
        Seen(OrderState.PENDING_CANCEL),
        Seen(OrderState.CANCELLED, Facts(filled="0")),
    ]
    began = world.clock.monotonic()

    answer = await world.pipeline.cancel(world.ask(wait=Wait.TERMINAL))

    assert (answer.outcome, answer.facts.filled) == (Outcome.CANCELLED, "0")
    assert world.clock.monotonic() == pytest.approx(began + 0.05 + 0.1 + 0.2)
    assert len(world.sender.cancels) == 1


@pytest.mark.parametrize("shown", [Seen(OrderState.OPEN), Seen(OrderState.MISSING), Unclear("HTML")])
@on_virtual_time
async def test_what_is_not_final_by_the_deadline_stays_accepted(shown: Seen | Unclear) -> None:
    world = World()
    world.sender.on_cancel = [ACK]
    world.sender.on_read = [shown]
    began = world.clock.monotonic()

    answer = await world.pipeline.cancel(world.ask(wait=Wait.TERMINAL, within_s=4.0))

    assert answer.outcome is Outcome.ACCEPTED
    assert world.clock.monotonic() <= began + 4.0
    assert 5 <= len(world.sender.reads) <= 9


@on_virtual_time
async def test_waiting_for_the_end_of_what_cannot_be_read_ends_at_once() -> None:
    world = World()
    world.sender.on_cancel = [ACK]
    began = world.clock.monotonic()

    answer = await world.pipeline.cancel(world.ask(by=By.CLIENT_ID, wait=Wait.TERMINAL))

    assert answer.outcome is Outcome.ACCEPTED
    assert world.clock.monotonic() == began


@on_virtual_time
async def test_waiting_for_the_end_without_slots_to_read_is_accepted() -> None:
    world = World()
    world.sender.on_cancel = [ACK]
    looks = [replace(look(world, within_s=60.0), caller=f"caller-{number}") for number in range(200)]
    crowd = [asyncio.create_task(world.reader.read(each)) for each in looks]
    await let_run()
    began = world.clock.monotonic()

    answer = await world.pipeline.cancel(world.ask(wait=Wait.TERMINAL, within_s=3.0))

    assert answer.outcome is Outcome.ACCEPTED
    assert world.clock.monotonic() == began
    await asyncio.gather(*crowd)


@on_virtual_time
async def test_a_final_answer_of_the_venue_is_not_read_again() -> None:
    world = World()

    answer = await world.pipeline.cancel(world.ask(wait=Wait.TERMINAL))

    assert answer.outcome is Outcome.CANCELLED
    assert world.sender.reads == []


@on_virtual_time
async def test_what_the_acknowledgement_said_is_kept() -> None:
    world = World()
    facts = Facts(venue_status="CANCEL_SENT", order_id="77")
    world.sender.on_cancel = [Settled(Outcome.ACCEPTED, facts)]

    answer = await world.pipeline.cancel(world.ask(by=By.CLIENT_ID, wait=Wait.TERMINAL))

    assert answer.facts == facts


@on_virtual_time
async def test_waiting_for_the_end_looks_again_where_the_first_look_was_not_final() -> None:
    world = World()
    world.sender.on_cancel = [ReadBack(Outcome.CANCELLED, if_open=Outcome.ACCEPTED)]
    world.sender.on_read = [Seen(OrderState.PENDING_CANCEL), Seen(OrderState.CANCELLED)]

    answer = await world.pipeline.cancel(world.ask(wait=Wait.TERMINAL))

    assert answer.outcome is Outcome.CANCELLED


@on_virtual_time
async def test_an_acknowledged_cancel_stays_accepted_where_the_look_is_slow() -> None:
    world = World()
    world.sender.on_cancel = [ACK]
    world.sender.takes_s = 0.4

    answer = await world.pipeline.cancel(world.ask(wait=Wait.TERMINAL, within_s=0.6))

    await world.pipeline.drain()
    assert answer.outcome is Outcome.ACCEPTED


@on_virtual_time
async def test_reading_is_the_last_lane() -> None:
    world = World()
    world.spend(READS, Op.READ)
    crowd = [asyncio.create_task(world.reader.read(look(world))) for _ in range(3)]
    await let_run()

    assert world.dispatcher.depth(DESK_A)[Lane.RECONCILE] == 3
    await asyncio.gather(*crowd)
