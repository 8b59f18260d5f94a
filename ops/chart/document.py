"""Writes the chart's README: the table of its values comes from the schema, their defaults from values.yaml.

python ops/chart/document.py [--check]
"""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

CHART = Path(__file__).parents[2] / "helm" / "cancel-gateway"
README = CHART / "README.md"
DEPTH_MOST = 3

HEAD = """# Chart: cancel-gateway

Gateways behind one Service, with what a cluster expects of a service that trades with money: probes, a disruption
budget, a network policy with a way out for each served venue only, a read-only root and no capability, no token of the
Kubernetes API.

```sh
helm install gateway helm/cancel-gateway -n trading -f my-values.yaml
helm test gateway -n trading
```

`config` holds the settings file section by section, as the gateway itself documents it. What the chart knows better it
sets itself and refuses from you: listen addresses, TLS files, and **`redis.replicas_max`**. That number is what keeps a
limit whole while Redis is away, so it is computed: `replicas` or `autoscaling.max`, plus `rollout.maxSurge`.

**Redis** is not part of the chart: limits are only as safe as the Redis that counts them, so it deserves an operator's
or a provider's own set-up (Sentinel or Cluster, `min-replicas-to-write 1`). Its address holds a password: put it into a
Secret and name that under `redis.urlSecret`.

**Credentials** come from one of: `credentials.secrets` (Secrets that exist), `credentials.externalSecrets`,
`credentials.vaultAgent`, or straight from Vault (`config.secrets.provider: vault` with `credentials.vaultToken`) or AWS
(`provider: aws` with `serviceAccount.annotations`). Files are followed when they change; pods need no restart.

`ci/` holds sets of values that are rendered, validated and loaded by the tests.

## Values

| key | type | default | meaning |
|---|---|---|---|
"""


def rows(schema: Mapping[str, object], defaults: object, path: str = "") -> Iterator[str]:
    """One line per value, in the schema's order."""
    properties = schema.get("properties")
    assert isinstance(properties, dict)
    for key, said in properties.items():
        own = defaults.get(key) if isinstance(defaults, dict) else None
        here = f"{path}{key}"
        inner = said.get("properties")
        if isinstance(inner, dict) and key != "config" and here != "networkPolicy.venues":
            yield from rows(said, own, f"{here}.")
            continue
        yield f"| `{here}` | {_kind(said)} | {_default(own)} | {said['description']} |"
        if key == "config":
            yield from rows(said, {}, f"{here}.")


def _kind(said: Mapping[str, object]) -> str:
    if "enum" in said:
        choices = said["enum"]
        assert isinstance(choices, list)
        return " \\| ".join(f"`{choice}`" for choice in choices)
    kind = said.get("type", "integer or percent")
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _default(value: object) -> str:
    if value in (None, "", [], {}):
        return ""
    return f"`{json.dumps(value)}`".replace("|", "\\|")


def document() -> str:
    """The whole README."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    return HEAD + "\n".join(rows(schema, defaults)) + "\n"


def main() -> int:
    """Write it, or say whether it is as it should be."""
    if "--check" not in sys.argv:
        README.write_text(document())
        return 0
    return int(README.read_text() != document())


if __name__ == "__main__":
    sys.exit(main())
