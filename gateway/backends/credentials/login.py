"""Fetching a bearer token for a credential that needs one. When to do so is the keeper's decision."""

from typing import assert_never

from gateway.core.model import VenueId
from gateway.core.outcome import AuthRefused, Facts, Outcome, Throttled, Unclear
from gateway.core.wire import NotSent, Reply, Unconfirmed
from gateway.ports import Clock, NoSigner, Sender
from gateway.venues.base import Login, Token


async def fetch_token(login: Login, venue: VenueId, sender: Sender, clock: Clock, timeout_ms: int) -> Token | NoSigner:
    """Ask once. Whatever goes wrong, nothing of a cancel has been sent."""
    sent = await sender.send(venue, login.request(clock.now_ms()), timeout_ms)
    match sent:
        case Reply():
            return _understood(login, sent)
        case NotSent(reason=reason) | Unconfirmed(reason=reason):
            return NoSigner(Outcome.VENUE_UNAVAILABLE, f"the venue gave no token: {reason}")
        case _:
            assert_never(sent)


def _understood(login: Login, reply: Reply) -> Token | NoSigner:
    answer = login.interpret(reply)
    match answer:
        case Token():
            return answer
        case AuthRefused(facts=facts):
            return NoSigner(Outcome.VENUE_AUTH, _said("the venue refuses the login", facts))
        case Throttled(banned=banned, facts=facts):
            outcome = Outcome.VENUE_BANNED if banned else Outcome.VENUE_LIMITED
            return NoSigner(outcome, _said("the venue limits logins", facts))
        case Unclear(reason=reason, facts=facts):
            return NoSigner(Outcome.VENUE_UNAVAILABLE, _said(f"the venue gave no token: {reason}", facts))
        case _:
            assert_never(answer)


def _said(what: str, facts: Facts) -> str:
    words = [word for word in (facts.venue_code, facts.venue_message) if word]
    return f"{what}: {', '.join(words)}" if words else what
