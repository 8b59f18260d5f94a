"""Who the gateway is at AWS: keys in the environment, a web identity (IRSA), or a container's own endpoint.

In this order, as AWS's own SDKs look; profiles and the instance metadata service are left out: a cluster that lets
pods reach the latter gives every pod the node's rights.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import assert_never
from urllib.parse import urlencode, urlsplit

import orjson

from gateway.backends.credentials.remote import Remote, Said
from gateway.backends.credentials.sigv4 import Identity
from gateway.backends.credentials.single_flight import SingleFlight
from gateway.backends.credentials.store import wipe
from gateway.ports import Clock, Unavailable

NAME = "aws secrets manager"
OK = 200
AHEAD_MS = 300_000
TASK_HOST = "http://169.254.170.2"
CONTAINER_HOSTS = frozenset({"169.254.170.2", "169.254.170.23", "fd00:ec2::23", "localhost", "127.0.0.1", "::1"})
FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/xml"}
STS_FIELD = r"<{0}>([^<]{{1,8192}})</{0}>"


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys that were given, with no end known here."""

    identity: Identity


@dataclass(frozen=True, slots=True)
class WebIdentity:
    """A token in a file that STS changes into keys: what EKS gives a service account."""

    sts_url: str
    role: str
    session: str
    token_file: Path


@dataclass(frozen=True, slots=True)
class Container:
    """An address beside the container that gives keys: ECS, and EKS Pod Identity."""

    url: str
    token: str | None = field(repr=False)
    token_file: Path | None


Source = Keys | WebIdentity | Container


def source_of(environment: Mapping[str, str], region: str) -> Source:
    """Where keys come from; raises Unavailable where the environment names nothing."""
    said = environment.get
    key_id, secret = said("AWS_ACCESS_KEY_ID"), said("AWS_SECRET_ACCESS_KEY")
    if key_id and secret:
        return Keys(Identity(key_id, secret, said("AWS_SESSION_TOKEN") or None))
    role, token_file = said("AWS_ROLE_ARN"), said("AWS_WEB_IDENTITY_TOKEN_FILE")
    if role and token_file:
        sts_url = said("AWS_ENDPOINT_URL_STS") or said("AWS_ENDPOINT_URL") or f"https://sts.{region}.amazonaws.com"
        return WebIdentity(sts_url, role, said("AWS_ROLE_SESSION_NAME") or "cancel-gateway", Path(token_file))
    relative, full = said("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"), said("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    if url := (TASK_HOST + relative if relative else full):
        where = urlsplit(url)
        if where.scheme != "https" and where.hostname not in CONTAINER_HOSTS:
            raise Unavailable(NAME, "AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor a container endpoint")
        file = said("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
        return Container(url, said("AWS_CONTAINER_AUTHORIZATION_TOKEN"), Path(file) if file else None)
    raise Unavailable(NAME, "the environment holds neither keys, nor a web identity, nor a container endpoint")


class Identities:
    """The identity in use; got when it is needed, and anew before it ends. At most one call is in the air."""

    def __init__(self, remote: Remote, clock: Clock, region: str, environment: Mapping[str, str] | None = None) -> None:
        self._remote = remote
        self._clock = clock
        self._region = region
        self._environment = os.environ if environment is None else environment
        self._identity: Identity | None = None
        self._flight: SingleFlight[Identity] = SingleFlight()

    async def get(self) -> Identity:
        """One that should work; raises Unavailable where none is to be had."""
        if (identity := self._identity) is None or self._ends_soon(identity):
            return await self._flight.share(partial(self._got, identity))
        return identity

    async def after_refusal(self, refused: Identity) -> Identity | None:
        """Another one; None where there is no other."""
        other = self._identity
        if other is refused or other is None:
            other = await self._flight.share(partial(self._got, None))
        return other if other != refused else None

    async def aclose(self) -> None:
        """Drop it."""
        await self._flight.aclose()
        self._identity = None

    def _ends_soon(self, identity: Identity) -> bool:
        return identity.until_ms is not None and self._clock.now_ms() > identity.until_ms - AHEAD_MS

    async def _got(self, before: Identity | None) -> Identity:
        try:
            self._identity = await self._fetched()
        except Unavailable:
            if before is None or before.until_ms is None or self._clock.now_ms() >= before.until_ms:
                raise
            return before
        return self._identity

    async def _fetched(self) -> Identity:
        source = source_of(self._environment, self._region)
        match source:
            case Keys(identity=identity):
                return identity
            case WebIdentity():
                return await self._assumed(source)
            case Container():
                return await self._contained(source)
            case _:
                assert_never(source)

    async def _assumed(self, source: WebIdentity) -> Identity:
        form = {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": source.role,
            "RoleSessionName": source.session,
            "WebIdentityToken": _word(source.token_file),
        }
        said = await self._remote.ask("POST", source.sts_url.rstrip("/") + "/", FORM, urlencode(form).encode())
        text = _text(said, "STS refuses the web identity")
        parts = {
            name: re.search(STS_FIELD.format(name), text)
            for name in ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
        }
        return _identity({name: found[1] for name, found in parts.items() if found}, "SessionToken")

    async def _contained(self, source: Container) -> Identity:
        token = _word(source.token_file) if source.token_file is not None else source.token
        headers = {"Authorization": token} if token else {}
        text = _text(await self._remote.ask("GET", source.url, headers), "the container endpoint refuses")
        try:
            told = orjson.loads(text)
        except orjson.JSONDecodeError:
            told = None
        return _identity(told if isinstance(told, dict) else {}, "Token")


def _identity(told: Mapping[str, object], token_name: str) -> Identity:
    values = [told.get(name) for name in ("AccessKeyId", "SecretAccessKey", token_name, "Expiration")]
    texts = [value for value in values if isinstance(value, str)]
    if len(texts) != len(values):
        raise Unavailable(NAME, "the answer holds no keys")
    key_id, secret, token, until = texts
    try:
        until_ms = round(datetime.fromisoformat(until).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise Unavailable(NAME, "the answer holds no end of its keys") from None
    return Identity(key_id, secret, token, until_ms)


def _text(said: Said, refusal: str) -> str:
    if said.body is None or said.status != OK:
        raise Unavailable(NAME, f"{refusal} ({said.status})")
    text = said.body.decode(errors="replace")
    wipe(said.body)
    return text


def _word(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        raise Unavailable(NAME, f"{path} cannot be read") from None
