"""The nodes of a Vault or OpenBao: one request goes to the first that can answer it.

A standby answers 429, 472 or 473, a sealed node 503, a standby that does not forward redirects: none of these says
anything about our request, and none is a rate limit. The next address is asked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import orjson

from gateway.backends.credentials.remote import ANSWER_MOST_BYTES, Remote, Said
from gateway.backends.credentials.store import wipe
from gateway.ports import Unavailable

NAME = "vault"
Json: TypeAlias = Mapping[str, object]
NOTHING: Json = {}
LIST_MOST_BYTES = 4 * 1024 * 1024
STANDBY = frozenset({412, 429, 472, 473})
OK, REDIRECT, BAD_REQUEST, DENIED, ABSENT, SERVER_ERROR, SEALED = 200, 300, 400, 403, 404, 500, 503


@dataclass(frozen=True, slots=True)
class Answer:
    """What a node said to a request that it understood; `tree` is None where the body was too large."""

    status: int
    tree: Json | None = field(repr=False)

    def part(self, *path: str) -> Json:
        """The object at this place; empty where there is none."""
        found: Json = self.tree or NOTHING
        for key in path:
            inner = found.get(key)
            found = inner if isinstance(inner, dict) else NOTHING
        return found


@dataclass(slots=True)
class Nodes:
    """Where the vault is. The address that answered last is asked first."""

    addresses: tuple[str, ...]
    namespace: str
    remote: Remote
    _first: int = 0

    async def ask(
        self,
        method: str,
        path: str,
        token: str | None,
        sent: Mapping[str, str] | None = None,
        *,
        is_list: bool = False,
    ) -> Answer:
        """Ask for `/v1/{path}`; raises Unavailable where no node answers."""
        headers = {"X-Vault-Request": "true"}
        if self.namespace:
            headers["X-Vault-Namespace"] = self.namespace
        if token is not None:
            headers["X-Vault-Token"] = token
        most_bytes = LIST_MOST_BYTES if is_list else ANSWER_MOST_BYTES
        body = None if sent is None else orjson.dumps(sent)
        reason = ""
        for step in range(len(self.addresses)):
            which = (self._first + step) % len(self.addresses)
            try:
                said = await self.remote.ask(method, f"{self.addresses[which]}/v1/{path}", headers, body, most_bytes)
                answer = _understood(said)
            except Unavailable as lost:
                reason = lost.reason
                continue
            self._first = which
            return answer
        raise Unavailable(NAME, reason)


def _understood(said: Said) -> Answer:
    if (why := _useless(said.status)) is not None:
        raise Unavailable(NAME, why)
    if said.body is None:
        return Answer(said.status, None)
    try:
        tree = orjson.loads(said.body) if said.body else NOTHING
    except orjson.JSONDecodeError:
        tree = None
    finally:
        wipe(said.body)
    if not isinstance(tree, dict):
        raise Unavailable(NAME, "what answers there is no vault")
    return Answer(said.status, tree)


def _useless(status: int) -> str | None:
    """Why a status says nothing about the request; None where it does."""
    if status == SEALED:
        return "is sealed, or not able to work"
    if status in STANDBY:
        return f"only standby nodes answer ({status})"
    if status >= SERVER_ERROR:
        return f"answers {status}"
    if REDIRECT <= status < BAD_REQUEST:
        return f"redirects elsewhere ({status}), which is not followed"
    return None
