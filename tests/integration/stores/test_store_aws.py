"""What is AWS's own: its signature against botocore's, its identities and its errors against moto."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import botocore.auth  # type: ignore[import-untyped]  # it has none
import botocore.awsrequest  # type: ignore[import-untyped]  # likewise
import botocore.credentials  # type: ignore[import-untyped]  # likewise
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_store import raw_store, said
from real_moto import KEYS, REGION, Moto
from store_rigs import AWS

from gateway.backends.clock import SystemClock
from gateway.backends.credentials.aws import AwsStore
from gateway.backends.credentials.sigv4 import Identity, Target, signed_headers
from gateway.backends.credentials.store import Denied, Material, Missing
from gateway.core.model import Account, VenueId
from gateway.ports import Unavailable
from gateway.wiring.stores import aws_store

DESK = Account(VenueId("plain"), "desk-a")
NAME = "cancel-gateway/plain/desk-a"
Opened: TypeAlias = Callable[[str, Mapping[str, str]], AwsStore]


@pytest.fixture
async def opened() -> AsyncIterator[Opened]:
    async with AsyncExitStack() as stack:

        def made(url: str, environment: Mapping[str, str]) -> AwsStore:
            said_ = replace(AWS, name="cancel-gateway/{venue}/{account}", endpoint_url=url, timeout_ms=2000)
            store = aws_store(said_, environment, SystemClock())
            stack.push_async_callback(store.aclose)
            return store

        yield made


WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)


@settings(max_examples=50, deadline=None)
@given(
    key_id=st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", min_size=16, max_size=20),
    secret=WORDS,
    token=st.none() | WORDS,
    body=st.binary(max_size=300),
    at=st.datetimes(datetime(2020, 1, 1), datetime(2039, 12, 31)),  # noqa: DTZ001  the zone is added below
    region=st.sampled_from(["us-east-1", "eu-central-1", "cn-north-1"]),
)
def test_signature_is_the_one_of_botocore(
    key_id: str, secret: str, token: str | None, body: bytes, at: datetime, region: str
) -> None:
    at = at.replace(tzinfo=UTC, microsecond=0)
    host = f"secretsmanager.{region}.amazonaws.com"
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "secretsmanager.GetSecretValue"}
    identity, target = Identity(key_id, secret, token), Target(host, region, "secretsmanager")

    ours = signed_headers(identity, target, headers, body, at)

    assert ours["authorization"] == _botocores(identity, target, headers, body, at)


def _botocores(identity: Identity, target: Target, headers: Mapping[str, str], body: bytes, at: datetime) -> str:
    """Botocore reads the clock by itself; its parts are called one by one so that the time can be given."""
    request = botocore.awsrequest.AWSRequest("POST", f"https://{target.host}/", dict(headers), body)
    credentials = botocore.credentials.Credentials(identity.key_id, identity.secret, identity.token)
    signer = botocore.auth.SigV4Auth(credentials, target.service, target.region)
    request.context["timestamp"] = at.strftime("%Y%m%dT%H%M%SZ")
    signer._modify_request_before_signing(request)
    canonical = signer.canonical_request(request)
    signature = signer.signature(signer.string_to_sign(request, canonical), request)
    signer._inject_signature_to_request(request, signature)
    return str(request.headers["Authorization"])


async def test_version_is_awss_own(moto_session: Moto, opened: Opened) -> None:
    moto_session.put(NAME, '{"key": "k1"}')

    found = await opened(moto_session.url, KEYS).read(DESK)

    assert isinstance(found, Material)
    assert found.version == moto_session.call("GetSecretValue", SecretId=NAME)["VersionId"]


async def test_secret_that_waits_for_its_deletion_is_missing(moto_session: Moto, opened: Opened) -> None:
    account = Account(DESK.venue, "leaving")
    moto_session.put("cancel-gateway/plain/leaving", '{"key": "k1"}')
    store = opened(moto_session.url, KEYS)
    before = await store.read(account)

    moto_session.call("DeleteSecret", SecretId="cancel-gateway/plain/leaving", RecoveryWindowInDays=7)

    assert isinstance(before, Material)
    assert await store.read(account) == Missing()


async def test_accounts_are_listed_over_all_pages(moto_session: Moto, opened: Opened) -> None:
    for number in range(105):
        moto_session.call("CreateSecret", Name=f"cancel-gateway/many/a{number}", SecretString="{}")

    names = await opened(moto_session.url, KEYS).names(VenueId("many"))

    assert len(names) == 105


async def test_web_identity_becomes_keys(moto_session: Moto, opened: Opened, tmp_path: Path) -> None:
    moto_session.put(NAME, '{"key": "k1"}')
    (tmp_path / "token").write_text("eyJhbGciOiJSUzI1NiJ9.e30.c2ln")
    environment = {
        "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/cancel-gateway",
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"),
        "AWS_ENDPOINT_URL_STS": moto_session.url,
    }
    store = opened(moto_session.url, environment)

    found, identity = await store.read(DESK), await store.identities.get()

    assert isinstance(found, Material)
    assert identity.token
    assert identity.until_ms is not None
    assert identity.secret not in repr(store) + repr(identity) + repr(vars(store.identities))


async def test_container_endpoint_gives_keys_for_its_token(moto_session: Moto, opened: Opened, tmp_path: Path) -> None:
    moto_session.put(NAME, '{"key": "k1"}')
    (tmp_path / "token").write_text("pod-token")
    given_keys = {"AccessKeyId": "AKID", "SecretAccessKey": "s", "Token": "t", "Expiration": "2099-01-01T00:00:00Z"}
    async with raw_store(said("200 OK", orjson.dumps(given_keys))) as endpoint:
        environment = {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": endpoint.url + "/v1/credentials",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(tmp_path / "token"),
        }
        found = await opened(moto_session.url, environment).read(DESK)

    assert isinstance(found, Material)
    assert [head for head in endpoint.heads if "Authorization: pod-token" in head]
    assert len(endpoint.heads) == 1


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({}, "neither keys"),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://10.0.0.1/"}, "neither https nor"),
        ({"AWS_ROLE_ARN": "r", "AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere"}, "cannot be read"),
    ],
)
async def test_identity_that_is_not_to_be_had_is_named(
    opened: Opened, environment: Mapping[str, str], reason: str
) -> None:
    with pytest.raises(Unavailable, match=reason):
        await opened("http://127.0.0.1:1", environment).read(DESK)


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("ResourceNotFoundException", Missing()),
        ("AccessDeniedException", Denied("AWS answers AccessDeniedException")),
        ("DecryptionFailure", Denied("AWS answers DecryptionFailure")),
    ],
)
async def test_refusal_of_one_secret_is_that_accounts_own(opened: Opened, kind: str, found: object) -> None:
    async with raw_store(said("400 Bad Request", orjson.dumps({"__type": kind}))) as aws:
        assert await opened(aws.url, KEYS).read(DESK) == found


@pytest.mark.parametrize("kind", ["ThrottlingException", "InternalServiceError", "ExpiredTokenException", "x\ny", ""])
async def test_refusal_that_is_not_about_the_secret_is_a_store_that_is_down(opened: Opened, kind: str) -> None:
    status = "500 Internal Server Error" if kind.startswith("Internal") else "400 Bad Request"
    async with raw_store(said(status, orjson.dumps({"__type": kind}))) as aws:
        with pytest.raises(Unavailable) as lost:
            await opened(aws.url, KEYS).read(DESK)

    assert "\n" not in lost.value.reason


async def test_credential_in_binary_form_is_read_as_well(opened: Opened) -> None:
    answer = {"SecretBinary": "eyJrZXkiOiAiazEifQ==", "VersionId": "v1"}
    async with raw_store(said("200 OK", orjson.dumps(answer))) as aws:
        found = await opened(aws.url, KEYS).read(DESK)

    assert found == Material({"key": "k1"}, "v1")


def test_region_is_signed() -> None:
    signed = signed_headers(Identity("K", "s"), Target("h", REGION, "x"), {}, b"", datetime(2026, 1, 1, tzinfo=UTC))

    assert f"/20260101/{REGION}/x/aws4_request" in signed["authorization"]
