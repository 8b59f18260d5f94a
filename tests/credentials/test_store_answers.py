"""Whatever a Vault, an AWS, a file or a sealed box holds: a credential, a word about it, or a store that is down."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up import bodies, trees
from store_rigs import AWS, VAULT
from virtual_time import FakeClock

from gateway.backends.credentials.aws import AwsStore
from gateway.backends.credentials.aws_identity import Identities
from gateway.backends.credentials.files import FileStore
from gateway.backends.credentials.remote import Remote, Said
from gateway.backends.credentials.sealed import SealedFile
from gateway.backends.credentials.store import Denied, Material, Missing, Store, Stored, Unusable
from gateway.backends.credentials.template import Template
from gateway.backends.credentials.vault import VaultStore
from gateway.backends.credentials.vault_login import AppRole, GivenToken, Way, Word
from gateway.backends.credentials.vault_nodes import Nodes
from gateway.backends.credentials.vault_token import VaultToken
from gateway.core.model import Account, VenueId
from gateway.ports import Unavailable

DESK = Account(VenueId("plain"), "desk-a")
TEMPLATE = Template("cancel-gateway/{venue}/{account}")
STATUSES = st.sampled_from([200, 200, 200, 204, 301, 400, 403, 404, 405, 412, 429, 472, 500, 503])
DATES = st.sampled_from(["", "soon", "Mon, 01 Jan 2024 00:00:00 GMT", "1 Jan 2020 00:00:00 +99999999999999", "\udcff"])
OF_VAULT = [
    "auth",
    "client_token",
    "lease_duration",
    "renewable",
    "data",
    "metadata",
    "version",
    "errors",
    "keys",
    "ttl",
]
OF_AWS = ["SecretString", "SecretBinary", "VersionId", "__type", "message", "SecretList", "Name", "NextToken", "Token"]
OF_AWS += ["AccessKeyId", "SecretAccessKey", "Expiration"]
TYPES = st.sampled_from(["ResourceNotFoundException", "a#ThrottlingException", "InvalidSignatureException", "x\ny", ""])
TYPES |= st.sampled_from(["ExpiredTokenException", "InvalidRequestException", "AccessDeniedException"])


class Scripted(Remote):
    """Answers from a list, in turn; the last one stays."""

    def __init__(self, answers: list[Said]) -> None:
        super().__init__("scripted", 100)
        self.answers = answers

    async def ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        most_bytes: int = 0,
    ) -> Said:
        assert method
        assert url.isascii()
        assert headers
        assert body != b""
        assert most_bytes >= 0
        said = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return replace(said, body=None if said.body is None else bytearray(said.body))  # whoever reads it wipes it


def answers(*names: str) -> st.SearchStrategy[list[Said]]:
    body = st.none() | bodies(*names).map(bytearray)
    said = st.builds(lambda status, date, text: Said(status, {"Date": date}, text), STATUSES, DATES, body)
    return st.lists(said, min_size=1, max_size=4)


async def read_whole(store: Store) -> Stored | Unavailable:
    """What a store holds and lists; or that it is down."""
    found, names = await asyncio.gather(store.read(DESK), store.names(DESK.venue), return_exceptions=True)
    await store.aclose()
    assert isinstance(names, Unavailable) or all(isinstance(name, str) for name in names)  # type: ignore[union-attr]
    assert isinstance(found, Unavailable | Material | Missing | Unusable | Denied), repr(found)
    return found


def is_good(found: Stored | Unavailable) -> bool:
    """Whether a credential's values are all text, and a reason is one line."""
    if isinstance(found, Material):
        return all(isinstance(each, str) for each in (*found.fields, *found.fields.values(), found.version))
    return not isinstance(found, Unavailable) or "\n" not in found.reason


WAYS: list[Way] = [
    GivenToken(Word("VAULT_TOKEN", "t", None)),
    AppRole("approle", Word("VAULT_ROLE_ID", "r", None), Word("VAULT_SECRET_ID", "s", None)),
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: type(way).__name__)
@given(said=answers(*OF_VAULT))
def test_whatever_a_vault_answers_is_understood(way: Way, said: list[Said]) -> None:
    nodes = Nodes(("https://one", "https://two"), "", Scripted(said))
    found = asyncio.run(_of_vault(nodes, way))

    assert is_good(found)


