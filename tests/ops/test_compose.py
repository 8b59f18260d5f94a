"""The compose file, as far as it can be judged without an engine that runs containers."""

import shlex
from pathlib import Path

import yaml

from gateway.sandbox.config import DEFAULT_CREDENTIALS, DEFAULT_PORTS
from gateway.settings import Settings, load
from gateway.venues import ALL

OPS = Path(__file__).parents[2] / "ops"
SERVICES = yaml.safe_load((OPS / "compose.yaml").read_text())["services"]


def test_everything_that_the_product_needs_stands_beside_it() -> None:
    assert set(SERVICES) == {
        "gateway-a", "gateway-b", "sandbox", "redis", "openbao", "credentials", "prometheus", "alertmanager", "grafana",
    }  # fmt: skip


def test_the_gateways_take_their_settings() -> None:
    for name in ("gateway-a", "gateway-b"):
        environment = {key: str(value) for key, value in SERVICES[name]["environment"].items()}
        settings = load(OPS / "compose" / "gateway.toml", environment, ALL)

        assert isinstance(settings, Settings), settings
        assert settings.redis.replicas_max == sum(key.startswith("gateway-") for key in SERVICES)
        for venue, own in settings.venues.items():
            assert f":{DEFAULT_PORTS[venue]}" in own.site.base_url


def test_openbao_is_given_the_accounts_of_the_sandbox() -> None:
    text = (OPS / "compose" / "credentials.sh").read_text()
    lines = [shlex.split(line) for line in text.splitlines() if line.startswith("bao")]
    put = {words[3].removeprefix("secret/cancel-gateway/"): dict(word.split("=", 1) for word in words[4:])
           for words in lines if words[:3] == ["bao", "kv", "put"]}  # fmt: skip

    assert put == {
        f"{venue}/{account}": fields
        for venue, accounts in DEFAULT_CREDENTIALS.items()
        for account, fields in accounts.items()
    }


def test_every_file_that_is_mounted_is_there() -> None:
    mounted = [volume.split(":")[0] for own in SERVICES.values() for volume in own.get("volumes", ())]

    assert mounted
    assert [path for path in mounted if not (OPS / path).exists()] == []


def test_grafana_finds_its_source_and_its_dashboards() -> None:
    provisioned = OPS / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioned / "datasources" / "prometheus.yaml").read_text())["datasources"]
    (boards,) = yaml.safe_load((provisioned / "dashboards" / "cancel-gateway.yaml").read_text())["providers"]
    scrape = yaml.safe_load((OPS / "compose" / "prometheus.yaml").read_text())["global"]["scrape_interval"]
    mounted = dict(volume.split(":")[:2] for volume in SERVICES["grafana"]["volumes"])

    assert source["url"].removeprefix("http://").split(":")[0] in SERVICES
    assert source["jsonData"]["timeInterval"] == scrape
    assert mounted["./grafana/dashboards"] == boards["options"]["path"]
    assert mounted["./grafana/provisioning"] == "/etc/grafana/provisioning"
