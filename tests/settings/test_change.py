"""Which keys differ between two settings, and which of them need a restart."""

from pathlib import Path

import pytest
from plain_venue import PLAIN

from gateway.settings import Settings, load
from gateway.settings.change import only_at_start

HASH = "a" * 64
LEAST = f"""
[callers.desk]
token_sha256 = "{HASH}"
allow = ["plain:*"]

[venues.plain]
base_url = "https://venue.example"
"""


def settings(folder: Path, text: str) -> Settings:
    (folder / "gateway.toml").write_text(text)
    found = load(folder / "gateway.toml", {}, (PLAIN,))
    assert isinstance(found, Settings), found
    return found


@pytest.mark.parametrize(
    "more",
    [
        "",
        '[callers.another]\ntoken_sha256 = "' + "b" * 64 + '"\nallow = ["plain:x"]',
        '[auth.jwt]\nissuer = "i"\njwks_url = "https://i.example/keys"',
    ],
)
def test_callers_and_issuer_are_taken_while_it_runs(tmp_path: Path, more: str) -> None:
    assert only_at_start(settings(tmp_path, LEAST), settings(tmp_path, LEAST + more)) == ()


@pytest.mark.parametrize(
    ("more", "keys"),
    [
        ('[server]\nlisten = "127.0.0.1:1"', {"server.listen.host", "server.listen.port"}),
        ("[server]\ndrain_seconds = 1", {"server.drain_seconds"}),
        ('[redis]\nurl = "redis://:hunter2@r.example"', {"redis.url"}),
        ("[records]\nttl_seconds = 100", {"records.ttl_seconds"}),
        ('[secrets]\nprovider = "files"\ndirectory = "."', {"secrets.provider", "secrets.directory"}),
        ('[log]\nlevel = "debug"', {"log.level"}),
        ("[venues.plain.limits.cancel]\ntokens = 7", {"venues.plain.limits.cancel.tokens"}),
    ],
)
def test_everything_else_is_named_by_its_key_and_never_by_its_value(tmp_path: Path, more: str, keys: set[str]) -> None:
    old = settings(tmp_path, LEAST)

    told = only_at_start(old, settings(tmp_path, LEAST + more))

    assert keys <= set(told)
    assert "hunter2" not in str(told)


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('base_url = "https://other.example"', "venues.plain.base_url"),
        ('base_url = "https://venue.example"\nwindow_ms = 7', "venues.plain.window_ms"),
    ],
)
def test_keys_are_spelled_as_in_the_file(tmp_path: Path, line: str, key: str) -> None:
    other = LEAST.replace('base_url = "https://venue.example"', line)

    assert only_at_start(settings(tmp_path, LEAST), settings(tmp_path, other)) == (key,)
