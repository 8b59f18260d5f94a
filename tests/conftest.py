"""Fixtures that tests of several folders share; each lives in a module of its own."""

import os

from hypothesis import settings

pytest_plugins = ("real_bao", "real_moto", "real_valkey", "redis_topology")

if examples := os.environ.get("FUZZ_EXAMPLES"):
    settings.register_profile("fuzz", max_examples=int(examples), deadline=None)
    settings.load_profile("fuzz")
