"""A venue bans us; whoever is on call gets one page, although everything that follows from a ban fires as well."""

import asyncio
import time
from pathlib import Path
from typing import Any

import yaml
from prometheus_rig import (
    OPS,
    Pager,
    Prometheus,
    alertmanager_running,
    asked,
    needs_prometheus,
    pager_running,
    prometheus_running,
)
from service_rig import Rig
from story_rig import rig_on, stage

CONSEQUENCES = {"GateClosed", "CancelsNotAdmitted"}
WITHIN_S = 25


def hasty_rules(folder: Path) -> list[Path]:
    """The rules as they are, but nothing has to last longer than two seconds before it fires."""
    alerts = yaml.safe_load((OPS / "prometheus" / "alerts.yaml").read_text())
    for group in alerts["groups"]:
        for rule in group["rules"]:
            rule["for"] = "0s" if rule["for"] == "0m" else "2s"
    (folder / "alerts.yaml").write_text(yaml.safe_dump(alerts))
    return [folder / "alerts.yaml", OPS / "prometheus" / "recording.yaml"]


def hasty_routes(pager: Pager) -> dict[str, Any]:
    """Alertmanager's settings as they are, but for the address of the pager and shorter waits."""
    config: dict[str, Any] = yaml.safe_load((OPS / "alertmanager" / "alertmanager.yaml").read_text())
    config["route"] |= {"group_wait": "2s", "group_interval": "4s"}
    for receiver in config["receivers"]:
        for hook in receiver["webhook_configs"]:
            hook["url"] = f"{pager.url}/{hook['url'].rpartition('/')[2]}"
    return config


async def met(true: Any, what: str) -> None:
    """Wait for something, in this loop."""
    deadline = time.monotonic() + WITHIN_S
    while not await asyncio.to_thread(true):
        assert time.monotonic() < deadline, f"waited {WITHIN_S} s in vain until {what}"
        await asyncio.sleep(0.2)


def quiet(alertmanager: str) -> set[str]:
    """What fires and is held back because of something else."""
    alerts = asked(f"http://{alertmanager}/api/v2/alerts")
    return {each["labels"]["alertname"] for each in alerts if each["status"]["inhibitedBy"]}


async def banned(rig: Rig, prometheus: Prometheus) -> None:
    """A first cancel that is answered as ever, then a ban for a minute, and desks that go on trying."""
    for venue in ("orderly", "hashkey"):
        await rig.desk().cancel(venue, str((await rig.order(venue))["order_id"]))
    await met(lambda: prometheus.now("cancel_gateway_requests_total > 0"), "Prometheus has seen the first cancels")
    await rig.venue("hashkey").control("POST", "faults", {"faults": [{"kind": "banned", "retry_after": "60"}]})
    for order in await rig.orders("hashkey", 20):
        await rig.desk().cancel("hashkey", str(order["order_id"]))


@needs_prometheus
async def test_a_ban_pages_once_and_its_consequences_stay_quiet(tmp_path: Path) -> None:
    with (
        stage(tmp_path) as at,
        pager_running() as pager,
        alertmanager_running(tmp_path / "alertmanager", hasty_routes(pager)) as alertmanager,
        prometheus_running(
            tmp_path / "prometheus",
            [at.gateway.admin_url.removeprefix("http://")],
            hasty_rules(tmp_path),
            alertmanager,
        ) as prometheus,
    ):
        async with rig_on(at) as rig:
            await banned(rig, prometheus)
            await met(lambda: prometheus.firing() >= {"VenueBanned", *CONSEQUENCES}, "all of it fires")
            await met(lambda: pager.firing("/page"), "somebody is paged")
            await met(lambda: quiet(alertmanager) >= CONSEQUENCES, "the consequences are held back")
            # Two more intervals, in which a second message would come.
            await asyncio.sleep(9)

    assert pager.firing("/page") == [["VenueBanned"]]
    assert pager.firing("/ticket") == []
