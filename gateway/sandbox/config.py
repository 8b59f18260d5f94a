"""What the sandbox is started with: hosts, ports, published test credentials, limits. Values only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from gateway.sandbox.window import Limit

VENUE_IDS: Final = ("orderly", "hashkey", "loopring", "etna", "b2trader")
DEFAULT_PORTS: Final[Mapping[str, int]] = {venue: 7101 + index for index, venue in enumerate(VENUE_IDS)}
FREE_PORTS: Final[Mapping[str, int]] = dict.fromkeys(VENUE_IDS, 0)

CREDENTIAL_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "orderly": frozenset({"account_id", "private_key"}),
    "hashkey": frozenset({"api_key", "secret"}),
    "loopring": frozenset({"account_id", "api_key", "private_key"}),
    "etna": frozenset({"account_id", "app_key", "username", "password"}),
    "b2trader": frozenset({"account_id", "offline_token"}),
}
OPTIONAL_CREDENTIAL_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "etna": frozenset({"verification_code"}),  # asks for a second factor
    "hashkey": frozenset({"of"}),  # a further key of the account of that name
}

# Published on purpose: they open nothing but this sandbox.
DEFAULT_CREDENTIALS: Final[dict[str, dict[str, dict[str, str]]]] = {
    "orderly": {
        "desk-a": {
            "account_id": "0x" + "a1" * 32,
            "private_key": "ed25519:E5MUW8h22hU7oCPAhk6uUHCyqbjfzX4D39iiYUKP13aU",
        },
        "desk-b": {
            "account_id": "0x" + "b2" * 32,
            "private_key": "ed25519:AzGXJGuYGBVtPnnKrrpGQJoMLvFBe9jRRp15eXdkin3m",
        },
    },
    "hashkey": {
        "desk-a": {"api_key": "sandbox-hashkey-key-desk-a", "secret": "sandbox-hashkey-secret-desk-a"},
        "desk-b": {"api_key": "sandbox-hashkey-key-desk-b", "secret": "sandbox-hashkey-secret-desk-b"},
    },
    "loopring": {
        "desk-a": {
            "account_id": "10005",
            "api_key": "sandbox-loopring-key-desk-a",
            "private_key": "0x44ed94dbff58db1fbdfd7d9775406c64cf49b9a1bde3ff8042f43ca826d3aa5",
        },
        "desk-b": {
            "account_id": "10006",
            "api_key": "sandbox-loopring-key-desk-b",
            "private_key": "0x39140a521837c06102fb5dde5b0989d5b240040da132b0d022bc7509741e2c2",
        },
    },
    "etna": {
        "desk-a": {
            "account_id": "6303",
            "app_key": "sandbox-etna-app-key",
            "username": "desk-a",
            "password": "sandbox-etna-password-desk-a",
        },
        "desk-b": {
            "account_id": "6304",
            "app_key": "sandbox-etna-app-key",
            "username": "desk-b",
            "password": "sandbox-etna-password-desk-b",
        },
    },
    "b2trader": {
        "desk-a": {"account_id": "64b0c0ffee64b0c0ffee0a0a", "offline_token": "sandbox-b2trader-offline-desk-a"},
        "desk-b": {"account_id": "64b0c0ffee64b0c0ffee0b0b", "offline_token": "sandbox-b2trader-offline-desk-b"},
    },
}

_TEN: Final = Limit(10, 1000)
_FIVE: Final = Limit(5, 1000)
_ORDERLY_ENDPOINTS: Final = (
    "cancel_by_id", "cancel_by_client_id", "batch_by_id", "batch_by_client_id", "cancel_all",
    "read_by_id", "read_by_client_id", "list",
)  # fmt: skip

DEFAULT_LIMITS: Final[Mapping[str, Mapping[str, Limit]]] = {
    "orderly": {**dict.fromkeys(_ORDERLY_ENDPOINTS, _TEN), "system_info": Limit(1, 1000)},
    "hashkey": {"orders": _TEN, "queries": Limit(2, 1000)},
    "loopring": dict.fromkeys(("cancel", "batch_by_hash", "batch_by_client_id", "read", "list"), _FIVE),
    "etna": dict.fromkeys(("cancel", "read", "list"), _TEN),  # not published: an assumption
    "b2trader": {"cancel": _TEN},  # likewise
}


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """Everything a sandbox is started with; a port of 0 takes any free one."""

    host: str = "127.0.0.1"
    ports: Mapping[str, int] = field(default_factory=lambda: DEFAULT_PORTS)
    credentials: Mapping[str, Mapping[str, Mapping[str, str]]] = field(
        default_factory=lambda: DEFAULT_CREDENTIALS, repr=False
    )
    limits: Mapping[str, Mapping[str, Limit]] = field(default_factory=lambda: DEFAULT_LIMITS)
    cancel_delay_ms: int = 0  # how long an order outlives the answer to its cancel
    etna_token_ms: int = 24 * 3600 * 1000
    b2trader_token_ms: int = 300 * 1000
    hashkey_limit_status: int = 429  # the venue documents 400 with code 0003 too
    hashkey_ban_ms: int = 0  # how long after a 429 going on is answered 418; the venue says to wait a minute
