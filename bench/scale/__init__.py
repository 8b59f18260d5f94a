"""What a cancel costs when there is more of everything: `python -m bench.scale`, a few minutes on one machine.

real.py        accounts, processes, Redis shards and waiting callers, as real processes on this machine
operations.py  what each call to Redis costs the server, one by one
storm.py       a market-wide cancel storm on virtual time: the real dispatcher, lines and ledger, so many replicas
shards.py      from the storm's calls and their price to the shards: how busy, when full, how long the queue
page.py        the page's part between its marks
"""
