"""The chart, rendered by Helm and judged by Kubernetes' own schemas and by the gateway's own reader of settings."""

import subprocess
import sys
from pathlib import Path

import kubernetes_validate  # type: ignore[import-untyped]  # it has no types
import pytest
from chart_rig import CHART, ROOT, VALUE_SETS, Rendered, Values, dig, merged, render, values_of
from helm_python import HelmError
from helm_python.chart import lint

from gateway.settings import Settings, load
from gateway.venues import ALL

KUBERNETES = ("1.29", "1.31", "1.33")
CUSTOM = frozenset({"ServiceMonitor", "PrometheusRule", "ExternalSecret"})
SHORT = [path.name.removesuffix("-values.yaml") for path in VALUE_SETS]
WARNING = 2
POD = "spec.template.spec"
CONTAINER = f"{POD}.containers.0"


def minimal(**more: object) -> Rendered:
    return render(merged(values_of("minimal"), more))


def refusal(values: Values) -> str:
    with pytest.raises(HelmError) as refused:
        render(values)
    return str(refused.value)


@pytest.mark.parametrize("name", SHORT)
@pytest.mark.parametrize("version", KUBERNETES)
def test_every_object_is_valid_for_kubernetes(name: str, version: str) -> None:
    for each in render(values_of(name)).objects:
        if each["kind"] not in CUSTOM:
            kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.parametrize("name", SHORT)
def test_helm_finds_nothing_to_complain_of(name: str) -> None:
    found = lint(CHART, values=values_of(name), strict=True)

    assert found["errors"] == []
    assert [message for message in found["messages"] if message["severity"] >= WARNING] == []


@pytest.mark.parametrize("name", SHORT)
def test_the_gateway_takes_the_settings_that_are_rendered(name: str, tmp_path: Path) -> None:
    rendered = render(values_of(name))
    file = tmp_path / "config.toml"
    file.write_text(rendered.config.replace("/etc/cancel-gateway", str(tmp_path)))
    (tmp_path / "venues").mkdir()
    environment = {"CANCEL_GATEWAY__SECRETS__DIRECTORY": str(tmp_path / "venues")}
    environment |= _without_files(rendered)

    settings = load(file, environment, ALL)

    assert isinstance(settings, Settings), settings
    assert settings.redis.replicas_max == _processes(rendered)
    assert {str(venue) for venue in settings.venues} == set(_table(values_of(name), "config.venues"))


def _table(values: Values, path: str) -> dict[str, object]:
    found = dig(values, path)
    assert isinstance(found, dict)
    return found


def _without_files(rendered: Rendered) -> dict[str, str]:
    """What stands in Secrets is not here: no TLS, and an address as the Secret would hold it."""
    environment: dict[str, str] = {}
    if "tls_cert" in rendered.config:
        environment |= {f"CANCEL_GATEWAY__SERVER__{key}": "" for key in ("TLS_CERT", "TLS_KEY", "TLS_CLIENT_CA")}
    if "url" not in rendered.config.partition("[redis]")[2].partition("[")[0] or "ssl_ca_certs" in rendered.config:
        environment["CANCEL_GATEWAY__REDIS__URL"] = "redis://redis:6379"
    return environment


def _processes(rendered: Rendered) -> int:
    """The most that can run at once, counted from the objects as Kubernetes reads them."""
    deployment = rendered.one("Deployment")
    scalers = rendered.all("HorizontalPodAutoscaler")
    most = dig(scalers[0], "spec.maxReplicas") if scalers else dig(deployment, "spec.replicas")
    surge = dig(deployment, "spec.strategy.rollingUpdate.maxSurge")
    assert isinstance(most, int)
    if isinstance(surge, str):
        return most + -(-most * int(surge.removesuffix("%")) // 100)
    assert isinstance(surge, int)
    return most + surge


@pytest.mark.parametrize(
    ("values", "most"),
    [
        ({"replicas": 3}, 4),
        ({"replicas": 3, "rollout": {"maxSurge": 0, "maxUnavailable": 1}}, 3),
        ({"replicas": 3, "rollout": {"maxSurge": "50%"}}, 5),
        ({"replicas": 3, "autoscaling": {"enabled": True, "max": 9}}, 10),
        ({"autoscaling": {"enabled": True, "max": 9}, "rollout": {"maxSurge": "25%"}}, 12),
    ],
)
def test_the_share_of_a_replica_follows_from_what_can_run_at_once(values: Values, most: int) -> None:
    rendered = minimal(**values)

    assert _processes(rendered) == most
    assert f"replicas_max = {most}\n" in rendered.config + "\n"


def test_a_share_that_is_too_large_is_refused_and_says_what_to_set() -> None:
    said = refusal(merged(values_of("minimal"), {"config": {"redis": {"replicas_max": 2}}}))

    assert "config.redis.replicas_max is 2, but 3 processes can run at once" in said
    assert "set at least 3" in said


def test_a_smaller_share_may_be_chosen() -> None:
    assert "replicas_max = 6" in minimal(config={"redis": {"replicas_max": 6}}).config


def test_autoscaling_without_a_maximum_is_refused_by_name() -> None:
    assert "max" in refusal(merged(values_of("minimal"), {"autoscaling": {"enabled": True}}))


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"replica": 3}, "replica"),
        ({"image": {"tagg": "1"}}, "tagg"),
        ({"replicas": "three"}, "replicas"),
        ({"replicas": 0}, "replicas"),
        ({"config": {"venue": {}}}, "venue"),
        ({"autoscaling": {"metric": "memory"}}, "metric"),
        ({"image": {"digest": "sha256:12"}}, "digest"),
        ({"networkPolicy": {"venues": {"binance": {}}}}, "binance"),
    ],
)
def test_a_wrong_value_is_refused_by_the_schema_with_its_key(values: Values, named: str) -> None:
    assert named in refusal(merged(values_of("minimal"), values))


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"config": {"redis": {"url": "embedded"}}}, "gives every pod a Redis of its own"),
        ({"config": {"redis": {"url": None}}}, "set redis.urlSecret.name"),
        ({"config": {"venues": {"orderly": None}}}, "config.venues names no venue"),
        ({"config": {"server": {"listen": ":1"}}}, "config.server.listen is set by the chart"),
        ({"tls": {"clientCaSecret": "ca"}}, "tls.clientCaSecret needs tls.secretName"),
        ({"autoscaling": {"enabled": True, "min": 5, "max": 4}}, "is smaller than autoscaling.min"),
        ({"networkPolicy": {"venues": {"etna": {}}}}, "config.venues does not serve it"),
        ({"credentials": {"externalSecrets": {"enabled": True}}}, "storeRef.name is needed"),
    ],
)
def test_what_cannot_work_is_refused_with_what_to_do(values: Values, told: str) -> None:
    assert told in refusal(merged(values_of("minimal"), values))


