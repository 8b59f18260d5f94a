"""What a cancel costs, against the limit and against what one would pick instead, all in one run: `make bench`.

shapes.py (beside)  the five venues as callers and the far end see them
stage.py            the processes of a run, each on a core, and what the kernel says of them
targets.py          what is compared, and how each is started
cost.py             CPU per cancel, in rounds taken in turns; throughput at saturation; memory
redis_use.py        commands and trips to Redis per cancel, as Redis itself counts them
latency.py          what is added at 200/s, by an open-loop driver (pace.py, beside)
startup.py          from the start of the process to ready
neighbours.py       another venue's latency while Loopring signs
page.py, plots.py   the page and its pictures
"""
