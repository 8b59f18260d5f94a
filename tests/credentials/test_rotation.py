"""Two versions of one credential: which one signs, how long the old one is kept, what the venue's answers change."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import structlog
from credential_fakes import HandClock, HandSender, HandStore, let_run
from plain_venue import ID, PLAIN, PlainSigner

from gateway.backends.credentials.held import REFUSED_PAUSE_S
from gateway.backends.credentials.keeper import CredentialKeeper, Freshness, Served
from gateway.backends.credentials.store import Denied
from gateway.core.model import Account
from gateway.core.outcome import Outcome
from gateway.ports import NoSigner, Unlocked
from gateway.venues.base import Site

DESK = Account(ID, "desk-a")
REFRESH_S, STALE_S = 60.0, 3600.0


class Scene:
    """A keeper that holds k1, with everything around it."""

    def __init__(self) -> None:
        self.clock, self.store = HandClock(), HandStore()
        self.sender = HandSender(self.clock)
        served = {ID: Served(PLAIN, Site("https://venue.example"), 2000)}
        self.seen: list[str] = []
        self.keeper = CredentialKeeper(
            served,
            self.store,
            self.sender,
            self.clock,
            Freshness(REFRESH_S, STALE_S),
            lambda _, word: self.seen.append(word),
        )

    async def unlocked(self) -> Unlocked:
        unlocked = await self.keeper.unlock(DESK)
        assert isinstance(unlocked, Unlocked), unlocked
        return unlocked

    async def rotate(self, version: str, **fields: str) -> Unlocked:
        """The store shows another version, and the next refresh takes it up."""
        self.store.put(DESK, version, **fields)
        self.clock.pass_s(REFRESH_S)
        await self.unlocked()
        await let_run()
        return await self.unlocked()

    async def renewed(self, refused: Unlocked) -> Unlocked | NoSigner:
        return await self.keeper.renew(DESK, refused)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    made = Scene()
    made.store.put(DESK, "1", key="k1")
    await made.unlocked()
    yield made
    await made.keeper.aclose()


def key_of(unlocked: Unlocked | NoSigner) -> str:
    assert isinstance(unlocked, Unlocked), unlocked
    assert isinstance(unlocked.signer, PlainSigner)
    return unlocked.signer.key


async def test_first_version_is_not_on_trial_and_the_next_one_is(scene: Scene) -> None:
    first = await scene.unlocked()

    second = await scene.rotate("2", key="k2")

    assert (first.on_trial, second.on_trial, key_of(second)) == (False, True, "k2")


async def test_version_that_is_refused_gives_way_to_the_one_before(scene: Scene) -> None:
    second = await scene.rotate("2", key="k2")

    with structlog.testing.capture_logs() as logs:
        renewed = [await scene.renewed(second) for _ in range(5)]
        later = await scene.unlocked()

    assert {key_of(each) for each in renewed} == {"k1"}
    assert key_of(later) == "k1"
    assert scene.keeper.condition(DESK).word == "fallback"
    assert scene.keeper.condition(DESK).version == "1"
    assert scene.keeper.fallen_back() == {ID: 1}
    assert [(line["event"], line["refused"], line["serves"]) for line in logs] == [("credential.fell_back", "2", "1")]


async def test_hundred_refusals_at_once_read_the_store_once(scene: Scene) -> None:
    second = await scene.rotate("2", key="k2")
    reads = len(scene.store.reads)

    renewed = await asyncio.gather(*(scene.renewed(second) for _ in range(100)))

    assert {key_of(each) for each in renewed} == {"k1"}
    assert len(scene.store.reads) == reads + 1


async def test_version_that_has_succeeded_once_has_no_way_back(scene: Scene) -> None:
    second = await scene.rotate("2", key="k2")

    with structlog.testing.capture_logs() as logs:
        scene.keeper.proved(DESK, second)
        scene.keeper.proved(DESK, second)
    proven = await scene.unlocked()
    renewed = await scene.renewed(proven)

    assert [(line["event"], line["version"]) for line in logs] == [("credential.proven", "2")]
    assert proven.on_trial is False
    assert isinstance(renewed, NoSigner)
    assert renewed.outcome is Outcome.VENUE_AUTH
    assert key_of(await scene.unlocked()) == "k2"


async def test_success_of_the_old_version_proves_nothing_of_the_new_one(scene: Scene) -> None:
    first = await scene.unlocked()
    second = await scene.rotate("2", key="k2")

    scene.keeper.proved(DESK, first)

    assert key_of(await scene.renewed(second)) == "k1"


async def test_old_version_that_is_revoked_after_all_makes_way_for_the_new_one(scene: Scene) -> None:
    second = await scene.rotate("2", key="k2")
    first = await scene.renewed(second)
    assert isinstance(first, Unlocked)
    scene.clock.pass_s(REFUSED_PAUSE_S)

    again = await scene.renewed(first)
    assert isinstance(again, Unlocked)
    scene.keeper.proved(DESK, again)

    assert key_of(again) == "k2"
    assert scene.keeper.condition(DESK).word == "ok"


async def test_two_versions_that_are_both_refused_are_venue_auth_and_not_tried_without_end(scene: Scene) -> None:
    current = await scene.rotate("2", key="k2")
    reads, answers = len(scene.store.reads), []

    for _ in range(50):
        answer = await scene.renewed(current)
        answers.append(answer)
        current = answer if isinstance(answer, Unlocked) else await scene.unlocked()
        scene.clock.pass_s(0.1)

    refusals = [answer for answer in answers if isinstance(answer, NoSigner)]
    assert {answer.outcome for answer in refusals} == {Outcome.VENUE_AUTH}
    assert len(refusals) > 40
    assert len(scene.store.reads) - reads <= 4


async def test_third_version_ends_a_fallback(scene: Scene) -> None:
    await scene.renewed(await scene.rotate("2", key="k2"))

    third = await scene.rotate("3", key="k3")

    assert (key_of(third), third.on_trial) == ("k3", True)
    assert scene.keeper.condition(DESK).word == "ok"
    assert key_of(await scene.renewed(third)) == "k1"  # the last one that is known to work


async def test_refused_version_gives_way_while_the_store_is_down(scene: Scene) -> None:
    second = await scene.rotate("2", key="k2")
    scene.store.down = True

    assert key_of(await scene.renewed(second)) == "k1"


async def test_login_that_is_refused_leaves_the_token_of_the_one_before(scene: Scene) -> None:
    scene.sender.answers = [(200, "3600000:t1")]
    scene.keeper.proved(DESK, await scene.rotate("2", user="good"))
    scene.sender.answers = [(401, "wrong password")]

    after = await scene.rotate("3", user="bad")

    assert key_of(after) == "t1"
    assert scene.keeper.condition(DESK).word == "fallback"


async def test_login_before_logs_in_again_when_its_token_has_run_out(scene: Scene) -> None:
    scene.sender.answers = [(200, "600000:t1")]
    scene.keeper.proved(DESK, await scene.rotate("2", user="good"))
    scene.sender.answers = [(401, "wrong password"), (200, "600000:t2")]

    await scene.rotate("3", user="bad")
    scene.clock.pass_s(600)

    assert key_of(await scene.unlocked()) == "t2"


async def test_removed_credential_takes_the_old_version_with_it(scene: Scene) -> None:
    await scene.rotate("2", key="k2")
    del scene.store.kept[DESK]
    scene.clock.pass_s(REFRESH_S)

    await scene.unlocked()
    await let_run()

    answer = await scene.keeper.unlock(DESK)
    assert isinstance(answer, NoSigner)
    assert answer.outcome is Outcome.UNKNOWN_ACCOUNT
    assert not scene.keeper._held


async def test_denied_reading_lets_the_old_one_serve_until_it_is_stale(scene: Scene) -> None:
    scene.store.kept[DESK] = Denied("the policy denies it")
    scene.clock.pass_s(STALE_S - 1)
    await scene.unlocked()
    await let_run()
    before = scene.keeper.condition(DESK)

    scene.clock.pass_s(1)
    answer = await scene.keeper.unlock(DESK)

    assert (before.word, before.detail) == ("stale", "the policy denies it")
    assert isinstance(answer, NoSigner)
    assert answer.outcome is Outcome.SECRET_UNAVAILABLE
    assert "the policy denies it" in answer.detail


async def test_names_that_are_denied_fill_neither_the_memory_nor_the_log(scene: Scene) -> None:
    guess = Account(ID, "guess")
    scene.store.kept[guess] = Denied("the policy denies it")

    with structlog.testing.capture_logs() as logs:
        for _ in range(5):
            await scene.keeper.unlock(guess)
            scene.clock.pass_s(2)

    assert [line["event"] for line in logs] == ["credential.unusable"]
    assert set(scene.keeper._held) == {DESK}
    assert scene.keeper.condition(guess).word == "unavailable"
