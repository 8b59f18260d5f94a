"""Fixtures that tests of several folders share; each lives in a module of its own."""

import os

from hypothesis import HealthCheck, settings

pytest_plugins = ("real_bao", "real_moto", "real_valkey", "redis_topology")

# A busy machine is no fault of ours. The suite tries the same examples each time; `make fuzz` tries others.
SLOW = [HealthCheck.too_slow]
settings.register_profile("suite", deadline=None, derandomize=True, suppress_health_check=SLOW)
settings.load_profile("suite")
if examples := os.environ.get("FUZZ_EXAMPLES"):
    settings.register_profile("fuzz", max_examples=int(examples), deadline=None, suppress_health_check=SLOW)
    settings.load_profile("fuzz")
