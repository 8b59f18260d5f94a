"""Why nothing goes to a venue, as a value."""

import pytest

from gateway.core.outcome import MEANINGS, Outcome
from gateway.core.shut import Shut


@pytest.mark.parametrize("outcome", [Outcome.VENUE_UNAVAILABLE, Outcome.VENUE_AUTH, Outcome.DRAINING])
def test_what_is_told_instead_of_a_slot_is_never_kept_for_a_replayed_key(outcome: Outcome) -> None:
    shut = Shut(outcome, "why", 1)

    assert not MEANINGS[shut.outcome].kept
    assert not MEANINGS[shut.outcome].final
