"""From the start of `cancel-gateway serve` to the first ready answer, with Redis up."""

import time

from bench.side_by_side.cost import Spread, Tell, spread
from bench.side_by_side.stage import Stage, cpu_us, ended, settings

PAUSE_S = 0.005


def startups(stage: Stage, times: int, tell: Tell) -> dict[str, Spread]:
    """Seconds on the clock, and of CPU; all five venues are configured."""
    wall, cpu = [], []
    for turn in range(times):
        began = time.perf_counter()
        gateway = stage.serve(settings(stage), f"start-{turn}")
        gateway.wait_ready(PAUSE_S)
        wall.append(time.perf_counter() - began)
        cpu.append(cpu_us([gateway.pid]) / 1e6)
        ended(gateway.process)
    tell(f"start to ready: {', '.join(f'{seconds:.2f} s' for seconds in wall)}")
    return {"ready_s": spread(wall), "cpu_s": spread(cpu)}
