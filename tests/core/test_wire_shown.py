"""Redaction, with every venue's real requests: what is shown must not depend on anything secret."""

import pytest

from gateway.core.model import By, OrderRef
from gateway.core.wire import REDACTED, WireRequest
from gateway.sandbox.config import DEFAULT_CREDENTIALS
from gateway.venues import ALL
from gateway.venues.base import Login, Signer, Site, Token, Venue

AT_MS = 1_700_000_000_000
BASE_URL = "https://venue.example"
REFS = {
    "orderly": OrderRef(By.ORDER_ID, "1234", "PERP_ETH_USDC"),
    "hashkey": OrderRef(By.ORDER_ID, "1234567890123456789"),
    "loopring": OrderRef(By.ORDER_ID, "0x" + "1a" * 32),
    "etna": OrderRef(By.ORDER_ID, "73552"),
    "b2trader": OrderRef(By.ORDER_ID, "01K2PF9XS29WN4JZRHMCTTQYJB"),
}
# Other keys, and logins, of the same account: whatever differs between the two is secret or made of secrets.
OTHERS = {
    "orderly": {"private_key": DEFAULT_CREDENTIALS["orderly"]["desk-b"]["private_key"]},
    "hashkey": {"api_key": "another-key", "secret": "another-secret"},
    "loopring": {"api_key": "another-key", "private_key": DEFAULT_CREDENTIALS["loopring"]["desk-b"]["private_key"]},
    "etna": {"app_key": "another-app-key", "username": "another-user", "password": "another-password"},
    "b2trader": {"offline_token": "another-offline-token"},
}

each_venue = pytest.mark.parametrize("venue", ALL, ids=lambda venue: venue.id)


def material(venue: Venue) -> tuple[dict[str, str], dict[str, str]]:
    """Two credentials that have nothing secret in common."""
    own = DEFAULT_CREDENTIALS[venue.id]["desk-a"]
    other = own | OTHERS[venue.id]
    assert {name for name in own if own[name] == other[name]} <= {"account_id"}
    return own, other


def requests(venue: Venue, fields: dict[str, str], token: str) -> list[WireRequest]:
    """Everything that can be signed with these fields, the login included."""
    site = Site(BASE_URL, {name: option.default for name, option in venue.options.items()})
    unlocked = venue.unlock(fields, site)
    made: list[WireRequest | None] = []
    if isinstance(unlocked, Login):
        made.append(unlocked.request(AT_MS))
        signer: Signer = unlocked.signer(Token(token, AT_MS + 1000))
    else:
        signer = unlocked
    order = REFS[venue.id]
    made += [signer.cancel(order, AT_MS), signer.read(order, AT_MS), signer.batch((order,), AT_MS)]
    return [request for request in made if request is not None]


@each_venue
def test_what_is_shown_is_the_same_whatever_the_secrets_are(venue: Venue) -> None:
    own, other = material(venue)

    mine, theirs = requests(venue, own, "token-of-mine"), requests(venue, other, "token-of-theirs")

    assert mine
    for request, twin in zip(mine, theirs, strict=True):
        assert (request.url, request.headers, request.body) != (twin.url, twin.headers, twin.body)
        assert request.shown() == twin.shown()


@each_venue
def test_no_secret_field_is_shown(venue: Venue) -> None:
    own, _ = material(venue)

    for request in requests(venue, own, "token-of-mine"):
        shown = repr(request.shown())
        assert "token-of-mine" not in shown
        assert not [name for name, value in own.items() if name != "account_id" and value in shown]


@each_venue
def test_enough_is_shown_to_know_the_request_by(venue: Venue) -> None:
    own, _ = material(venue)
    order = REFS[venue.id]

    cancels = [request.shown() for request in requests(venue, own, "token") if order.value in request.url]

    assert cancels
    for shown in cancels:
        assert shown.url.startswith(BASE_URL + "/")
        assert order.value in shown.url
        assert set(shown.headers.values()) != {REDACTED}


def test_the_list_of_refs_has_every_venue() -> None:
    assert REFS.keys() == OTHERS.keys() == {venue.id for venue in ALL}
