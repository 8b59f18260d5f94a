"""Where an account's credential lies in a store with names, `cancel-gateway/{venue}/{account}`; and the way back."""

import re
from dataclasses import dataclass

from gateway.core.access import is_name
from gateway.core.model import Account, VenueId


@dataclass(frozen=True, slots=True)
class Template:
    """A path that names `{venue}` and then `{account}`, once each."""

    text: str

    def path(self, account: Account) -> str:
        """Where the credential lies."""
        return self.text.replace("{venue}", account.venue).replace("{account}", account.name)

    def folder(self, venue: VenueId) -> str:
        """What can be listed to find the accounts of a venue; empty where that is everything."""
        head, _, _ = self._of(venue).partition("{account}")
        return head.rpartition("/")[0]

    def beginning(self, venue: VenueId) -> str:
        """What every path of the venue begins with."""
        return self._of(venue).partition("{account}")[0]

    def account_in(self, venue: VenueId, entry: str) -> str | None:
        """The account that an entry of the folder stands for."""
        rest = self._of(venue)[len(self.folder(venue)) :].lstrip("/")
        segment, slash, _ = rest.partition("/")
        return _matched(segment + slash, entry)

    def account_at(self, venue: VenueId, path: str) -> str | None:
        """The account whose credential lies exactly there."""
        return _matched(self._of(venue), path)

    def _of(self, venue: VenueId) -> str:
        return self.text.replace("{venue}", venue)


def _matched(pattern: str, text: str) -> str | None:
    before, _, after = pattern.partition("{account}")
    found = re.fullmatch(f"{re.escape(before)}(.+){re.escape(after)}", text)
    return found[1] if found is not None and is_name(found[1]) else None
