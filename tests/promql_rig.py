"""Queries held against the series that a gateway really has: names, labels, and the values of closed label sets."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import promql_parser
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from promql_parser import AggregateExpr, Matcher, VectorSelector

from gateway.backends.auditor import Auditor
from gateway.backends.metrics import Metrics
from gateway.venues import ALL

Series: TypeAlias = Mapping[str, Mapping[str, frozenset[str]]]
# What Prometheus itself adds to each series.
FIRED = ("alertname", "alertstate", "severity", "venue", "scope", "window")
SCRAPED = {"job": frozenset[str](), "instance": frozenset[str]()}
# Grafana's variables, as something that parses; a variable stands for any value.
ANY = "any_value"
VARIABLES = {"$__rate_interval": "5m", "$__interval": "1m", "$__range": "1h", "$venue": ANY}


async def real_series() -> Series:
    """Every series of a gateway that serves all venues, by name; for each label its values."""
    venues = [venue.id for venue in ALL]
    metrics = Metrics(venues, "1.2.3", Auditor({venue: {} for venue in venues}), lambda: 0.0)
    text, _ = await metrics.scrape("application/openmetrics-text")
    found: dict[str, dict[str, set[str]]] = {}
    for family in text_string_to_metric_families(text.decode()):  # type: ignore[no-untyped-call]  # no types there
        for sample in family.samples:
            values = found.setdefault(sample.name, {})
            for name, value in sample.labels.items():
                values.setdefault(name, set()).add(value)
    return {name: {label: frozenset(all_) for label, all_ in labels.items()} for name, labels in found.items()}


@dataclass(slots=True)
class Read:
    """What a query reads, and by which labels it groups."""

    selectors: list[VectorSelector] = field(default_factory=list)
    grouped_by: set[str] = field(default_factory=set)

    def visit(self, node: promql_parser.Expr) -> bool:
        """One node of its tree."""
        if isinstance(node, VectorSelector):
            self.selectors.append(node)
        if isinstance(node, AggregateExpr) and node.modifier is not None:
            self.grouped_by |= set(node.modifier.labels)
        return True


def plain(query: str) -> str:
    """A query of a dashboard as Prometheus gets it."""
    for variable, stands_for in VARIABLES.items():
        query = query.replace(variable, stands_for)
    return query


def read(query: str) -> Read:
    """Parse it, types and all."""
    found = Read()
    promql_parser.walk(promql_parser.parse(plain(query)), found.visit)
    return found


def faults(query: str, series: Series, recorded: Iterable[str] = ()) -> Iterator[str]:
    """What of it no gateway could answer."""
    own = {
        **series,
        "up": {},
        "ALERTS": dict.fromkeys(FIRED, frozenset[str]()),
        **{name: {"venue": frozenset[str]()} for name in recorded},
    }
    found = read(query)
    known: set[str] = set(SCRAPED)
    for selector in found.selectors:
        if selector.name not in own:
            yield f"no metric {selector.name}"
            continue
        labels = {**own[selector.name], **SCRAPED}
        known |= set(labels)
        for matcher in selector.matchers.matchers:
            yield from _unmet(selector.name, matcher, labels)
    yield from (f"grouped by {label}, which nothing has" for label in found.grouped_by - known)


def _unmet(name: str, matcher: Matcher, labels: Mapping[str, frozenset[str]]) -> Iterator[str]:
    values = labels.get(matcher.name)
    if values is None:
        yield f"{name} has no label {matcher.name}"
    elif values and matcher.value != ANY:
        yield from (
            f"{name}: {matcher.name} is never {each!r}"
            for each in matcher.value.split("|")
            if not any(re.fullmatch(each, value) for value in values)
        )
