"""Credentials that are wrong, change, expire or are refused, as an operator meets them. The service is a process."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from real_valkey import Server
from sandbox_client import lenient
from service_process import Gateway, put_secret, put_secrets, rested, sandbox_beside, serving, tree_of
from service_rig import Rig, caller_session

from gateway.sandbox.config import DEFAULT_CREDENTIALS
from gateway.sandbox.server import Sandbox

MARKER = "Marker7hunter2"
SUBGROUP_ORDER = 2736030358979909402780800718157159386076813972158567259200215660948447373041
GOOD = {venue: accounts["desk-a"] for venue, accounts in DEFAULT_CREDENTIALS.items()}
BAD = [
    ("hashkey", "not-json", '{"api_key": "' + MARKER, ""),
    ("hashkey", "no-object", f'["{MARKER}"]', ""),
    ("hashkey", "empty-file", "", ""),
    ("hashkey", "number", json.dumps({"api_key": "k", "secret": 7}), "secret"),
    ("hashkey", "missing", json.dumps({"api_key": MARKER}), "secret"),
    ("hashkey", "line-break", json.dumps({"api_key": f"{MARKER}\r\nX-Evil: 1", "secret": "s"}), "api_key"),
    ("hashkey", "huge", json.dumps({"api_key": "k", "secret": MARKER * 10_000}), ""),
    ("orderly", "short-key", json.dumps(GOOD["orderly"] | {"private_key": f"ed25519:{MARKER}"}), "private_key"),
    ("orderly", "no-base58", json.dumps(GOOD["orderly"] | {"private_key": f"ed25519:{MARKER}0OIl"}), "private_key"),
    ("orderly", "account", json.dumps(GOOD["orderly"] | {"account_id": MARKER}), "account_id"),
    ("loopring", "zero", json.dumps(GOOD["loopring"] | {"private_key": "0"}), "private_key"),
    ("loopring", "order", json.dumps(GOOD["loopring"] | {"private_key": str(SUBGROUP_ORDER)}), "private_key"),
    ("loopring", "no-number", json.dumps(GOOD["loopring"] | {"private_key": MARKER}), "private_key"),
    ("etna", "no-number", json.dumps(GOOD["etna"] | {"account_id": MARKER}), "account_id"),
    ("b2trader", "blank", json.dumps({"account_id": "a", "offline_token": f"{MARKER} {MARKER}"}), "offline_token"),
]
REFS = {"hashkey": "1", "orderly": "1", "loopring": "0x" + "1" * 64, "etna": "1", "b2trader": "0" * 26}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """With short tokens, and a user who wants a second factor."""
    second = DEFAULT_CREDENTIALS["etna"] | {
        "two-steps": GOOD["etna"] | {"account_id": "6305", "username": "two", "verification_code": "123456"}
    }
    with sandbox_beside(lenient(credentials=DEFAULT_CREDENTIALS | {"etna": second}, b2trader_token_ms=6000)) as started:
        yield started


@pytest.fixture(scope="module")
def secrets(module_folder: Path) -> Path:
    folder = put_secrets(module_folder / "secrets", DEFAULT_CREDENTIALS)
    for venue, account, content, _ in BAD:
        put_secret(folder, venue, account, content)
    two = GOOD["etna"] | {"account_id": "6305", "username": "two"}
    put_secret(folder, "etna", "two-steps", json.dumps(two))
    return folder


@pytest.fixture(scope="module")
def gateway(sandbox: Sandbox, valkey_session: Server, module_folder: Path, secrets: Path) -> Iterator[Gateway]:
    with serving(tree_of(sandbox, rested(valkey_session), secrets), module_folder) as started:
        yield started


@pytest.fixture
async def rig(gateway: Gateway, sandbox: Sandbox) -> AsyncIterator[Rig]:
    async with caller_session() as http:
        rig = Rig(gateway, sandbox, http)
        yield rig
        await rig.calm()


@pytest.mark.parametrize(("venue", "account", "field"), [(venue, account, field) for venue, account, _, field in BAD])
async def test_bad_secret_is_unavailable_and_one_line_names_the_field(
    rig: Rig, venue: str, account: str, field: str
) -> None:
    asked = await rig.asked(venue)

    said = await rig.desk().cancel(venue, REFS[venue], account=account)
    again = await rig.desk().cancel(venue, REFS[venue], account=account)

    assert (said.status, said.outcome, again.status) == (503, "secret_unavailable", 503)
    assert field in said.json["detail"]
    assert await rig.asked(venue) == asked
    line = rig.gateway.heard("credential.unusable", venue=venue, account=account)
    assert line["field"] == field
    assert line["problem"]
    assert len(rig.gateway.lines("credential.unusable", venue=venue, account=account)) == 1
    good = await rig.order(venue)
    assert (await rig.desk().cancel(venue, good["order_id"])).outcome in {"cancelled", "accepted"}


async def test_no_value_of_a_bad_secret_is_told_anywhere(rig: Rig) -> None:
    said = [await rig.desk().cancel(venue, REFS[venue], account=account) for venue, account, _, _ in BAD]
    said += [await rig.desk().cancel(venue, REFS[venue], account=account, plan="true") for venue, account, _, _ in BAD]
    said += [await rig.desk().call("GET", "/venues"), await rig.admin.call("GET", "/readyz")]
    said += [await rig.admin.call("GET", "/metrics")]

    values = [
        value for fields in GOOD.values() for name, value in fields.items() if name not in {"account_id", "username"}
    ]
    for secret in (MARKER, *values):
        assert not [each.body for each in said if secret.encode() in each.body]
        assert secret.encode() not in rig.gateway.raw_log


async def test_readiness_names_the_bad_accounts_and_stays_ready(rig: Rig) -> None:
    said = await rig.admin.call("GET", "/readyz")

    part = said.json["components"]["secrets"]
    assert (said.status, said.json["ready"], part["ok"]) == (200, True, False)
    assert "hashkey:not-json" in part["detail"]
    assert "hashkey:desk-a" not in part["detail"]


async def test_secret_that_changes_on_disk_is_followed_without_a_restart(rig: Rig, secrets: Path) -> None:
    await asyncio.gather(_repaired(rig, secrets), _rotated(rig, secrets), _spoilt(rig, secrets))


async def _repaired(rig: Rig, secrets: Path) -> None:
    order = await rig.order("hashkey")
    put_secret(secrets, "hashkey", "repaired", "broken")
    broken = await rig.desk().cancel("hashkey", order["order_id"], account="repaired")

    put_secret(secrets, "hashkey", "repaired", json.dumps(GOOD["hashkey"]))

    mended = await _until_outcome(rig, "hashkey", order["order_id"], "repaired", "cancelled")
    assert (broken.outcome, mended) == ("secret_unavailable", "cancelled")


async def _rotated(rig: Rig, secrets: Path) -> None:
    """The other account's key signs for its own orders only, so the order tells which key was used."""
    put_secret(secrets, "hashkey", "rotated", json.dumps(DEFAULT_CREDENTIALS["hashkey"]["desk-b"]))
    order = await rig.order("hashkey")
    before = await rig.desk().cancel("hashkey", order["order_id"], account="rotated")

    put_secret(secrets, "hashkey", "rotated", json.dumps(GOOD["hashkey"]))

    after = await _until_outcome(rig, "hashkey", order["order_id"], "rotated", "cancelled")
    assert (before.outcome, after) == ("not_found", "cancelled")


