"""What the pages say, held against the code that they speak of."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from gateway.core.outcome import MEANINGS
from gateway.sandbox.config import SandboxConfig
from gateway.sandbox.config_file import config_from_toml
from gateway.sandbox.control import CONTROLS
from gateway.sandbox.faults import KINDS
from gateway.settings import load
from gateway.settings.schema import Faults
from gateway.venues import ALL
from gateway.web import app
from gateway.web.openapi import document

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
STRANGE = "qqqqqqqqqqqq"
KEY = re.compile(r"^\| `([a-z]+(?:\.[a-zA-Z_0-9]+)+)` \|", re.MULTILINE)
SECTIONS = (
    "server", "redis", "records", "secrets", "secrets.vault", "secrets.aws", "auth.jwt", "log", "audit", "tracing",
    "callers.NAME", *(f"venues.{venue.id}" for venue in ALL), *(f"venues.{venue.id}.limits.cancel" for venue in ALL),
)  # fmt: skip
INNER = {"vault", "aws", "limits"}


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def rows(name: str) -> list[list[str]]:
    """The cells of every row of every table."""
    found = re.findall(r"^\| (.*) \|$", page(name), re.MULTILINE)
    return [[cell.strip(" `*") for cell in re.split(r"(?<!\\) \| ", row)] for row in found]


def faults(tmp_path: Path, text: str) -> Faults:
    path = tmp_path / "gateway.toml"
    path.write_text(text)
    found = load(path, {}, ALL)
    assert isinstance(found, Faults)
    return found


def known_keys(tmp_path: Path) -> set[str]:
    """Every key that the settings know: a key that nobody could mean is told all that there are."""
    told = faults(tmp_path, "\n".join(f"[{section}]\n{STRANGE} = 1" for section in SECTIONS))
    listed = {
        fault.path.removesuffix(f".{STRANGE}"): fault.remedy.removeprefix("known here: ").split(", ")
        for fault in told.faults
        if fault.path.endswith(STRANGE)
    }
    assert set(listed) == set(SECTIONS)
    return {_general(f"{section}.{key}") for section, keys in listed.items() for key in keys if key not in INNER}


def _general(key: str) -> str:
    """A key under the name that the page gives to any venue, unless it is one venue's own."""
    words = key.split(".")
    if words[0] == "venues" and words[2] not in {name for venue in ALL for name in venue.options}:
        words[1] = "ID"
    return ".".join("NAME" if words[0] == "venues" and word == "cancel" else word for word in words)


def test_every_key_of_the_settings_is_on_the_page(tmp_path: Path) -> None:
    assert known_keys(tmp_path) - set(KEY.findall(page("docs/configuration.md"))) == set()


def test_every_key_on_the_page_is_known_to_the_settings(tmp_path: Path) -> None:
    """Those that are read only beside others are tried one by one."""
    named = KEY.findall(page("docs/configuration.md"))
    rest = set(named) - known_keys(tmp_path)
    text = "\n".join(f"[{key.rpartition('.')[0]}]\n{key.rpartition('.')[2]} = {{}}" for key in sorted(rest))

    told = faults(tmp_path, re.sub(r"(?m)^(\[.*\])\n(.*)\n\1\n", r"\1\n\2\n", text))

    assert len(named) == len(set(named))
    assert rest <= {"callers.NAME.certificates", "callers.NAME.subjects"}
    assert [fault for fault in told.faults if "is no known key" in fault.problem] == []


@pytest.mark.parametrize("name", ["docs/outcomes.md", "README.md"])
def test_table_of_outcomes_is_the_closed_set(name: str) -> None:
    told = [(outcome, row[1]) for row in rows(name) for outcome in re.split(r"`?, `?", row[0]) if outcome in MEANINGS]

    assert sorted(told) == sorted((outcome, str(meaning.status)) for outcome, meaning in MEANINGS.items())


def test_finality_of_outcomes_is_as_the_page_has_it() -> None:
    told = {row[0]: row[2] for row in rows("docs/outcomes.md") if row[0] in MEANINGS}

    assert told == {outcome: "yes" if meaning.final else "no" for outcome, meaning in MEANINGS.items()}


def test_shipped_limits_are_as_the_page_has_them() -> None:
    told = [tuple(row) for row in rows("docs/limits.md") if row[0] in {venue.id for venue in ALL}]

    assert told == [
        (venue.id, name, str(quota.tokens), str(quota.per_ms), str(quota.guard_ms), quota.scope)
        for venue in ALL
        for name, quota in venue.quotas.items()
    ]


def test_alerts_on_the_page_are_there() -> None:
    there = set(re.findall(r"alert: (\w+)", page("ops/prometheus/alerts.yaml")))
    named = set(re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+)`", page("docs/failure-modes.md")))

    assert len(named) > 10
    assert named <= there


def test_events_on_the_page_are_written_somewhere() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "gateway").rglob("*.py"))
    named = set(
        re.findall(
            r"`((?:redis|limiter|breaker|trail|tracing|config|issuer|records)\.[a-z_]+)`", page("docs/failure-modes.md")
        )
    )
    written = {name for name in named if f'"{name}"' in source}

    assert named - written == {"records.give_up_seconds", "redis.timeout_ms"}


def links(path: Path) -> Iterable[str]:
    """Where a page leads to in this repository."""
    text = path.read_text(encoding="utf-8")
    found = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)|(?:src|srcset)=\"([^\"]+)\"", text)
    return [one or other for one, other in found if not re.match(r"[a-z]+:", one or other)]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    assert [link for link in links(path) if not (path.parent / link).exists()] == []


def test_contract_describes_every_route_of_the_callers() -> None:
    source = Path(app.__file__).read_text(encoding="utf-8").partition("def admin_app")[0]
    routes = {(path, method) for method, path in re.findall(r'router\.add_(\w+)\("([^"]+)"', source)}
    paths = document([venue.id for venue in ALL])["paths"]

    assert isinstance(paths, dict)
    assert {(path, method) for path, said in paths.items() for method in said} == routes


def test_every_fault_and_control_of_the_sandbox_is_on_its_page() -> None:
    told = {row[0] for row in rows("docs/sandbox.md")}
    calls = {call for cell in told for call in re.findall(r"[A-Z]+ /_sandbox[a-z/]*", cell)}

    assert {cell for cell in told if re.fullmatch(r"[a-z_]+", cell)} - {"call", "kind"} == set(KINDS)
    assert calls == set(CONTROLS)


def test_file_on_the_page_of_the_sandbox_is_the_shipped_one(tmp_path: Path) -> None:
    (shown,) = re.findall(r"(?s)```toml\n(.*?)```", page("docs/sandbox.md"))
    (tmp_path / "sandbox.toml").write_text(shown)

    read, shipped = config_from_toml(tmp_path / "sandbox.toml"), SandboxConfig()

    assert (read.host, read.ports, read.limits) == (shipped.host, shipped.ports, shipped.limits)
    assert (read.etna_token_ms, read.b2trader_token_ms) == (shipped.etna_token_ms, shipped.b2trader_token_ms)
    assert read.credentials["hashkey"].keys() == {"desk-a"}
