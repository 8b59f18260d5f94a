"""What is Vault's own, against a real OpenBao: tokens that end, policies, roles, namespaces, sealed nodes."""

import asyncio
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from itertools import count
from pathlib import Path

import orjson
import pytest
import trustme
from raw_store import raw_store, said
from real_bao import Bao
from store_rigs import OpenVault

from gateway.backends.credentials.store import Denied, Material
from gateway.core.model import Account, VenueId
from gateway.ports import Unavailable
from gateway.settings.secrets import VaultAuth

DESK = Account(VenueId("plain"), "desk-a")
ROLES = count()
PATH = "cancel-gateway/plain/desk-a"


async def until(true: Callable[[], bool], within_s: float = 8.0) -> None:
    async with asyncio.timeout(within_s):
        while not true():  # noqa: ASYNC110  another process is waited for
            await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def stored(bao_session: Bao) -> None:
    bao_session.put(PATH, {"key": "k1"})


def approle(bao: Bao, tmp_path: Path, policy: str = "gateway", **terms: object) -> dict[str, object]:
    """What the gateway is told of a new role of these rights."""
    role_id, secret_id = bao.approle(f"role-{next(ROLES)}", token_policies=[policy], **terms)
    (tmp_path / "secret-id").write_text(secret_id + "\n")
    return {
        "auth": VaultAuth.APPROLE,
        "auth_mount": "approle",
        "role_id": role_id,
        "secret_id_file": tmp_path / "secret-id",
    }


async def test_version_is_the_vaults_own_number(bao_session: Bao, open_vault: OpenVault) -> None:
    store = open_vault(bao_session.url, environment={"VAULT_TOKEN": bao_session.token("gateway", "1h")})
    before = await store.read(DESK)
    bao_session.put(PATH, {"key": "k2"})

    after = await store.read(DESK)

    assert isinstance(before, Material)
    assert isinstance(after, Material)
    numbers = [int(each.version.partition("-")[0]) for each in (before, after)]
    assert numbers[1] == numbers[0] + 1


async def test_login_by_role_reads_and_logs_in_once_for_many(
    bao_session: Bao, open_vault: OpenVault, tmp_path: Path
) -> None:
    store = open_vault(bao_session.url, **approle(bao_session, tmp_path, secret_id_num_uses=1))

    found = await asyncio.gather(*(store.read(DESK) for _ in range(50)))

    assert all(isinstance(each, Material) for each in found)  # a second login would have been refused


async def test_token_is_renewed_before_it_ends(bao_session: Bao, open_vault: OpenVault, tmp_path: Path) -> None:
    """The secret id is good for one login, so that only renewals can explain a token that lives on."""
    role = approle(bao_session, tmp_path, secret_id_num_uses=1, token_ttl="2s", token_max_ttl="60s")
    store = open_vault(bao_session.url, **role)
    token = await store.token.get()

    began = time.monotonic()
    while time.monotonic() - began < 3.5:
        assert isinstance(await store.read(DESK), Material)
        await asyncio.sleep(0.1)

    assert await store.token.get() == token


async def test_token_at_its_largest_life_is_replaced_by_a_login(
    bao_session: Bao, open_vault: OpenVault, tmp_path: Path
) -> None:
    store = open_vault(bao_session.url, **approle(bao_session, tmp_path, token_ttl="1s", token_max_ttl="2s"))
    token = await store.token.get()

    began = time.monotonic()
    while time.monotonic() - began < 3:
        assert isinstance(await store.read(DESK), Material)
        await asyncio.sleep(0.05)

    assert await store.token.get() != token


async def test_revoked_token_is_replaced_once_for_all_who_meet_it(
    bao_session: Bao, open_vault: OpenVault, tmp_path: Path
) -> None:
    store = open_vault(bao_session.url, **approle(bao_session, tmp_path, secret_id_num_uses=2))
    first = await store.token.get()
    bao_session.call("POST", "auth/token/revoke", {"token": first})
    store.token._vouched_until = 0.0  # as if it had been got some time ago

    found = await asyncio.gather(*(store.read(DESK) for _ in range(16)))

    assert all(isinstance(each, Material) for each in found)
    assert await store.token.get() != first


