"""`[secrets]`: which store holds the credentials, how it is reached, and how long what was read may serve."""

import re
import ssl
from dataclasses import dataclass
from enum import StrEnum, unique
from pathlib import Path

from gateway.settings.paths import is_folder, optional, readable
from gateway.settings.schema import Section, Wrong
from gateway.settings.syntax import base_url

DAY_SECONDS = 86_400
KUBERNETES_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105  where it lies
_WORD = r"[A-Za-z0-9_.+=@-]"
_TEMPLATE = re.compile(rf"(?:{_WORD}|/|\{{venue\}}|\{{account\}})+")
_MOUNT = re.compile(rf"{_WORD}+(?:/{_WORD}+)*")
_NAMESPACE = re.compile(rf"(?:{_WORD}+(?:/{_WORD}+)*/?)?")
_REGION = re.compile(r"[a-z0-9-]{1,32}")


@unique
class Provider(StrEnum):
    """Which kind of store."""

    SEALED = "sealed"
    FILES = "files"
    VAULT = "vault"
    AWS = "aws"


@unique
class VaultAuth(StrEnum):
    """How a token is come by at a Vault."""

    TOKEN = "token"  # noqa: S105  the name of a method
    APPROLE = "approle"
    KUBERNETES = "kubernetes"


@dataclass(frozen=True, slots=True)
class Vault:
    """Where credentials lie in a Vault or OpenBao (KV version 2), and who the gateway is there."""

    addresses: tuple[str, ...]
    mount: str
    path: str
    namespace: str
    auth: VaultAuth
    auth_mount: str
    role: str
    role_id: str
    role_id_file: Path | None
    secret_id_file: Path | None
    token_file: Path | None
    service_account_file: Path
    ca_file: Path | None
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class Aws:
    """Where credentials lie in AWS Secrets Manager. Who the gateway is there comes from the environment, as usual."""

    region: str
    name: str
    endpoint_url: str | None
    ca_file: Path | None
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class Secrets:
    """Which store holds the credentials, and how long a read one may serve."""

    provider: Provider
    refresh_seconds: int
    stale_seconds: int
    directory: Path
    sealed_file: Path
    passphrase_file: Path | None
    vault: Vault
    aws: Aws


def read_secrets(root: Section, folder: Path) -> Secrets:
    """The section; relative paths start at `folder`."""
    with root.section("secrets") as secrets:
        provider = Provider(secrets.choice("provider", Provider.SEALED, Provider))
        directory = folder / secrets.text("directory", "/var/run/secrets/venues")
        if provider is Provider.FILES and not is_folder(directory):
            secrets.fault("directory", "is no folder here", "give the folder that holds <venue>/<account>.json")
        return Secrets(
            provider=provider,
            refresh_seconds=secrets.whole("refresh_seconds", 60, 1, DAY_SECONDS),
            stale_seconds=secrets.whole("stale_seconds", 3600, 0, 30 * DAY_SECONDS),
            directory=directory,
            sealed_file=folder / secrets.text("sealed_file", "var/secrets.sealed"),
            passphrase_file=_file(secrets, "passphrase_file", folder),
            vault=_vault(secrets, folder, in_use=provider is Provider.VAULT),
            aws=_aws(secrets, folder, in_use=provider is Provider.AWS),
        )


def _vault(secrets: Section, folder: Path, *, in_use: bool) -> Vault:
    with secrets.section("vault") as vault:
        auth = VaultAuth(vault.choice("auth", VaultAuth.KUBERNETES, VaultAuth))
        said = Vault(
            addresses=vault.parsed("address", _addresses, "https://vault:8200", ()),
            mount=vault.parsed("mount", _mount, "secret", ""),
            path=vault.parsed("path", template, "cancel-gateway/{venue}/{account}", ""),
            namespace=vault.parsed("namespace", _namespace, "", ""),
            auth=auth,
            auth_mount=vault.parsed("auth_mount", _mount, auth, ""),
            role=vault.text("role", "cancel-gateway"),
            role_id=vault.text("role_id", ""),
            role_id_file=_file(vault, "role_id_file", folder),
            secret_id_file=_file(vault, "secret_id_file", folder),
            token_file=_file(vault, "token_file", folder),
            service_account_file=folder / vault.text("service_account_file", KUBERNETES_TOKEN),
            ca_file=_authorities(vault, folder),
            timeout_ms=vault.whole("timeout_ms", 2000, 50, 60_000),
        )
        if said.role_id and said.role_id_file is not None:
            vault.fault("role_id_file", "stands beside role_id", "give one of them")
        if in_use and auth is VaultAuth.KUBERNETES and not said.role:
            vault.fault("role", "is empty", "give the role that the service account may take")
        return said


def _aws(secrets: Section, folder: Path, *, in_use: bool) -> Aws:
    with secrets.section("aws") as aws:
        region = aws.parsed("region", _region, "", "")
        endpoint = aws.text("endpoint_url", "")
        if in_use and not region:
            aws.fault("region", "is missing", 'give the region of the secrets, such as "eu-central-1"')
        return Aws(
            region=region,
            name=aws.parsed("name", template, "cancel-gateway/{venue}/{account}", ""),
            endpoint_url=aws.parsed("endpoint_url", base_url, None, "") if endpoint else None,
            ca_file=_authorities(aws, folder),
            timeout_ms=aws.whole("timeout_ms", 2000, 50, 60_000),
        )


def template(text: str) -> str | Wrong:
    """Where one account's credential lies: a path that names venue and account once each, with nothing to escape."""
    text = text.strip("/")
    parts = text.split("/")
    if text.count("{venue}") != 1 or text.count("{account}") != 1:
        return Wrong("does not name {venue} and {account} once each", 'give "cancel-gateway/{venue}/{account}"')
    if text.index("{account}") < text.index("{venue}"):
        return Wrong("names {account} before {venue}", 'give "cancel-gateway/{venue}/{account}"')
    if not _TEMPLATE.fullmatch(text) or "" in parts or {".", ".."} & set(parts):
        return Wrong("is no path of letters, digits and _ . + = @ -", 'give "cancel-gateway/{venue}/{account}"')
    return text


def _addresses(text: str) -> tuple[str, ...] | Wrong:
    """One address or several, with commas between them."""
    found = [base_url(part) for part in text.split(",")]
    wrong = next((one for one in found if isinstance(one, Wrong)), None)
    return wrong or tuple(one for one in found if isinstance(one, str))


def _mount(text: str) -> str | Wrong:
    path = text.strip("/")
    return path if _MOUNT.fullmatch(path) and ".." not in path else Wrong("is no mount path", 'give one like "secret"')


def _namespace(text: str) -> str | Wrong:
    path = text.strip("/")
    return path if _NAMESPACE.fullmatch(path) else Wrong("is no namespace", 'give one like "team-a", or leave it empty')


def _region(text: str) -> str | Wrong:
    return text if not text or _REGION.fullmatch(text) else Wrong("is no region", 'give one like "eu-central-1"')


def _file(section: Section, key: str, folder: Path) -> Path | None:
    """A file that may be left out; where it is named, this user must be able to read it."""
    path = optional(section, key, folder)
    if path is not None:
        readable(section, key, path)
    return path


def _authorities(section: Section, folder: Path) -> Path | None:
    path = optional(section, "ca_file", folder)
    if path is None or not readable(section, "ca_file", path):
        return path
    try:
        ssl.create_default_context(cafile=str(path))
    except (ssl.SSLError, OSError):
        section.fault("ca_file", "holds no certificate", "give a PEM file")
    return path
