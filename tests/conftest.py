"""Fixtures that tests of several folders share; each lives in a module of its own."""

pytest_plugins = ("real_bao", "real_moto", "real_valkey", "redis_topology")
