"""Each query of each dashboard, asked of a real Prometheus that watches a real gateway at work."""

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

from prometheus_rig import OPS, Prometheus, needs_prometheus, prometheus_running
from story_rig import Load, rig_on, stage

from ops.grafana.picture import Answers, Look, Told, taken

SECONDS = float(os.environ.get("CANCEL_GATEWAY_STORY_S", "22"))
LONG_S = 60
PICTURES = os.environ.get("CANCEL_GATEWAY_PICTURES")
RULES = [OPS / "prometheus" / "recording.yaml", OPS / "prometheus" / "alerts.yaml"]
BOARDS: list[dict[str, Any]] = [
    json.loads(path.read_text()) for path in sorted((OPS / "grafana" / "dashboards").glob("*.json"))
]


def shown(query: str, look: Look) -> str:
    """A query as Grafana would send it."""
    for name, value in (("$__rate_interval", f"{look.rate_s}s"), ("$__range", f"{look.range_s}s"), ("$venue", ".+")):
        query = query.replace(name, value)
    return query


def answered(prometheus: Prometheus, look: Look) -> dict[str, Answers]:
    """What every panel shows, by board and panel."""
    return {
        f"{board['uid']}: {panel['title']}": [
            Told(target, prometheus.over(shown(target["expr"], look), look.start, look.end, look.step_s))
            for target in panel["targets"]
        ]
        for board in BOARDS
        for panel in board["panels"]
        if panel["type"] != "row"
    }


@needs_prometheus
async def test_no_panel_is_empty_when_everything_happens(tmp_path: Path) -> None:
    with (
        stage(tmp_path) as at,
        prometheus_running(
            tmp_path / "prometheus", [at.gateway.admin_url.removeprefix("http://")], RULES
        ) as prometheus,
    ):
        began = time.time()
        async with rig_on(at) as rig:
            await Load(rig, SECONDS, at.lose_redis).run()
        step_s, rate_s = (1, 6) if SECONDS < LONG_S else (2, 10)
        look = Look(began + rate_s, time.time(), step_s, rate_s)
        answers = await asyncio.to_thread(answered, prometheus, look)
        exemplars = prometheus.exemplars("cancel_gateway_request_seconds_bucket", began, time.time())
    if PICTURES is not None:
        await asyncio.to_thread(taken, Path(PICTURES), BOARDS, answers, look)

    empty = [where for where, told in answers.items() if not any(each.series for each in told)]
    assert empty == []
    assert all("request_id" in each["labels"] for found in exemplars for each in found["exemplars"])
    assert exemplars
