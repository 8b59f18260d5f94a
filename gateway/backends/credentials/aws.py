"""Credentials in AWS Secrets Manager, one secret each; its VersionId is the version here.

https://docs.aws.amazon.com/secretsmanager/latest/apireference/ (read November 2026)
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias
from urllib.parse import urlsplit

import orjson

from gateway.backends.credentials.aws_identity import NAME, OK, Identities
from gateway.backends.credentials.remote import ANSWER_MOST_BYTES, Remote, Said
from gateway.backends.credentials.sigv4 import Identity, Target, signed_headers
from gateway.backends.credentials.store import (
    TOO_LARGE,
    Denied,
    Material,
    Missing,
    Stored,
    Unusable,
    fields_of,
    wipe,
)
from gateway.backends.credentials.template import Template
from gateway.core.access import is_name
from gateway.core.http_date import http_date_ms
from gateway.core.model import Account, VenueId
from gateway.ports import Clock, Unavailable

JSON = "application/x-amz-json-1.1"
LIST_MOST_BYTES, PAGE, PAGES_MOST = 4 * 1024 * 1024, 100, 100
SKEW_S = 240
Json: TypeAlias = Mapping[str, object]
OLD_IDENTITY = frozenset({"ExpiredTokenException", "UnrecognizedClientException", "InvalidClientTokenId"})
WRONG_SIGNATURE = frozenset({"InvalidSignatureException", "SignatureDoesNotMatch", "RequestExpired"})
BUSY = frozenset({"ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded"})
SERVER_ERROR = 500
ABSENT = "ResourceNotFoundException"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a call: a tree, or the name of an error. `too_large` where the body was not read."""

    tree: Json
    error: str = ""
    too_large: bool = False


@dataclass(frozen=True, slots=True)
class AwsStore:
    """The secrets of one region."""

    remote: Remote
    identities: Identities
    clock: Clock
    url: str
    region: str
    template: Template

    async def read(self, account: Account) -> Stored:
        """The current version of one credential."""
        if not is_name(account.name) or not is_name(account.venue):
            return Missing()
        answer = await self._call("GetSecretValue", {"SecretId": self.template.path(account)})
        if answer.too_large:
            return TOO_LARGE
        match answer.error:
            case "":
                return _material(answer.tree)
            case "ResourceNotFoundException":
                return Missing()
            case error:
                return Denied(f"AWS answers {error}")

    async def names(self, venue: VenueId) -> Sequence[str]:
        """The accounts that have a secret."""
        start = self.template.beginning(venue)
        sent: dict[str, object] = {"MaxResults": PAGE, "Filters": [{"Key": "name", "Values": [start]}]}
        found: set[str] = set()
        for _ in range(PAGES_MOST):
            answer = await self._call("ListSecrets", sent, LIST_MOST_BYTES)
            if answer.error or answer.too_large:
                raise Unavailable(NAME, f"does not list {start} ({answer.error or 'too many'})")
            found.update(self._accounts(venue, answer.tree))
            if not isinstance(following := answer.tree.get("NextToken"), str):
                break
            sent["NextToken"] = following
        return sorted(found)

    async def aclose(self) -> None:
        """Forget the keys, and close the connections."""
        await self.identities.aclose()
        await self.remote.aclose()

    def _accounts(self, venue: VenueId, page: Json) -> set[str]:
        listed = page.get("SecretList")
        entries = [entry.get("Name") for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
        found = {self.template.account_at(venue, entry) for entry in entries if isinstance(entry, str)}
        return {name for name in found if name is not None}

    async def _call(self, action: str, sent: Json, most_bytes: int = ANSWER_MOST_BYTES) -> Answer:
        """Ask; where our keys are no longer good, once more with others."""
        identity, body = await self.identities.get(), orjson.dumps(sent)
        answer = await self._asked(identity, action, body, most_bytes)
        if answer.error in OLD_IDENTITY:
            if (other := await self.identities.after_refusal(identity)) is not None:
                answer = await self._asked(other, action, body, most_bytes)
            if answer.error in OLD_IDENTITY:
                raise Unavailable(NAME, f"refuses our keys ({answer.error})")
        return answer

    async def _asked(self, identity: Identity, action: str, body: bytes, most_bytes: int) -> Answer:
        headers = {"Content-Type": JSON, "X-Amz-Target": f"secretsmanager.{action}"}
        target = Target(urlsplit(self.url).netloc, self.region, "secretsmanager")
        at = datetime.fromtimestamp(self.clock.now_ms() / 1000, UTC)
        signed = signed_headers(identity, target, headers, body, at)
        said = await self.remote.ask("POST", self.url, signed, body, most_bytes)
        if said.body is None:
            return Answer({}, too_large=True)
        answer = _understood(said)
        if answer.error in WRONG_SIGNATURE:
            raise Unavailable(NAME, _of_the_clock(said, at))
        return answer


def _understood(said: Said) -> Answer:
    tree = _tree(said)
    if said.status == OK and tree is not None:
        return Answer(tree)
    kind = str((tree or {}).get("__type", "")).rpartition("#")[2]
    if kind == "InvalidRequestException" and "delet" in str((tree or {}).get("message", (tree or {}).get("Message"))):
        kind = ABSENT  # it waits for its deletion
    if not kind.isalnum() or said.status >= SERVER_ERROR or kind in BUSY:
        raise Unavailable(NAME, f"answers {said.status} {kind if kind.isalnum() else ''}".strip())
    return Answer({}, kind)


def _tree(said: Said) -> Json | None:
    assert said.body is not None  # noqa: S101  whoever asks has looked
    try:
        tree = orjson.loads(said.body)
    except orjson.JSONDecodeError:
        tree = None
    finally:
        wipe(said.body)
    return tree if isinstance(tree, dict) else None


def _material(tree: Json) -> Material | Unusable:
    text, binary, version = tree.get("SecretString"), tree.get("SecretBinary"), tree.get("VersionId")
    if isinstance(text, str):
        content = text.encode()
    elif isinstance(binary, str):
        try:
            content = base64.b64decode(binary, validate=True)
        except binascii.Error:
            return Unusable("", "is no base64")
    else:
        return Unusable("", "has no value")
    fields = fields_of(content)
    return fields if isinstance(fields, Unusable) else Material(fields, version if isinstance(version, str) else "")


def _of_the_clock(said: Said, at: datetime) -> str:
    """A signature that is too old or too new says so by the server's own clock."""
    theirs_ms = http_date_ms(said.headers.get("Date", ""))
    ahead_s = 0 if theirs_ms is None else round(at.timestamp() - theirs_ms / 1000)
    if abs(ahead_s) < SKEW_S:
        return "refuses our signature"
    return f"refuses our signature: this machine's clock is {abs(ahead_s)} s {'ahead' if ahead_s > 0 else 'behind'}"
