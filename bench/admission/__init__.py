"""Proves the promises of admission from outside: real gateways, one real Valkey, and the venue's own count as judge.

    python -m bench.admission [SCENARIO ...]     all of them without a name; --list tells them

Three `cancel-gateway serve`, a Valkey and the sandbox run as processes of their own on loopback; the callers live here.
SECONDS_SATURATED=8 shortens the saturated time of a scenario. Linux only. The last results lie in `bench/results/`.
"""