async def _spoilt(rig: Rig, secrets: Path) -> None:
    """What cannot sign never replaces what can."""
    orders = await rig.orders("hashkey", 2)
    put_secret(secrets, "hashkey", "spoilt", json.dumps(GOOD["hashkey"]))
    before = await rig.desk().cancel("hashkey", orders[0]["order_id"], account="spoilt")

    put_secret(secrets, "hashkey", "spoilt", "{")

    await asyncio.sleep(1.1)  # the refresh interval
    await rig.desk().cancel("hashkey", "1", account="spoilt")
    await asyncio.to_thread(rig.gateway.heard, "credential.unusable", account="spoilt")
    after = await rig.desk().cancel("hashkey", orders[1]["order_id"], account="spoilt")
    assert (before.outcome, after.outcome) == ("cancelled", "cancelled")


async def _until_outcome(rig: Rig, venue: str, ref: str, account: str, wanted: str) -> str:
    """The outcome once it is the wanted one, or the last one after some seconds."""
    deadline = time.monotonic() + 4
    while True:
        outcome = (await rig.desk().cancel(venue, ref, account=account)).outcome
        if outcome == wanted or time.monotonic() > deadline:
            return outcome
        await asyncio.sleep(0.1)


async def test_refused_token_is_renewed_once_and_the_cancel_goes_through(rig: Rig) -> None:
    order = await rig.order("etna")
    tokens = (await rig.venue("etna").stats())["requests"]["token"]
    await rig.venue("etna").fault("auth_failure", endpoint="cancel", times=1)

    said = await rig.desk().cancel("etna", order["order_id"])

    assert (said.status, said.outcome, said.json["attempts"]) == (202, "accepted", 2)
    assert (await rig.venue("etna").stats())["requests"]["token"] == tokens + 1


async def test_hundred_refused_cancels_at_once_ask_for_one_token(rig: Rig) -> None:
    orders = await rig.orders("b2trader", 100)
    tokens = (await rig.venue("b2trader").stats())["requests"]["token"]
    await rig.venue("b2trader").fault("auth_failure", endpoint="cancel", times=100)

    said = await asyncio.gather(*(rig.desk().cancel("b2trader", order["order_id"]) for order in orders))

    assert {each.outcome for each in said} <= {"cancelled", "venue_auth"}
    assert (await rig.venue("b2trader").stats())["requests"]["token"] <= tokens + 2
    asked = (await rig.venue("b2trader").stats())["cancels_by_order"]
    assert max(asked.get(order["order_id"], 0) for order in orders) <= 1


async def test_second_factor_is_a_clear_credential_error(rig: Rig) -> None:
    said = await rig.desk().cancel("etna", "1", account="two-steps")

    assert (said.status, said.outcome) == (502, "venue_auth")
    assert "second factor" in said.json["detail"]
    assert "123456" not in rig.gateway.raw_log.decode()


async def test_access_token_is_renewed_before_it_ends_and_no_cancel_meets_an_old_one(rig: Rig) -> None:
    tokens = (await rig.venue("b2trader").stats())["requests"]["token"]
    rejected = (await rig.venue("b2trader").stats())["rejected_requests"]
    deadline = time.monotonic() + 7

    while (await rig.venue("b2trader").stats())["requests"]["token"] == tokens and time.monotonic() < deadline:
        order = await rig.order("b2trader")
        said = await rig.desk().cancel("b2trader", order["order_id"])
        assert (said.outcome, said.json["attempts"]) == ("cancelled", 1)
        await asyncio.sleep(0.1)

    figures = await rig.venue("b2trader").stats()
    assert figures["requests"]["token"] > tokens
    assert figures["rejected_requests"] == rejected
