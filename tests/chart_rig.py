"""The chart as Helm itself renders it."""

from dataclasses import dataclass
from pathlib import Path

import yaml
from helm_python import Chart

ROOT = Path(__file__).parents[1]
CHART = ROOT / "helm" / "cancel-gateway"
VALUE_SETS = sorted((CHART / "ci").glob("*-values.yaml"))
Values = dict[str, object]
Object = dict[str, object]


def values_of(name: str) -> Values:
    """A value set by its short name."""
    said = yaml.safe_load((CHART / "ci" / f"{name}-values.yaml").read_text())
    assert isinstance(said, dict)
    return said


def merged(base: Values, more: Values) -> Values:
    """`more` over `base`, table by table."""
    result = dict(base)
    for key, value in more.items():
        own = result.get(key)
        result[key] = merged(own, value) if isinstance(own, dict) and isinstance(value, dict) else value
    return result


def dig(tree: object, path: str) -> object:
    """What stands at a path such as `spec.template.spec.containers.0.image`; None where it ends early."""
    for step in path.split("."):
        if isinstance(tree, dict):
            tree = tree.get(step)
        elif isinstance(tree, list) and step.isdigit() and int(step) < len(tree):
            tree = tree[int(step)]
        else:
            return None
    return tree


def _data(config_map: Object) -> dict[str, object]:
    data = config_map["data"]
    assert isinstance(data, dict)
    return data


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a release would put into the cluster."""

    objects: tuple[Object, ...]
    notes: str

    def all(self, kind: str) -> list[Object]:
        """Every object of a kind."""
        return [each for each in self.objects if each["kind"] == kind]

    def one(self, kind: str) -> Object:
        """The only object of a kind."""
        (found,) = self.all(kind)
        return found

    @property
    def config(self) -> str:
        """The settings file that is mounted."""
        (text,) = (said for each in self.all("ConfigMap") if (said := str(_data(each).get("config.toml", ""))))
        return text


def render(values: Values, name: str = "gw") -> Rendered:
    """Render as `helm install gw` would; raises what Helm says."""
    chart = Chart.load(CHART)
    chart.validate_schema(values)
    files = chart.render(values, name=name, namespace="trading")
    notes = "".join(text for path, text in files.items() if path.endswith("NOTES.txt"))
    manifests = (text for path, text in sorted(files.items()) if path.endswith(".yaml"))
    objects = tuple(each for text in manifests for each in yaml.safe_load_all(text) if each)
    return Rendered(objects, notes)