def test_pods_run_confined() -> None:
    deployment = minimal().one("Deployment")

    assert dig(deployment, f"{POD}.securityContext") == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "fsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert dig(deployment, f"{CONTAINER}.securityContext") == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert dig(deployment, f"{POD}.automountServiceAccountToken") is False


@pytest.mark.parametrize("name", SHORT)
def test_a_pod_has_the_time_to_drain(name: str) -> None:
    rendered = render(values_of(name))
    grace = dig(rendered.one("Deployment"), f"{POD}.terminationGracePeriodSeconds")
    lag = dig(rendered.one("Deployment"), f"{CONTAINER}.lifecycle.preStop.sleep.seconds")
    drain = dig(values_of(name), "config.server.drain_seconds") or 20

    assert isinstance(grace, int)
    assert isinstance(lag, int)
    assert isinstance(drain, int)
    assert grace > lag + drain


def test_new_settings_roll_new_pods_and_old_ones_do_not() -> None:
    def checksum(rendered: Rendered) -> object:
        annotations = dig(rendered.one("Deployment"), "spec.template.metadata.annotations")
        assert isinstance(annotations, dict)
        return annotations["checksum/config"]

    assert checksum(minimal()) == checksum(minimal(podLabels={"a": "b"}))
    assert checksum(minimal()) != checksum(minimal(config={"log": {"level": "debug"}}))


def test_only_a_login_at_vault_needs_a_token() -> None:
    def mounts(rendered: Rendered) -> set[str]:
        found = dig(rendered.one("Deployment"), f"{CONTAINER}.volumeMounts")
        assert isinstance(found, list)
        return {each["name"] for each in found}

    assert "vault-token" not in mounts(minimal())
    assert "vault-token" in mounts(render(values_of("vault")))
    assert dig(render(values_of("vault-agent")).one("Deployment"), f"{POD}.automountServiceAccountToken") is True


def test_the_address_of_redis_comes_from_a_secret_and_not_from_the_settings() -> None:
    rendered = render(values_of("production"))

    environment = dig(rendered.one("Deployment"), f"{CONTAINER}.env")
    assert environment == [
        {
            "name": "CANCEL_GATEWAY__REDIS__URL",
            "valueFrom": {"secretKeyRef": {"name": "cancel-gateway-redis", "key": "url"}},
        }
    ]
    assert "\nurl =" not in rendered.config


def test_credentials_lie_where_the_gateway_looks_for_them() -> None:
    volumes = dig(render(values_of("production")).one("Deployment"), f"{POD}.volumes")
    assert isinstance(volumes, list)
    (projected,) = [each["projected"]["sources"] for each in volumes if each["name"] == "credentials"]

    paths = [source["secret"]["items"][0]["path"] for source in projected]
    assert paths == ["orderly/desk-a.json", "hashkey/desk-a.json"]
    external = {dig(each, "spec.target.name") for each in render(values_of("production")).all("ExternalSecret")}
    assert external == {source["secret"]["name"] for source in projected}


def test_the_way_out_is_one_rule_per_served_venue() -> None:
    egress = dig(render(values_of("production")).one("NetworkPolicy"), "spec.egress")
    assert isinstance(egress, list)
    blocks = [[peer["ipBlock"] for peer in rule["to"] if "ipBlock" in peer] for rule in egress]

    hashkey, orderly = (rule for rule in blocks if rule)
    assert orderly == [{"cidr": "203.0.113.0/24"}]
    assert hashkey[0]["cidr"] == "0.0.0.0/0"
    assert {"10.0.0.0/8", "169.254.0.0/16"} <= set(hashkey[0]["except"])


def test_metrics_are_scraped_from_the_admin_service_alone() -> None:
    rendered = render(values_of("production"))
    wanted = dig(rendered.one("ServiceMonitor"), "spec.selector.matchLabels")
    assert isinstance(wanted, dict)

    matching = [
        dig(service, "metadata.name")
        for service in rendered.all("Service")
        if wanted.items() <= _table(service, "metadata.labels").items()
    ]
    assert matching == ["gw-cancel-gateway-admin"]


def test_the_notes_warn_where_a_limit_is_smaller_than_the_fleet() -> None:
    few = minimal(config={"venues": {"orderly": {"limits": {"cancel": {"tokens": 2}}}}})

    assert "WARNING: orderly allows 2 cancels per window" in few.notes
    assert "WARNING" not in minimal().notes


def test_the_readme_tells_the_values_as_they_are() -> None:
    command = [sys.executable, str(ROOT / "ops" / "chart" / "document.py"), "--check"]

    assert subprocess.run(command, check=False).returncode == 0, "run: python ops/chart/document.py"  # noqa: S603  our own