async def test_denied_path_is_that_accounts_trouble_and_no_reason_to_log_in(
    bao_session: Bao, open_vault: OpenVault, tmp_path: Path
) -> None:
    bao_session.policy("narrow", f'path "secret/data/{PATH}" {{ capabilities = ["read"] }}')
    store = open_vault(bao_session.url, **approle(bao_session, tmp_path, "narrow", secret_id_num_uses=1))

    allowed, denied = await store.read(DESK), await store.read(Account(DESK.venue, "desk-b"))
    store.token._vouched_until = 0.0
    again = await store.read(Account(DESK.venue, "desk-b"))

    assert isinstance(allowed, Material)
    assert (denied, again) == (Denied("the vault's policy denies reading it"),) * 2
    with pytest.raises(Unavailable, match="does not list"):
        await store.names(DESK.venue)


async def test_wrong_secret_id_is_told_and_not_tried_again_at_once(
    bao_session: Bao, open_vault: OpenVault, tmp_path: Path
) -> None:
    store = open_vault(bao_session.url, **approle(bao_session, tmp_path))
    secret_id = (tmp_path / "secret-id").read_text()
    (tmp_path / "secret-id").write_text("guess")

    with pytest.raises(Unavailable, match="refuses the login at auth/approle/login"):
        await store.read(DESK)
    (tmp_path / "secret-id").write_text(secret_id)
    with pytest.raises(Unavailable, match="refuses the login"):
        await store.read(DESK)
    store.token._refused_until = 0.0  # as if some seconds had passed

    assert isinstance(await store.read(DESK), Material)


async def test_token_without_end_that_is_revoked_is_a_store_that_refuses_us(
    bao_session: Bao, open_vault: OpenVault
) -> None:
    token = bao_session.token("gateway", "1h")
    store = open_vault(bao_session.url, environment={"VAULT_TOKEN": token})
    assert isinstance(await store.read(DESK), Material)
    bao_session.call("POST", "auth/token/revoke", {"token": token})
    store.token._vouched_until = 0.0

    with pytest.raises(Unavailable, match="refuses our token"):
        await store.read(DESK)


