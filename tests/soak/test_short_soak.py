"""A soak in short: real processes, real faults, and every account squared. `make soak` is the long one."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORDS = ("--seconds", "15", "--rate", "10", "--dense", "0.5", "--seed", "11", "--no-expiry")


@pytest.mark.timeout(180)
def test_fifteen_seconds_of_faults_leave_every_account_squared(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.soak", *WORDS, "--output", str(tmp_path / "soak.json")]

    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603  ours

    assert ended.returncode == 0, ended.stdout[-6000:] + ended.stderr[-3000:]
    assert "soak KEPT" in ended.stdout
    assert (tmp_path / "soak.svg").read_text().startswith("<svg")
