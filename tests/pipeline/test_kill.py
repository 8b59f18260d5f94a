"""Everything open goes, in few requests and before all others, and nothing is called clear that no list proves."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace

from fakes import DESK_A, World
from virtual_time import on_virtual_time

from gateway.core.admission import Gated
from gateway.core.idempotency import State
from gateway.core.listing import Breadth, Listing, Reach
from gateway.core.model import By, Lane, Op, OrderRef, Scope, Wait
from gateway.core.outcome import AuthRefused, Outcome, ReadBack, Settled, Throttled, Unclear, Verdict
from gateway.core.tally import Called, Kill, Tally
from gateway.core.wire import NotSent, Unconfirmed, WireRequest
from gateway.ports import NoSigner

PAGE = 4


def world(breadth: Breadth = Breadth.NONE, *, batch_most: int = 0, paged: bool = True) -> World:
    made = World(batch_most=batch_most)
    made.venue.reach = Reach(breadth, PAGE, paged, "the moon")
    return made


def wish(of: World, *, within_s: float = 5.0, key: str | None = None, wait: Wait = Wait.TERMINAL) -> Kill:
    return Kill(DESK_A, None, "desk", "request-1", of.clock.monotonic() + within_s, 1, key, wait)


def book(of: World, count: int, symbols: int = 1, lasts_s: float = 0.0) -> dict[str, OrderRef]:
    """Open orders that a cancel or a cancel-all takes away, after a while."""
    orders = {str(n): OrderRef(By.ORDER_ID, str(n), f"S{n % symbols}") for n in range(1, count + 1)}
    gone_at: dict[str, float] = {}

    def there() -> list[OrderRef]:
        now = of.clock.monotonic()
        asked = {sent.ref: sent.at for sent in of.sender.cancels}
        asked |= {ref: gone_at.get(ref, now) for refs in of.sender.batches for ref in refs}
        for ref, at in asked.items():
            gone_at.setdefault(ref, at + lasts_s)
        return [order for ref, order in orders.items() if gone_at.get(ref, now + 1) > now]

    def page(request: WireRequest) -> Listing:
        number = int(request.url.partition("/list/")[2].partition("/")[0])
        rows = there()
        some = rows[number * PAGE : (number + 1) * PAGE]
        return Listing(tuple(some), len(rows) > (number + 1) * PAGE, len(rows))

    def everything(request: WireRequest) -> Settled:
        symbol = request.url.partition("/all/")[2].partition("?")[0]
        for order in there():
            if symbol in {"", order.symbol}:
                gone_at[order.value] = of.clock.monotonic() + lasts_s
        return Settled(Outcome.ACCEPTED)

    of.sender.on_list, of.sender.on_all = page, everything
    return orders


async def killed(of: World, kill: Kill | None = None) -> Tally:
    return await of.killer.kill(kill or wish(of))


def always(said: Unclear | Unconfirmed | NotSent) -> Callable[[WireRequest], Unclear | Unconfirmed | NotSent]:
    return lambda _: said


@on_virtual_time
async def test_a_cancel_all_goes_before_anything_is_counted() -> None:
    made = world(Breadth.ACCOUNT)
    book(made, 30)

    tally = await killed(made)

    assert (tally.outcome, tally.proven, tally.open_after, tally.requests) == (Outcome.CANCELLED, True, 0, 2)
    assert (tally.open_before, tally.note) == (None, "the moon")
    assert [name for name in made.story if name in {"list", "all"}] == ["all", "list"]


@on_virtual_time
async def test_pages_are_read_to_the_last_and_every_order_goes_once() -> None:
    made = world()
    book(made, 10)

    tally = await killed(made)

    assert (tally.outcome, tally.open_before, tally.requests) == (Outcome.CANCELLED, 10, 3 + 10 + 1)
    assert sorted(sent.ref for sent in made.sender.cancels) == sorted(str(n) for n in range(1, 11))


@on_virtual_time
async def test_batches_are_full() -> None:
    made = world(batch_most=4)
    book(made, 40)

    tally = await killed(made)

    assert tally.outcomes == {Outcome.ACCEPTED: 40}
    assert [len(refs) for refs in made.sender.batches] == [4] * 10
    assert tally.requests == 11 + 10


@on_virtual_time
async def test_a_list_without_pages_is_read_again_until_it_is_empty() -> None:
    made = world(paged=False)
    book(made, 10)

    tally = await killed(made)

    assert (tally.outcome, tally.proven, tally.rounds) == (Outcome.CANCELLED, True, 3)


@on_virtual_time
async def test_few_symbols_are_cleared_by_cancel_all_and_many_by_their_ids() -> None:
    few, many = world(Breadth.SYMBOL), world(Breadth.SYMBOL)
    book(few, 10, symbols=2)
    book(many, 10, symbols=5)

    first, second = await killed(few), await killed(many)

    assert (first.outcome, few.story.count("all"), len(few.sender.cancels)) == (Outcome.CANCELLED, 2, 0)
    assert (second.outcome, many.story.count("all"), len(many.sender.cancels)) == (Outcome.CANCELLED, 0, 10)


@on_virtual_time
async def test_what_takes_a_while_is_not_asked_again_at_once() -> None:
    made = world()
    book(made, 3, lasts_s=0.5)

    tally = await killed(made)

    assert (tally.outcome, len(made.sender.cancels), tally.rounds) == (Outcome.CANCELLED, 3, 1)


@on_virtual_time
async def test_what_will_not_go_is_asked_again_and_told_at_the_deadline() -> None:
    made = world(Breadth.ACCOUNT)
    book(made, 3, lasts_s=60)

    tally = await killed(made)

    assert (tally.outcome, tally.proven, tally.open_after) == (Outcome.ACCEPTED, False, 3)
    assert tally.left == ("1", "2", "3")
    assert 2 <= made.story.count("all") <= 5


@on_virtual_time
async def test_orders_that_the_venue_refuses_to_cancel_are_no_success() -> None:
    made = world()
    book(made, 2, lasts_s=60)
    made.sender.on_cancel = [Settled(Outcome.REJECTED)]

    tally = await killed(made)

    assert (tally.outcome, tally.open_after, tally.outcomes) == (Outcome.REJECTED, 2, {Outcome.REJECTED: 2})


@on_virtual_time
async def test_an_order_that_is_gone_without_a_word_is_closed() -> None:
    made = world()
    book(made, 2)
    made.sender.on_cancel = [Unclear("odd"), ReadBack(Outcome.CANCELLED)]

    tally = await killed(made)

    assert (tally.outcome, tally.outcomes) == (Outcome.CANCELLED, {Outcome.CLOSED: 2})


@on_virtual_time
async def test_a_refused_cancel_all_gives_way_to_ids() -> None:
    made = world(Breadth.ACCOUNT)
    book(made, 3)
    made.sender.on_all = lambda _: Settled(Outcome.REJECTED)

    tally = await killed(made)

    assert (tally.outcome, made.story.count("all"), len(made.sender.cancels)) == (Outcome.CANCELLED, 1, 3)


@on_virtual_time
async def test_a_list_that_cannot_be_read_proves_nothing() -> None:
    unread: tuple[Unclear | Unconfirmed | NotSent, ...] = (Unclear("html"), Unconfirmed("reset"), NotSent("refused"))
    for said in unread:
        made = world(Breadth.ACCOUNT)
        made.sender.on_list = always(said)

        tally = await killed(made)

        assert (tally.outcome, tally.proven, tally.open_after) == (Outcome.ACCEPTED, False, None)


@on_virtual_time
async def test_a_venue_that_cannot_be_reached_is_tried_until_the_deadline() -> None:
    made = world(Breadth.ACCOUNT)
    made.sender.on_all = lambda _: NotSent("no route")
    made.sender.on_list = always(NotSent("no route"))

    tally = await killed(made)

    assert (tally.outcome, tally.detail, tally.requests) == (Outcome.VENUE_UNAVAILABLE, "no route", 0)


@on_virtual_time
async def test_pages_that_moved_while_they_were_read_prove_nothing() -> None:
    made = world()
    totals = iter([8, 7, 8, 7, 0])
    made.sender.on_list = lambda _: Listing((), (total := next(totals)) == 8, total)

    tally = await killed(made)

    assert (tally.outcome, tally.proven) == (Outcome.CANCELLED, True)
    assert made.story.count("list") == 5


@on_virtual_time
async def test_a_limit_is_waited_for_where_it_ends_in_time() -> None:
    made = world(Breadth.ACCOUNT)
    limited, taken = Throttled(Scope.ACCOUNT, retry_after_ms=1000), Settled(Outcome.ACCEPTED)
    answers: Iterator[Verdict] = iter((limited, taken))
    made.sender.on_all = lambda _: next(answers)
    asyncio.get_running_loop().call_later(1.0, setattr, made.limiter, "gate", None)

    tally = await killed(made)

    assert tally.proven
    assert made.sender.wides[-1].at - made.sender.wides[0].at >= 1.0


@on_virtual_time
async def test_a_ban_that_outlasts_the_deadline_is_told_at_once() -> None:
    made = world(Breadth.ACCOUNT)
    made.limiter.gate = Gated(Scope.EGRESS, banned=True, wait_us=60_000_000)
    began = made.clock.monotonic()

    tally = await killed(made)

    assert (tally.outcome, tally.retry_after_ms) == (Outcome.VENUE_BANNED, 60_000)
    assert made.clock.monotonic() - began < 0.1


@on_virtual_time
async def test_a_refused_credential_is_renewed_once() -> None:
    made = world(Breadth.ACCOUNT)
    book(made, 3)
    clear = made.sender.on_all

    def only_the_newer(request: WireRequest) -> Verdict | NotSent | Unconfirmed:
        return clear(request) if dict(request.headers)["x-key"] == "key-2" else AuthRefused()

    made.sender.on_all = only_the_newer

    assert (await killed(made)).proven
    assert len(made.credentials.refused) == 1


@on_virtual_time
async def test_a_credential_that_is_refused_for_good_ends_it() -> None:
    made = world()
    orders = tuple(book(made, 4).values())
    made.sender.on_list = lambda _: Listing(orders, total=len(orders))
    made.sender.on_cancel = [AuthRefused()]

    tally = await killed(made)

    assert (tally.outcome, tally.proven, tally.open_after) == (Outcome.VENUE_AUTH, False, 4)
    assert len(made.credentials.refused) == 1


@on_virtual_time
async def test_without_a_credential_nothing_is_sent() -> None:
    made = world()
    made.credentials.known[DESK_A] = NoSigner(Outcome.SECRET_UNAVAILABLE, "locked")

    tally = await killed(made)
    plan = await made.killer.plan(wish(made))

    assert (tally.outcome, tally.detail) == (Outcome.SECRET_UNAVAILABLE, "locked")
    assert isinstance(plan, Tally)
    assert made.sender.wides == []


@on_virtual_time
async def test_where_a_venue_offers_nothing_nothing_is_touched() -> None:
    made = world()
    made.venue.reach = Reach(blind="no eyes")

    tally = await killed(made)

    assert (tally.outcome, tally.note, tally.open_after) == (Outcome.INVALID_REQUEST, "no eyes", None)
    assert made.story == []
    assert isinstance(await made.killer.plan(wish(made)), Tally)


@on_virtual_time
async def test_who_does_not_wait_is_told_that_it_was_taken() -> None:
    made = world(Breadth.ACCOUNT)
    book(made, 3)

    tally = await killed(made, wish(made, wait=Wait.ACK))

    assert (tally.outcome, tally.proven, tally.open_after) == (Outcome.ACCEPTED, False, None)
    assert made.story.count("list") <= 1


# -- before all others -----------------------------------------------------------------------------------------------


@on_virtual_time
async def test_it_passes_everybody_who_waits_and_no_bound_keeps_it_out() -> None:
    made = world()
    book(made, 20)
    made.spend(10)
    crowd = [asyncio.ensure_future(made.pipeline.cancel(made.ask(f"n{n}", within_s=60))) for n in range(40)]
    urgent = asyncio.ensure_future(made.pipeline.cancel(made.ask("u", within_s=60, lane=Lane.URGENT)))
    await asyncio.sleep(0.01)

    tally = await killed(made, wish(made, within_s=30))
    await asyncio.gather(*crowd, urgent)

    refs = [sent.ref for sent in made.sender.cancels]
    assert tally.proven
    assert {ref for ref in refs[:22] if ref.isdigit()} == {str(n) for n in range(1, 21)}


# -- the record ------------------------------------------------------------------------------------------------------


@on_virtual_time
async def test_the_same_key_is_told_the_same_again() -> None:
    made = world(Breadth.ACCOUNT)

    first, again = await killed(made, wish(made, key="k")), await killed(made, wish(made, key="k"))

    assert (again.record, again.outcome) == (first.record, first.outcome)
    assert again.body is not None
    assert made.story.count("all") == 1


@on_virtual_time
async def test_the_same_key_at_once_follows_and_gives_up_at_its_own_deadline() -> None:
    made = world(Breadth.ACCOUNT)
    made.sender.takes_s = 0.3

    first, second, third = await asyncio.gather(
        killed(made, wish(made, key="k")),
        killed(made, wish(made, key="k")),
        killed(made, wish(made, within_s=0.1, key="k")),
    )

    assert (first.proven, second.record) == (True, first.record)
    assert (third.outcome, third.retry_after_ms) == (Outcome.IN_PROGRESS, 1000)


@on_virtual_time
async def test_a_key_that_came_with_something_else_is_refused() -> None:
    made = world(Breadth.ACCOUNT)

    await killed(made, wish(made, key="k"))
    other = await killed(made, replace(wish(made, key="k"), symbol="S1"))

    assert other.outcome is Outcome.KEY_REUSED


@on_virtual_time
async def test_two_kills_without_a_key_do_not_wait_for_each_other() -> None:
    made = world(Breadth.ACCOUNT)
    made.sender.takes_s = 0.3

    first, second = await asyncio.gather(killed(made), killed(made))

    assert first.record != second.record
    assert made.story.count("all") == 2


@on_virtual_time
async def test_its_record_tells_how_it_ended_and_is_never_read_back() -> None:
    made = world(Breadth.ACCOUNT)
    made.sender.on_all = lambda _: Unconfirmed("reset")
    made.sender.on_list = lambda _: Unclear("html")

    tally = await killed(made, wish(made, key="k"))

    assert tally.record is not None
    record = await made.records.get(tally.record)
    assert record is not None
    assert (record.state, record.outcome) == (State.UNKNOWN, Outcome.UNKNOWN)
    assert not made.resolver.due(record)
    made.sender.on_list = lambda _: Listing(())
    assert (await killed(made, wish(made, key="k"))).proven


@on_virtual_time
async def test_a_lost_store_holds_nothing_up() -> None:
    made = world(Breadth.ACCOUNT)
    made.records.down = {"claim", "mark_sent", "settle"}

    first, second = await killed(made, wish(made, key="k")), await killed(made, wish(made, key="k"))

    assert (first.proven, first.degraded) == (True, True)
    assert (second.outcome, second.body is None) == (Outcome.CANCELLED, False)


# -- only looking ----------------------------------------------------------------------------------------------------


async def planned(of: World) -> Called:
    plan = await of.killer.plan(wish(of))
    assert isinstance(plan, Called)
    return plan


@on_virtual_time
async def test_a_plan_sends_nothing_but_the_list() -> None:
    made = world(Breadth.ACCOUNT)
    book(made, 3)

    plan = await planned(made)

    assert (plan.strategy, plan.requests, len(plan.open_orders or ()), plan.would) == ("cancel_all", 1, 3, None)
    assert set(made.story) & {"all", "send"} == set()


@on_virtual_time
async def test_a_plan_counts_batches_and_what_they_take() -> None:
    singles, batches = world(), world(batch_most=4)
    for made in (singles, batches):
        book(made, 41)

    one, other = await planned(singles), await planned(batches)

    assert (one.strategy, one.requests, len(one.shown)) == ("singles", 41, 10)
    assert (other.strategy, other.requests) == ("batches", 11)
    assert one.takes_ms > other.takes_ms > 0


@on_virtual_time
async def test_a_plan_without_a_list_says_what_would_stop_it() -> None:
    made = world()
    made.sender.on_list = lambda _: Throttled(Scope.ACCOUNT, retry_after_ms=1)

    plan = await planned(made)

    assert (plan.would, plan.open_orders) == (Outcome.VENUE_LIMITED, None)
    assert made.desk.fare(DESK_A, Op.LIST, By.ORDER_ID).single.urgent
