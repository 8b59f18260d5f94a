"""Canaries: words that stand in secrets and must stand nowhere else, and the search for them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from redis import Redis
from service_rig import Said

from gateway.sandbox.config import DEFAULT_CREDENTIALS

CANARY = "Canary7Qx"


def planted() -> dict[str, dict[str, dict[str, str]]]:
    """The sandbox's credentials with a canary in each; a private key must stay a good one, and is its own canary."""
    return {
        venue: {
            account: {
                name: value if name in {"account_id", "private_key"} else f"{CANARY}-{venue}-{account}-{name}"
                for name, value in fields.items()
            }
            for account, fields in accounts.items()
        }
        for venue, accounts in DEFAULT_CREDENTIALS.items()
    }


def private_keys() -> list[str]:
    fields = [fields for accounts in DEFAULT_CREDENTIALS.values() for fields in accounts.values()]
    return [each["private_key"].removeprefix("ed25519:").removeprefix("0x") for each in fields if "private_key" in each]


def lines_of_key(pem: Path) -> list[str]:
    """The lines of a private key, each of which gives much of it away."""
    return [line for line in pem.read_text().splitlines() if "KEY" not in line and len(line) > len(CANARY)]


@dataclass
class Search:
    """What must never be seen, and all that was seen."""

    marks: Sequence[str]
    seen: dict[str, bytes] = field(default_factory=dict)

    def keep(self, where: str, what: bytes | Said) -> None:
        raw = what if isinstance(what, bytes) else repr(sorted(what.headers.items())).encode() + what.body
        self.seen[where] = self.seen.get(where, b"") + raw

    @property
    def found(self) -> list[tuple[str, str]]:
        """Where which mark was seen."""
        return [(where, mark) for where, what in self.seen.items() for mark in self.marks if mark.encode() in what]


def all_of_redis(url: str) -> bytes:
    """Every key and value, whatever their kind."""
    found = b""
    with Redis.from_url(url) as client:
        for name in client.scan_iter(count=1000):
            found += name + b"\n" + (client.dump(name) or b"")
            match client.type(name):
                case b"string":
                    found += client.get(name) or b""
                case b"hash":
                    found += repr(client.hgetall(name)).encode()
                case b"stream":
                    found += repr(client.xrange(name)).encode()
                case b"zset":
                    found += repr(client.zrange(name, 0, -1)).encode()
                case _:
                    continue
    return found
