"""Fixtures that tests of several folders share; each lives in a module of its own."""

pytest_plugins = ("real_valkey", "redis_topology")
