"""Keeping what is in memory there: no core file, and no look into the process by others of its user."""

import ctypes
import resource
import sys

PR_SET_DUMPABLE = 4


def seal_memory() -> None:
    """No core dumps, and on Linux no ptrace and no /proc/PID/mem for anybody but root. Child processes decide anew."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
