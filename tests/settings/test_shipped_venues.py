"""The venues that are shipped can be configured: the least that each needs, and the example of the README's kind."""

from pathlib import Path

import pytest

from gateway.core.model import By, Op, Scope
from gateway.settings import Settings, load
from gateway.venues import ALL
from gateway.venues.base import Venue

CALLER = f"""
[callers.desk-a]
token_sha256 = "{"ab" * 32}"
allow = ["orderly:*", "hashkey:desk-a"]
permissions = ["cancel", "urgent", "read"]
"""
EXAMPLE = """
[venues.orderly]
base_url = "https://api.orderly.org"
default_account = "desk-a"
timeout_ms = 2000
batching = true
reserve = 2
[venues.orderly.limits.cancel]
tokens = 6
per_ms = 1000
guard_ms = 30
scope = "account"
"""


def good(path: Path, text: str) -> Settings:
    path.write_text(text)
    settings = load(path, {}, ALL)
    assert isinstance(settings, Settings), settings
    return settings


@pytest.mark.parametrize("venue", ALL, ids=lambda venue: venue.id)
def test_venue_needs_no_more_than_its_address(venue: Venue, tmp_path: Path) -> None:
    settings = good(tmp_path / "gateway.toml", f'{CALLER}[venues.{venue.id}]\nbase_url = "https://venue.example"\n')

    own = settings.venues[venue.id]
    assert own.limits == venue.quotas
    assert all(own.reserve < own.limits[charge.limit].tokens for by in By for charge in venue.charges(Op.CANCEL, by))


def test_documented_example_sets_the_limit_for_both_kinds_of_id(tmp_path: Path) -> None:
    (own,) = good(tmp_path / "gateway.toml", CALLER + EXAMPLE).venues.values()

    for by in By:
        for charge in ALL[0].charges(Op.CANCEL, by):
            quota = own.limits[charge.limit]
            assert (quota.tokens, quota.guard_ms, quota.scope) == (6, 30, Scope.ACCOUNT)
