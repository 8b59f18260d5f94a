"""Who the gateway is at a Vault: one of three ways to come by a token. When to do so is decided in vault_token.py."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import assert_never

from gateway.backends.credentials.disk import Refused, read_guarded
from gateway.backends.credentials.vault_nodes import NAME
from gateway.ports import Unavailable

WORD_MOST_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Word:
    """A secret word that comes from the environment or from a file, which is read anew each time."""

    variable: str
    value: str | None = field(repr=False)
    file: Path | None

    def read(self) -> str:
        """The word; raises Unavailable where there is none."""
        if self.file is not None:
            return _line_of(self.file)
        if not self.value:
            raise Unavailable(NAME, f"{self.variable} is not set")
        return self.value


@dataclass(frozen=True, slots=True)
class GivenToken:
    """A token that somebody else has got."""

    token: Word


@dataclass(frozen=True, slots=True)
class AppRole:
    """Role id and secret id."""

    mount: str
    role_id: Word
    secret_id: Word


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """The token of a Kubernetes service account, which the kubelet changes every hour or so."""

    mount: str
    role: str
    token_file: Path


Way = GivenToken | AppRole | ServiceAccount


@dataclass(frozen=True, slots=True)
class LoginCall:
    """What is asked to get a token."""

    path: str
    sent: Mapping[str, str] = field(repr=False)


def login_call(way: AppRole | ServiceAccount) -> LoginCall:
    """The call, with what it takes as it stands now."""
    match way:
        case AppRole():
            sent = {"role_id": way.role_id.read(), "secret_id": way.secret_id.read()}
        case ServiceAccount():
            sent = {"role": way.role, "jwt": _line_of(way.token_file)}
        case _:
            assert_never(way)
    return LoginCall(f"auth/{way.mount}/login", sent)


def _line_of(path: Path) -> str:
    try:
        content = read_guarded(path, WORD_MOST_BYTES, forbidden_mode=0)
    except OSError as error:
        raise Unavailable(NAME, f"{path}: {error.strerror}") from None
    if isinstance(content, Refused):
        raise Unavailable(NAME, f"{path} {content.problem}")
    word = content.decode(errors="replace").strip()
    if not word.isascii() or not word.isprintable() or not word:
        raise Unavailable(NAME, f"{path} holds no single word")
    return word
