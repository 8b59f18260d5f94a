"""What is in memory stays there."""

import subprocess
import sys

import pytest

LOOK = """
import ctypes, resource
from gateway.backends.memory import seal_memory
seal_memory()
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), *resource.getrlimit(resource.RLIMIT_CORE))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel in Linux's way")
def test_sealed_process_leaves_no_core_and_cannot_be_looked_into() -> None:
    said = subprocess.run((sys.executable, "-c", LOOK), capture_output=True, check=True, text=True)  # noqa: S603  our own

    assert said.stdout.split() == ["0", "0", "0"]