async def _of_vault(nodes: Nodes, way: Way) -> Stored | Unavailable:
    return await read_whole(VaultStore(nodes, VaultToken(nodes, way, FakeClock()), VAULT.mount, TEMPLATE))


@given(token=trees(*OF_VAULT), secret=trees(*OF_VAULT), version=trees("x"))
def test_whatever_stands_where_a_vault_has_its_token_and_secret_is_understood(
    token: object, secret: object, version: object
) -> None:
    login = {"auth": {"client_token": "t", "lease_duration": version, "renewable": token} | ({"x": token})}
    held = {"data": {"data": secret, "metadata": {"version": version}}}
    said = [Said(200, {}, bytearray(orjson.dumps(each))) for each in (login, held, {"data": {"keys": secret}})]
    nodes = Nodes(("https://one",), "", Scripted(said))

    assert is_good(asyncio.run(_of_vault(nodes, WAYS[1])))


AWS_KEYS = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "s"}
CONTAINER = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "https://keys.internal/", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "t"}


@pytest.mark.parametrize("environment", [AWS_KEYS, CONTAINER], ids=["keys", "container"])
@given(said=answers(*OF_AWS), kind=st.none() | TYPES, keys=st.none() | trees(*OF_AWS))
def test_whatever_aws_answers_is_understood(
    environment: Mapping[str, str], said: list[Said], kind: str | None, keys: object
) -> None:
    if kind is not None:
        refused = orjson.dumps({"__type": kind, "message": "marked for deletion"})
        said = [Said(400, said[0].headers, bytearray(refused)), *said]
    if keys is not None:
        given_keys: dict[str, object] = {
            "AccessKeyId": "K",
            "SecretAccessKey": "s",
            "Token": "t",
            "Expiration": "0001-01-01T00:00:00",
        }
        given_keys |= keys if isinstance(keys, dict) else {"Expiration": keys}
        said = [Said(200, {}, bytearray(orjson.dumps(given_keys))), *said]

    assert is_good(asyncio.run(_of_aws(Scripted(said), environment)))


WEB_IDENTITY_PARTS = ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")


@given(parts=st.fixed_dictionaries(dict.fromkeys(WEB_IDENTITY_PARTS, st.text(max_size=30))), cut=st.integers(0, 400))
def test_whatever_sts_answers_is_understood(parts: dict[str, str], cut: int) -> None:
    folder = Path(__file__).parent
    environment = {"AWS_ROLE_ARN": "arn", "AWS_WEB_IDENTITY_TOKEN_FILE": str(folder / "test_files.py")}
    text = "".join(f"<{name}>{value}</{name}>" for name, value in parts.items()).encode("utf-8", "surrogatepass")

    assert is_good(asyncio.run(_of_aws(Scripted([Said(200, {}, bytearray(text[:cut]))]), environment)))


async def _of_aws(remote: Remote, environment: Mapping[str, str]) -> Stored | Unavailable:
    identities = Identities(remote, FakeClock(), AWS.region, environment)
    url = "https://secretsmanager.eu-central-1.amazonaws.com/"
    return await read_whole(AwsStore(remote, identities, FakeClock(), url, AWS.region, TEMPLATE))


@given(content=bodies("key", "secret", "account_id"))
def test_whatever_a_file_holds_is_understood(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.getbasetemp() / "files-of-any-kind"
    (folder / "plain").mkdir(parents=True, exist_ok=True)
    (folder / "plain" / "desk-a.json").write_bytes(content)

    assert is_good(asyncio.run(read_whole(FileStore(folder))))


@given(content=bodies("version", "salt", "ops", "memory_bytes", "box"), header=trees("salt"))
def test_whatever_stands_in_a_sealed_file_is_no_secret_or_a_store_that_is_down(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, header: object
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.sealed"
    whole = {"version": 1, "salt": "AAAAAAAAAAAAAAAAAAAAAA==", "ops": 1, "memory_bytes": 8192, "box": "AAAA"}
    changed = whole | header if isinstance(header, dict) else whole | {"salt": header, "ops": header, "box": header}
    for each in (content, orjson.dumps(changed)):
        path.write_bytes(each)
        path.chmod(0o600)
        with pytest.raises(Unavailable):
            SealedFile(path, "passphrase").open()
