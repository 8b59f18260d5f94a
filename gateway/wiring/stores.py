"""Which secret store the settings mean, made ready to be read."""

from collections.abc import Mapping
from functools import partial
from typing import assert_never

from gateway.backends.credentials.aws import AwsStore
from gateway.backends.credentials.aws_identity import NAME as AWS
from gateway.backends.credentials.aws_identity import Identities
from gateway.backends.credentials.files import FileStore
from gateway.backends.credentials.remote import Remote, trusting
from gateway.backends.credentials.sealed import SealedFile
from gateway.backends.credentials.sealed_store import SealedStore, read_passphrase
from gateway.backends.credentials.store import Store
from gateway.backends.credentials.template import Template
from gateway.backends.credentials.vault import VaultStore
from gateway.backends.credentials.vault_login import AppRole, GivenToken, ServiceAccount, Way, Word
from gateway.backends.credentials.vault_nodes import NAME as VAULT
from gateway.backends.credentials.vault_nodes import Nodes
from gateway.backends.credentials.vault_token import VaultToken
from gateway.ports import Clock
from gateway.settings.secrets import Aws, Provider, Secrets, Vault, VaultAuth


def store_of(said: Secrets, environment: Mapping[str, str], clock: Clock) -> Store:
    """The store; nothing is read yet."""
    match said.provider:
        case Provider.FILES:
            return FileStore(said.directory)
        case Provider.VAULT:
            return vault_store(said.vault, environment, clock)
        case Provider.AWS:
            return aws_store(said.aws, environment, clock)
        case Provider.SEALED:
            passphrase = partial(read_passphrase, said.passphrase_file, environment)
            return SealedStore(SealedFile(said.sealed_file, passphrase()), passphrase)
        case _:
            assert_never(said.provider)


def vault_store(said: Vault, environment: Mapping[str, str], clock: Clock) -> VaultStore:
    """A Vault or OpenBao."""
    remote = Remote(VAULT, said.timeout_ms, trusting(said.ca_file))
    nodes = Nodes(said.addresses, said.namespace, remote)
    return VaultStore(nodes, VaultToken(nodes, _way(said, environment), clock), said.mount, Template(said.path))


def _way(said: Vault, environment: Mapping[str, str]) -> Way:
    match said.auth:
        case VaultAuth.TOKEN:
            return GivenToken(Word("VAULT_TOKEN", environment.get("VAULT_TOKEN"), said.token_file))
        case VaultAuth.APPROLE:
            role_id = Word("VAULT_ROLE_ID", said.role_id or environment.get("VAULT_ROLE_ID"), said.role_id_file)
            secret_id = Word("VAULT_SECRET_ID", environment.get("VAULT_SECRET_ID"), said.secret_id_file)
            return AppRole(said.auth_mount, role_id, secret_id)
        case VaultAuth.KUBERNETES:
            return ServiceAccount(said.auth_mount, said.role, said.service_account_file)
        case _:
            assert_never(said.auth)


def aws_store(said: Aws, environment: Mapping[str, str], clock: Clock) -> AwsStore:
    """AWS Secrets Manager in one region."""
    remote = Remote(AWS, said.timeout_ms, trusting(said.ca_file))
    url = (said.endpoint_url or f"https://secretsmanager.{said.region}.amazonaws.com").rstrip("/") + "/"
    identities = Identities(remote, clock, said.region, environment)
    return AwsStore(remote, identities, clock, url, said.region, Template(said.name))
