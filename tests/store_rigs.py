"""The four providers as one kind of thing, for the tests that hold for all: an operator's hand on a real store."""

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Protocol, TypeAlias

import orjson
from real_bao import Bao
from real_moto import KEYS, REGION, Moto
from service_process import Tree

from gateway.backends.clock import SystemClock
from gateway.backends.credentials.files import FileStore
from gateway.backends.credentials.sealed import OTHERS, SealedFile
from gateway.backends.credentials.sealed_store import SealedStore
from gateway.backends.credentials.store import Store
from gateway.backends.credentials.vault import VaultStore
from gateway.core.model import Account
from gateway.settings.secrets import Aws, Vault, VaultAuth
from gateway.wiring.stores import aws_store, vault_store

OpenVault: TypeAlias = Callable[..., VaultStore]
PROVIDERS = ("sealed", "files", "vault", "aws")
FOLDERS = count()
VAULT = Vault(
    addresses=(), mount="secret", path="", namespace="", auth=VaultAuth.TOKEN, auth_mount="token", role="", role_id="",
    role_id_file=None, secret_id_file=None, token_file=None, service_account_file=Path("none"), ca_file=None,
    timeout_ms=2000,
)  # fmt: skip
AWS = Aws(REGION, "", None, None, timeout_ms=2000)


class StoreRig(Protocol):
    """A store and who fills it."""

    def open(self) -> Store:
        """The store as the service has it; must be called inside a running loop."""
        ...

    def put(self, account: Account, fields: Mapping[str, object]) -> None:
        """Store these fields."""
        ...

    def remove(self, account: Account) -> None:
        """Take a credential out."""
        ...

    def lose(self) -> None:
        """Make the store unable to answer."""
        ...

    def find(self) -> None:
        """And able again."""
        ...


@dataclass
class SealedRig:
    """One sealed file."""

    folder: Path
    passphrase: str = "passphrase"

    @property
    def file(self) -> SealedFile:
        return SealedFile(self.folder / "secrets.sealed", self.passphrase)

    def open(self) -> Store:
        return SealedStore(self.file)

    def put(self, account: Account, fields: Mapping[str, object]) -> None:
        # The command line refuses what is no string; a file from elsewhere need not.
        self.file.put(account, fields)  # type: ignore[arg-type]  # on purpose

    def remove(self, account: Account) -> None:
        self.file.remove(account)

    def lose(self) -> None:
        (self.folder / "secrets.sealed").chmod(OTHERS)

    def find(self) -> None:
        (self.folder / "secrets.sealed").chmod(0o600)


@dataclass
class FileRig:
    """A folder as Kubernetes mounts it: `..data` is a link that is swapped as a whole."""

    folder: Path
    _content: dict[str, dict[str, bytes]] = field(default_factory=dict, repr=False)
    _number: Iterator[int] = field(default_factory=count)

    def open(self) -> Store:
        return FileStore(self.folder)

    def put(self, account: Account, fields: Mapping[str, object]) -> None:
        self.put_raw(account, orjson.dumps(fields))

    def put_raw(self, account: Account, content: bytes) -> None:
        self._content.setdefault(account.venue, {})[f"{account.name}.json"] = content
        self._swap(account.venue)

    def remove(self, account: Account) -> None:
        del self._content[account.venue][f"{account.name}.json"]
        self._swap(account.venue)

    def lose(self) -> None:
        self.folder.rename(self.folder.with_suffix(".away"))

    def find(self) -> None:
        self.folder.with_suffix(".away").rename(self.folder)

    def _swap(self, venue: str) -> None:
        """As the kubelet does it: a new folder, a new link over the old one, then the old folder goes."""
        mount = self.folder / venue
        mount.mkdir(parents=True, exist_ok=True)
        fresh = mount / f"..{next(self._number)}"
        fresh.mkdir()
        for name, content in self._content[venue].items():
            (fresh / name).write_bytes(content)
        link, scratch = mount / "..data", mount / "..data_tmp"
        old = link.resolve() if link.exists() else None
        scratch.symlink_to(fresh.name)
        scratch.replace(link)
        for name in self._content[venue]:
            if not (mount / name).is_symlink():
                (mount / name).symlink_to(f"..data/{name}")
        for entry in mount.glob("*.json"):
            if entry.name not in self._content[venue]:
                entry.unlink()
        if old is not None:
            for entry in old.iterdir():
                entry.unlink()
            old.rmdir()


