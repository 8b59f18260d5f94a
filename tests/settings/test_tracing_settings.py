"""`[tracing]`: off by itself, and refused where the extra is not installed."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from plain_venue import PLAIN

from gateway.settings import Settings, load
from gateway.settings.tracing import Tracing

LEAST = f"""
[callers.desk-a]
token_sha256 = "{"ab" * 32}"
allow = ["plain:*"]
[venues.plain]
base_url = "https://venue.example"
"""


def read(folder: Path, text: str, environment: Mapping[str, str] | None = None) -> Tracing | None:
    path = folder / "gateway.toml"
    path.write_text(text)
    settings = load(path, environment or {}, (PLAIN,))
    assert isinstance(settings, Settings), settings
    return settings.tracing


def test_tracing_is_off_unless_it_is_turned_on(tmp_path: Path) -> None:
    assert read(tmp_path, LEAST) is None
    assert read(tmp_path, LEAST + '[tracing]\nenabled = false\nendpoint = "http://collector:4318"') is None


@pytest.mark.parametrize(("ratio", "value"), [("0", 0.0), ("1", 1.0), ("0.25", 0.25)])
def test_tracing_takes_its_address_and_ratio_from_the_file_and_the_environment(
    tmp_path: Path, ratio: str, value: float
) -> None:
    text = LEAST + f'[tracing]\nenabled = true\nendpoint = "http://collector:4318/"\nsample_ratio = {ratio}'
    from_environment = {"CANCEL_GATEWAY__TRACING__ENABLED": "yes", "CANCEL_GATEWAY__TRACING__SAMPLE_RATIO": ratio}

    assert read(tmp_path, text) == Tracing("http://collector:4318", value)
    assert read(tmp_path, LEAST, from_environment) == Tracing("http://127.0.0.1:4318", value)


@pytest.mark.parametrize("missing", ["opentelemetry", "opentelemetry.sdk", "opentelemetry.exporter"])
def test_tracing_without_its_extra_is_a_fault_that_says_what_to_install(missing: str, tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    told = LEAST.replace("plain", "etna").replace("venue.example", "venue.example/api")
    config.write_text(told + "[tracing]\nenabled = true\n")
    code = f"import sys; sys.modules[{missing!r}] = None; from gateway.__main__ import main; main()"

    said = subprocess.run(  # noqa: S603  our own
        [sys.executable, "-c", code, "check-config", str(config)], capture_output=True, text=True, check=False
    )

    assert said.returncode == 2, said
    assert "tracing.enabled: needs the extra `tracing`, which is not installed" in said.stdout + said.stderr
    assert "pip install 'cancel-gateway[tracing]'" in said.stdout + said.stderr
