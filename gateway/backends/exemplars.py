"""Which request was the last to fall into each bucket: what OpenMetrics calls a bucket's exemplar.

The library's own way costs more than the observation itself. Here a pair is kept, and all else is done when somebody
asks. They have no time of their own, so Prometheus stores each once, as of the scrape that brought it.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar, Sample

LABEL = "request_id"
# The specification allows 128 characters for names and values together.
VALUE_MOST = 128 - len(LABEL)

Labels: TypeAlias = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Traced:
    """One child of a histogram, and the last request in each of its buckets."""

    child: Histogram
    bounds: Sequence[float]
    last: dict[int, tuple[str, float]] = field(default_factory=dict)

    def observe(self, seconds: float, request_id: str) -> None:
        """Count it, and remember whose it was."""
        self.child.observe(seconds)
        self.last[bisect_left(self.bounds, seconds)] = request_id, seconds

    def exemplar(self, le: float) -> Exemplar | None:
        """The last one between the bound below and this one."""
        kept = self.last.get(bisect_left(self.bounds, le))
        return None if kept is None else Exemplar({LABEL: kept[0][:VALUE_MOST]}, kept[1])


class WithExemplars(Collector):
    """What a registry holds, with the exemplars of the histograms that have some."""

    def __init__(self, registry: CollectorRegistry, traced: Mapping[str, Mapping[Labels, Traced]]) -> None:
        """`traced`: by the histogram's name, then by the child's labels."""
        self._registry, self._traced = registry, traced

    def collect(self) -> Iterator[Metric]:
        """Every family."""
        for family in self._registry.collect():
            if children := self._traced.get(family.name):
                family.samples = [_marked(sample, children) for sample in family.samples]
            yield family


def labelled(labels: Iterable[tuple[str, str]]) -> Labels:
    """Labels in no order, as plain text: a sample has forgotten which enum they came from."""
    return frozenset((name, str(value)) for name, value in labels)


def _marked(sample: Sample, children: Mapping[Labels, Traced]) -> Sample:
    if (le := sample.labels.get("le")) is None:
        return sample
    child = children.get(labelled((name, value) for name, value in sample.labels.items() if name != "le"))
    return sample if child is None else sample._replace(exemplar=child.exemplar(float(le)))