async def test_new_token_in_the_file_is_taken_when_the_old_one_is_refused(
    bao_session: Bao, open_vault: OpenVault, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(old := bao_session.token("gateway", "1h"))
    store = open_vault(bao_session.url, token_file=tmp_path / "token")
    assert isinstance(await store.read(DESK), Material)
    bao_session.call("POST", "auth/token/revoke", {"token": old})
    (tmp_path / "token").write_text(bao_session.token("gateway", "1h"))
    store.token._vouched_until = 0.0

    assert isinstance(await store.read(DESK), Material)


async def test_kubernetes_service_account_logs_in(bao_session: Bao, open_vault: OpenVault, tmp_path: Path) -> None:
    user = {"username": "system:serviceaccount:trading:gateway", "uid": "1", "groups": []}
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview"}
    status = {"authenticated": True, "user": user}
    account = {"namespace": "trading", "service-account.name": "gateway", "service-account.uid": "1"}
    claims = {"iss": "kubernetes/serviceaccount", "sub": user["username"]}
    claims |= {f"kubernetes.io/serviceaccount/{name}": value for name, value in account.items()}
    parts = [urlsafe_b64encode(orjson.dumps(part)).rstrip(b"=") for part in ({"alg": "RS256", "typ": "JWT"}, claims)]
    authority = trustme.CA().cert_pem.bytes().decode()
    (tmp_path / "jwt").write_bytes(b".".join([*parts, b"c2ln"]))
    async with raw_store(said("201 Created", orjson.dumps(review | {"status": status}))) as cluster:
        if "kubernetes/" not in bao_session.call("GET", "sys/auth")["data"]:
            bao_session.call("POST", "sys/auth/kubernetes", {"type": "kubernetes"})
        terms = {"kubernetes_host": cluster.url, "disable_local_ca_jwt": True, "kubernetes_ca_cert": authority}
        bao_session.call("POST", "auth/kubernetes/config", terms)
        bound = {"bound_service_account_names": ["gateway"], "bound_service_account_namespaces": ["trading"]}
        role = bound | {"token_policies": ["gateway"], "token_ttl": "1h"}
        bao_session.call("POST", "auth/kubernetes/role/cancel-gateway", role)
        store = open_vault(
            bao_session.url,
            auth=VaultAuth.KUBERNETES,
            auth_mount="kubernetes",
            role="cancel-gateway",
            service_account_file=tmp_path / "jwt",
        )

        found = await store.read(DESK)

    assert isinstance(found, Material)


async def test_namespace_keeps_its_own_secrets_and_a_wrong_one_is_a_fault_of_the_store(
    bao_session: Bao, open_vault: OpenVault
) -> None:
    bao_session.call("POST", "sys/namespaces/team", {})
    bao_session.call("POST", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}}, namespace="team")
    await until(lambda: _is_mounted(bao_session))
    bao_session.put(PATH, {"key": "of-the-team"}, namespace="team")
    environment = {"VAULT_TOKEN": "root-of-these-tests"}

    ours = await open_vault(bao_session.url, environment=environment, namespace="team").read(DESK)

    assert isinstance(ours, Material)
    assert ours.fields == {"key": "of-the-team"}
    with pytest.raises(Unavailable, match="no such mount or namespace"):
        await open_vault(bao_session.url, environment=environment, namespace="nobody").read(DESK)
    with pytest.raises(Unavailable, match="no such mount or namespace"):
        await open_vault(bao_session.url, environment=environment, mount="elsewhere").read(DESK)


def _is_mounted(bao: Bao) -> bool:
    return "secret/" in bao.call("GET", "sys/mounts", namespace="team")["data"]


@pytest.mark.parametrize("status", ["429 Too Many Requests", "472 DR", "473 Standby", "503 Sealed", "307 Elsewhere"])
async def test_next_address_is_asked_where_one_is_standby_or_sealed(
    bao_session: Bao, open_vault: OpenVault, status: str
) -> None:
    environment = {"VAULT_TOKEN": bao_session.token("gateway", "1h")}
    async with raw_store(said(status, b"{}")) as standby:
        store = open_vault(standby.url, bao_session.url, environment=environment)

        found = [await store.read(DESK) for _ in range(3)]

    assert all(isinstance(each, Material) for each in found)
    assert len(standby.heads) == 1  # then the one that answered is asked first


async def test_only_standby_nodes_are_a_store_that_is_down(open_vault: OpenVault) -> None:
    async with raw_store(said("429 Too Many Requests", b"{}")) as standby:
        with pytest.raises(Unavailable, match="only standby nodes answer"):
            await open_vault(standby.url, environment={"VAULT_TOKEN": "t"}).read(DESK)


async def test_sealed_vault_is_down_and_works_again_unsealed_elsewhere(
    bao: Bao, bao_session: Bao, open_vault: OpenVault
) -> None:
    bao.put(PATH, {"key": "k1"})
    environment = {"VAULT_TOKEN": "root-of-these-tests"}
    alone = open_vault(bao.url, environment=environment)
    together = open_vault(bao.url, bao_session.url, environment=environment)
    assert isinstance(await alone.read(DESK), Material)
    assert isinstance(await together.read(DESK), Material)
    bao.call("PUT", "sys/seal")

    with pytest.raises(Unavailable, match="sealed"):
        await alone.read(DESK)

    assert isinstance(await together.read(DESK), Material)


async def test_no_secret_of_ours_stands_in_any_repr(bao_session: Bao, open_vault: OpenVault) -> None:
    store = open_vault(bao_session.url, environment={"VAULT_TOKEN": "root-of-these-tests"})
    found = await store.read(DESK)

    assert "root-of-these-tests" not in repr(store) + repr(vars(store.token))
    assert "k1" not in repr(found)
