"""Histograms whose observation costs an addition: what Prometheus reads is made when somebody asks.

The library's own takes a lock for each number and looks through all buckets. Here everything is counted on the loop
alone. The last request of each bucket is kept as its exemplar; these have no time of their own, so Prometheus stores
each once, as of the scrape that brought it.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TypeAlias

from prometheus_client.metrics_core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from prometheus_client.utils import INF, floatToGoString

LABEL = "request_id"
# The specification allows 128 characters for names and values together.
VALUE_MOST = 128 - len(LABEL)

Bucket: TypeAlias = tuple[str, float] | tuple[str, float, Exemplar]


class Spread:
    """One child: how many fell into each bucket, their sum, and the last one in each that has a name."""

    __slots__ = ("_bounds", "_counts", "_last", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._last: dict[int, tuple[str, float]] = {}

    def observe(self, value: float) -> None:
        """Count it."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def trace(self, value: float, request_id: str) -> None:
        """Count it, and remember whose it was."""
        place = bisect_left(self._bounds, value)
        self._counts[place] += 1
        self._sum += value
        self._last[place] = request_id, value

    def read(self) -> tuple[list[Bucket], float]:
        """The buckets as Prometheus reads them, and the sum."""
        counts = enumerate(accumulate(self._counts[:]))
        return [self._bucket(place, count) for place, count in counts], self._sum

    def _bucket(self, place: int, count: float) -> Bucket:
        bound = self._bounds[place] if place < len(self._bounds) else INF
        le: str = floatToGoString(bound)  # type: ignore[no-untyped-call]  # the library has no types there
        if (kept := self._last.get(place)) is None:
            return le, count
        return le, count, Exemplar({LABEL: kept[0][:VALUE_MOST]}, kept[1])


class Spreads(Collector):
    """One histogram with its children."""

    def __init__(self, name: str, text: str, unit: str, bounds: Sequence[float], labels: Sequence[str]) -> None:
        self._said = (name, text, unit)
        self._bounds = bounds
        self._names = labels
        self._children: dict[tuple[str, ...], Spread] = {}

    def labels(self, *values: str) -> Spread:
        """The child with these labels; it is there from then on."""
        return self._children.setdefault(tuple(str(value) for value in values), Spread(self._bounds))

    def describe(self) -> list[Metric]:
        """The name, for the registry."""
        return [self._family()]

    def collect(self) -> Iterator[Metric]:
        """All children as they stand."""
        family = self._family()
        for values, child in self._children.items():
            buckets, total = child.read()
            family.add_metric(values, buckets, total)
        yield family

    def _family(self) -> HistogramMetricFamily:
        name, text, unit = self._said
        return HistogramMetricFamily(name, text, labels=self._names, unit=unit)