@dataclass
class VaultRig:
    """A folder of its own in a real OpenBao; `lose` stops the process in its tracks."""

    bao: Bao
    folder: str = field(default_factory=lambda: f"cancel-gateway/t{next(FOLDERS)}")
    said: Vault = VAULT

    def open(self) -> Store:
        environment = {"VAULT_TOKEN": self.bao.token("gateway", "1h")}
        said = replace(self.said, addresses=(self.bao.url,), path=self.folder + "/{venue}/{account}", timeout_ms=500)
        return vault_store(said, environment, SystemClock())

    def put(self, account: Account, fields: Mapping[str, object]) -> None:
        self.bao.put(f"{self.folder}/{account.venue}/{account.name}", fields)

    def remove(self, account: Account) -> None:
        self.bao.call("DELETE", f"secret/metadata/{self.folder}/{account.venue}/{account.name}")

    def lose(self) -> None:
        os.kill(self.bao.process.pid, signal.SIGSTOP)

    def find(self) -> None:
        os.kill(self.bao.process.pid, signal.SIGCONT)


@dataclass
class AwsRig:
    """Names of its own in moto's Secrets Manager; `lose` stops the process in its tracks."""

    moto: Moto
    folder: str = field(default_factory=lambda: f"cancel-gateway/t{next(FOLDERS)}")

    def open(self) -> Store:
        name = self.folder + "/{venue}/{account}"
        return aws_store(replace(AWS, name=name, endpoint_url=self.moto.url, timeout_ms=1000), KEYS, SystemClock())

    def put(self, account: Account, fields: Mapping[str, object]) -> None:
        self.moto.put(f"{self.folder}/{account.venue}/{account.name}", orjson.dumps(fields).decode())

    def remove(self, account: Account) -> None:
        self.moto.call("DeleteSecret", SecretId=f"{self.folder}/{account.venue}/{account.name}")

    def lose(self) -> None:
        os.kill(self.moto.process.pid, signal.SIGSTOP)

    def find(self) -> None:
        os.kill(self.moto.process.pid, signal.SIGCONT)


@contextmanager
def rig_of(provider: str, folder: Path, bao: Bao, moto: Moto) -> Iterator[StoreRig]:
    """An empty store of a provider, able to answer again in the end."""
    rigs: dict[str, StoreRig] = {
        "sealed": SealedRig(folder / "sealed"),
        "files": FileRig(folder / "files"),
        "vault": VaultRig(bao),
        "aws": AwsRig(moto),
    }
    try:
        yield rigs[provider]
    finally:
        os.kill(bao.process.pid, signal.SIGCONT)
        os.kill(moto.process.pid, signal.SIGCONT)


def secrets_of(store: StoreRig) -> tuple[Tree, dict[str, str]]:
    """The section of the settings, and what stands in the environment beside it."""
    common: Tree = {"refresh_seconds": 1, "stale_seconds": 600}
    match store:
        case SealedRig():
            return common | {"provider": "sealed", "sealed_file": str(store.file.path)}, {
                "CANCEL_GATEWAY_PASSPHRASE": store.passphrase
            }
        case VaultRig():
            vault = {"address": store.bao.url, "path": store.folder + "/{venue}/{account}", "auth": "token"}
            return common | {"provider": "vault", "vault": vault}, {"VAULT_TOKEN": store.bao.token("gateway", "1h")}
        case AwsRig():
            aws = {"region": REGION, "name": store.folder + "/{venue}/{account}", "endpoint_url": store.moto.url}
            return common | {"provider": "aws", "aws": aws}, dict(KEYS)
        case _:
            return common | {"provider": "files", "directory": str(store.folder)}, {}  # type: ignore[attr-defined]  # the one left
