"""Credentials in a Vault or OpenBao, KV version 2; the number of the version there is the version here.

The policy needs `read` on the data paths, and `list` on the metadata folder for `GET /venues` to know every account.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.backends.credentials.store import TOO_LARGE, Denied, Material, Missing, Stored, Unusable, material_from
from gateway.backends.credentials.template import Template
from gateway.backends.credentials.vault_nodes import ABSENT, DENIED, NAME, OK, Answer, Nodes
from gateway.backends.credentials.vault_token import VaultToken
from gateway.core.access import is_name
from gateway.core.model import Account, VenueId
from gateway.ports import Unavailable


@dataclass(frozen=True, slots=True)
class VaultStore:
    """One mount."""

    nodes: Nodes
    token: VaultToken
    mount: str
    template: Template

    async def read(self, account: Account) -> Stored:
        """The newest version of one credential."""
        if not is_name(account.name) or not is_name(account.venue):
            return Missing()
        answer = await self._asked(f"{self.mount}/data/{self.template.path(account)}")
        match answer.status:
            case 200:
                return _material(answer)
            case 404:
                return _absent(answer)
            case 403:
                return Denied("the vault's policy denies reading it")
            case status:
                return Denied(f"the vault answers {status} to reading it")

    async def names(self, venue: VenueId) -> Sequence[str]:
        """The accounts that have an entry, a deleted one too."""
        folder = self.template.folder(venue)
        answer = await self._asked(f"{self.mount}/metadata/{folder}?list=true", is_list=True)
        if answer.status == ABSENT and not _complains(answer):
            return ()
        if answer.status != OK:
            raise Unavailable(NAME, f"does not list {folder} ({answer.status})")
        keys = answer.part("data").get("keys")
        entries = keys if isinstance(keys, list) else []
        found = (self.template.account_in(venue, entry) for entry in entries if isinstance(entry, str))
        return sorted(name for name in found if name is not None)

    async def aclose(self) -> None:
        """Stop renewing the token, and close the connections."""
        await self.token.aclose()
        await self.nodes.remote.aclose()

    async def _asked(self, path: str, *, is_list: bool = False) -> Answer:
        """Ask; where the token is refused, once more with another."""
        token = await self.token.get()
        answer = await self.nodes.ask("GET", path, token, is_list=is_list)
        if answer.status == DENIED and (other := await self.token.after_refusal(token)) is not None:
            answer = await self.nodes.ask("GET", path, other, is_list=is_list)
        return answer


def _material(answer: Answer) -> Material | Unusable:
    if answer.tree is None:
        return TOO_LARGE
    version = answer.part("data", "metadata").get("version")
    if not isinstance(version, int):
        return Unusable("", "is in no KV mount of version 2")
    return material_from(answer.part("data").get("data"), version)


def _absent(answer: Answer) -> Missing:
    """A path without a secret, or with a deleted version, is an answer; a wrong mount or namespace is a fault."""
    if _complains(answer):
        raise Unavailable(NAME, "knows no such mount or namespace")
    return Missing()


def _complains(answer: Answer) -> bool:
    return bool((answer.tree or {}).get("errors"))
