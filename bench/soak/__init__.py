"""Steady load on three gateways while everything around them fails; afterwards every account is squared.

    plan.py      what will be done when, from a seed: pure, printed, and played again by the same seed
    store.py     the Valkey behind a way that can be led elsewhere, and what may happen to it
    scene.py     sandbox, store, gateways and secrets, put up and taken down
    deeds.py     does what the plan says, and writes down when
    load.py      callers who want orders gone, ask again where they may, and look at their records later
    trails.py    collects the audit trails before anything can be lost or cut off
    gauges.py    memory, descriptors, tasks and keys over time
    accounts.py  squares what callers were told with the venue's books, the records and the trails: pure
    verdict.py   what must hold, over all of it
    picture.py   the run as a picture

`python -m bench.soak --seconds 1800 --seed 7`, or `make soak`.
"""
