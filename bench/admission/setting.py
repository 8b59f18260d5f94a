"""What a scenario is played with, and the two TOML files that come of it. Values and text only."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from gateway.sandbox.config import DEFAULT_CREDENTIALS, VENUE_IDS

# The gateway's name of a limit, and the sandbox's names of what it covers.
LIMITS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "orderly": {
        "cancel": ("cancel_by_id",),
        "cancel_client": ("cancel_by_client_id",),
        "batch": ("batch_by_id",),
        "batch_client": ("batch_by_client_id",),
        "read": ("read_by_id",),
        "read_client": ("read_by_client_id",),
    },
    "hashkey": {"cancel": ("orders",), "read": ("queries",)},
    "etna": {"cancel": ("cancel",), "read": ("read", "list")},
}
Tree = dict[str, object]


@dataclass(frozen=True, slots=True)
class Setting:
    """One arrangement of venue, limit and gateways."""

    venue: str = "orderly"
    tokens: int = 10
    per_ms: int = 1000
    guard_ms: int = 20
    reserve: int = 0
    batching: bool = False
    replicas: int = 3
    replicas_max: int = 3
    weights: Mapping[str, int] = field(default_factory=lambda: {"desk": 1})
    waiting_most: int = 12_000
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    ban_status: int = 429


def token_of(caller: str) -> str:
    """The token of a caller of these scenarios."""
    return f"token-of-{caller}-0123456789"


def gateway_tree(setting: Setting, base_url: str, redis_url: str, secrets: Path) -> Tree:
    """What one gateway is told."""
    limit = {"tokens": setting.tokens, "per_ms": setting.per_ms, "guard_ms": setting.guard_ms}
    return {
        "server": {
            "listen": "127.0.0.1:0",
            "admin_listen": "127.0.0.1:0",
            "drain_seconds": 0,
            "max_waiting": setting.waiting_most,
            "max_waiting_per_caller": setting.waiting_most,
        },
        "redis": {"url": redis_url, "replicas_max": setting.replicas_max},
        "secrets": {"provider": "files", "directory": str(secrets)},
        "callers": {
            name: {
                "token_sha256": sha256(token_of(name).encode()).hexdigest(),
                "allow": ["*:*"],
                "permissions": ["cancel", "urgent", "read"],
                "weight": weight,
            }
            for name, weight in setting.weights.items()
        },
        "venues": {
            setting.venue: {
                "base_url": base_url,
                "default_account": "desk-a",
                "batching": setting.batching,
                "reserve": setting.reserve,
                "timeout_ms": 5000,
                "limits": dict.fromkeys(LIMITS[setting.venue], limit),
            }
        },
    }


def sandbox_tree(setting: Setting) -> Tree:
    """What the sandbox is told: the same limit, without any guard."""
    limit = {"tokens": setting.tokens, "per_ms": setting.per_ms}
    named = [name for names in LIMITS[setting.venue].values() for name in names]
    return {
        "sandbox": {
            "hashkey_limit_status": setting.ban_status,
            "ports": dict.fromkeys(VENUE_IDS, 0),
            "limits": {setting.venue: dict.fromkeys(named, limit)},
        }
    }


def put_secrets(folder: Path, venue: str) -> Path:
    """The sandbox's published credentials, as the provider `files` reads them."""
    for account, fields in DEFAULT_CREDENTIALS[venue].items():
        target = folder / venue / f"{account}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(fields))
        target.chmod(0o600)
    return folder


def toml(tree: Mapping[str, object], path: tuple[str, ...] = ()) -> str:
    """A tree as TOML: JSON's strings, numbers, flags and lists are TOML's as well."""
    lines = [f"{json.dumps(key)} = {json.dumps(value)}" for key, value in tree.items() if not isinstance(value, dict)]
    head = [f"[{'.'.join(json.dumps(key) for key in path)}]"] if path else []
    tables = [toml(value, (*path, key)) for key, value in tree.items() if isinstance(value, dict)]
    return "\n".join([*head, *lines, *tables])
