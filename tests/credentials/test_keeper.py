"""Stored credentials as signers: what is cached, for how long, and what happens when something is wrong."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import structlog
from credential_fakes import HandClock, HandSender, HandStore, let_run
from plain_venue import ID, PLAIN, PlainSigner

from gateway.backends.credentials.absent import ABSENT_MOST
from gateway.backends.credentials.keeper import CredentialKeeper, Freshness, Served
from gateway.backends.credentials.store import Unusable
from gateway.core.model import Account, VenueId
from gateway.core.outcome import Outcome
from gateway.core.wire import NotSent, Unconfirmed
from gateway.ports import NoSigner, Unlocked
from gateway.venues.base import Site

DESK = Account(ID, "desk-a")
OTHER = Account(ID, "desk-b")
MARKER = "hunter2"
REFRESH_S, STALE_S = 60.0, 3600.0


@dataclass
class Scene:
    """A keeper with everything around it."""

    clock: HandClock = field(default_factory=HandClock)
    store: HandStore = field(default_factory=HandStore)
    seen: list[str] = field(default_factory=list)
    read_most_s: float = 5.0

    def __post_init__(self) -> None:
        self.sender = HandSender(self.clock)
        served = {ID: Served(PLAIN, Site("https://venue.example"), 2000)}
        self.keeper = CredentialKeeper(
            served,
            self.store,
            self.sender,
            self.clock,
            Freshness(REFRESH_S, STALE_S, self.read_most_s),
            lambda _, word: self.seen.append(word),
        )

    async def key(self, account: Account = DESK) -> str:
        """The key that the account would sign with now."""
        unlocked = await self.keeper.unlock(account)
        assert isinstance(unlocked, Unlocked), unlocked
        assert isinstance(unlocked.signer, PlainSigner)
        return unlocked.signer.key

    async def unlocked(self) -> Unlocked:
        unlocked = await self.keeper.unlock(DESK)
        assert isinstance(unlocked, Unlocked), unlocked
        return unlocked

    async def refused(self, account: Account = DESK) -> NoSigner:
        answer = await self.keeper.unlock(account)
        assert isinstance(answer, NoSigner), answer
        return answer


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    made = Scene()
    yield made
    made.store.gate.set()
    await made.keeper.aclose()


async def test_cached_credential_is_served_without_reading(scene: Scene) -> None:
    scene.store.put(DESK, "1", key="k1")

    keys = {await scene.key() for _ in range(10)}

    assert keys == {"k1"}
    assert scene.store.reads == [DESK]
    assert scene.seen == ["fetched"]
    assert scene.keeper.condition(DESK).word == "ok"


async def test_first_use_by_many_reads_once(scene: Scene) -> None:
    scene.store.put(DESK, "1", key="k1")

    keys = await asyncio.gather(*(scene.key() for _ in range(100)))

    assert set(keys) == {"k1"}
    assert scene.store.reads == [DESK]


async def test_caller_that_leaves_does_not_spoil_the_reading_for_others(scene: Scene) -> None:
    scene.store.put(DESK, "1", key="k1")
    scene.store.gate.clear()
    leaver, stayer = asyncio.create_task(scene.key()), asyncio.create_task(scene.key())
    await let_run()

    assert leaver.cancel()
    await let_run()
    scene.store.gate.set()

    assert await stayer == "k1"
    assert scene.store.reads == [DESK]


async def test_due_credential_serves_while_one_refresh_runs(scene: Scene) -> None:
    scene.store.put(DESK, "1", key="k1")
    await scene.key()
    scene.store.put(DESK, "2", key="k2")
    scene.clock.pass_s(REFRESH_S)
    scene.store.gate.clear()

    meanwhile = [await scene.key() for _ in range(5)]
    scene.store.gate.set()
    await let_run()

    assert meanwhile == ["k1"] * 5
    assert await scene.key() == "k2"
    assert len(scene.store.reads) == 2


async def test_same_content_keeps_the_same_signer(scene: Scene) -> None:
    scene.store.put(DESK, "1", key="k1")
    before = await scene.unlocked()
    scene.clock.pass_s(REFRESH_S)

    await scene.key()
    await let_run()

    assert await scene.unlocked() is before
    assert scene.seen == ["fetched", "unchanged"]


async def test_store_that_is_down_leaves_the_cached_signer_until_it_is_stale(scene: Scene) -> None:
    scene.store.put(DESK, "1", key="k1")
    await scene.key()
    scene.store.down = True
    scene.clock.pass_s(STALE_S - 1)
    await scene.key()
    await let_run()
    health_before = scene.keeper.condition(DESK).word

    scene.clock.pass_s(1)
    answer = await scene.refused()

    assert health_before == "stale"
    assert answer.outcome is Outcome.SECRET_UNAVAILABLE
    assert scene.keeper.condition(DESK).word == "unavailable"


async def test_store_that_comes_back_is_used_again(scene: Scene) -> None:
    scene.store.put(DESK, "1", key="k1")
    scene.store.down = True
    before = await scene.refused()

    scene.store.down = False
    scene.clock.pass_s(1)

    assert before.outcome is Outcome.SECRET_UNAVAILABLE
    assert await scene.key() == "k1"


async def test_store_that_is_down_is_not_asked_for_every_cancel(scene: Scene) -> None:
    scene.store.put(DESK, "1", key="k1")
    await scene.key()
    scene.store.down = True
    scene.clock.pass_s(REFRESH_S)

    for _ in range(50):
        await scene.key()
        await let_run()

    assert len(scene.store.reads) == 2


async def test_store_that_hangs_counts_as_down() -> None:
    scene = Scene(read_most_s=0.01)
    scene.store.put(DESK, "1", key="k1")
    scene.store.gate.clear()

    answer = await scene.refused()

    assert answer.outcome is Outcome.SECRET_UNAVAILABLE
    await scene.keeper.aclose()


async def test_slow_refresh_is_not_started_twice(scene: Scene) -> None:
    scene.store.put(DESK, "1", key="k1")
    await scene.key()
    scene.store.gate.clear()
    scene.clock.pass_s(REFRESH_S)

    for _ in range(5):
        await scene.key()
        await let_run()
        scene.clock.pass_s(10)

    assert len(scene.store.reads) == 2


async def test_unknown_account_is_remembered_for_a_moment(scene: Scene) -> None:
    first = [await scene.refused() for _ in range(10)]

    scene.store.put(DESK, "1", key="k1")
    scene.clock.pass_s(1)

    assert {answer.outcome for answer in first} == {Outcome.UNKNOWN_ACCOUNT}
    assert scene.store.reads == [DESK]
    assert await scene.key() == "k1"


@pytest.mark.parametrize("account", [Account(VenueId("other"), "desk-a"), Account(ID, "../desk"), Account(ID, "")])
async def test_account_that_cannot_be_never_reaches_the_store(scene: Scene, account: Account) -> None:
    answer = await scene.refused(account)

    assert answer.outcome is Outcome.UNKNOWN_ACCOUNT
    assert scene.store.reads == []


@pytest.mark.parametrize("down", [False, True])
async def test_scanner_does_not_fill_the_memory(scene: Scene, down: bool) -> None:  # noqa: FBT001  a case
    scene.store.down = down

    for number in range(ABSENT_MOST + 50):
        await scene.refused(Account(ID, f"guess-{number}"))

    assert len(scene.keeper._absent) == ABSENT_MOST
    assert scene.keeper._held == {}


async def test_removed_credential_stops_serving(scene: Scene) -> None:
    scene.store.put(DESK, "1", key="k1")
    await scene.key()
    del scene.store.kept[DESK]
    scene.clock.pass_s(REFRESH_S)

    await scene.key()
    await let_run()

    assert (await scene.refused()).outcome is Outcome.UNKNOWN_ACCOUNT
    assert scene.keeper.condition(DESK).word == "unread"


async def test_bad_new_material_never_replaces_good(scene: Scene) -> None:
    scene.store.put(DESK, "1", key="k1")
    scene.store.put(OTHER, "1", key="o1")
    await scene.key()
    await scene.key(OTHER)
    scene.store.put(DESK, "2", key="short")

    with structlog.testing.capture_logs() as logs:
        for _ in range(3 * int(STALE_S / REFRESH_S)):
            scene.clock.pass_s(REFRESH_S)
            await scene.key()
            await scene.key(OTHER)
            await let_run()

    assert (await scene.key(), await scene.key(OTHER)) == ("k1", "o1")
    assert (scene.keeper.condition(DESK).word, scene.keeper.condition(OTHER).word) == ("stale", "ok")
    (line,) = logs
    assert (line["event"], line["account"], line["field"]) == ("credential.unusable", "desk-a", "key")
    assert line["problem"] == "is too short"


async def test_corrected_material_is_taken_and_told(scene: Scene) -> None:
    scene.store.kept[DESK] = Unusable("key", "is no string")
    before = await scene.refused()
    scene.store.put(DESK, "2", key="k2")
    scene.clock.pass_s(1)

    with structlog.testing.capture_logs() as logs:
        key = await scene.key()

    assert (before.outcome, key) == (Outcome.SECRET_UNAVAILABLE, "k2")
    assert "key is no string" in before.detail
    assert [line["event"] for line in logs] == ["credential.usable"]


async def test_bug_in_a_venue_does_not_show_the_secret(scene: Scene) -> None:
    scene.store.put(DESK, "1", key="0xhunter2")

    with structlog.testing.capture_logs() as logs:
        answer = await scene.refused()

    assert answer.outcome is Outcome.SECRET_UNAVAILABLE
    assert "ValueError" in answer.detail
    assert "hunter2" not in answer.detail + repr(logs) + repr(scene.keeper._held)


async def test_outage_of_the_store_is_told_once(scene: Scene) -> None:
    scene.store.down = True

    with structlog.testing.capture_logs() as logs:
        for number in range(5):
            await scene.refused(Account(ID, f"desk-{number}"))
        scene.store.down = False
        scene.clock.pass_s(1)
        await scene.refused(Account(ID, "desk-9"))

    assert [line["event"] for line in logs] == ["credential.store_down", "credential.store_up"]


async def test_refused_signer_is_replaced_by_what_was_rotated(scene: Scene) -> None:
    scene.store.put(DESK, "1", key="k1")
    old = await scene.unlocked()
    scene.store.put(DESK, "2", key="k2")

    renewed = await asyncio.gather(*(scene.keeper.renew(DESK, old) for _ in range(20)))

    signers = {one.signer.key for one in renewed if isinstance(one, Unlocked) and isinstance(one.signer, PlainSigner)}
    assert signers == {"k2"}
    assert len(scene.store.reads) == 2


async def test_refused_signer_without_a_newer_one_is_venue_auth(scene: Scene) -> None:
    scene.store.put(DESK, "1", key="k1")
    old = await scene.unlocked()

    answers = [await scene.keeper.renew(DESK, old) for _ in range(20)]

    assert {answer.outcome for answer in answers if isinstance(answer, NoSigner)} == {Outcome.VENUE_AUTH}
    assert len(answers) == 20
    assert len(scene.store.reads) == 2
    assert scene.keeper.condition(DESK).word == "refused"
    assert await scene.key() == "k1"


async def test_late_refusal_gets_the_newer_signer_without_reading(scene: Scene) -> None:
    scene.store.put(DESK, "1", key="k1")
    old = await scene.unlocked()
    scene.store.put(DESK, "2", key="k2")
    newer = await scene.keeper.renew(DESK, old)

    again = await scene.keeper.renew(DESK, old)

    assert again is newer
    assert len(scene.store.reads) == 2


async def test_login_fetches_one_token_for_many(scene: Scene) -> None:
    scene.store.put(DESK, "1", user="u")
    scene.sender.answers = [(200, "3600000:t1")]

    keys = await asyncio.gather(*(scene.key() for _ in range(50)))

    assert set(keys) == {"t1"}
    assert [request.method for request in scene.sender.sent] == ["POST"]


async def test_token_is_renewed_before_it_ends_while_the_old_one_serves(scene: Scene) -> None:
    scene.store.put(DESK, "1", user="u")
    scene.sender.answers = [(200, "600000:t1"), (200, "600000:t2")]
    await scene.key()
    for _ in range(9):
        scene.clock.pass_s(REFRESH_S)
        await scene.key()
        await let_run()

    assert await scene.key() == "t2"
    assert len(scene.sender.sent) == 2


async def test_token_that_ended_is_never_used(scene: Scene) -> None:
    scene.store.put(DESK, "1", user="u")
    scene.sender.answers = [(200, "600000:t1"), (200, "600000:t2")]
    await scene.key()

    scene.clock.pass_s(600)

    assert await scene.key() == "t2"


async def test_quiet_account_renews_its_token_by_itself() -> None:
    scene = Scene()
    scene.store.put(DESK, "1", user="u")
    scene.sender.answers = [(200, "1:t1"), (200, "3600000:t2")]
    await scene.key()
    (held,) = scene.keeper._held.values()
    assert held.wake is not None
    assert 4 < held.wake.when() - asyncio.get_running_loop().time() <= 4.5

    scene.clock.pass_s(4.5)
    scene.keeper._wake(held)
    await let_run()

    assert len(scene.sender.sent) == 2
    alarm = held.wake
    await scene.keeper.aclose()
    assert alarm is not None
    assert alarm.cancelled()


async def test_refused_login_is_venue_auth_with_the_reason(scene: Scene) -> None:
    scene.store.put(DESK, "1", user="u")
    scene.sender.answers = [(401, "a second factor is wanted")]

    answer = await scene.refused()

    assert answer.outcome is Outcome.VENUE_AUTH
    assert "a second factor is wanted" in answer.detail
    assert scene.keeper.condition(DESK).word == "refused"
    assert scene.seen == ["refused"]


async def test_refused_login_is_asked_ever_more_rarely(scene: Scene) -> None:
    scene.store.put(DESK, "1", user="u")
    scene.sender.answers = [(401, "wrong password")]
    asked_at: list[float] = []
    start = scene.clock.seconds

    for _ in range(200):
        before = len(scene.sender.sent)
        await scene.refused()
        if len(scene.sender.sent) > before:
            asked_at.append(scene.clock.seconds - start)
        scene.clock.pass_s(1)

    assert asked_at == [0, 5, 15, 35, 75, 155]


async def test_corrected_login_is_tried_at_once(scene: Scene) -> None:
    scene.store.put(DESK, "1", user="u")
    scene.sender.answers = [(401, "wrong password"), (200, "600000:t1")]
    await scene.refused()
    scene.store.put(DESK, "2", user="v")

    scene.clock.pass_s(1)

    assert await scene.key() == "t1"


@pytest.mark.parametrize("result", [NotSent("dns"), Unconfirmed("timeout"), (500, "oops")])
async def test_login_without_an_answer_is_venue_unavailable(scene: Scene, result: NotSent) -> None:
    scene.store.put(DESK, "1", user="u")
    scene.sender.answers = [result, (200, "600000:t1")]

    answers = [await scene.refused() for _ in range(10)]
    scene.clock.pass_s(1)

    assert {answer.outcome for answer in answers} == {Outcome.VENUE_UNAVAILABLE}
    assert len(scene.sender.sent) == 1
    assert await scene.key() == "t1"


@pytest.mark.parametrize(("status", "outcome"), [(429, Outcome.VENUE_LIMITED), (418, Outcome.VENUE_BANNED)])
async def test_limited_login_is_told_as_that_and_left_alone(scene: Scene, status: int, outcome: Outcome) -> None:
    scene.store.put(DESK, "1", user="u")
    scene.sender.answers = [(status, "")]

    answers = []
    for _ in range(4):
        answers.append(await scene.refused())
        scene.clock.pass_s(1)

    assert {answer.outcome for answer in answers} == {outcome}
    assert len(scene.sender.sent) == 1


async def test_renewal_of_what_is_no_longer_held_reads_it(scene: Scene) -> None:
    scene.store.put(DESK, "2", key="k2")

    renewed = await scene.keeper.renew(DESK, Unlocked(PlainSigner("https://venue.example", "k1"), "1"))

    assert isinstance(renewed, Unlocked)
    assert renewed.version == "2"


async def test_bug_in_the_background_is_told_and_the_signer_goes_on(scene: Scene) -> None:
    scene.store.put(DESK, "1", user="u")
    scene.sender.answers = [(200, "600000:t1"), (200, f"{MARKER}:t2")]
    await scene.key()
    scene.clock.pass_s(545)

    with structlog.testing.capture_logs() as logs:
        await scene.key()
        await let_run()

    assert await scene.key() == "t1"
    assert [(line["event"], line["kind"]) for line in logs] == [("credential.bug", "ValueError")]
    assert MARKER not in repr(logs)


async def test_failed_renewal_leaves_the_token_that_is_there(scene: Scene) -> None:
    scene.store.put(DESK, "1", user="u")
    scene.sender.answers = [(200, "600000:t1"), NotSent("dns"), (200, "600000:t2")]
    await scene.key()
    scene.clock.pass_s(545)

    await scene.key()
    await let_run()
    kept = await scene.key()
    scene.clock.pass_s(1)
    await scene.key()
    await let_run()

    assert kept == "t1"
    assert await scene.key() == "t2"


async def test_refused_token_is_replaced_once(scene: Scene) -> None:
    scene.store.put(DESK, "1", user="u")
    scene.sender.answers = [(200, "600000:t1"), (200, "600000:t2")]
    old = await scene.unlocked()

    renewed = await asyncio.gather(*(scene.keeper.renew(DESK, old) for _ in range(20)))

    assert {one.version for one in renewed if isinstance(one, Unlocked)} == {"1#2"}
    assert await scene.key() == "t2"
    assert len(scene.sender.sent) == 2


async def test_venue_that_refuses_every_token_is_not_asked_for_one_each_time(scene: Scene) -> None:
    scene.store.put(DESK, "1", user="u")
    scene.sender.answers = [(200, f"600000:t{number}") for number in range(50)]

    for _ in range(20):
        current = await scene.unlocked()
        await scene.keeper.renew(DESK, current)
        scene.clock.pass_s(0.5)

    assert len(scene.sender.sent) <= 1 + 20 * 0.5 / 5


async def test_refused_token_and_refused_login_stop_the_account(scene: Scene) -> None:
    scene.store.put(DESK, "1", user="u")
    scene.sender.answers = [(200, "600000:t1"), (401, "locked")]
    old = await scene.unlocked()

    renewed = await scene.keeper.renew(DESK, old)
    after = await scene.refused()

    assert isinstance(renewed, NoSigner)
    assert (renewed.outcome, after.outcome) == (Outcome.VENUE_AUTH, Outcome.VENUE_AUTH)
    assert "locked" in after.detail
    assert len(scene.sender.sent) == 2


async def test_accounts_are_those_that_the_store_last_listed(scene: Scene) -> None:
    scene.store.put(DESK, "1", key="k1")
    scene.store.put(OTHER, "1", key="o1")

    known = await scene.keeper.accounts(ID)
    scene.store.down = True
    scene.clock.pass_s(REFRESH_S)
    await scene.keeper.accounts(ID)
    await let_run()
    later = await scene.keeper.accounts(ID)

    assert (known, later) == (["desk-a", "desk-b"], ["desk-a", "desk-b"])


async def test_accounts_of_a_store_that_cannot_list_are_those_in_use(scene: Scene) -> None:
    scene.store.put(DESK, "1", key="k1")
    await scene.key()
    scene.store.down = True

    assert await scene.keeper.accounts(ID) == ["desk-a"]


async def test_store_that_hangs_makes_nobody_wait_for_its_list_twice(scene: Scene) -> None:
    scene.store.put(DESK, "1", key="k1")
    first = asyncio.create_task(scene.keeper.accounts(ID))
    assert await first == ["desk-a"]
    scene.store.list_gate.clear()
    scene.clock.pass_s(REFRESH_S)

    listed = [await asyncio.wait_for(scene.keeper.accounts(ID), 0.5) for _ in range(3)]

    assert listed == [["desk-a"]] * 3
    assert scene.store.lists == 2


async def test_age_is_that_of_the_last_answer(scene: Scene) -> None:
    scene.store.put(DESK, "1", key="k1")
    await scene.key()

    scene.clock.pass_s(42)

    assert scene.keeper.ages() == {ID: pytest.approx(42)}


async def test_closing_ends_what_hangs() -> None:
    scene = Scene()
    scene.store.put(DESK, "1", key="k1")
    scene.store.gate.clear()
    waiting = asyncio.create_task(scene.key())
    await let_run()

    await scene.keeper.aclose()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not scene.keeper._flights
