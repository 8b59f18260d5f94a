"""A soak in short: real processes, real faults, and every account squared. `make soak` is the long one.

It wants a machine that is not starved, so `make test` leaves it out and `make soak-check` runs it.
"""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORDS = ("--seconds", "15", "--rate", "10", "--dense", "0.5", "--seed", "11", "--no-expiry")
WITHIN_S, CLEANED_UP_S = 150, 20


@pytest.mark.timeout(WITHIN_S + 30)
def test_fifteen_seconds_of_faults_leave_every_account_squared(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.soak", *WORDS, "--output", str(tmp_path / "soak.json")]
    with (tmp_path / "said").open("wb") as said, subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=said) as soak:  # noqa: S603  ours
        try:
            code = soak.wait(WITHIN_S)
        except subprocess.TimeoutExpired:
            soak.send_signal(signal.SIGINT)  # it ends what it has started
            code = soak.wait(CLEANED_UP_S)
    told = (tmp_path / "said").read_text()

    assert code == 0, told[-8000:]
    assert "soak KEPT" in told
    assert (tmp_path / "soak.svg").read_text().startswith("<svg")
